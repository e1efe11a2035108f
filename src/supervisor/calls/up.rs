//! `up`: what is wanted grows by what the client names, and the loop runs until it is so.

use std::collections::BTreeSet;

use compose_spec::model::ServiceName;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        desired,
        project::{Task, Work},
    },
    down::forget_unfinished_down,
    limit::Limit,
};
use crate::{
    apply, observe,
    plan::{Desired, Mode, UpOptions},
    protocol::{Event, Outcome, UpRequest},
    store::StoreError,
};

pub(super) async fn up(
    task: &Task,
    request: UpRequest,
    events: &mpsc::Sender<Event>,
    cancel: &CancellationToken,
) -> Result<Outcome, StoreError> {
    let root = &task.context.root;
    let previous = desired::read(root, &task.name)?;
    let kept_before = previous
        .as_ref()
        .map(|desired| desired.active.clone())
        .unwrap_or_default();
    let options = UpOptions {
        mode: Mode::Up,
        since: apply::now(),
        ..request.options
    };
    let mut desired = Desired::after_up(previous, request.project, &options);
    let work = Work {
        desired: &desired,
        options,
        events: events.clone(),
        cancel: cancel.clone(),
    };
    // A plan that cannot be made leaves what was wanted before.
    let first = match task.plan(&work, &BTreeSet::new()).await {
        Ok(plan) => plan,
        Err(errors) => {
            return Ok(Outcome {
                errors,
                ..Outcome::default()
            });
        }
    };
    let options = work.options;
    let has_work = first.graph.node_count() > 0;
    desired.unfinished = has_work.then(|| UpOptions {
        wait: false,
        ..options.clone()
    });
    desired::write(&mut desired, root)?;
    forget_unfinished_down(root, &task.name)?;
    let limit = Limit::start(cancel, request.wait_timeout_ms);
    let work = Work {
        desired: &desired,
        options,
        events: events.clone(),
        cancel: limit.token.clone(),
    };
    let mut outcome = task.settle(work, Some(first)).await;
    limit.finish(&mut outcome);
    // A supervisor that leaves has not finished; the next one goes on.
    if task.leave.is_cancelled() {
        return Ok(outcome);
    }
    let has_failed = !outcome.errors.is_empty();
    if has_failed && forget_unmade(task, &mut desired, &kept_before) {
        desired::remove(root, &task.name)?;
    } else if desired.unfinished.take().is_some() || has_failed {
        desired::write(&mut desired, root)?;
    }
    Ok(outcome)
}

/// After a failure: what this call could not even make is not wanted any more, so that the loop does not go on trying what the user was told has
/// failed. Returns whether nothing is wanted then.
fn forget_unmade(task: &Task, desired: &mut Desired, kept_before: &BTreeSet<ServiceName>) -> bool {
    // If they cannot be read, all counts as made.
    let Ok(containers) = observe::project(&task.context.root, &task.name) else {
        return false;
    };
    let made = |service: &ServiceName| {
        containers
            .iter()
            .any(|container| container.record.service == *service)
    };
    desired
        .active
        .retain(|service| kept_before.contains(service) || made(service));
    desired.active.is_empty() && containers.is_empty()
}
