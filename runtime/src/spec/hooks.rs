//! Programs of the host that are run when a container is made.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A program of the host, run before the container's own program, with the state of the OCI runtime specification on its standard input.
/// The bundle that the state names has a `config.json` with `root.path` alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// In which namespaces.
    pub at: HookPoint,
    /// The program.
    pub path: PathBuf,
    /// Arguments, the first of which is its name; empty = its path.
    pub args: Vec<String>,
    /// `NAME=value`; it gets no others.
    pub env: Vec<String>,
    /// Seconds that it may take; `None` = 60.
    pub timeout_s: Option<u32>,
}

/// Where a hook is run. Both run when the namespaces and mounts of the container are made, and its root is still the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookPoint {
    /// In the namespaces of the host.
    CreateRuntime,
    /// In those of the container.
    CreateContainer,
}
