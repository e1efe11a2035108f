//! `stack volume create|rm|mv|protect|unprotect`.

use super::VolumeCommand;
use crate::{
    cli::{failure::Failure, removal, session::Session},
    protocol::{Request, VolumeRequest},
    ui::{lines, progress::ProgressOptions},
};

pub(super) fn run(session: &Session<'_>, command: &VolumeCommand) -> Result<(), Failure> {
    match command {
        VolumeCommand::Create {
            name,
            driver,
            labels,
            options,
        } => {
            let request = VolumeRequest::Create {
                name: name.clone(),
                driver: Some(driver.clone()),
                options: options.iter().cloned().collect(),
                labels: labels.iter().cloned().collect(),
            };
            call(session, "create", request)
        }
        VolumeCommand::Mv { from, to } => {
            let request = VolumeRequest::Rename {
                from: from.clone(),
                to: to.clone(),
            };
            call(session, "mv", request)
        }
        VolumeCommand::Protect { names } => protect(session, names, true),
        VolumeCommand::Unprotect { names } => protect(session, names, false),
        VolumeCommand::Rm { names, force } => removal::each(names, |name| {
            let (names, force) = (vec![name], *force);
            call(session, "rm", VolumeRequest::Remove { names, force })
        }),
        VolumeCommand::Backup(_)
        | VolumeCommand::Cp(_)
        | VolumeCommand::Df { .. }
        | VolumeCommand::Inspect { .. }
        | VolumeCommand::Ls { .. }
        | VolumeCommand::Prune(_)
        | VolumeCommand::Restore(_) => unreachable!("they change nothing here"),
    }
}

fn protect(session: &Session<'_>, names: &[String], protected: bool) -> Result<(), Failure> {
    let names = names.to_vec();
    let verb = if protected { "protect" } else { "unprotect" };
    call(session, verb, VolumeRequest::Protect { names, protected })
}

/// Sends a call and prints the names that it was done to.
pub(super) fn call(
    session: &Session<'_>,
    verb: &str,
    request: VolumeRequest,
) -> Result<(), Failure> {
    session.refuse_dry_run(&format!("volume {verb}"))?;
    let request = Request::Volume(request);
    let outcome = session.call(&request, ProgressOptions::default(), None)?;
    Ok(session.ui.data(lines(outcome.names))?)
}
