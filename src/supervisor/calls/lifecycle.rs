//! `start`, `stop`, `restart`, `kill`, `pause`, `unpause` and `rm` of containers that are there.

use std::collections::BTreeSet;

use compose_spec::model::{PullPolicy, ServiceName};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::super::{
    desired,
    project::{Task, Work, absorb, plan_error},
};
use crate::{
    apply::{self, Job},
    model::{ContainerRole, Observed},
    plan::{self, Desired, LifecycleInputs, Recreate, Stopped, UpOptions},
    protocol::{Event, LifecycleAction, LifecycleRequest, Outcome},
    store::StoreError,
};

pub(super) async fn lifecycle(
    task: &Task,
    request: &LifecycleRequest,
    events: &mpsc::Sender<Event>,
    cancel: &CancellationToken,
) -> Result<Outcome, StoreError> {
    let root = &task.context.root;
    let desired = desired::read(root, &task.name)?;
    let project = desired.as_ref().map(|desired| desired.project.clone());
    let observed = match task.observe(project.as_ref()).await {
        Ok(observed) => observed,
        Err(errors) => {
            return Ok(Outcome {
                errors,
                ..Outcome::default()
            });
        }
    };
    let services = match request.action {
        LifecycleAction::Start => plan::start_scope(&observed, &request.services),
        _ => request.services.clone(),
    };
    if let (LifecycleAction::Start, Some(desired)) = (&request.action, &desired)
        && has_init(&observed, &services)
    {
        let desired = desired.clone();
        return start_with_init(task, (desired, &observed), &services, (events, cancel)).await;
    }
    let inputs = LifecycleInputs {
        observed: &observed,
        services: &services,
        action: &request.action,
    };
    let plan = match plan::lifecycle(&inputs) {
        Ok(plan) => plan,
        Err(errors) => {
            let errors = errors.iter().map(plan_error).collect();
            return Ok(Outcome {
                errors,
                ..Outcome::default()
            });
        }
    };
    if let Some(mut desired) = desired {
        let touched: Vec<ServiceName> = observed
            .containers
            .iter()
            .filter(|container| matches!(container.record.role, ContainerRole::Replica(_)))
            .map(|container| container.record.service.clone())
            .filter(|service| services.is_empty() || services.contains(service))
            .collect();
        note_stopped(&mut desired.stopped, &request.action, touched);
        desired::write(&mut desired, root)?;
    }
    let job = Job::new(project, events, cancel);
    for notice in &plan.notices {
        job.warn(notice.clone()).await;
    }
    let mut outcome = Outcome::default();
    absorb(apply::apply(&task.context, &job, plan).await, &mut outcome);
    Ok(outcome)
}

/// Whether what is to be started has init containers, which need a plan of the whole project.
fn has_init(observed: &Observed, services: &[ServiceName]) -> bool {
    let mut containers = observed.containers.iter();
    containers.any(|container| {
        let record = &container.record;
        let is_meant = services.is_empty() || services.contains(&record.service);
        is_meant && !record.wanted.pre_start.is_empty() && !container.state.is_live()
    })
}

/// Starts services as an `up` would that recreates and fetches nothing.
async fn start_with_init(
    task: &Task,
    (mut desired, observed): (Desired, &Observed),
    meant: &[ServiceName],
    (events, cancel): (&mpsc::Sender<Event>, &CancellationToken),
) -> Result<Outcome, StoreError> {
    let replicas = observed
        .containers
        .iter()
        .filter(|container| matches!(container.record.role, ContainerRole::Replica(_)))
        .map(|container| container.record.service.clone());
    let services: BTreeSet<ServiceName> = replicas
        .filter(|service| meant.is_empty() || meant.contains(service))
        .filter(|service| desired.project.services.contains_key(service))
        .collect();
    note_stopped(
        &mut desired.stopped,
        &LifecycleAction::Start,
        services.iter().cloned().collect(),
    );
    desired::write(&mut desired, &task.context.root)?;
    let options = UpOptions {
        since: apply::now(),
        services: services.into_iter().collect(),
        no_deps: true,
        recreate: Recreate::Never,
        pull: Some(PullPolicy::Missing),
        ..UpOptions::default()
    };
    let work = Work {
        desired: &desired,
        options,
        events: events.clone(),
        cancel: cancel.clone(),
    };
    Ok(task.settle(work, None).await)
}

/// Remembers what the user stopped, so that the loop leaves it alone, and forgets what was started.
fn note_stopped(stopped: &mut Stopped, action: &LifecycleAction, touched: Vec<ServiceName>) {
    match action {
        LifecycleAction::Start | LifecycleAction::Restart { .. } => {
            stopped
                .services
                .retain(|service| !touched.contains(service));
        }
        LifecycleAction::Stop { .. }
        | LifecycleAction::Kill { .. }
        | LifecycleAction::Remove { .. } => stopped.services.extend(touched),
        LifecycleAction::Pause | LifecycleAction::Unpause => {}
    }
}
