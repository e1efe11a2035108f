//! What users ask for: shared by the protocol and the plans.

use std::collections::BTreeMap;

use compose_spec::model::{PullPolicy, ServiceName};
use serde::{Deserialize, Serialize};

use super::Timestamp;

/// What `up` was asked for, and the loop after it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpOptions {
    /// Whether the project is being changed or kept.
    pub mode: Mode,
    /// When the call was made. A container that ended before it is started again, one that ended after it had its run;
    /// a forced recreate is done once a container is newer. So the same options can be planned again until nothing is left.
    pub since: Timestamp,
    /// Services that the call is about; empty = all. Their dependencies come too unless `no_deps`. In the loop (`Enforce`): services
    /// whose missing containers are made; empty = none. Containers that exist are cared for in any case.
    pub services: Vec<ServiceName>,
    /// Leave dependencies alone.
    pub no_deps: bool,
    /// Build before starting even when the image exists.
    pub build: bool,
    /// Never build.
    pub no_build: bool,
    /// Overrides every service's policy.
    pub pull: Option<PullPolicy>,
    /// When to recreate containers.
    pub recreate: Recreate,
    /// Let `recreate: Force` reach dependencies too.
    pub always_recreate_deps: bool,
    /// Do not carry anonymous volumes over.
    pub renew_anonymous_volumes: bool,
    /// Remove containers of services that the project no longer has.
    pub remove_orphans: bool,
    /// Services of the Compose file that are switched off by profiles: their containers are no orphans.
    pub inactive_services: Vec<ServiceName>,
    /// Replica counts by service (`--scale`).
    pub scale: BTreeMap<ServiceName, u32>,
    /// Create but do not start.
    pub no_start: bool,
    /// Wait at the end until every service is ready.
    pub wait: bool,
    /// Grace of stops in milliseconds, in place of each service's.
    pub grace_ms: Option<u64>,
    /// What to do with a volume whose definition changed.
    pub changed_volumes: ChangedVolumes,
}

/// Whether a plan changes the project or keeps it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// `up`: make containers as the project says. Plan so until a plan is empty, then go on with `Enforce`.
    #[default]
    Up,
    /// Between calls: what is missing, lost or broken is made good. Nothing is recreated because it differs, no image is asked
    /// for again, and what ended by itself stays as its restart policy says.
    Enforce,
}

/// What `up` does with an existing volume whose driver or options differ from the Compose file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangedVolumes {
    /// Use it as it is, and say so.
    #[default]
    Keep,
    /// Make it anew; its data is lost, so the plan asks for confirmation.
    Recreate,
}

/// What `down` was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownOptions {
    /// Services named by the user; empty = everything, networks included.
    pub services: Vec<ServiceName>,
    /// Services of the Compose file, to tell orphans; empty when there is no file (then nothing is an orphan).
    pub known_services: Vec<ServiceName>,
    /// Remove volumes: named ones and anonymous ones.
    pub volumes: bool,
    /// Remove images.
    pub images: RemoveImages,
    /// Remove one-off containers and those of services that the project does not have.
    pub remove_orphans: bool,
    /// Grace of stops in milliseconds.
    pub grace_ms: Option<u64>,
}

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
