//! Builds the graph of a plan.

use std::collections::BTreeMap;

use compose_spec::model::{Condition, ServiceName};
use runtime::spec::ContainerState as State;

use super::{Action, ContainerRef, Edge, Plan, Step, StepId};
use crate::model::{ContainerId, ObservedContainer, PostStart, Subject, SubjectKind};

/// A plan in the making: steps are added once for each thing, edges once for each pair.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) plan: Plan,
    /// Steps that fetch or build an image, by reference.
    pub(super) images: BTreeMap<String, StepId>,
    /// Steps that make or repair a network, by full name.
    pub(super) networks: BTreeMap<String, StepId>,
    /// Steps that make a volume, by full name.
    pub(super) volumes: BTreeMap<String, StepId>,
    /// Steps that stop an existing container.
    pub(super) stops: BTreeMap<ContainerId, StepId>,
    /// Steps that remove an existing container.
    pub(super) removes: BTreeMap<ContainerId, StepId>,
    /// Fetch images that will be needed; networks and volumes are made anew by a later plan.
    pub(super) images_first: bool,
    pub(super) awaits: Vec<(StepId, ContainerRef, AwaitKey)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AwaitKey {
    Condition(Condition, bool),
    Ready,
}

impl Draft {
    /// Adds a step.
    pub(super) fn step(
        &mut self,
        (kind, name): (SubjectKind, &str),
        action: Action,
        cause: impl Into<String>,
    ) -> StepId {
        self.plan.graph.add_node(Step {
            subject: Subject {
                kind,
                name: name.to_owned(),
            },
            action,
            cause: cause.into(),
        })
    }

    /// `later` cannot work unless `earlier` succeeded.
    pub(super) fn needs(&mut self, later: StepId, earlier: StepId) {
        self.plan.graph.update_edge(earlier, later, Edge::Needs);
    }

    /// Whether `later` waits for `earlier`, or is it.
    pub(super) fn leads(&self, earlier: StepId, later: StepId) -> bool {
        petgraph::algo::has_path_connecting(&self.plan.graph, earlier, later, None)
    }

    /// `later` waits until `earlier` has ended, however.
    pub(super) fn after(&mut self, later: StepId, earlier: StepId) {
        if self.plan.graph.find_edge(earlier, later).is_none() {
            self.plan.graph.add_edge(earlier, later, Edge::After);
        }
    }

    /// Adds the edge that fits a dependency: one that is not required never blocks.
    pub(super) fn depends(&mut self, later: StepId, earlier: StepId, required: bool) {
        if required {
            self.needs(later, earlier);
        } else {
            self.after(later, earlier);
        }
    }

    /// Runs the `post_start` hooks of a container once it is started; returns the step after which it counts as started.
    pub(super) fn started(
        &mut self,
        name: &str,
        container: ContainerRef,
        (start, has_hooks): (StepId, bool),
    ) -> StepId {
        if !has_hooks {
            return start;
        }
        let action = Action::PostStart { container };
        let hooks = self.step((SubjectKind::Container, name), action, "");
        self.needs(hooks, start);
        hooks
    }

    /// Runs the `post_start` hooks of a container whose start was cut off before them.
    pub(super) fn post_start(&mut self, container: &ObservedContainer) -> Option<StepId> {
        let is_running = matches!(container.state, State::Running { .. });
        (is_running && container.post_start == PostStart::Pending).then(|| {
            let action = Action::PostStart {
                container: ContainerRef::Existing(container.record.id.clone()),
            };
            let name = container.record.name.as_str();
            let cause = "its start was cut off";
            self.step((SubjectKind::Container, name), action, cause)
        })
    }

    /// Stops an existing container, once in a plan.
    pub(super) fn stop(
        &mut self,
        container: &ObservedContainer,
        grace_ms: Option<u64>,
        cause: &str,
    ) -> StepId {
        let id = container.record.id.clone();
        if let Some(step) = self.stops.get(&id) {
            return *step;
        }
        let action = Action::StopContainer {
            id: id.clone(),
            grace_ms,
        };
        let step = self.step(
            (SubjectKind::Container, &container.record.name),
            action,
            cause,
        );
        self.stops.insert(id, step);
        step
    }

    /// Removes an existing container, once in a plan; stops it first if it lives.
    pub(super) fn remove(
        &mut self,
        container: &ObservedContainer,
        grace_ms: Option<u64>,
        volumes: Vec<String>,
        cause: &str,
    ) -> StepId {
        let id = container.record.id.clone();
        if let Some(step) = self.removes.get(&id) {
            return *step;
        }
        let stop = container
            .state
            .is_live()
            .then(|| self.stop(container, grace_ms, cause));
        let action = Action::RemoveContainer {
            id: id.clone(),
            volumes,
        };
        let step = self.step(
            (SubjectKind::Container, &container.record.name),
            action,
            cause,
        );
        if let Some(stop) = stop {
            self.needs(step, stop);
        }
        self.removes.insert(id, step);
        step
    }

    /// Waits until a container meets a condition, once for each condition.
    pub(super) fn wait_for(
        &mut self,
        (name, service): (&str, &ServiceName),
        container: ContainerRef,
        (condition, required): (Condition, bool),
    ) -> StepId {
        let action = Action::Await {
            container: container.clone(),
            service: service.clone(),
            condition,
            required,
        };
        let key = AwaitKey::Condition(condition, required);
        self.wait(name, container, action, key)
    }

    /// Waits until a container is ready, once.
    pub(super) fn wait_ready(
        &mut self,
        (name, service): (&str, &ServiceName),
        container: ContainerRef,
    ) -> StepId {
        let action = Action::AwaitReady {
            container: container.clone(),
            service: service.clone(),
        };
        self.wait(name, container, action, AwaitKey::Ready)
    }

    fn wait(
        &mut self,
        name: &str,
        container: ContainerRef,
        action: Action,
        key: AwaitKey,
    ) -> StepId {
        let known = self
            .awaits
            .iter()
            .find(|(_, awaited, how)| *awaited == container && *how == key);
        if let Some((step, ..)) = known {
            return *step;
        }
        let cause = match key {
            AwaitKey::Condition(Condition::ServiceStarted, _) => "others need it started",
            AwaitKey::Condition(Condition::ServiceHealthy, _) => "others need it healthy",
            AwaitKey::Condition(Condition::ServiceCompletedSuccessfully, _) => {
                "others need it completed"
            }
            AwaitKey::Ready => "--wait",
        };
        let step = self.step((SubjectKind::Container, name), action, cause);
        self.awaits.push((step, container, key));
        step
    }
}
