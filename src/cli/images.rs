//! `stack images`: the images of the project's containers. Those of the store are in `image`.

use clap::Args;
use serde_json::{Value, json};

use super::{
    clock,
    failure::Failure,
    observed,
    session::{self, Session, service_names},
};
use crate::{
    model::ImageSummary,
    observe,
    ui::{human, lines, table::Table, template::Format},
};

/// List the images of the project's containers, of the store outside of projects
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

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let target = match session.target(&arguments.services) {
        // Docker's users expect the store's images where there is no project.
        Err(Failure::Compose(error))
            if arguments.services.is_empty() && session::has_no_file(&error) =>
        {
            return super::image::outside_of_projects(session, &arguments.format, arguments.quiet);
        }
        target => target?,
    };
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

pub(super) fn created(image: &ImageSummary) -> String {
    if image.created.0 == 0 {
        return "N/A".into();
    }
    clock::ago(image.created)
}

/// Returns a full name as people type it: without the default registry.
pub(super) fn familiar(name: &str) -> String {
    name.strip_prefix("docker.io/library/")
        .or_else(|| name.strip_prefix("docker.io/"))
        .unwrap_or(name)
        .to_owned()
}

/// A reference in two columns.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) repository: String,
    pub(super) tag: String,
}

impl Name {
    /// Splits a reference as docker shows it: without docker.io, `<none>` for a missing tag.
    pub(super) fn parse(reference: &str) -> Self {
        let short = familiar(reference);
        let (name, is_pinned) = match short.split_once('@') {
            Some((name, _digest)) => (name, true),
            None => (short.as_str(), false),
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
