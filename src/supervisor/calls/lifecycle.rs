//! `start`, `stop`, `restart`, `kill`, `pause`, `unpause` and `rm` of containers that are there.

use compose_spec::model::ServiceName;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::super::{
    desired,
    project::{Task, absorb, plan_error},
};
use crate::{
    apply::{self, Job},
    model::ContainerRole,
    plan::{self, LifecycleInputs, Stopped},
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
    let inputs = LifecycleInputs {
        observed: &observed,
        services: &request.services,
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
            .filter(|service| request.services.is_empty() || request.services.contains(service))
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
