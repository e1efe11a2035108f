//! Control group place, limits and rlimits.

use serde::{Deserialize, Serialize};

/// Where a container's control group lies: `<root>/<parent>/<name>` in the v2 hierarchy or in each v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPlace {
    /// Relative path of the parent (`stack/shop`); made when missing, with controllers enabled at each level.
    pub parent: String,
    /// Name of the container's own group, its id.
    pub name: String,
}

/// Limits of a control group; `None` = no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Hard memory limit in bytes.
    pub memory_bytes: Option<u64>,
    /// Memory plus swap in bytes; -1 = unlimited; `None` with a memory limit = twice the limit, as Docker does.
    pub memory_swap_bytes: Option<i64>,
    /// Memory protected from reclaim, in bytes.
    pub memory_reservation_bytes: Option<u64>,
    /// CFS quota in microseconds per period.
    pub cpu_quota_us: Option<i64>,
    /// CFS period in microseconds; `None` = 100 000.
    pub cpu_period_us: Option<u64>,
    /// Relative weight, 2 to 262144 (v1 scale).
    pub cpu_shares: Option<u64>,
    /// CPUs that may be used (`0-2,4`).
    pub cpuset_cpus: Option<String>,
    /// Number of tasks; -1 = unlimited.
    pub pids: Option<i64>,
}

/// One resource limit of `setrlimit(2)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Lower-case name without `RLIMIT_` (`nofile`).
    pub name: String,
    /// Soft limit; `u64::MAX` = unlimited.
    pub soft: u64,
    /// Hard limit; `u64::MAX` = unlimited. Clamped to what this host permits, with one warning.
    pub hard: u64,
}
