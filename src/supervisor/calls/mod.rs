//! What a project's task does for a client. Each call writes what is wanted before it changes anything.

mod down;
mod lifecycle;
mod limit;
mod run;
mod up;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(super) use down::unfinished_down;

use super::project::Task;
use crate::protocol::{ErrorReport, Event, FailureKind, Outcome, Request};

/// Carries out a call of this project.
pub(super) async fn call(
    task: &Task,
    request: Request,
    events: &mpsc::Sender<Event>,
    cancel: &CancellationToken,
) -> Outcome {
    let result = match request {
        Request::Up(request) => up::up(task, *request, events, cancel).await,
        Request::Down(request) => down::down(task, &request, events, cancel).await,
        Request::Lifecycle(request) => lifecycle::lifecycle(task, &request, events, cancel).await,
        Request::Run(request) => run::run(task, *request, events, cancel).await,
        other => Ok(failed(format!("call `{other:?}` is not one of a project"))),
    };
    result.unwrap_or_else(|error| Outcome::failed(FailureKind::Operation, &error))
}

fn failed(text: String) -> Outcome {
    Outcome {
        errors: vec![ErrorReport::operation(text)],
        ..Outcome::default()
    }
}
