//! The one question before something is removed: the same words and the same exit code, whatever it is.

use super::{failure::Failure, session::Session};

/// Tells what will go and asks whether it is to. A no is a failure (exit code 1), and so is a place where nobody can be asked.
///
/// `flag` is the flag that answers for the user; `given` says that it was.
pub(super) fn confirm(
    session: &Session<'_>,
    told: &[String],
    (flag, given): (&str, bool),
) -> Result<(), Failure> {
    let ui = session.ui;
    for line in told {
        ui.say(line);
    }
    if given {
        return Ok(());
    }
    if !ui.options().interactive {
        return Err(
            Failure::message("nobody can be asked here: nothing was removed")
                .hint(format!("{flag} removes without asking")),
        );
    }
    let yes = ui
        .confirm("Continue?", false)
        .map_err(|error| Failure::intent("ask", &error))?;
    if yes {
        return Ok(());
    }
    Err(Failure::message("nothing was removed"))
}

/// Makes one call for each name: what was removed is printed although another one could not be.
pub(super) fn each(
    names: &[String],
    mut remove: impl FnMut(String) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut failed: Option<Failure> = None;
    for name in names {
        match remove(name.clone()) {
            Ok(()) => {}
            Err(Failure::Reports { reports: more, .. }) => match &mut failed {
                Some(Failure::Reports { reports, .. }) => reports.extend(more),
                _ => {
                    failed = Some(Failure::Reports {
                        reports: more,
                        code: None,
                    });
                }
            },
            Err(other) => return Err(other),
        }
    }
    failed.map_or(Ok(()), Err)
}
