//! Control group place, limits and rlimits.

use std::path::PathBuf;

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
    /// Memory nodes that may be used (`0-1`).
    #[serde(default)]
    pub cpuset_mems: Option<String>,
    /// Number of tasks; -1 = unlimited.
    pub pids: Option<i64>,
    /// How readily the kernel swaps, 0 to 100 (v1 only).
    #[serde(default)]
    pub memory_swappiness: Option<u64>,
    /// Let processes wait for memory instead of killing one (v1 only).
    #[serde(default)]
    pub oom_kill_disable: bool,
    /// Microseconds of real-time scheduling per period (v1, kernels with RT_GROUP_SCHED).
    #[serde(default)]
    pub cpu_rt_runtime_us: Option<u64>,
    /// Period of real-time scheduling in microseconds (as above).
    #[serde(default)]
    pub cpu_rt_period_us: Option<u64>,
    /// Limits of block devices.
    #[serde(default)]
    pub block_io: BlockIo,
    /// Limits to the letter, for descriptions in another format; written after all others.
    #[serde(default)]
    pub exact: Vec<super::ExactLimit>,
}

/// Limits of block devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockIo {
    /// Relative weight, 10 to 1000; needs a scheduler with weights (bfq) or, on v2, the cost model.
    pub weight: Option<u16>,
    /// Weights for single devices.
    pub weights: Vec<DeviceWeight>,
    /// Bounds for single devices.
    pub throttles: Vec<Throttle>,
}

/// Relative weight on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceWeight {
    /// Node of the block device on the host.
    pub device: PathBuf,
    /// 10 to 1000.
    pub weight: u16,
}

/// A bound on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttle {
    /// Node of the block device on the host.
    pub device: PathBuf,
    /// What is bounded.
    pub bound: ThrottleBound,
    /// Bytes or operations per second; at least 1.
    pub rate: u64,
}

/// What a [`Throttle`] bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThrottleBound {
    /// Bytes read per second.
    ReadBytes,
    /// Bytes written per second.
    WriteBytes,
    /// Reads per second.
    ReadOperations,
    /// Writes per second.
    WriteOperations,
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
