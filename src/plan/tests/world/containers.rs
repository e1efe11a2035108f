//! Containers of the world: made with the real `lower`, started only when all that they need is there.

use std::collections::BTreeMap;

use compose_spec::model::Project;
use runtime::spec::{ContainerState as State, Health};

use super::World;
use crate::{
    model::{ContainerId, ContainerRole, ObservedContainer, PostStart, Timestamp},
    plan::{
        ContainerRef, ImageInput, NamespaceOwner, NewContainer, Plan, StepId, depends::is_reached,
        lower,
    },
};

impl World {
    /// What the supervisor does for `CreateContainer`, with the real `lower`.
    pub(super) fn create(
        &mut self,
        project: &Project,
        new: &NewContainer,
        made: &BTreeMap<StepId, ContainerId>,
    ) -> ObservedContainer {
        self.ids += 1;
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&self.ids.to_be_bytes());
        let id = ContainerId::from_bytes(bytes);
        let image = match &new.image {
            ImageInput::Known(image) => (**image).clone(),
            ImageInput::From(_) => self.observed.images[&new.image_reference].clone(),
        };
        let owner = |join: &Option<NamespaceOwner>| match join {
            Some(NamespaceOwner::Container(ContainerRef::Existing(id))) => Some(id.clone()),
            Some(NamespaceOwner::Container(ContainerRef::New(step))) => Some(made[step].clone()),
            Some(NamespaceOwner::Named(_)) | None => None,
        };
        let network = owner(&new.joins.network);
        let pid = owner(&new.joins.pid).map(|id| match self.container(&id).state {
            State::Running { pid, .. } | State::Paused { pid, .. } => {
                format!("/proc/{pid}/ns/pid").into()
            }
            ref state => panic!("the owner of a pid namespace is {state:?}"),
        });
        for endpoint in &new.endpoints {
            assert!(
                self.observed.networks.contains_key(&endpoint.network),
                "network missing"
            );
        }
        let places = lower::Places {
            container: "/c".into(),
            mount_points: "/mount-points".into(),
            volumes: "/volumes".into(),
            files: "/c/files".into(),
            netns: format!("/run/netns/{id}").into(),
            log: "/log".into(),
            cgroup_parent: "stack".to_owned(),
            joined: lower::JoinedPlaces {
                network: network.as_ref().map(|id| format!("/run/netns/{id}").into()),
                network_files: network.map(|_| "/c/other".into()),
                pid,
                ipc: None,
                mounts: Vec::new(),
            },
        };
        let lowered = lower::lower(&lower::LowerInput {
            project,
            new,
            id: &id,
            image: &image,
            mounted: &BTreeMap::new(),
            places: &places,
            host: &self.host,
            now: Timestamp(self.now),
        })
        .expect("a planned container can be lowered");
        for used in &lowered.volumes {
            match &used.record {
                Some(record) => {
                    self.observed
                        .volumes
                        .entry(used.name.clone())
                        .or_insert_with(|| record.clone());
                }
                None => assert!(
                    self.observed.volumes.contains_key(&used.name),
                    "volume missing"
                ),
            }
        }
        ObservedContainer {
            record: lowered.record,
            state: State::Created,
            restarts: 0,
            network_intact: true,
            post_start: PostStart::Over,
        }
    }

    /// An init container: made beside what is there, and gone again.
    pub(super) fn run_init(
        &mut self,
        project: &Project,
        plan: &Plan,
        (new, replica): (&NewContainer, &ContainerId),
        made: &BTreeMap<StepId, ContainerId>,
    ) {
        let container = self.create(project, new, made);
        let service = self.container(replica).record.service.clone();
        let mut entries = project.services[&service].pre_start.iter();
        let runs_once = entries.all(|entry| !entry.per_replica);
        let containers = self.observed.containers.iter();
        let mut replicas = containers.filter(|c| c.record.service == service);
        assert!(
            !runs_once || replicas.all(|c| !c.state.is_live()),
            "init beside a replica"
        );
        let id = container.record.id.clone();
        self.observed.containers.push(container);
        self.check(plan);
        self.observed.containers.retain(|c| c.record.id != id);
    }

    pub(super) fn run_post_start(&mut self, id: &ContainerId) {
        let container = self.container(id);
        let state = &container.state;
        assert!(matches!(state, State::Running { .. }), "hooks in {state:?}");
        assert_eq!(container.post_start, PostStart::Pending, "hooks twice");
        container.post_start = PostStart::Over;
    }

    /// An init container of the first replica that runs, as a killed supervisor leaves it.
    pub(in crate::plan::tests) fn init(
        &mut self,
        project: &Project,
        service: &str,
        entry: usize,
    ) -> ContainerId {
        let mut container = self.by_name(&format!("shop-{service}-1")).clone();
        self.ids += 1;
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&self.ids.to_be_bytes());
        let record = &mut container.record;
        record.id = ContainerId::from_bytes(bytes);
        record.name = format!("shop-{service}-1-pre-start-{entry}");
        record.role = ContainerRole::Init {
            entry: u32::try_from(entry).unwrap(),
            replica: 1,
        };
        record.endpoints.clear();
        record.published.clear();
        record.wanted = (*project.services[service].pre_start[entry].container).clone();
        container.state = State::Running {
            pid: 1,
            since_ms: self.now,
            health: Health::None,
        };
        let id = container.record.id.clone();
        self.observed.containers.push(container);
        id
    }

    pub(super) fn start(&mut self, project: &Project, id: &ContainerId) {
        let container = self.container(id).clone();
        assert!(!container.state.is_live(), "start of a live container");
        for (name, dependency) in &container.record.wanted.depends_on {
            if !dependency.required || self.options.no_deps || self.stopped.services.contains(name)
            {
                continue;
            }
            let mut owners = self
                .observed
                .containers
                .iter()
                .filter(|c| c.record.service == *name && !self.removing.contains(&c.record.id));
            assert!(
                owners.all(|c| is_reached(&c.state, dependency.condition)
                    && c.post_start == PostStart::Over)
                    || !project.services.contains_key(name),
                "{} starts before {name} is {:?}",
                container.record.name,
                dependency.condition
            );
        }
        for endpoint in &container.record.endpoints {
            assert!(
                self.observed.networks.contains_key(&endpoint.network),
                "network missing"
            );
            assert!(
                !self.observed.networks_down.contains(&endpoint.network),
                "network down"
            );
        }
        self.pids += 1;
        let (pid, since_ms) = (self.pids, self.now);
        let container = self.container(id);
        let health = if container.record.spec.probe.is_some() {
            Health::Starting {
                failing: 0,
                last: None,
            }
        } else {
            Health::None
        };
        container.network_intact = true;
        container.post_start = if container.record.wanted.post_start.is_empty() {
            PostStart::Over
        } else {
            PostStart::Pending
        };
        container.state = State::Running {
            pid,
            since_ms,
            health,
        };
    }
}
