//! `stack images`: the images of the project's containers, and `stack image …`: those of the store.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

use super::{
    failure::Failure,
    observed, pull, push,
    session::{Session, service_names},
};
use crate::{
    model::ImageSummary,
    observe,
    protocol::{ImageLoadRequest, ImageRemoveRequest, ImageTagRequest, Request},
    ui::{human, lines, progress::ProgressOptions, table::Table, template::Format},
};

/// List the images of the project's containers
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// table, json or a template
    #[arg(long, default_value = "table", hide_default_value = true)]
    format: Format,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
}

/// Images of the store
#[derive(Debug, Subcommand)]
pub(super) enum ImageCommand {
    Build(Box<super::build::image::Arguments>),
    /// Load images from an archive or an OCI layout directory
    Load {
        /// The archive (.tar, .tar.gz, .tar.zst) or directory; `-` is not supported
        #[arg(short, long, value_name = "FILE")]
        input: PathBuf,
        /// Print only the names
        #[arg(short, long)]
        quiet: bool,
    },
    /// List the images of the store
    #[command(alias = "list")]
    Ls {
        /// table, json or a template
        #[arg(long, default_value = "table", hide_default_value = true)]
        format: Format,
        /// Only ids
        #[arg(short, long)]
        quiet: bool,
    },
    Pull(pull::ImageArguments),
    Push(push::ImageArguments),
    /// Remove images
    #[command(alias = "remove")]
    Rm {
        /// Names, ids or beginnings of ids
        #[arg(value_name = "IMAGE", required = true)]
        images: Vec<String>,
        /// Also with several names, and of stopped containers
        #[arg(short, long)]
        force: bool,
    },
    /// Give an image another name
    Tag {
        /// Name, id or beginning of an id
        #[arg(value_name = "SOURCE")]
        source: String,
        /// The new name
        #[arg(value_name = "TARGET")]
        target: String,
    },
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let target = session.target(&arguments.services)?;
    let services = service_names(&arguments.services)?;
    let mut containers = observed::of_services(session.containers(&target.project)?, &services);
    observed::sort(&mut containers);
    let images = observe::images(&session.settings.root).map_err(|error| Failure::error(&error))?;
    let rows: Vec<ContainerImage> = containers
        .iter()
        .map(|container| {
            let record = &container.record;
            ContainerImage {
                container: record.name.clone(),
                reference: record.image_reference.clone(),
                image: images
                    .iter()
                    .find(|image| image.id == record.image)
                    .cloned(),
                id: record.image.clone(),
            }
        })
        .collect();
    let text = if arguments.quiet {
        let mut ids: Vec<&str> = rows.iter().map(|row| row.id.hex()).collect();
        ids.sort_unstable();
        ids.dedup();
        lines(ids)
    } else {
        let objects: Vec<Value> = rows.iter().map(ContainerImage::object).collect();
        // docker prints one array here, not one object a line.
        let format = match &arguments.format {
            Format::Json => &Format::JsonArray,
            format => format,
        };
        format
            .render(&objects, || container_table(&rows))
            .map_err(|error| Failure::Usage(error.to_string()))?
    };
    Ok(session.ui.data(text)?)
}

pub(super) fn run_image(session: &Session<'_>, command: &ImageCommand) -> Result<(), Failure> {
    let (name, request, quiet) = match command {
        ImageCommand::Build(arguments) => return super::build::image::run(session, arguments),
        ImageCommand::Ls { format, quiet } => return list(session, format, *quiet),
        ImageCommand::Pull(arguments) => return pull::run_image(session, arguments),
        ImageCommand::Push(arguments) => return push::run_image(session, arguments),
        ImageCommand::Load { input, quiet } => {
            let path = session.settings.working_dir.join(input);
            (
                "image load",
                Request::ImageLoad(ImageLoadRequest { path }),
                *quiet,
            )
        }
        ImageCommand::Rm { images, force } => {
            let request = ImageRemoveRequest {
                images: images.clone(),
                force: *force,
            };
            ("image rm", Request::ImageRemove(request), false)
        }
        ImageCommand::Tag { source, target } => {
            let request = ImageTagRequest {
                source: source.clone(),
                target: target.clone(),
            };
            ("image tag", Request::ImageTag(request), true)
        }
    };
    session.refuse_dry_run(name)?;
    let options = ProgressOptions {
        quiet_pull: quiet,
        ..ProgressOptions::default()
    };
    let outcome = session.call(&request, options, None)?;
    let verb = match command {
        ImageCommand::Load { quiet: false, .. } => "Loaded image: ",
        ImageCommand::Rm { .. } => "Removed: ",
        ImageCommand::Build(_)
        | ImageCommand::Load { .. }
        | ImageCommand::Ls { .. }
        | ImageCommand::Pull(_)
        | ImageCommand::Push(_)
        | ImageCommand::Tag { .. } => "",
    };
    if let ImageCommand::Tag { .. } = command {
        return Ok(());
    }
    let names = lines(outcome.names.iter().map(|name| format!("{verb}{name}")));
    Ok(session.ui.data(names)?)
}

fn list(session: &Session<'_>, format: &Format, quiet: bool) -> Result<(), Failure> {
    let images = observe::images(&session.settings.root).map_err(|error| Failure::error(&error))?;
    let text = if quiet {
        lines(images.iter().map(|image| image.id.short()))
    } else {
        let rows: Vec<(&ImageSummary, Name)> = images
            .iter()
            .flat_map(|image| names(image).into_iter().map(move |name| (image, name)))
            .collect();
        let objects: Vec<Value> = rows
            .iter()
            .map(|(image, name)| object(image, name))
            .collect();
        let table = || {
            let mut table = Table::new(["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
            for (image, name) in &rows {
                table.row([
                    name.repository.clone(),
                    name.tag.clone(),
                    image.id.short().to_owned(),
                    created(image),
                    human::size(image.size_bytes),
                ]);
            }
            table
        };
        format
            .render(&objects, table)
            .map_err(|error| Failure::Usage(error.to_string()))?
    };
    Ok(session.ui.data(text)?)
}

/// A container's image as `stack images` shows it.
struct ContainerImage {
    container: String,
    reference: String,
    /// `None` when the store has lost it.
    image: Option<ImageSummary>,
    id: crate::model::ImageId,
}

impl ContainerImage {
    fn name(&self) -> Name {
        Name::parse(&self.reference)
    }

    fn object(&self) -> Value {
        let name = self.name();
        json!({
            "ID": self.id.as_str(),
            "ContainerName": self.container,
            "Repository": name.repository,
            "Tag": name.tag,
            "Size": self.image.as_ref().map(|image| image.size_bytes),
            "CreatedAt": self.image.as_ref().map(created),
        })
    }
}

fn container_table(rows: &[ContainerImage]) -> Table {
    let mut table = Table::new([
        "CONTAINER",
        "REPOSITORY",
        "TAG",
        "IMAGE ID",
        "SIZE",
        "CREATED",
    ]);
    for row in rows {
        let name = row.name();
        let or_gone = |text: Option<String>| text.unwrap_or_else(|| "gone".into());
        table.row([
            row.container.clone(),
            name.repository,
            name.tag,
            row.id.short().to_owned(),
            or_gone(
                row.image
                    .as_ref()
                    .map(|image| human::size(image.size_bytes)),
            ),
            or_gone(row.image.as_ref().map(created)),
        ]);
    }
    table
}

fn object(image: &ImageSummary, name: &Name) -> Value {
    json!({
        "ID": image.id.as_str(),
        "Repository": name.repository,
        "Tag": name.tag,
        "CreatedSince": created(image),
        "Size": human::size(image.size_bytes),
        "SizeBytes": image.size_bytes,
    })
}

fn created(image: &ImageSummary) -> String {
    if image.created.0 == 0 {
        return "N/A".into();
    }
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
    let age = std::time::Duration::from_millis(now.saturating_sub(image.created.0));
    format!("{} ago", human::rough_duration(age))
}

/// A reference in two columns.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    repository: String,
    tag: String,
}

impl Name {
    /// Splits a reference as docker shows it: without docker.io, `<none>` for a missing tag.
    fn parse(reference: &str) -> Self {
        let short = reference
            .strip_prefix("docker.io/library/")
            .or_else(|| reference.strip_prefix("docker.io/"))
            .unwrap_or(reference);
        let (name, is_pinned) = match short.split_once('@') {
            Some((name, _digest)) => (name, true),
            None => (short, false),
        };
        // A colon before the last slash belongs to the registry's port.
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ if is_pinned => (name, "<none>"),
            _ => (name, "latest"),
        };
        Self {
            repository: repository.to_owned(),
            tag: tag.to_owned(),
        }
    }
}

fn names(image: &ImageSummary) -> Vec<Name> {
    if image.references.is_empty() {
        return vec![Name {
            repository: "<none>".into(),
            tag: "<none>".into(),
        }];
    }
    image
        .references
        .iter()
        .map(|reference| Name::parse(reference))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_split_as_docker_shows_them() {
        for (reference, repository, tag) in [
            ("docker.io/library/redis:7", "redis", "7"),
            ("docker.io/grafana/loki", "grafana/loki", "latest"),
            ("localhost:5000/app", "localhost:5000/app", "latest"),
            ("localhost:5000/app:1.2", "localhost:5000/app", "1.2"),
            ("redis@sha256:abc", "redis", "<none>"),
            ("redis:7@sha256:abc", "redis", "7"),
        ] {
            let name = Name::parse(reference);
            assert_eq!(
                (name.repository.as_str(), name.tag.as_str()),
                (repository, tag),
                "{reference}"
            );
        }
    }
}
