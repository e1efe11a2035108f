//! Attributes of a process for which Compose has no word: how the kernel schedules it, and where its memory comes from.
//!
//! The names are those of the kernel's manual pages and of the OCI runtime specification.

use serde::{Deserialize, Serialize};

/// Attributes of a process; what is `None` is inherited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attributes {
    /// personality(2).
    pub personality: Option<Personality>,
    /// sched_setattr(2).
    pub scheduler: Option<Scheduler>,
    /// ioprio_set(2).
    pub io_priority: Option<IoPriority>,
    /// set_mempolicy(2).
    pub memory_policy: Option<MemoryPolicy>,
}

/// What uname(2) and some other calls pretend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Personality {
    /// Nothing.
    #[serde(rename = "LINUX")]
    Linux,
    /// A 32-bit machine.
    #[serde(rename = "LINUX32")]
    Linux32,
}

/// How the kernel schedules a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheduler {
    /// The policy.
    pub policy: SchedulerPolicy,
    /// -20 to 19, for `SCHED_OTHER` and `SCHED_BATCH`.
    #[serde(default)]
    pub nice: i32,
    /// 1 to 99, for `SCHED_FIFO` and `SCHED_RR`.
    #[serde(default)]
    pub priority: i32,
    /// Flags.
    #[serde(default)]
    pub flags: Vec<SchedulerFlag>,
    /// Nanoseconds that the process may run in each period, for `SCHED_DEADLINE`.
    #[serde(default, rename = "runtime")]
    pub runtime_ns: u64,
    /// Nanoseconds from the start of a period within which it must have run.
    #[serde(default, rename = "deadline")]
    pub deadline_ns: u64,
    /// Nanoseconds; 0 = the deadline.
    #[serde(default, rename = "period")]
    pub period_ns: u64,
}

/// A policy of sched(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are those of sched(7)")]
pub enum SchedulerPolicy {
    SchedOther,
    SchedFifo,
    SchedRr,
    SchedBatch,
    SchedIdle,
    SchedDeadline,
}

/// A flag of sched_setattr(2). The two of utilisation clamps are missing: their values cannot be described.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are those of sched_setattr(2)")]
pub enum SchedulerFlag {
    SchedFlagResetOnFork,
    SchedFlagReclaim,
    SchedFlagDlOverrun,
    SchedFlagKeepPolicy,
    SchedFlagKeepParams,
}

/// Priority of a process's block I/O.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IoPriority {
    /// The class.
    pub class: IoClass,
    /// 0 (first) to 7.
    #[serde(default)]
    pub priority: i32,
}

/// A class of ioprio_set(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IoClass {
    /// Before all others.
    #[serde(rename = "IOPRIO_CLASS_RT")]
    RealTime,
    /// The usual one.
    #[serde(rename = "IOPRIO_CLASS_BE")]
    BestEffort,
    /// When nobody else wants the disk.
    #[serde(rename = "IOPRIO_CLASS_IDLE")]
    Idle,
}

/// From which nodes of a NUMA machine a process gets memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryPolicy {
    /// The mode.
    pub mode: MemoryMode,
    /// Nodes as a list of numbers and ranges (`0-2,5`).
    #[serde(default)]
    pub nodes: String,
    /// Flags.
    #[serde(default)]
    pub flags: Vec<MemoryFlag>,
}

/// A mode of set_mempolicy(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are those of set_mempolicy(2)")]
pub enum MemoryMode {
    MpolDefault,
    MpolPreferred,
    MpolBind,
    MpolInterleave,
    MpolLocal,
    MpolPreferredMany,
    MpolWeightedInterleave,
}

/// A flag of set_mempolicy(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are those of set_mempolicy(2)")]
pub enum MemoryFlag {
    MpolFNumaBalancing,
    MpolFRelativeNodes,
    MpolFStaticNodes,
}
