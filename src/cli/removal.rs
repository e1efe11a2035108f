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
