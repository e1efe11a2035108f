//! What is wrong with a description.

use crate::process::user::UserSyntaxError;
use crate::security::seccomp::ProfileError;
use crate::spec::ContainerSpec;

/// Why a description is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// Written by a newer build.
    #[error(
        "description has version {found}, this build knows {}",
        ContainerSpec::VERSION
    )]
    Version {
        /// Version found.
        found: u32,
    },
    /// The id is a directory name and a control group name.
    #[error("id `{0}` is not made of letters, digits, `_`, `.` and `-`")]
    Id(String),
    /// `sethostname(2)` takes 64 bytes.
    #[error("{what} `{name}` is not 1 to 64 bytes of letters, digits, `.`, `-` and `_`")]
    HostName {
        /// `hostname` or `domainname`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A path that must be absolute is not, or has a byte that the kernel does not take.
    #[error("{what} `{path}` is not an absolute path")]
    Path {
        /// Which path.
        what: &'static str,
        /// The path.
        path: String,
    },
    /// A text with a NUL byte.
    #[error("{what} `{text}` contains a NUL byte")]
    Nul {
        /// Which text.
        what: &'static str,
        /// The text, escaped.
        text: String,
    },
    /// Nothing to run.
    #[error("no program to run")]
    NoProgram,
    /// A probe without a program.
    #[error("no program to probe with")]
    NoProbe,
    /// An environment entry without a name.
    #[error("environment entry `{0}` is not `NAME=value`")]
    Environment(String),
    /// A user or group that cannot be one.
    #[error(transparent)]
    User(#[from] UserSyntaxError),
    /// An overlay needs 1 to 500 layers (the kernel's limit).
    #[error("{0} layers are not 1 to 500")]
    Layers(usize),
    /// A mount below /proc would let a container lie to, or write through, the kernel's files (CVE-2019-16884).
    #[error("mount on `{0}` is inside /proc")]
    MountInProc(String),
    /// A mount on the root itself.
    #[error("mount on `{0}` would hide the root filesystem")]
    MountOnRoot(String),
    /// A tmpfs option that is unknown.
    #[error("tmpfs on `{target}` has unknown option `{option}`")]
    TmpfsOption {
        /// Where.
        target: String,
        /// The option.
        option: String,
    },
    /// A mount flag that is unknown.
    #[error("mount on `{target}` has unknown flag `{flag}`")]
    MountFlag {
        /// Where.
        target: String,
        /// The flag.
        flag: String,
    },
    /// A capability that does not exist.
    #[error("`{0}` is not a capability")]
    Capability(String),
    /// A resource limit that does not exist.
    #[error("`{0}` is not a resource limit")]
    Rlimit(String),
    /// The soft limit is above the hard one.
    #[error("soft limit {soft} of `{name}` is above the hard limit {hard}")]
    RlimitOrder {
        /// Limit.
        name: String,
        /// Soft value.
        soft: u64,
        /// Hard value.
        hard: u64,
    },
    /// A kernel parameter that is not a namespace's own.
    #[error("kernel parameter `{name}` {reason}")]
    Sysctl {
        /// Parameter.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// A number that is not in its range.
    #[error("{what} {value} is not {range}")]
    Range {
        /// Which number.
        what: &'static str,
        /// The number.
        value: u64,
        /// What it may be.
        range: &'static str,
    },
    /// A number below the one that means "unlimited".
    #[error("{what} {value} is not -1 (unlimited) or more")]
    Negative {
        /// Which number.
        what: &'static str,
        /// The number.
        value: i64,
    },
    /// No list of numbers and ranges.
    #[error("{what} `{list}` is not a list of numbers and ranges such as `0-2,5`")]
    List {
        /// Which list.
        what: &'static str,
        /// The text, escaped.
        list: String,
    },
    /// A number with a sign that is not in its range.
    #[error("{what} {value} is not {range}")]
    Signed {
        /// Which number.
        what: &'static str,
        /// The number.
        value: i32,
        /// What it may be.
        range: &'static str,
    },
    /// A device node whose path is not plain, or is that of a directory of ours.
    #[error("device `{0}` is not the plain path of a file")]
    Node(String),
    /// The name of a control file leads elsewhere.
    #[error("limit `{limit}` names `{file}`, which is no control file")]
    ControlFile {
        /// The limit.
        limit: String,
        /// The name.
        file: String,
    },
    /// A memory policy that the kernel does not take.
    #[error("memory policy `{policy}` {reason}")]
    MemoryPolicy {
        /// Mode and nodes.
        policy: String,
        /// Why not.
        reason: &'static str,
    },
    /// A device that may not be used in any way.
    #[error("device `{0}` has no access at all")]
    DeviceAccess(String),
    /// A map that the kernel does not take, or that leaves the container without root.
    #[error("{what} map `{map}` {reason}")]
    Users {
        /// `user` or `group`.
        what: &'static str,
        /// Its lines.
        map: String,
        /// Why not.
        reason: &'static str,
    },
    /// Devices and capabilities of the host are no use to users who are nobody there.
    #[error("a privileged container cannot have users of its own (a user map)")]
    PrivilegedUsers,
    /// A system call filter that cannot be built.
    #[error("seccomp profile: {0}")]
    Seccomp(#[source] ProfileError),
    /// Outside -1000 to 1000.
    #[error("OOM score adjustment {0} is not in -1000 to 1000")]
    OomScore(i32),
    /// A control group outside the hierarchy's root.
    #[error("control group `{0}` is not a relative path of plain names")]
    Cgroup(String),
}
