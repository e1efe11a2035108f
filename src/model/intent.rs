//! What users ask for: shared by the protocol and the plans.

use serde::{Deserialize, Serialize};

/// When `up` recreates containers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recreate {
    /// When they differ from what is wanted.
    #[default]
    Diverged,
    /// Always.
    Force,
    /// Never.
    Never,
}

/// Which images `down` removes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemoveImages {
    /// None.
    #[default]
    None,
    /// Those without a custom `image:` name.
    Local,
    /// All that services use.
    All,
}

/// What to do with containers that exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LifecycleAction {
    /// Start, in the order of dependencies.
    Start,
    /// Stop, dependents first.
    Stop {
        /// Grace in milliseconds.
        grace_ms: Option<u64>,
    },
    /// Stop and start.
    Restart {
        /// Grace in milliseconds.
        grace_ms: Option<u64>,
    },
    /// Send a signal.
    Kill {
        /// Signal name or number.
        signal: String,
    },
    /// Freeze.
    Pause,
    /// Thaw.
    Unpause,
    /// Remove stopped containers.
    Remove {
        /// Stop running ones first.
        stop: bool,
        /// Remove their anonymous volumes.
        volumes: bool,
    },
}
