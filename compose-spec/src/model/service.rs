//! One service: an image, how its processes run, and what they may use.

use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{ExtraHost, FileGrant, Mount, NetworkMode, Port, ServiceName};

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
    /// Number of containers.
    pub replicas: u32,
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
    /// Devices `source:target:permissions`.
    pub devices: Vec<String>,
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
}

/// The `build:` section of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// Absolute directory, or a URL as written.
    pub context: String,
    /// Path of the Dockerfile relative to the context; `None` = `Dockerfile`.
    pub dockerfile: Option<String>,
    /// Text of the Dockerfile in its place.
    pub dockerfile_inline: Option<String>,
    /// Build arguments; `None` was not set in the environment.
    pub args: IndexMap<String, Option<String>>,
    /// Stage to build; `None` = the last.
    pub target: Option<String>,
    /// Labels of the image.
    pub labels: IndexMap<String, String>,
    /// Further tags.
    pub tags: Vec<String>,
    /// `default`, `none` or `host`.
    pub network: Option<String>,
    /// Ignore the cache.
    pub no_cache: bool,
    /// Ask the registry for newer bases.
    pub pull: bool,
    /// Size of /dev/shm in bytes.
    pub shm_size_bytes: Option<u64>,
    /// Extra lines for /etc/hosts.
    pub extra_hosts: Vec<ExtraHost>,
    /// Named contexts: name -> path, `docker-image://…`, `service:x`.
    pub additional_contexts: IndexMap<String, String>,
    /// Every further key of the section, canonical, for the builder.
    pub rest: IndexMap<String, serde_json::Value>,
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

/// How a service's health is probed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// As the image's HEALTHCHECK says.
    Inherit,
    /// Not at all (`disable: true` or `test: NONE`).
    Disabled,
    /// As said here; what is `None` comes from the image, else from the defaults.
    Check(HealthCheck),
}

/// A health check. Defaults: interval 30 s, timeout 30 s, retries 3, start period 0, start interval 5 s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// The probe; `None` = the image's.
    pub test: Option<HealthTest>,
    /// Time between probes.
    pub interval: Option<Duration>,
    /// Time that one probe may take.
    pub timeout: Option<Duration>,
    /// Failures in a row that make a service unhealthy.
    pub retries: Option<u32>,
    /// Time after the start in which failures do not count.
    pub start_period: Option<Duration>,
    /// Time between probes during the start period.
    pub start_interval: Option<Duration>,
}

/// What a probe runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthTest {
    /// A program with arguments.
    Command(Vec<String>),
    /// A line for the image's shell.
    Shell(String),
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

/// Limits of a container's control group; `None` = no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// CPU time in billionths of a CPU (`cpus: 0.5` is 500 000 000).
    pub cpu_nanos: Option<u64>,
    /// Relative CPU weight, 2 to 262144.
    pub cpu_shares: Option<u64>,
    /// CFS quota in microseconds.
    pub cpu_quota_us: Option<i64>,
    /// CFS period in microseconds.
    pub cpu_period_us: Option<u64>,
    /// CPUs that may be used (`0-2,4`).
    pub cpuset: Option<String>,
    /// Hard memory limit.
    pub memory_bytes: Option<u64>,
    /// Memory protected from reclaim.
    pub memory_reservation_bytes: Option<u64>,
    /// Memory plus swap; -1 = no limit.
    pub memory_swap_bytes: Option<i64>,
    /// Number of tasks; -1 = no limit.
    pub pids: Option<i64>,
}

/// A resource limit; -1 = unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Soft limit.
    pub soft: i64,
    /// Hard limit.
    pub hard: i64,
}

/// Whose namespace a container uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Namespace {
    /// Its own.
    #[default]
    Private,
    /// Its own, which others may join.
    Shareable,
    /// The host's.
    Host,
    /// That of another service of the project.
    Service(ServiceName),
    /// That of a container by name.
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
