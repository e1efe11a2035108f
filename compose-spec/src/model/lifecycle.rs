//! What happens around the life of a service's containers: hooks, updates, watching, providers and models.

use std::{path::PathBuf, time::Duration};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::Service;

/// A command that runs in a container of the service: `post_start`, `pre_stop`, `develop.watch[].exec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Program and arguments.
    pub command: Vec<String>,
    /// `user[:group]`; `None` = the container's.
    pub user: Option<String>,
    /// All capabilities.
    pub privileged: bool,
    /// Working directory; `None` = the container's.
    pub working_dir: Option<String>,
    /// Variables over those of the container; `None` removes one.
    pub environment: IndexMap<String, Option<String>>,
}

/// A container that runs to its end before the service's own ones start: `pre_start`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InitHook {
    /// The container: that of the service with what the hook says laid over it. Its mounts are those of the service, then its
    /// own; it publishes nothing, has no health check, is never restarted, and has no hooks itself.
    pub container: Box<Service>,
    /// Once for each replica; else once for the service, and only while no replica runs.
    pub per_replica: bool,
}

/// `deploy.update_config` or `deploy.rollback_config`: how replicas are replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Replicas replaced at once; 0 = all; `None` = 1.
    pub parallelism: Option<u32>,
    /// Time between two batches; `None` = none.
    pub delay: Option<Duration>,
    /// What a failed replica leads to.
    pub failure_action: FailureAction,
    /// Time that a new replica is watched for failure; `None` = 5 s.
    pub monitor: Option<Duration>,
    /// Share of replicas that may fail, 0 to 1.
    pub max_failure_ratio: f64,
    /// Whether the old or the new replica goes first.
    pub order: RolloutOrder,
}

/// What a failed replica of a rollout leads to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureAction {
    /// The rollout stops there.
    #[default]
    Pause,
    /// It goes on.
    Continue,
    /// The replicas replaced so far go back (`update_config` only).
    Rollback,
}

/// Whether the old or the new replica goes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutOrder {
    /// The old one is stopped, then the new one started.
    #[default]
    StopFirst,
    /// The new one is started, then the old one stopped.
    StartFirst,
}

/// One rule of `develop.watch` (Compose Develop Specification).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchRule {
    /// Absolute file or directory that is watched.
    pub path: PathBuf,
    /// What a change leads to.
    pub action: WatchAction,
    /// Patterns (as in .dockerignore, relative to `path`) that count; empty = all.
    pub include: Vec<String>,
    /// Patterns that do not count.
    pub ignore: Vec<String>,
    /// Bring the containers up to date when watching begins.
    pub initial_sync: bool,
}

/// What a change of a watched file leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchAction {
    /// The image is built and the containers recreated.
    Rebuild,
    /// The containers are restarted.
    Restart,
    /// The file is copied below this path of the containers.
    Sync {
        /// Path in the container.
        target: String,
    },
    /// The file is copied, then the containers are restarted.
    SyncRestart {
        /// Path in the container.
        target: String,
    },
    /// The file is copied, then a command runs.
    SyncExec {
        /// Path in the container.
        target: String,
        /// The command.
        exec: Box<Hook>,
    },
}

impl WatchAction {
    /// Returns the path in the container that is copied to; `None` when nothing is copied.
    pub fn target(&self) -> Option<&str> {
        match self {
            Self::Rebuild | Self::Restart => None,
            Self::Sync { target }
            | Self::SyncRestart { target }
            | Self::SyncExec { target, .. } => Some(target),
        }
    }
}

/// A program that runs the service in place of containers: `docker-<kind>` or `<kind>`, called with `compose up` and `down`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// `type`: name of the program.
    pub kind: String,
    /// Its options, each `--key=value` as often as it has values.
    pub options: IndexMap<String, Vec<String>>,
}

/// An entry of the top-level `models:`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Full name: `name:`, else the key.
    pub name: String,
    /// Reference of the model's artifact.
    pub model: String,
    /// Tokens of context; `None` = the runner's default.
    pub context_size: Option<i64>,
    /// Flags of the inference engine.
    pub runtime_flags: Vec<String>,
}

/// How a service learns of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelBinding {
    /// Variable that holds the URL; `None` = `<MODEL>_URL`.
    pub endpoint_var: Option<String>,
    /// Variable that holds the name; `None` = `<MODEL>_MODEL`.
    pub model_var: Option<String>,
}
