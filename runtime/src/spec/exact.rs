//! What a description in another format says to the letter, where ours only knows Docker's way: capability sets, kernel paths, mounts.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Propagation;

/// Confinement to the letter, in place of what follows from [`super::Security`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactSecurity {
    /// The sets of capabilities(7), names without `CAP_`.
    pub capabilities: CapabilitySets,
    /// Paths to hide; those that the root filesystem does not have are left out.
    pub hidden: Vec<String>,
    /// Paths to write-protect; those that the root filesystem does not have are left out.
    pub protected: Vec<String>,
    /// File mode mask of the process; `None` = 022.
    pub umask: Option<u32>,
    /// Device nodes beyond the default ones.
    #[serde(default)]
    pub nodes: Vec<ExactNode>,
    /// Scheduling and memory of the process.
    #[serde(default)]
    pub attributes: super::Attributes,
    /// Propagation of the root mount; `None` = private.
    #[serde(default)]
    pub root_propagation: Option<Propagation>,
}

/// A device node by its numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactNode {
    /// Path in the container.
    pub path: PathBuf,
    /// Character or block; `None` = a FIFO, which has no numbers.
    pub kind: Option<super::DeviceKind>,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// File mode.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The sets of capabilities(7). What the caller does not have is left out, with one warning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilitySets {
    /// Limits what execve(2) can give.
    pub bounding: Vec<String>,
    /// What the process may have.
    pub permitted: Vec<String>,
    /// What it has.
    pub effective: Vec<String>,
    /// What files can pass on.
    pub inheritable: Vec<String>,
    /// What programs of another user than root keep.
    pub ambient: Vec<String>,
}

/// A mount to the letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactMount {
    /// What is mounted.
    pub source: ExactSource,
    /// Flags to set, by the names of mount(8): `ro`, `nosuid`, `noexec`, …
    pub set: Vec<String>,
    /// Flags to clear on a bind mount, by the names of what is cleared (`nosuid`, not `suid`).
    pub cleared: Vec<String>,
    /// Flags to set on the mount and everything below it.
    pub set_below: Vec<String>,
    /// Propagation; `None` = private.
    pub propagation: Option<Propagation>,
}

/// What an [`ExactMount`] mounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExactSource {
    /// A file or directory of the host.
    Bind {
        /// Host path.
        path: PathBuf,
        /// With submounts.
        recursive: bool,
    },
    /// A new filesystem.
    Filesystem {
        /// Type.
        kind: String,
        /// The type's `source`.
        source: String,
        /// Options of the type: key and value, an empty value is a flag.
        options: Vec<(String, String)>,
    },
}

/// A limit to the letter: what to write to which control file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactLimit {
    /// What it limits, as its description calls it.
    pub limit: String,
    /// Controller that has the file (`hugetlb`).
    pub controller: String,
    /// File and text on version 1; `None` = that version has nothing of the kind.
    pub v1: Option<(String, String)>,
    /// File and text on version 2; `None` = that version has nothing of the kind.
    pub v2: Option<(String, String)>,
}
