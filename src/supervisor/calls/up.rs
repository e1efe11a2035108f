//! `up`: what is wanted grows by what the client names, and the loop runs until it is so.

use std::collections::BTreeSet;

use compose_spec::model::ServiceName;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        desired::Desired,
        project::{Task, Work},
    },
    down::forget_unfinished_down,
    limit::Limit,
    with_dependencies,
};
use crate::{
    apply, observe,
    plan::{self, Mode, UpOptions},
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
    let previous = Desired::read(root, &task.name)?;
    let kept_before = previous
        .as_ref()
        .map(|desired| desired.active.clone())
        .unwrap_or_default();
    let mut desired = merge(previous, &request);
    let options = UpOptions {
        mode: Mode::Up,
        since: apply::now(),
        services: request.services.clone(),
        no_deps: request.no_deps,
        build: request.build,
        no_build: request.no_build,
        pull: request.pull,
        recreate: request.recreate,
        always_recreate_deps: false,
        renew_anonymous_volumes: request.renew_anonymous_volumes,
        remove_orphans: request.remove_orphans,
        inactive_services: request.inactive_services.clone(),
        scale: request.scale.clone(),
        no_start: request.no_start,
        wait: request.wait,
        grace_ms: request.grace_ms,
        changed_volumes: plan::ChangedVolumes::default(),
    };
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
    if request.dry_run {
        task.show(&first, events).await;
        return Ok(Outcome::default());
    }
    let options = work.options;
    let has_work = first.graph.node_count() > 0;
    desired.unfinished = has_work.then(|| UpOptions {
        wait: false,
        ..options.clone()
    });
    desired.write(root)?;
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
        Desired::remove(root, &task.name)?;
    } else if desired.unfinished.take().is_some() || has_failed {
        desired.write(root)?;
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

/// Adds what the client wants to what was wanted before: services that it does not name stay as they are.
fn merge(previous: Option<Desired>, request: &UpRequest) -> Desired {
    let mut desired = Desired::new(request.project.clone());
    if let Some(previous) = previous {
        desired.active = previous.active;
        desired.stopped = previous.stopped;
        desired.generation = previous.generation;
    }
    for (name, count) in &request.scale {
        if let Some(service) = desired.project.services.get_mut(name) {
            service.replicas = *count;
        }
    }
    let named: BTreeSet<ServiceName> = if request.services.is_empty() {
        desired.project.services.keys().cloned().collect()
    } else if request.no_deps {
        request.services.iter().cloned().collect()
    } else {
        with_dependencies(&desired.project, &request.services)
    };
    if request.no_start {
        desired.stopped.services.extend(named.iter().cloned());
    } else {
        desired
            .stopped
            .services
            .retain(|service| !named.contains(service));
        desired.stopped.containers.clear();
    }
    desired.active.extend(named);
    desired
        .active
        .retain(|service| desired.project.services.contains_key(service));
    desired
}
