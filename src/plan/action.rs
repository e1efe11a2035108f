//! A plan: steps, what each needs first, and why each is there.

use compose_spec::model::{Condition, Service, ServiceName};
use indexmap::IndexMap;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use serde::{Deserialize, Serialize};

use super::PlanError;
use crate::model::{
    ContainerId, ContainerRole, EndpointRecord, ImageRecord, NetworkRecord, PublishedAddress,
    Subject, VolumeRecord,
};

/// Identifies a step within its plan.
pub type StepId = NodeIndex<u32>;

/// What to do. Every step is idempotent; steps without a path between them may run at the same time.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Steps; an edge points from a step to one that comes after it.
    pub graph: StableDiGraph<Step, Edge>,
    /// More steps will follow once these are done (an existing container's image is being fetched or built): observe and plan again.
    pub deferred: bool,
    /// Questions to the user that must be answered yes before the plan runs.
    pub confirmations: Vec<String>,
    /// Things that the user should know.
    pub notices: Vec<String>,
    /// In the loop only: what cannot be done now, for the services that it concerns; the plan does the rest.
    pub problems: Vec<PlanError>,
}

impl Plan {
    /// Returns the references that the plan pulls or builds.
    pub fn fetches(&self) -> impl Iterator<Item = String> {
        self.graph
            .node_weights()
            .filter_map(|step| match &step.action {
                Action::PullImage { reference, .. } => Some(reference.clone()),
                Action::BuildImage { tag, .. } => Some(tag.clone()),
                _ => None,
            })
    }
}

/// One step of a plan.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it works on.
    pub subject: Subject,
    /// What it does.
    pub action: Action,
    /// Why, for people: `image changed`, `environment.LOG_LEVEL "info" -> "debug"`.
    pub cause: String,
}

/// Why a step comes after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Edge {
    /// It cannot work unless the other succeeded: it is skipped when the other failed.
    Needs,
    /// It only has to wait until the other has ended, however (stop order, remove before create).
    After,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Fetch an image into the store.
    PullImage {
        /// Reference as written in the Compose file.
        reference: String,
        /// `os/arch[/variant]`; `None` = the host's.
        platform: Option<String>,
        /// Ask the registry even when the store has it.
        always: bool,
    },
    /// Build a service's image and tag it.
    BuildImage {
        /// The service with its `build` section.
        service: Box<Service>,
        /// The tag to give.
        tag: String,
    },
    /// Make a network; also repairs one whose kernel objects are gone.
    EnsureNetwork(Box<NetworkRecord>),
    /// Remove a network with nothing on it.
    RemoveNetwork(Box<NetworkRecord>),
    /// Make a volume.
    EnsureVolume(Box<VolumeRecord>),
    /// Remove a volume and its data.
    RemoveVolume {
        /// Full name.
        name: String,
    },
    /// Remove an image that the project used (`down --rmi`).
    RemoveImage {
        /// Reference.
        reference: String,
    },
    /// Make a container (record, directories); it does not run yet.
    CreateContainer(Box<NewContainer>),
    /// Make an init container, run it to its end, and remove it when that was a good one.
    RunInit {
        /// It.
        new: Box<NewContainer>,
        /// The replica that it is run before: it has the replica's anonymous volumes.
        replica: ContainerRef,
    },
    /// Wait for an init container that runs, and remove it when it ended well.
    AwaitInit {
        /// Which.
        id: ContainerId,
    },
    /// Wire its network and start its monitor.
    StartContainer {
        /// Which.
        container: ContainerRef,
    },
    /// Run the `post_start` hooks that were not run since its start.
    PostStart {
        /// Which; it runs.
        container: ContainerRef,
    },
    /// Stop it by its policy, after its `pre_stop` hooks.
    StopContainer {
        /// Which.
        id: ContainerId,
        /// Grace in place of its own.
        grace_ms: Option<u64>,
    },
    /// Send a signal.
    KillContainer {
        /// Which.
        id: ContainerId,
        /// Signal number.
        signal: i32,
    },
    /// Freeze it.
    PauseContainer {
        /// Which.
        id: ContainerId,
    },
    /// Thaw it.
    UnpauseContainer {
        /// Which.
        id: ContainerId,
    },
    /// Remove a container that does not run: record, directories, network namespace.
    RemoveContainer {
        /// Which.
        id: ContainerId,
        /// Anonymous volumes to remove with it.
        volumes: Vec<String>,
    },
    /// Wait until a container is as far as a dependent (or `--wait`) needs it.
    Await {
        /// Which.
        container: ContainerRef,
        /// Its service, for messages.
        service: ServiceName,
        /// How far.
        condition: Condition,
        /// `false`: a failure is a warning, dependents start all the same.
        required: bool,
    },
    /// Wait until a container is ready, for `--wait`: it runs and, with a probe, is healthy; or it ended with status 0 and its
    /// restart policy is `no` or `on-failure`. Whether it has a probe is known only when its image is, so the executor tells.
    AwaitReady {
        /// Which.
        container: ContainerRef,
        /// Its service, for messages.
        service: ServiceName,
    },
}

/// A container that exists, or one that a step of this plan makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerRef {
    /// It exists.
    Existing(ContainerId),
    /// This `CreateContainer` step makes it.
    New(StepId),
}

/// Where the image of a new container comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageInput {
    /// It is in the store.
    Known(Box<ImageRecord>),
    /// This step fetches or builds it.
    From(StepId),
}

/// What a new container shares with others: whose namespaces it joins (`None` = its own or the host's), whose mounts it has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Joins {
    /// Network (`network_mode: service:x`).
    pub network: Option<NamespaceOwner>,
    /// Process ids (`pid: service:x`); its owner runs when the container is created.
    pub pid: Option<NamespaceOwner>,
    /// System V IPC (`ipc: service:x`); its owner runs when the container is created.
    pub ipc: Option<NamespaceOwner>,
    /// Mounts (`volumes_from`), in the order of its entries; `true` = read-only, whatever they are there.
    pub mounts: Vec<(NamespaceOwner, bool)>,
}

/// A container whose namespace another one joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamespaceOwner {
    /// A container of the project.
    Container(ContainerRef),
    /// A container by name (`container:x`), perhaps of another project: the executor looks it up.
    Named(String),
}

/// A container to make: everything that can be decided before its image is known. [`super::lower`] decides the rest.
#[derive(Debug, Clone)]
pub struct NewContainer {
    /// Its name, unique on the host.
    pub name: String,
    /// What it is to its service.
    pub role: ContainerRole,
    /// The service as wanted.
    pub service: Service,
    /// Its image.
    pub image: ImageInput,
    /// The reference of the image.
    pub image_reference: String,
    /// Its endpoints, eth0 first, addresses chosen; the short id is added to `names` when the id is known.
    pub endpoints: Vec<EndpointRecord>,
    /// Its published ports; port 0 = a free one chosen when it starts.
    pub published: Vec<PublishedAddress>,
    /// Anonymous volumes taken over from the container it replaces: target -> volume name.
    pub inherited_volumes: IndexMap<String, String>,
    /// Whose namespaces it joins.
    pub joins: Joins,
    /// Digest of the content of its secrets and configs, for its record.
    pub files_digest: String,
}
