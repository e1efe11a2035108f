//! One service: an image, how its processes run, and what they may use.

use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{
    Build, Device, DeviceRequest, DeviceRule, ExtraHost, FileGrant, Health, Hook, InitHook,
    ModelBinding, Mount, Namespace, NetworkMode, Port, Provider, Resources, Rollout, ServiceName,
    Ulimit, UserNamespace, WatchRule,
};

/// A service in canonical form. `None` means "the image decides" wherever an image can decide.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its key under `services:`.
    pub name: ServiceName,
    /// Where the image comes from.
    pub image: ImageSource,
    /// When to ask the registry.
    pub pull_policy: PullPolicy,
    /// `os/arch[/variant]`; `None` is the host's.
    pub platform: Option<String>,

    /// `None` = the image's CMD (dropped when `entrypoint` is set); empty = cleared.
    pub command: Option<Vec<String>>,
    /// `None` = the image's ENTRYPOINT; empty = cleared.
    pub entrypoint: Option<Vec<String>>,
    /// env_file and `environment`, resolved. `None` removes the image's variable.
    pub environment: IndexMap<String, Option<String>>,
    /// `user[:group]`, looked up in the image's passwd; `None` = the image's USER.
    pub user: Option<String>,
    /// Supplementary groups, names or numbers.
    pub group_add: Vec<String>,
    /// `None` = the image's WORKDIR.
    pub working_dir: Option<String>,
    /// `None` = the container's short id.
    pub hostname: Option<String>,
    /// NIS domain name.
    pub domainname: Option<String>,
    /// Run a reaper as PID 1.
    pub init: bool,
    /// Give the process a terminal.
    pub tty: bool,
    /// Keep standard input open.
    pub stdin_open: bool,
    /// Signal name or number; `None` = the image's STOPSIGNAL, else SIGTERM.
    pub stop_signal: Option<String>,
    /// Time between the stop signal and SIGKILL; `None` = 10 s.
    pub stop_grace: Option<Duration>,

    /// Services that come first, and how far they must have come.
    pub depends_on: IndexMap<ServiceName, Dependency>,
    /// How the container sees the network.
    pub network: NetworkMode,
    /// Ports published on the host.
    pub ports: Vec<Port>,
    /// Ports that the service listens on, for information (`port[/proto]`).
    pub expose: Vec<String>,
    /// Extra lines for /etc/hosts.
    pub extra_hosts: Vec<ExtraHost>,
    /// Containers outside of the project that get a name here.
    #[serde(default)]
    pub external_links: Vec<ExternalLink>,
    /// Upstream DNS servers in place of the host's.
    pub dns: Vec<String>,
    /// Search domains.
    pub dns_search: Vec<String>,
    /// resolv.conf options.
    pub dns_opt: Vec<String>,
    /// Service-level MAC address: that of the first network.
    pub mac_address: Option<String>,

    /// Mounts by target, short forms resolved; `tmpfs:` entries are among them.
    pub mounts: Vec<Mount>,
    /// Containers whose mounts this one gets too.
    #[serde(default)]
    pub volumes_from: Vec<VolumesFrom>,
    /// Secrets granted to the service.
    pub secrets: Vec<FileGrant>,
    /// Configs granted to the service.
    pub configs: Vec<FileGrant>,
    /// Mount the root filesystem read-only.
    pub read_only: bool,
    /// Size of /dev/shm in bytes; `None` = 64 MiB.
    pub shm_size_bytes: Option<u64>,

    /// How health is probed.
    pub health: Health,
    /// What happens when the process ends.
    pub restart: RestartPolicy,
    /// `deploy.restart_policy.delay`: time before each restart; `None` = 100 ms, doubling to 1 min.
    #[serde(default)]
    pub restart_delay: Option<Duration>,
    /// `deploy.restart_policy.window`: time of running after which attempts count from 0 again; `None` = 10 s.
    #[serde(default)]
    pub restart_window: Option<Duration>,
    /// Run one after the other before the first container starts.
    #[serde(default)]
    pub pre_start: Vec<InitHook>,
    /// Run in each container once it is started; a failing one fails the start.
    #[serde(default)]
    pub post_start: Vec<Hook>,
    /// Run in each container before it is stopped, but not when it ended by itself.
    #[serde(default)]
    pub pre_stop: Vec<Hook>,
    /// Number of containers.
    pub replicas: u32,
    /// `deploy.update_config`: how containers are replaced; `None` = one by one, stop first.
    #[serde(default)]
    pub update: Option<Box<Rollout>>,
    /// `deploy.rollback_config`: how a replacement is taken back.
    #[serde(default)]
    pub rollback: Option<Box<Rollout>>,
    /// What `watch` does when files change.
    #[serde(default)]
    pub watch: Vec<WatchRule>,
    /// Models that the service uses, by key.
    #[serde(default)]
    pub models: IndexMap<String, ModelBinding>,
    /// Fixed container name; excludes more than one replica.
    pub container_name: Option<String>,
    /// Labels of the container.
    pub labels: IndexMap<String, String>,
    /// OCI annotations, kept for `inspect`.
    pub annotations: IndexMap<String, String>,
    /// Profiles that enable the service; empty = always.
    pub profiles: Vec<String>,
    /// `false`: `up` and `logs` do not show it unless named.
    pub attach: bool,
    /// Log limits.
    pub logging: Logging,

    /// Limits of the control group.
    pub resources: Resources,
    /// Resource limits by name (`nofile`).
    pub ulimits: IndexMap<String, Ulimit>,
    /// Namespaced kernel parameters.
    pub sysctls: IndexMap<String, String>,
    /// Capabilities added to the default set; `ALL` for every one.
    pub cap_add: Vec<String>,
    /// Capabilities taken from the default set; `ALL` for every one.
    pub cap_drop: Vec<String>,
    /// All capabilities and devices, no seccomp filter, no masked paths.
    pub privileged: bool,
    /// `no-new-privileges`, `seccomp=…`, as written with `=` as separator.
    pub security_opt: Vec<String>,
    /// Devices of the host that the container may use.
    pub devices: Vec<Device>,
    /// Further rules of the device controller.
    #[serde(default)]
    pub device_cgroup_rules: Vec<DeviceRule>,
    /// Accelerators: `gpus`, then `deploy.resources.reservations.devices`.
    #[serde(default)]
    pub device_requests: Vec<DeviceRequest>,
    /// Options of the root filesystem (`size`).
    #[serde(default)]
    pub storage_opt: IndexMap<String, String>,
    /// User namespace.
    #[serde(default)]
    pub userns: UserNamespace,
    /// Give the container the control socket and the registry credentials of the user.
    #[serde(default)]
    pub use_api_socket: bool,
    /// Process id namespace.
    pub pid: Namespace,
    /// System V IPC and POSIX message queue namespace.
    pub ipc: Namespace,
    /// Host and domain name namespace.
    pub uts: Namespace,
    /// Control group namespace.
    pub cgroup: Namespace,
    /// Parent control group, when not stack's own.
    pub cgroup_parent: Option<String>,
    /// Adjustment of the out-of-memory score.
    pub oom_score_adj: Option<i32>,

    /// `x-*` values as given.
    pub extensions: IndexMap<String, serde_json::Value>,
}

impl Service {
    /// Makes a service of an image with nothing else set: the state that every attribute has when it is left out.
    pub fn new(name: ServiceName, image: ImageSource) -> Self {
        Self {
            name,
            image,
            pull_policy: PullPolicy::Missing,
            platform: None,
            command: None,
            entrypoint: None,
            environment: IndexMap::new(),
            user: None,
            group_add: Vec::new(),
            working_dir: None,
            hostname: None,
            domainname: None,
            init: false,
            tty: false,
            stdin_open: false,
            stop_signal: None,
            stop_grace: None,
            depends_on: IndexMap::new(),
            network: NetworkMode::Networks(IndexMap::new()),
            ports: Vec::new(),
            expose: Vec::new(),
            extra_hosts: Vec::new(),
            external_links: Vec::new(),
            dns: Vec::new(),
            dns_search: Vec::new(),
            dns_opt: Vec::new(),
            mac_address: None,
            mounts: Vec::new(),
            volumes_from: Vec::new(),
            secrets: Vec::new(),
            configs: Vec::new(),
            read_only: false,
            shm_size_bytes: None,
            health: Health::Inherit,
            restart: RestartPolicy::No,
            restart_delay: None,
            restart_window: None,
            pre_start: Vec::new(),
            post_start: Vec::new(),
            pre_stop: Vec::new(),
            replicas: 1,
            update: None,
            rollback: None,
            watch: Vec::new(),
            models: IndexMap::new(),
            container_name: None,
            labels: IndexMap::new(),
            annotations: IndexMap::new(),
            profiles: Vec::new(),
            attach: true,
            logging: Logging::default(),
            resources: Resources::default(),
            ulimits: IndexMap::new(),
            sysctls: IndexMap::new(),
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            privileged: false,
            security_opt: Vec::new(),
            devices: Vec::new(),
            device_cgroup_rules: Vec::new(),
            device_requests: Vec::new(),
            storage_opt: IndexMap::new(),
            userns: UserNamespace::Default,
            use_api_socket: false,
            pid: Namespace::Private,
            ipc: Namespace::Private,
            uts: Namespace::Private,
            cgroup: Namespace::Private,
            cgroup_parent: None,
            oom_score_adj: None,
            extensions: IndexMap::new(),
        }
    }
}

/// Where a service's image comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageSource {
    /// From the store, else a registry.
    Pull {
        /// The reference as written.
        image: String,
    },
    /// From a Dockerfile; tagged with `image`, or `<project>-<service>`.
    Build {
        /// The tag to give, as written in `image:`.
        image: Option<String>,
        /// The build section.
        build: Box<Build>,
    },
    /// Nowhere: an external program runs the service.
    Provider(Provider),
}

/// When to ask the registry for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullPolicy {
    /// At every `up`.
    Always,
    /// Never.
    Never,
    /// When the store has none.
    Missing,
    /// Build in any case.
    Build,
    /// When the last pull is older than this many seconds (`daily`, `weekly`, `every_…`).
    Every {
        /// The age in seconds.
        seconds: u64,
    },
}

/// One entry of `depends_on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// How far the dependency must have come.
    pub condition: Condition,
    /// Restart this service when the dependency is restarted.
    pub restart: bool,
    /// `false`: warn instead of failing when the dependency is absent or fails.
    pub required: bool,
}

/// How far a dependency must have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Its process runs.
    ServiceStarted,
    /// Its health check succeeded.
    ServiceHealthy,
    /// It ended with status 0.
    ServiceCompletedSuccessfully,
}

/// What happens when a container's process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// Nothing.
    No,
    /// It is started again, also after a reboot.
    Always,
    /// It is started again when its status is not 0.
    OnFailure {
        /// Attempts before giving up; `None` = no limit.
        attempts_max: Option<u32>,
    },
    /// As `Always`, but a container stopped by the user stays stopped.
    UnlessStopped,
}

/// One entry of `external_links`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalLink {
    /// Name of a container outside of the project.
    pub container: String,
    /// Name that it gets in this container.
    pub alias: String,
}

/// One entry of `volumes_from`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumesFrom {
    /// Whose mounts.
    pub from: MountOwner,
    /// No writes, whatever the mounts themselves say.
    pub read_only: bool,
}

/// Whose mounts `volumes_from` takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountOwner {
    /// Those of a service of the project, replica by replica.
    Service(ServiceName),
    /// Those of a container by name.
    Container(String),
}

/// Log limits of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// `json-file`, `local` or `none`; `None` = ours, rotated.
    pub driver: Option<String>,
    /// Options as written (`max-size`, `max-file`).
    pub options: IndexMap<String, String>,
}
