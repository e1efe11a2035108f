//! `stack volume …`: the volumes of this machine, and `stack volumes`: those of a project.

mod archive;
mod change;
mod cp;
mod list;
mod prune;

use clap::{Args, Subcommand};
use compose_spec::model::ProjectName;

use super::{failure::Failure, filter::Filter, session::Session, values::pair};
use crate::{model::ObservedVolume, observe, ui::template::Format};

pub(super) use list::of_project;
pub(super) use prune::told;

/// List the volumes of the project
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only those that containers of these services have
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// table, json or a template
    #[arg(long, default_value = "table", hide_default_value = true)]
    format: Format,
    /// Only names
    #[arg(short, long)]
    quiet: bool,
}

/// Volumes of this machine
#[derive(Debug, Subcommand)]
pub(super) enum VolumeCommand {
    Backup(archive::BackupArguments),
    Cp(cp::Arguments),
    /// Make a volume
    Create {
        /// Its name; without one it gets a random one and counts as anonymous
        #[arg(value_name = "VOLUME")]
        name: Option<String>,
        /// Only `local` is known
        #[arg(short, long, default_value = "local", hide_default_value = true)]
        driver: String,
        /// A label of it
        #[arg(long = "label", value_name = "KEY[=VALUE]", value_parser = pair)]
        labels: Vec<(String, String)>,
        /// An option of the driver: type=…, o=…, device=… as mount(8) has them; type=none, o=bind for a directory
        #[arg(short, long = "opt", value_name = "KEY=VALUE", value_parser = pair)]
        options: Vec<(String, String)>,
    },
    /// Show what volumes take of the disk, the largest first
    Df {
        /// table, json or a template
        #[arg(long, default_value = "table", hide_default_value = true)]
        format: Format,
    },
    /// Show everything that is known of volumes
    Inspect {
        /// Names
        #[arg(value_name = "VOLUME", required = true)]
        names: Vec<String>,
        /// json or a template
        #[arg(short, long)]
        format: Option<Format>,
        /// Also measure them
        #[arg(short, long)]
        size: bool,
    },
    /// List volumes
    #[command(alias = "list")]
    Ls {
        /// dangling=true|false, driver=NAME, label=KEY[=VALUE] or name=TEXT
        #[arg(short, long = "filter", value_name = "NAME=VALUE", value_parser = Filter::of_list)]
        filters: Vec<Filter>,
        /// table, json or a template
        #[arg(long, default_value = "table", hide_default_value = true)]
        format: Format,
        /// Only names
        #[arg(short, long)]
        quiet: bool,
    },
    /// Give a volume that nothing uses another name
    #[command(alias = "rename")]
    Mv {
        /// Its name
        #[arg(value_name = "OLD")]
        from: String,
        /// Its new name
        #[arg(value_name = "NEW")]
        to: String,
    },
    /// Forbid the removal of volumes, also by `down -v` and `prune`
    Protect {
        /// Names
        #[arg(value_name = "VOLUME", required = true)]
        names: Vec<String>,
    },
    /// Remove anonymous volumes that nothing uses
    Prune(prune::Arguments),
    Restore(archive::RestoreArguments),
    /// Remove volumes with all their data
    #[command(alias = "remove")]
    Rm {
        /// Names
        #[arg(value_name = "VOLUME", required = true)]
        names: Vec<String>,
        /// One that does not exist is no error
        #[arg(short, long)]
        force: bool,
    },
    /// Allow the removal of protected volumes again
    Unprotect {
        /// Names
        #[arg(value_name = "VOLUME", required = true)]
        names: Vec<String>,
    },
}

pub(super) fn run(session: &Session<'_>, command: &VolumeCommand) -> Result<(), Failure> {
    match command {
        VolumeCommand::Backup(arguments) => archive::backup(session, arguments),
        VolumeCommand::Restore(arguments) => archive::restore(session, arguments),
        VolumeCommand::Cp(arguments) => cp::run(session, arguments),
        VolumeCommand::Create { .. }
        | VolumeCommand::Mv { .. }
        | VolumeCommand::Protect { .. }
        | VolumeCommand::Rm { .. }
        | VolumeCommand::Unprotect { .. } => change::run(session, command),
        VolumeCommand::Df { format } => list::disk(session, format),
        VolumeCommand::Inspect {
            names,
            format,
            size,
        } => list::inspect(session, names, format.as_ref(), *size),
        VolumeCommand::Ls {
            filters,
            format,
            quiet,
        } => list::all(session, filters, format, *quiet),
        VolumeCommand::Prune(arguments) => prune::run(session, arguments),
    }
}

/// Every volume of the machine, by name.
fn volumes(session: &Session<'_>) -> Result<Vec<ObservedVolume>, Failure> {
    observe::volumes(&session.settings.root).map_err(|error| Failure::error(&error))
}

/// What a volume takes of the disk.
pub(super) fn size(session: &Session<'_>, name: &str) -> Result<u64, Failure> {
    observe::volume_size(&session.settings.root, name).map_err(|error| Failure::error(&error))
}

/// The volumes that `down -v` of a project leaves: protected ones, and those that containers of other projects have.
pub(super) fn kept(session: &Session<'_>, project: &ProjectName) -> Result<Vec<String>, Failure> {
    let own = session.containers(project)?;
    let is_own = |user: &String| own.iter().any(|container| container.record.name == *user);
    let mut kept = volumes(session)?;
    kept.retain(|volume| volume.record.protected || !volume.users.iter().all(is_own));
    Ok(kept.into_iter().map(|volume| volume.record.name).collect())
}

#[cfg(test)]
mod tests;
