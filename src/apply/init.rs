//! Init containers (`pre_start`): made, run to their end, and removed when that was a good one.

use runtime::{
    monitor::protocol::{Event, Frame, Request},
    spec::{ContainerState, ExitStatus},
};

use super::{
    ApplyError, Context, Job,
    container::{self, find},
    hooks::Lines,
    queue::Done,
    remove,
};
use crate::{
    container::{HookOutput, Link, LinkError},
    model::{ContainerId, ContainerRecord, ContainerRole, Subject},
    plan::{ContainerRef, NewContainer},
};

/// Makes an init container for a replica, whose anonymous volumes it has too, and runs it to its end.
pub(super) async fn run(
    context: &Context,
    job: &Job,
    subject: &Subject,
    (new, replica): (&NewContainer, &ContainerId),
    resolve: impl Fn(&ContainerRef) -> ContainerId,
) -> Result<Done, ApplyError> {
    let mut new = new.clone();
    new.inherited_volumes = find(context, replica)?.anonymous_volumes;
    let made = container::create(context, job, subject, &new, resolve).await?;
    let id = made.container.expect("what was created has an id");
    container::start(context, job, subject, &id).await?;
    Box::pin(follow(context, job, subject, &id)).await
}

/// Waits for an init container that runs, or begins with this client, and removes it when it ended well.
pub(super) async fn follow(
    context: &Context,
    job: &Job,
    subject: &Subject,
    id: &ContainerId,
) -> Result<Done, ApplyError> {
    let record = find(context, id)?;
    job.working(subject, "running").await;
    let mut lines = Lines::new(&record, job.events.clone());
    let ended = tokio::select! {
        ended = attached(context, &record, &mut lines) => Some(ended),
        () = job.cancel.cancelled() => None,
    };
    let tail = lines.end();
    let Some(ended) = ended else {
        // The user does not want it any more; a supervisor that leaves lets the next one begin anew.
        container::stop(context, job, subject, id, Some(0)).await?;
        clear(context, job, subject, &record).await?;
        return Err(ApplyError::Interrupted {
            service: record.service,
        });
    };
    let reason = match ended {
        Ok(status) if status.code == 0 => {
            clear(context, job, subject, &record).await?;
            return Ok(Done::text("completed"));
        }
        Ok(status) => format!("exited with status {}", status.code),
        Err(LinkError::Refused { message }) => format!("could not be run: {message}"),
        Err(source) => {
            let intent = format!("follow container `{}`", record.name);
            return Err(ApplyError::Monitor { intent, source });
        }
    };
    Err(ApplyError::Hook {
        path: path(&record),
        name: record.name,
        reason,
        log: tail,
    })
}

/// Attaches, which starts a container that waits for it, and passes its output on. Returns how it ended.
async fn attached(
    context: &Context,
    record: &ContainerRecord,
    lines: &mut Lines,
) -> Result<ExitStatus, LinkError> {
    let link = match Link::connect(&context.root.container(&record.id)) {
        Ok(link) => link,
        Err(error) => return ended(context, record).ok_or(error),
    };
    link.send(&Request::Attach { stdin: false }, &[]).await?;
    loop {
        let (tag, payload) = match link.receive_frame().await {
            Ok(frame) => frame,
            Err(error) => return ended(context, record).ok_or(error),
        };
        if tag == Frame::Stdout as u8 {
            lines.take(HookOutput::Out(&payload));
        } else if tag == Frame::Stderr as u8 {
            lines.take(HookOutput::Error(&payload));
        } else if tag == Frame::Event as u8 {
            match link.parse_event(&payload)? {
                Event::State {
                    state: ContainerState::Exited { status, .. },
                    ..
                } => return Ok(status),
                Event::Failed { message, .. } => return Err(LinkError::Refused { message }),
                _ => {}
            }
        }
    }
}

/// How a container without a monitor ended.
fn ended(context: &Context, record: &ContainerRecord) -> Option<ExitStatus> {
    match crate::container::read_state(&context.root, &record.id) {
        Ok((ContainerState::Exited { status, .. }, _)) => Some(status),
        _ => None,
    }
}

/// Removes it with the anonymous volumes that only it has.
async fn clear(
    context: &Context,
    job: &Job,
    subject: &Subject,
    record: &ContainerRecord,
) -> Result<(), ApplyError> {
    let others = crate::container::read_all(&context.root).map_err(|source| {
        let name = record.name.clone();
        ApplyError::Container { name, source }
    })?;
    let is_free = |volume: &&String| {
        !others
            .iter()
            .any(|other| other.id != record.id && other.used_volumes().any(|used| used == *volume))
    };
    let own = record.anonymous_volumes.values().filter(is_free);
    let own: Vec<String> = own.cloned().collect();
    remove::remove(context, job, subject, &record.id, &own).await?;
    Ok(())
}

/// Where it is written.
fn path(record: &ContainerRecord) -> String {
    let entry = match record.role {
        ContainerRole::Init { entry, .. } => entry,
        ContainerRole::Replica(_) | ContainerRole::OneOff { .. } => 0,
    };
    format!("services.{}.pre_start[{entry}]", record.service)
}
