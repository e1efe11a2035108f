//! `stack image …`: the images of the store. Reading commands need no supervisor; the others are calls.

mod history;
mod inspect;
mod list;
mod prune;
mod sbom;
mod scan;
mod transfer;

use clap::{Args, Subcommand};

use super::{failure::Failure, pull, push, session::Session};
use crate::{
    protocol::{ImageRemoveRequest, ImageTagRequest, Request},
    ui::{lines, progress::ProgressOptions},
};

pub(super) use list::outside_of_projects;
pub(super) use prune::{Filters, unused};
pub(super) use transfer::{LoadArguments, SaveArguments, load, output, pipe, save};

/// Images of the store
#[derive(Debug, Subcommand)]
pub(super) enum ImageCommand {
    Build(Box<super::build::image::Arguments>),
    History(history::Arguments),
    Import(transfer::ImportArguments),
    Inspect(inspect::Arguments),
    Load(LoadArguments),
    #[command(alias = "list")]
    Ls(list::Arguments),
    Prune(prune::Arguments),
    Pull(pull::ImageArguments),
    Push(push::ImageArguments),
    #[command(alias = "remove")]
    Rm(RemoveArguments),
    Save(SaveArguments),
    Sbom(sbom::Arguments),
    Scan(scan::Arguments),
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

/// Remove images
#[derive(Debug, Args)]
pub(super) struct RemoveArguments {
    /// Names, ids or beginnings of ids
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// Also with several names; of an image that a container uses, only the names
    #[arg(short, long)]
    force: bool,
}

pub(super) fn run(session: &Session<'_>, command: &ImageCommand) -> Result<(), Failure> {
    match command {
        ImageCommand::Build(arguments) => super::build::image::run(session, arguments),
        ImageCommand::History(arguments) => history::run(session, arguments),
        ImageCommand::Import(arguments) => transfer::import(session, arguments),
        ImageCommand::Inspect(arguments) => inspect::run(session, arguments),
        ImageCommand::Load(arguments) => load(session, arguments),
        ImageCommand::Ls(arguments) => list::run(session, arguments),
        ImageCommand::Prune(arguments) => prune::run(session, arguments),
        ImageCommand::Pull(arguments) => pull::run_image(session, arguments),
        ImageCommand::Push(arguments) => push::run_image(session, arguments),
        ImageCommand::Rm(arguments) => remove(session, arguments),
        ImageCommand::Save(arguments) => save(session, arguments),
        ImageCommand::Sbom(arguments) => sbom::run(session, arguments),
        ImageCommand::Scan(arguments) => scan::run(session, arguments),
        ImageCommand::Tag { source, target } => tag(session, source, target),
    }
}

fn remove(session: &Session<'_>, arguments: &RemoveArguments) -> Result<(), Failure> {
    session.refuse_dry_run("image rm")?;
    let request = Request::ImageRemove(ImageRemoveRequest {
        images: arguments.images.clone(),
        force: arguments.force,
    });
    // What was removed is told even when something else was not.
    let (names, result) = session.call_partly(&request, ProgressOptions::default())?;
    let text = names.iter().map(|name| {
        if name.starts_with("sha256:") {
            format!("Deleted: {name}")
        } else {
            format!("Untagged: {}", super::images::familiar(name))
        }
    });
    session.ui.data(lines(text))?;
    result
}

fn tag(session: &Session<'_>, source: &str, target: &str) -> Result<(), Failure> {
    session.refuse_dry_run("image tag")?;
    let request = Request::ImageTag(ImageTagRequest {
        source: source.to_owned(),
        target: target.to_owned(),
    });
    session.call(&request, ProgressOptions::default(), None)?;
    Ok(())
}
