//! Limits of a container, and the namespaces that it shares.

use serde::{Deserialize, Serialize};

use super::{Blkio, ServiceName};

/// Limits of a container's control group; `None` = no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
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
    /// How readily memory is swapped, 0 to 100 (cgroup v1 only).
    pub memory_swappiness: Option<u8>,
    /// Stop instead of killing when memory runs out (cgroup v1 only).
    pub oom_kill_disable: bool,
    /// Realtime period in microseconds (cgroup v1 only).
    pub cpu_rt_period_us: Option<u64>,
    /// Realtime runtime in microseconds (cgroup v1 only).
    pub cpu_rt_runtime_us: Option<i64>,
    /// Number of tasks; -1 = no limit.
    pub pids: Option<i64>,
    /// Shares and limits of block devices; `None` = none.
    pub blkio: Option<Box<Blkio>>,
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

/// Whose user namespace a container uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserNamespace {
    /// As the engine is set up.
    #[default]
    Default,
    /// The host's, also where the engine maps users by default.
    Host,
}
