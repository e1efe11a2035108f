//! What a container is: plain, serialisable data. The whole input of [`crate::process::launch`] and of the monitor.
//!
//! Nothing here refers to Compose, images or networks; every path is absolute and belongs to the host unless its
//! documentation says "in the container". On disk it is `spec.json` in the container's directory.

mod attributes;
mod capabilities;
mod devices;
mod exact;
mod health;
mod hooks;
mod limits;
mod mounts;
mod seccomp;
mod state;
mod users;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use attributes::{
    Attributes, IoClass, IoPriority, MemoryFlag, MemoryMode, MemoryPolicy, Personality, Scheduler,
    SchedulerFlag, SchedulerPolicy,
};
pub use capabilities::{CAPABILITIES, CAPABILITIES_DEFAULT};
pub use devices::{Device, DeviceAccess, DeviceKind, DeviceRule};
pub use exact::{CapabilitySets, ExactLimit, ExactMount, ExactNode, ExactSecurity, ExactSource};
pub use health::{Probe, ProbeTest, RestartPolicy, StopPolicy};
pub use hooks::{Hook, HookPoint};
pub use limits::{BlockIo, CgroupPlace, DeviceWeight, Resources, Rlimit, Throttle, ThrottleBound};
pub use mounts::{Mount, MountKind, Propagation, Rootfs};
pub use seccomp::{
    SeccompAction, SeccompArchitecture, SeccompArgument, SeccompCondition, SeccompOperator,
    SeccompProfile, SeccompRule,
};
pub use state::{ContainerState, ExitStatus, Health, ProbeResult, StateRecord};
pub use users::{IdRange, UserMap};

/// Size of /dev/shm unless it is set, as Docker's.
pub const SHM_BYTES_DEFAULT: u64 = 64 << 20;
/// Time between the stop signal and SIGKILL unless it is set, as Compose's.
pub const GRACE_MS_DEFAULT: u64 = 10_000;

/// A container to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Schema version of this record.
    pub version: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// `sethostname(2)`.
    pub hostname: String,
    /// `setdomainname(2)`.
    pub domainname: Option<String>,
    /// The root filesystem.
    pub rootfs: Rootfs,
    /// Mount the root filesystem read-only once everything is in place.
    pub rootfs_read_only: bool,
    /// The user's process.
    pub process: Process,
    /// Run our reaper as PID 1, which starts the process.
    pub init: bool,
    /// Which namespaces are private, shared or the host's.
    pub namespaces: Namespaces,
    /// Mounts after the built-in ones (/proc, /dev, …), applied in this order.
    pub mounts: Vec<Mount>,
    /// Devices of the host, beyond the ones that every container has.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// Permissions for devices beyond `devices` and the default ones.
    #[serde(default)]
    pub device_rules: Vec<DeviceRule>,
    /// Users of the container on the host; `None` = they are the host's.
    #[serde(default)]
    pub users: Option<UserMap>,
    /// Size of /dev/shm in bytes.
    pub shm_size_bytes: u64,
    /// Place of the control group.
    pub cgroup: CgroupPlace,
    /// Limits of the control group.
    pub resources: Resources,
    /// `setrlimit(2)`, in this order.
    pub rlimits: Vec<Rlimit>,
    /// Namespaced kernel parameters: name with dots, value.
    pub sysctls: Vec<(String, String)>,
    /// `/proc/self/oom_score_adj`.
    pub oom_score_adj: Option<i32>,
    /// Confinement.
    pub security: Security,
    /// Programs of the host that are run when it is made: first all in the host's namespaces, then all in its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// Terminal and standard input.
    pub stdio: Stdio,
    /// What the monitor does when the process ends.
    pub restart: RestartPolicy,
    /// How the monitor probes health.
    pub probe: Option<Probe>,
    /// How the monitor stops the process.
    pub stop: StopPolicy,
    /// Where and how much the monitor logs.
    pub log: LogPlace,
}

impl ContainerSpec {
    /// The schema version that this build writes.
    pub const VERSION: u32 = 1;

    /// Describes a container that asks for nothing beyond its process: private namespaces, Docker's default confinement, no limits, no
    /// restart, no log.
    pub fn new(id: impl Into<String>, rootfs: Rootfs, process: Process) -> Self {
        let id = id.into();
        Self {
            version: Self::VERSION,
            hostname: String::new(),
            domainname: None,
            rootfs,
            rootfs_read_only: false,
            process,
            init: false,
            namespaces: Namespaces::PRIVATE,
            mounts: Vec::new(),
            devices: Vec::new(),
            device_rules: Vec::new(),
            users: None,
            shm_size_bytes: SHM_BYTES_DEFAULT,
            cgroup: CgroupPlace {
                parent: "stack".to_owned(),
                name: id.clone(),
            },
            id,
            resources: Resources::default(),
            rlimits: Vec::new(),
            sysctls: Vec::new(),
            oom_score_adj: None,
            security: Security {
                privileged: false,
                capabilities: CAPABILITIES_DEFAULT.map(str::to_owned).to_vec(),
                no_new_privs: false,
                seccomp: Seccomp::Default,
                mask_paths: true,
                exact: None,
            },
            hooks: Vec::new(),
            stdio: Stdio {
                tty: false,
                stdin: false,
            },
            restart: RestartPolicy::No,
            probe: None,
            stop: StopPolicy {
                signal: libc::SIGTERM,
                grace_ms: GRACE_MS_DEFAULT,
            },
            log: LogPlace {
                dir: None,
                file_bytes_max: 0,
                files_max: 1,
            },
        }
    }
}

/// A process of a container: the first one, an exec, or a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Program and arguments; the program is looked up in the container with PATH of `env`.
    pub argv: Vec<String>,
    /// `NAME=value`. HOME is added from the container's passwd when it is not here.
    pub env: Vec<String>,
    /// Working directory in the container; created if missing for the first process.
    pub cwd: String,
    /// `user[:group]`, names or numbers, resolved in the container's /etc/passwd and /etc/group; empty = root.
    pub user: String,
    /// Supplementary groups, names or numbers.
    pub groups: Vec<String>,
}

/// Namespaces of a container. The mount namespace is always private.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// Network namespace.
    pub net: Namespace,
    /// Process ids.
    pub pid: Namespace,
    /// System V IPC, POSIX message queues.
    pub ipc: Namespace,
    /// Host name.
    pub uts: Namespace,
    /// Control group root.
    pub cgroup: Namespace,
}

impl Namespaces {
    /// Every namespace new.
    pub const PRIVATE: Self = Self {
        net: Namespace::Private,
        pid: Namespace::Private,
        ipc: Namespace::Private,
        uts: Namespace::Private,
        cgroup: Namespace::Private,
    };
}

/// One namespace of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Namespace {
    /// A new one. For the network: loopback only.
    Private,
    /// The host's.
    Host,
    /// The one pinned at this path (`/run/stack/netns/…`, `/proc/<pid>/ns/…`).
    Join(PathBuf),
}

/// Confinement of a container's processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    /// All capabilities and devices, no seccomp filter, nothing masked.
    pub privileged: bool,
    /// Capability names without `CAP_`, upper case: the whole bounding, permitted and effective set.
    pub capabilities: Vec<String>,
    /// `prctl(PR_SET_NO_NEW_PRIVS)`.
    pub no_new_privs: bool,
    /// The system call filter.
    pub seccomp: Seccomp,
    /// Hide kernel paths (/proc/kcore, /sys/firmware, …) and write-protect others (/proc/sys, …).
    pub mask_paths: bool,
    /// Says it to the letter, for descriptions in another format.
    #[serde(default)]
    pub exact: Option<Box<ExactSecurity>>,
}

/// The system call filter of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seccomp {
    /// Docker's default profile for the capabilities of the container.
    Default,
    /// A profile of the user's.
    Profile(Box<SeccompProfile>),
    /// None.
    Unconfined,
}

/// Terminal and standard input of a container's first process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stdio {
    /// A pseudo-terminal of the container's devpts as fds 0-2; the monitor holds the master.
    pub tty: bool,
    /// Keep standard input open for attached clients; otherwise it is /dev/null.
    pub stdin: bool,
}

/// Where and how much a monitor logs.
///
/// Lines are `<RFC 3339 time with 9 fraction digits>Z <stdout|stderr> <F|P> <text>\n`, as in CRI logs: `F` ends a line, `P` is a piece
/// of one that is longer than 16 KiB or was cut by the end of the stream. The files are `current.log`, then `1.log` (the newest rotated
/// one), `2.log`, …. Events of the container are lines of the pseudo stream `event`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPlace {
    /// Directory of the log files; `None` = no log.
    pub dir: Option<PathBuf>,
    /// Rotate when `current.log` has this many bytes.
    pub file_bytes_max: u64,
    /// Number of files kept, `current.log` included.
    pub files_max: u32,
}
