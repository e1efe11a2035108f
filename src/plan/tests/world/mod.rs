//! A host in memory: carries plans out step by step and checks, at every step, that it may be done now.

mod containers;

use std::collections::{BTreeMap, BTreeSet};

use compose_spec::model::{Condition, Project};
use petgraph::{Direction, visit::EdgeRef};
use runtime::spec::{ContainerState as State, ExitStatus, Health};

use super::fixture::image;
use crate::{
    model::{ContainerId, Observed, ObservedContainer, Timestamp},
    plan::{
        Action, ContainerRef, HostFacts, Inputs, Mode, Plan, StepId, Stopped, UpOptions,
        depends::is_reached, display, plan,
    },
};

#[derive(Debug, Clone, Default)]
pub(super) struct World {
    pub(super) observed: Observed,
    pub(super) options: UpOptions,
    pub(super) stopped: Stopped,
    pub(super) fetched: BTreeSet<String>,
    pub(super) files: BTreeMap<compose_spec::model::ServiceName, String>,
    pub(super) host: HostFacts,
    /// Revision that the registry and the builder give for a reference.
    pub(super) revisions: BTreeMap<String, u8>,
    pub(super) now: u64,
    /// Containers that the plan in work removes: nothing waits for them.
    removing: BTreeSet<ContainerId>,
    ids: u32,
    pids: i32,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            now: 1_000,
            ..Self::default()
        }
    }

    /// A new call of `up`: time goes on, images may be asked for again.
    pub(super) fn call(&mut self, options: UpOptions) {
        self.now += 1_000;
        self.fetched.clear();
        self.options = UpOptions {
            since: Timestamp(self.now),
            ..options
        };
    }

    pub(super) fn inputs<'a>(&'a self, project: &'a Project) -> Inputs<'a> {
        Inputs {
            project,
            observed: &self.observed,
            options: &self.options,
            stopped: &self.stopped,
            fetched: &self.fetched,
            files: &self.files,
            host: &self.host,
            now: Timestamp(self.now),
        }
    }

    pub(super) fn plan(&self, project: &Project) -> Plan {
        match plan(&self.inputs(project)) {
            Ok(plan) => plan,
            Err(errors) => {
                let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
                panic!("no plan: {}\n{:#?}", texts.join("; "), self.names());
            }
        }
    }

    pub(super) fn names(&self) -> Vec<(String, String)> {
        let line = |c: &ObservedContainer| (c.record.name.clone(), format!("{:?}", c.state));
        self.observed.containers.iter().map(line).collect()
    }

    /// Plans and applies until nothing is left to do; returns the number of rounds with work.
    pub(super) fn settle(&mut self, project: &Project) -> usize {
        for round in 0..12 {
            let plan = self.plan(project);
            if plan.graph.node_count() == 0 {
                assert!(!plan.deferred, "deferred with nothing to do");
                return round;
            }
            self.apply(project, &plan);
        }
        panic!("does not settle: {}", display(&self.plan(project)));
    }

    /// Up, then the loop: both come to rest, and the loop finds nothing to do after `up`.
    pub(super) fn up(&mut self, project: &Project, options: UpOptions) {
        self.call(options);
        self.settle(project);
        self.enforce(project);
        let plan = self.plan(project);
        assert_eq!(
            plan.graph.node_count(),
            0,
            "the loop undoes up: {}",
            display(&plan)
        );
    }

    pub(super) fn enforce(&mut self, project: &Project) -> usize {
        if self.options.mode == Mode::Up && self.options.services.is_empty() {
            self.options.services = project.services.keys().cloned().collect();
        }
        self.options.mode = Mode::Enforce;
        self.settle(project)
    }

    pub(super) fn apply(&mut self, project: &Project, plan: &Plan) {
        let order = order(plan, &mut |_| 0);
        self.apply_steps(project, plan, &order);
    }

    /// Carries out the given steps, in this order.
    pub(super) fn apply_steps(&mut self, project: &Project, plan: &Plan, steps: &[StepId]) {
        let mut made = BTreeMap::new();
        self.removing = plan
            .graph
            .node_weights()
            .filter_map(|step| match &step.action {
                Action::RemoveContainer { id, .. } => Some(id.clone()),
                _ => None,
            })
            .collect();
        for step in steps {
            self.step(project, plan, *step, &mut made);
            self.check(plan);
        }
    }

    fn step(
        &mut self,
        project: &Project,
        plan: &Plan,
        id: StepId,
        made: &mut BTreeMap<StepId, ContainerId>,
    ) {
        self.now += 1;
        let find = |reference: &ContainerRef, made: &BTreeMap<StepId, ContainerId>| match reference
        {
            ContainerRef::Existing(id) => id.clone(),
            ContainerRef::New(step) => made[step].clone(),
        };
        match &plan.graph[id].action {
            Action::PullImage { reference, .. } | Action::BuildImage { tag: reference, .. } => {
                let revision = self.revisions.get(reference).copied().unwrap_or(0);
                self.observed
                    .images
                    .insert(reference.clone(), image(reference, revision));
                self.observed
                    .images_fetched
                    .insert(reference.clone(), Timestamp(self.now));
                self.fetched.insert(reference.clone());
            }
            Action::EnsureNetwork(record) => {
                self.observed
                    .networks
                    .insert(record.name.clone(), (**record).clone());
                self.observed.networks_down.remove(&record.name);
            }
            Action::RemoveNetwork(record) => {
                let mut endpoints = self
                    .observed
                    .containers
                    .iter()
                    .flat_map(|c| &c.record.endpoints);
                assert!(
                    endpoints.all(|e| e.network != record.name),
                    "network in use"
                );
                self.observed.networks.remove(&record.name);
            }
            Action::EnsureVolume(record) => {
                self.observed
                    .volumes
                    .entry(record.name.clone())
                    .or_insert_with(|| (**record).clone());
            }
            Action::RemoveVolume { name } => {
                let mut users = self.observed.containers.iter();
                assert!(
                    !users.any(|c| c.record.volumes.contains(name)),
                    "volume in use"
                );
                self.observed.volumes.remove(name);
            }
            Action::RemoveImage { reference } => {
                self.observed.images.remove(reference);
            }
            Action::CreateContainer(new) => {
                let container = self.create(project, new, made);
                made.insert(id, container.record.id.clone());
                self.observed.containers.push(container);
            }
            Action::StartContainer { container } => {
                let id = find(container, made);
                self.start(project, &id);
            }
            Action::RunInit { new, replica } => {
                let replica = find(replica, made);
                self.run_init(project, plan, (new, &replica), made);
            }
            Action::AwaitInit { id } => {
                self.observed.containers.retain(|c| c.record.id != *id);
            }
            Action::PostStart { container } => {
                let id = find(container, made);
                self.run_post_start(&id);
            }
            Action::StopContainer { id, .. } => self.exit(id, 137, true),
            Action::KillContainer { id, .. } => self.exit(id, 137, true),
            Action::PauseContainer { id } => {
                let container = self.container(id);
                let State::Running {
                    pid,
                    since_ms,
                    health,
                } = container.state.clone()
                else {
                    panic!("pause of {:?}", container.state);
                };
                container.state = State::Paused {
                    pid,
                    since_ms,
                    health,
                };
            }
            Action::UnpauseContainer { id } => {
                let container = self.container(id);
                let State::Paused {
                    pid,
                    since_ms,
                    health,
                } = container.state.clone()
                else {
                    panic!("unpause of {:?}", container.state);
                };
                container.state = State::Running {
                    pid,
                    since_ms,
                    health,
                };
            }
            Action::RemoveContainer { id, volumes } => {
                assert!(
                    !self.container(id).state.is_live(),
                    "removal of a live container"
                );
                self.observed.containers.retain(|c| c.record.id != *id);
                self.observed
                    .volumes
                    .retain(|name, _| !volumes.contains(name));
            }
            Action::Await {
                container,
                condition,
                required,
                ..
            } => {
                let id = find(container, made);
                self.reach(&id, *condition);
                let container = self.container(&id);
                assert!(
                    is_reached(&container.state, *condition) || !required,
                    "await of {} {condition:?}: {:?}",
                    container.record.name,
                    container.state
                );
            }
            Action::AwaitReady { container, .. } => {
                let id = find(container, made);
                self.reach(&id, Condition::ServiceHealthy);
            }
        }
    }

    pub(super) fn container(&mut self, id: &ContainerId) -> &mut ObservedContainer {
        let mut containers = self.observed.containers.iter_mut();
        containers
            .find(|c| c.record.id == *id)
            .expect("the container exists")
    }

    pub(super) fn by_name(&mut self, name: &str) -> &mut ObservedContainer {
        let mut containers = self.observed.containers.iter_mut();
        containers
            .find(|c| c.record.name == name)
            .expect("the container exists")
    }

    pub(super) fn exit(&mut self, id: &ContainerId, code: i32, requested: bool) {
        let at_ms = self.now;
        self.container(id).state = State::Exited {
            status: ExitStatus {
                code,
                signal: None,
                oom_killed: false,
                requested,
            },
            at_ms,
        };
    }

    /// What time brings to a container that is waited for.
    fn reach(&mut self, id: &ContainerId, condition: Condition) {
        let at_ms = self.now;
        let container = self.container(id);
        match (condition, &mut container.state) {
            (Condition::ServiceHealthy, State::Running { health, .. }) => {
                if let Health::Starting { .. } = health {
                    *health = Health::Healthy {
                        failing: 0,
                        last: None,
                    };
                }
            }
            (Condition::ServiceCompletedSuccessfully, state @ State::Running { .. }) => {
                *state = State::Exited {
                    status: ExitStatus {
                        code: 0,
                        signal: None,
                        oom_killed: false,
                        requested: false,
                    },
                    at_ms,
                };
            }
            _ => {}
        }
    }

    /// Checks that no name, address or port is had twice.
    pub(super) fn check(&self, plan: &Plan) {
        let mut seen = BTreeSet::new();
        let mut once = |what: String| {
            assert!(seen.insert(what.clone()), "{what} twice\n{}", display(plan));
        };
        for container in &self.observed.containers {
            once(format!("name {}", container.record.name));
            for endpoint in &container.record.endpoints {
                once(format!("{} {}", endpoint.network, endpoint.address));
            }
            for port in container
                .record
                .published
                .iter()
                .filter(|_| container.state.is_live())
            {
                once(format!("port {} {:?}", port.host_port, port.protocol));
            }
        }
    }
}

/// Returns the steps of a plan in an order that its edges allow; `choose` picks among those that are free.
pub(super) fn order(plan: &Plan, choose: &mut dyn FnMut(usize) -> usize) -> Vec<StepId> {
    assert!(
        !petgraph::algo::is_cyclic_directed(&plan.graph),
        "circle:\n{}",
        display(plan)
    );
    let mut left: Vec<StepId> = plan.graph.node_indices().collect();
    let mut done = Vec::new();
    while !left.is_empty() {
        let free: Vec<usize> = (0..left.len())
            .filter(|at| {
                let mut edges = plan.graph.edges_directed(left[*at], Direction::Incoming);
                edges.all(|edge| done.contains(&edge.source()))
            })
            .collect();
        done.push(left.remove(free[choose(free.len())]));
    }
    done
}
