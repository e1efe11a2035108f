//! `stack system …`: what everything takes of the disk, and removing what nothing uses.

mod df;
mod prune;

use clap::Subcommand;

use super::{failure::Failure, session::Session};

/// The disk, and what of it nothing uses
#[derive(Debug, Subcommand)]
pub(super) enum SystemCommand {
    Df(df::Arguments),
    Prune(prune::Arguments),
}

pub(super) fn run(session: &Session<'_>, command: &SystemCommand) -> Result<(), Failure> {
    match command {
        SystemCommand::Df(arguments) => df::run(session, arguments),
        SystemCommand::Prune(arguments) => prune::run(session, arguments),
    }
}
