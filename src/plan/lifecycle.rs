//! `start`, `stop`, `restart`, `kill`, `pause`, `unpause`, `rm`: containers that exist, in the order that their records say.

use std::collections::{BTreeMap, BTreeSet};

use compose_spec::model::{Condition, ServiceName};
use runtime::spec::ContainerState as State;

use super::{
    Action, ContainerRef, LifecycleAction, LifecycleInputs, Plan, PlanError, StepId,
    depends::{Final, Finals, is_reached, waits},
    down::{edges, stop_dependents_first},
    graph::Draft,
    lower::signal_number,
    networks,
};
use crate::model::{ContainerRole, Observed, ObservedContainer, SubjectKind};

/// Plans one of the calls.
pub(super) fn plan(inputs: &LifecycleInputs<'_>) -> Result<Plan, Vec<PlanError>> {
    // One-offs and init containers are nobody's replicas: they are stopped, killed and removed with the rest, but never started again.
    let one_offs = matches!(
        inputs.action,
        LifecycleAction::Stop { .. }
            | LifecycleAction::Kill { .. }
            | LifecycleAction::Remove { .. }
    );
    let all: Vec<&ObservedContainer> = inputs
        .observed
        .containers
        .iter()
        .filter(|c| one_offs || matches!(c.record.role, ContainerRole::Replica(_)))
        .collect();
    let chosen: Vec<&ObservedContainer> = all
        .iter()
        .copied()
        .filter(|c| inputs.services.is_empty() || inputs.services.contains(&c.record.service))
        .collect();
    check_services(inputs, &chosen)?;
    let mut draft = Draft::default();
    match inputs.action {
        LifecycleAction::Start => start(inputs, &all, &chosen, &mut draft),
        LifecycleAction::Stop { grace_ms } => stop(&chosen, *grace_ms, "stop", &mut draft),
        LifecycleAction::Restart { grace_ms } => {
            restart(inputs, (&all, chosen), *grace_ms, &mut draft);
        }
        LifecycleAction::Kill { signal } => {
            let number = signal_number(signal).ok_or_else(|| {
                vec![PlanError::UnknownSignal {
                    signal: signal.clone(),
                }]
            })?;
            kill(&chosen, number, &mut draft);
        }
        LifecycleAction::Pause => pause(&chosen, &mut draft),
        LifecycleAction::Unpause => unpause(&chosen, &mut draft),
        LifecycleAction::Remove { stop, volumes } => {
            remove(&chosen, (*stop, *volumes), &mut draft);
        }
    }
    Ok(draft.plan)
}

/// Returns the services that a `start` is about: those that are named, and what they wait for that was stopped or never started. None = all.
///
/// What ended by itself was started, and a job that is done is not done again.
pub fn start_scope(observed: &Observed, named: &[ServiceName]) -> Vec<ServiceName> {
    let replicas_of = |service: ServiceName| {
        observed.containers.iter().filter(move |container| {
            matches!(container.record.role, ContainerRole::Replica(_))
                && container.record.service == service
        })
    };
    let mut scope = named.to_vec();
    let mut next = 0;
    while let Some(service) = scope.get(next).cloned() {
        next += 1;
        let needs = replicas_of(service).flat_map(|container| &container.record.wanted.depends_on);
        for (name, dependency) in needs {
            let is_missing = |container: &ObservedContainer| {
                !container.state.is_live() && !is_reached(&container.state, dependency.condition)
            };
            if !scope.contains(name) && replicas_of(name.clone()).any(is_missing) {
                scope.push(name.clone());
            }
        }
    }
    scope
}

fn check_services(
    inputs: &LifecycleInputs<'_>,
    chosen: &[&ObservedContainer],
) -> Result<(), Vec<PlanError>> {
    let intent = match inputs.action {
        LifecycleAction::Start => "start",
        LifecycleAction::Restart { .. } => "restart",
        LifecycleAction::Pause => "pause",
        LifecycleAction::Unpause => "unpause",
        // What is not there is stopped, dead and removed.
        LifecycleAction::Stop { .. }
        | LifecycleAction::Kill { .. }
        | LifecycleAction::Remove { .. } => return Ok(()),
    };
    let missing: Vec<PlanError> = inputs
        .services
        .iter()
        .filter(|service| !chosen.iter().any(|c| c.record.service == **service))
        .map(|service| PlanError::NoContainer {
            service: service.clone(),
            intent,
        })
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(missing)
    }
}

fn subject(container: &ObservedContainer) -> (SubjectKind, &str) {
    (SubjectKind::Container, &container.record.name)
}

fn start(
    inputs: &LifecycleInputs<'_>,
    all: &[&ObservedContainer],
    chosen: &[&ObservedContainer],
    draft: &mut Draft,
) {
    let mut steps = Vec::new();
    for container in chosen {
        let id = container.record.id.clone();
        match container.state {
            State::Created | State::Exited { .. } | State::Lost { .. } => {
                let action = Action::StartContainer {
                    container: ContainerRef::Existing(id),
                };
                steps.push((*container, draft.step(subject(container), action, "start")));
            }
            State::Paused { .. } => {
                draft.step(subject(container), Action::UnpauseContainer { id }, "start");
            }
            State::Running { .. } | State::Restarting { .. } => {}
        }
    }
    order_starts(inputs, all, &steps, draft);
}

/// Starts wait for what their records depend on, as far as it exists.
fn order_starts(
    inputs: &LifecycleInputs<'_>,
    all: &[&ObservedContainer],
    steps: &[(&ObservedContainer, StepId)],
    draft: &mut Draft,
) {
    let started: BTreeMap<_, _> = steps
        .iter()
        .map(|(container, step)| {
            let record = &container.record;
            let has_hooks = !record.wanted.post_start.is_empty();
            let reference = ContainerRef::Existing(record.id.clone());
            let started = draft.started(&record.name, reference, (*step, has_hooks));
            (&record.id, (*step, started))
        })
        .collect();
    let mut finals = Finals::new();
    for container in all {
        let record = &container.record;
        finals
            .entry(record.service.clone())
            .or_default()
            .push(Final {
                container: ContainerRef::Existing(record.id.clone()),
                name: record.name.clone(),
                observed: Some(container),
                create: None,
                start: started.get(&record.id).map(|(start, _)| *start),
                started: started.get(&record.id).map(|(_, started)| *started),
            });
    }
    let acyclic: BTreeSet<(&ServiceName, &ServiceName)> = edges(all).into_iter().collect();
    for (container, step) in steps {
        let record = &container.record;
        if !container.network_intact {
            for endpoint in &record.endpoints {
                if let Some(network) = inputs.observed.networks.get(&endpoint.network) {
                    let repair = networks::repair(draft, network);
                    draft.needs(*step, repair);
                }
            }
        }
        for (name, dependency) in &record.wanted.depends_on {
            // What the user stopped stays so at a restart of who needed its start.
            let is_left = dependency.condition == Condition::ServiceStarted
                && finals
                    .get(name)
                    .is_some_and(|all| all.iter().all(is_left_stopped));
            if acyclic.contains(&(&record.service, name)) && !is_left {
                for wait in waits((name, dependency), &finals, draft) {
                    draft.depends(*step, wait, dependency.required);
                }
            }
        }
    }
}

fn is_left_stopped(last: &Final<'_>) -> bool {
    last.start.is_none()
        && last
            .observed
            .is_some_and(|container| !container.state.is_live())
}

fn stop(chosen: &[&ObservedContainer], grace_ms: Option<u64>, cause: &str, draft: &mut Draft) {
    for container in chosen.iter().filter(|container| container.state.is_live()) {
        draft.stop(container, grace_ms, cause);
    }
    stop_dependents_first(chosen, draft);
}

fn restart(
    inputs: &LifecycleInputs<'_>,
    (all, mut chosen): (&[&ObservedContainer], Vec<&ObservedContainer>),
    grace_ms: Option<u64>,
    draft: &mut Draft,
) {
    // Running dependents with `restart: true` follow, and theirs.
    loop {
        let services: BTreeSet<&ServiceName> = chosen.iter().map(|c| &c.record.service).collect();
        let follows = |container: &&&ObservedContainer| {
            let mut restarts = container
                .record
                .wanted
                .depends_on
                .iter()
                .filter(|(_, d)| d.restart);
            container.state.is_live()
                && !services.contains(&container.record.service)
                && restarts.any(|(name, _)| services.contains(name))
        };
        let followers: Vec<&ObservedContainer> = all.iter().filter(follows).copied().collect();
        if followers.is_empty() {
            break;
        }
        chosen.extend(followers);
    }
    stop(&chosen, grace_ms, "restart", draft);
    let mut steps = Vec::new();
    for container in chosen {
        let action = Action::StartContainer {
            container: ContainerRef::Existing(container.record.id.clone()),
        };
        let start = draft.step(subject(container), action, "restart");
        if let Some(stop) = draft.stops.get(&container.record.id).copied() {
            draft.needs(start, stop);
        }
        steps.push((container, start));
    }
    order_starts(inputs, all, &steps, draft);
}

fn kill(chosen: &[&ObservedContainer], signal: i32, draft: &mut Draft) {
    for container in chosen {
        if matches!(
            container.state,
            State::Running { .. } | State::Paused { .. }
        ) {
            let id = container.record.id.clone();
            draft.step(
                subject(container),
                Action::KillContainer { id, signal },
                "kill",
            );
        } else if matches!(container.state, State::Restarting { .. }) {
            // There is no process to signal, but there would be one again soon.
            draft.stop(container, Some(0), "kill");
        }
    }
}

fn pause(chosen: &[&ObservedContainer], draft: &mut Draft) {
    for container in chosen {
        if matches!(container.state, State::Running { .. }) {
            let id = container.record.id.clone();
            draft.step(subject(container), Action::PauseContainer { id }, "pause");
        }
    }
}

fn unpause(chosen: &[&ObservedContainer], draft: &mut Draft) {
    for container in chosen {
        if matches!(container.state, State::Paused { .. }) {
            let id = container.record.id.clone();
            draft.step(
                subject(container),
                Action::UnpauseContainer { id },
                "unpause",
            );
        }
    }
}

fn remove(chosen: &[&ObservedContainer], (stop, volumes): (bool, bool), draft: &mut Draft) {
    let going: Vec<&ObservedContainer> = chosen
        .iter()
        .copied()
        .filter(|container| stop || !container.state.is_live())
        .collect();
    for container in &going {
        let volumes = if volumes {
            container
                .record
                .anonymous_volumes
                .values()
                .cloned()
                .collect()
        } else {
            Vec::new()
        };
        draft.remove(container, None, volumes, "rm");
    }
    stop_dependents_first(&going, draft);
    if going.is_empty() {
        draft.plan.notices.push("no stopped containers".to_owned());
    } else {
        let names: Vec<&str> = going.iter().map(|c| c.record.name.as_str()).collect();
        let data = if volumes {
            " with the data of their anonymous volumes"
        } else {
            ""
        };
        let question = format!("remove {}{data}?", names.join(", "));
        draft.plan.confirmations.push(question);
    }
}
