//! What a container does now: the record that its monitor writes and everybody reads.

use std::{mem, time::Duration};

use serde::{Deserialize, Serialize};

/// What a container does. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ContainerState {
    /// It was never started. `container::spawn` moves it on.
    Created,
    /// Its process runs. The monitor moves it on when the process ends.
    Running {
        /// Host pid of the container's PID 1.
        pid: i32,
        /// Start of this run.
        since_ms: u64,
        /// Outcome of the probes.
        health: Health,
    },
    /// Frozen. `Resume` moves it on.
    Paused {
        /// Host pid of the container's PID 1.
        pid: i32,
        /// Start of this run.
        since_ms: u64,
        /// Health before the pause.
        health: Health,
    },
    /// The process ended and will be started again. The monitor's timer moves it on.
    Restarting {
        /// Attempt number from 1.
        attempt: u32,
        /// Time of the next attempt.
        until_ms: u64,
        /// How the last run ended.
        last: ExitStatus,
    },
    /// The process ended for good. A new start moves it on.
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// When.
        at_ms: u64,
    },
    /// It cannot be known how it ended: machine and monitor are gone. A new start moves it on.
    Lost {
        /// Why.
        reason: String,
    },
}

impl ContainerState {
    /// Tells whether the container has processes, or will have some again by its restart policy: whether it has a monitor.
    pub const fn is_live(&self) -> bool {
        match self {
            Self::Running { .. } | Self::Paused { .. } | Self::Restarting { .. } => true,
            Self::Created | Self::Exited { .. } | Self::Lost { .. } => false,
        }
    }

    /// Tells whether nothing but the count and the output of probes is different.
    pub fn is_same_but_for_probes(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Running {
                    pid,
                    since_ms,
                    health,
                },
                Self::Running {
                    pid: other_pid,
                    since_ms: other_since_ms,
                    health: other_health,
                },
            ) => {
                pid == other_pid
                    && since_ms == other_since_ms
                    && mem::discriminant(health) == mem::discriminant(other_health)
            }
            _ => self == other,
        }
    }

    /// Returns the host pid of PID 1 while the process exists.
    pub const fn pid(&self) -> Option<i32> {
        match self {
            Self::Running { pid, .. } | Self::Paused { pid, .. } => Some(*pid),
            Self::Created | Self::Restarting { .. } | Self::Exited { .. } | Self::Lost { .. } => {
                None
            }
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitStatus {
    /// Exit code; 128 + signal when a signal ended it, as shells report it.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The kernel's out-of-memory killer struck in its control group.
    pub oom_killed: bool,
    /// `stop` or `kill` was asked for.
    pub requested: bool,
}

/// Outcome of the probes so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "health")]
pub enum Health {
    /// The container has no probe.
    None,
    /// No success yet, and not enough failures.
    Starting {
        /// Failures in a row.
        failing: u32,
        /// The last probe.
        last: Option<ProbeResult>,
    },
    /// The last probe succeeded, or too few failed since.
    Healthy {
        /// Failures in a row.
        failing: u32,
        /// The last probe.
        last: Option<ProbeResult>,
    },
    /// `retries` probes in a row failed.
    Unhealthy {
        /// Failures in a row.
        failing: u32,
        /// The last probe.
        last: Option<ProbeResult>,
    },
}

/// One probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// Exit code; -1 = timed out or could not be started.
    pub code: i32,
    /// The first 4096 bytes of its output.
    pub output: String,
    /// When it ended, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// How long it took.
    pub took: Duration,
}

/// `state.json` in a container's directory. Only its monitor writes it: a temporary file and a rename, with an fsync when the state is `Exited`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRecord {
    /// Schema version.
    pub version: u32,
    /// /proc/sys/kernel/random/boot_id of the boot that wrote it; another boot makes a live state [`ContainerState::Lost`].
    pub boot_id: String,
    /// Pid of the monitor.
    pub monitor_pid: i32,
    /// Start time of the container's PID 1 in clock ticks (field 22 of /proc/pid/stat): tells a reused pid.
    pub init_start_ticks: Option<u64>,
    /// What it does.
    #[serde(flatten)]
    pub state: ContainerState,
    /// Restarts by policy since the last start by the user.
    pub restarts: u32,
    /// First start of the container, milliseconds since the Unix epoch.
    pub started_at_ms: Option<u64>,
    /// Inode numbers of the pipes that are the process's standard output and error, so that another monitor can go on reading them;
    /// empty with a terminal.
    #[serde(default)]
    pub log_pipes: Vec<u64>,
}

impl StateRecord {
    /// The schema version that this build writes.
    pub const VERSION: u32 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(pid: i32, health: Health) -> ContainerState {
        ContainerState::Running {
            pid,
            since_ms: 1,
            health,
        }
    }

    #[test]
    fn only_another_outcome_of_probes_is_a_change() {
        let starting = |failing| {
            running(
                1,
                Health::Starting {
                    failing,
                    last: None,
                },
            )
        };
        let healthy = running(
            1,
            Health::Healthy {
                failing: 0,
                last: None,
            },
        );
        assert!(starting(0).is_same_but_for_probes(&starting(1)));
        assert!(!starting(0).is_same_but_for_probes(&healthy));
        assert!(!running(1, Health::None).is_same_but_for_probes(&running(2, Health::None)));
        assert!(!ContainerState::Created.is_same_but_for_probes(&healthy));
    }
}
