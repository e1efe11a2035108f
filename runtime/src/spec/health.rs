//! What the monitor does by itself: restart, probe, stop.

use serde::{Deserialize, Serialize};

/// What the monitor does when the process ends by itself.
///
/// The delay before an attempt starts at 100 ms and doubles up to one minute; a run of 10 s or more resets it (moby's constants).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// Nothing.
    No,
    /// Start it again, whatever its status.
    Always,
    /// Start it again when its status is not 0.
    OnFailure {
        /// Attempts before giving up; `None` = no limit.
        attempts_max: Option<u32>,
    },
}

/// How the monitor probes health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What to run in the container.
    pub test: ProbeTest,
    /// Time between the end of a probe and the next. The first probe runs at once, so that a ready service is healthy at once.
    pub interval_ms: u64,
    /// Time that one probe may take before it is killed and counts as failed.
    pub timeout_ms: u64,
    /// Failures in a row that make the container unhealthy.
    pub retries: u32,
    /// Time after the start in which failures do not count.
    pub start_period_ms: u64,
    /// Time between probes during the start period.
    pub start_interval_ms: u64,
}

/// What a probe runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeTest {
    /// A program with arguments, in the container, with the container's environment, user and working directory.
    Exec(Vec<String>),
}

/// How the monitor stops the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPolicy {
    /// Signal number sent first.
    pub signal: i32,
    /// Time until SIGKILL.
    pub grace_ms: u64,
}
