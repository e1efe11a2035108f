//! `stack commit` and `stack export`: the files of a container as an image and as an archive.

use std::path::PathBuf;

use clap::Args;

use super::{failure::Failure, image::output, session::Session};
use crate::{
    model::ObservedContainer,
    observe,
    protocol::{CommitRequest, Request},
    ui::{lines, progress::ProgressOptions},
};

/// Make an image of a container's files
#[derive(Debug, Args)]
pub(super) struct CommitArguments {
    /// Name, id, beginning of an id, or service of the project
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Name of the image
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Who made it
    #[arg(short, long, value_name = "TEXT")]
    author: Option<String>,
    /// Instructions for its config, such as `CMD ["sh"]`
    #[arg(short, long = "change", value_name = "INSTRUCTION")]
    changes: Vec<String>,
    /// Which replica of a service
    #[arg(long, value_name = "NUMBER")]
    index: Option<u32>,
    /// Comment in its history
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Freeze the container meanwhile, so that its files fit together
    #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pause: bool,
}

/// Write a container's files into a tar archive, volumes and mounts left out
#[derive(Debug, Args)]
pub(super) struct ExportArguments {
    /// Name, id, beginning of an id, or service of the project
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Which replica of a service
    #[arg(long, value_name = "NUMBER")]
    index: Option<u32>,
    /// The archive; standard output when it is left out
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn commit(session: &Session<'_>, arguments: &CommitArguments) -> Result<(), Failure> {
    session.refuse_dry_run("commit")?;
    let container = find(session, &arguments.container, arguments.index)?;
    let request = Request::Commit(CommitRequest {
        container: container.record.id,
        reference: arguments.name.clone(),
        author: arguments.author.clone(),
        message: arguments.message.clone(),
        changes: arguments.changes.clone(),
        pause: arguments.pause,
    });
    let outcome = session.call(&request, ProgressOptions::default(), None)?;
    Ok(session.ui.data(lines(&outcome.names))?)
}

pub(super) fn export(session: &Session<'_>, arguments: &ExportArguments) -> Result<(), Failure> {
    session.refuse_dry_run("export")?;
    let container = find(session, &arguments.container, arguments.index)?;
    output(session, arguments.output.as_deref(), |out| {
        observe::export_container(&session.settings.root, &container.record, out)
            .map_err(|error| Failure::error(&error))
    })
}

/// Finds a container by its name, its id, the beginning of it, or, in a project, by its service.
fn find(
    session: &Session<'_>,
    name: &str,
    index: Option<u32>,
) -> Result<ObservedContainer, Failure> {
    let projects =
        observe::projects(&session.settings.root).map_err(|error| Failure::error(&error))?;
    let all: Vec<ObservedContainer> = projects.into_values().flatten().collect();
    if let Some(found) = all
        .iter()
        .find(|container| container.record.name == name || container.record.id.as_str() == name)
    {
        return Ok(found.clone());
    }
    if let Ok(target) = session.target(&[]) {
        let mut replicas: Vec<_> = all
            .iter()
            .filter(|container| {
                container.record.project == target.project
                    && container.record.service.as_str() == name
            })
            .filter(|container| index.is_none() || replica(container) == index)
            .cloned()
            .collect();
        super::observed::sort(&mut replicas);
        if let Some(first) = replicas.into_iter().next() {
            return Ok(first);
        }
    }
    let is_id = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut by_id = all
        .iter()
        .filter(|container| is_id && container.record.id.as_str().starts_with(name));
    match (by_id.next(), by_id.next()) {
        (Some(found), None) => Ok(found.clone()),
        (Some(_), Some(_)) => Err(Failure::message(format!(
            "`{name}` is the start of several container ids"
        ))),
        (None, _) => Err(Failure::message(format!("no container `{name}`")).hint("stack ps -a")),
    }
}

fn replica(container: &ObservedContainer) -> Option<u32> {
    match container.record.role {
        crate::model::ContainerRole::Replica(number) => Some(number),
        crate::model::ContainerRole::OneOff { .. } | crate::model::ContainerRole::Init { .. } => {
            None
        }
    }
}
