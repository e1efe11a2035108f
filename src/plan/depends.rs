//! Dependencies: what must have been reached before something starts or is stopped for a replacement.

use std::collections::BTreeMap;

use compose_spec::model::{Condition, Dependency, RestartPolicy, ServiceName};
use runtime::spec::{ContainerState as State, Health};

use super::{ContainerRef, PlanError, StepId, graph::Draft, lower};
use crate::model::ObservedContainer;

/// A container as it is once the plan is done.
#[derive(Debug)]
pub(super) struct Final<'a> {
    pub(super) container: ContainerRef,
    pub(super) name: String,
    /// What it does now, if it exists.
    pub(super) observed: Option<&'a ObservedContainer>,
    /// The step that makes it.
    pub(super) create: Option<StepId>,
    /// The step that starts it.
    pub(super) start: Option<StepId>,
    /// The step after which it counts as started: `start`, or that of its `post_start` hooks.
    pub(super) started: Option<StepId>,
}

/// All containers of each service, once the plan is done.
pub(super) type Finals<'a> = BTreeMap<ServiceName, Vec<Final<'a>>>;

/// Returns the steps that wait for a dependency; none when it is already as far as it must be.
pub(super) fn waits(
    (name, dependency): (&ServiceName, &Dependency),
    finals: &Finals<'_>,
    draft: &mut Draft,
) -> Vec<StepId> {
    let Some(containers) = finals.get(name) else {
        return Vec::new();
    };
    let mut steps = Vec::new();
    for container in containers {
        let reached = container.started.is_none()
            && container
                .observed
                .is_some_and(|o| is_reached(&o.state, dependency.condition));
        if reached {
            continue;
        }
        let condition = (dependency.condition, dependency.required);
        let step = draft.wait_for(
            (&container.name, name),
            container.container.clone(),
            condition,
        );
        if let Some(started) = container.started {
            draft.needs(step, started);
        }
        steps.push(step);
    }
    steps
}

/// Tells whether a container is as far as a condition asks.
pub(super) fn is_reached(state: &State, condition: Condition) -> bool {
    match (condition, state) {
        // One that ended by itself was started; that it ended is no matter of this condition.
        (
            Condition::ServiceStarted,
            State::Running { .. } | State::Paused { .. } | State::Restarting { .. },
        ) => true,
        (Condition::ServiceStarted, State::Exited { status, .. }) => !status.requested,
        (Condition::ServiceHealthy, State::Running { health, .. }) => {
            matches!(health, Health::Healthy { .. })
        }
        (Condition::ServiceCompletedSuccessfully, State::Exited { status, .. }) => status.code == 0,
        _ => false,
    }
}

/// Tells whether a container is ready in the sense of `--wait`.
pub(super) fn is_ready(container: &ObservedContainer) -> bool {
    match &container.state {
        State::Running { health, .. } => matches!(health, Health::None | Health::Healthy { .. }),
        State::Exited { status, .. } => {
            let restart = container.record.wanted.restart;
            status.code == 0
                && matches!(restart, RestartPolicy::No | RestartPolicy::OnFailure { .. })
        }
        _ => false,
    }
}

/// Refuses waiting for the health of a service that is known to have no health check.
pub(super) fn check_health(
    service: &ServiceName,
    (name, dependency): (&ServiceName, &Dependency),
    owner: &super::services::Work<'_>,
) -> Result<(), PlanError> {
    let image = match &owner.image {
        super::images::Supplied::Known(image) => Some(&image.config),
        _ => None,
    };
    let probed = lower::is_probed(&owner.service.health, image);
    if dependency.condition == Condition::ServiceHealthy
        && dependency.required
        && probed == Some(false)
    {
        return Err(PlanError::NoHealthCheck {
            service: service.clone(),
            dependency: name.clone(),
        });
    }
    Ok(())
}
