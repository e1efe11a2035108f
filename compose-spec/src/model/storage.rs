//! Volumes, mounts, secrets and configs.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// An entry of the top-level `volumes:`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Full name: `name:`, else `<project>_<key>`.
    pub name: String,
    /// Exists already and is not ours to make or remove.
    pub external: bool,
    /// `local` or `None`.
    pub driver: Option<String>,
    /// `type`, `o`, `device` of the local driver.
    pub driver_opts: IndexMap<String, String>,
    /// Labels of the volume.
    pub labels: IndexMap<String, String>,
    /// `x-…` keys.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub extensions: IndexMap<String, serde_json::Value>,
}

/// A mount of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path in the container.
    pub target: String,
    /// No writes.
    pub read_only: bool,
    /// What is mounted.
    pub source: MountSource,
}

/// What a mount mounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountSource {
    /// A named volume, by key.
    Volume {
        /// Key under the top-level `volumes:`.
        key: String,
        /// Do not copy the image's content into an empty volume.
        nocopy: bool,
        /// Directory inside the volume.
        subpath: Option<String>,
    },
    /// A volume without a name, kept per container.
    Anonymous {
        /// Do not copy the image's content into it.
        nocopy: bool,
        /// Labels of the volume.
        #[serde(default)]
        labels: IndexMap<String, String>,
    },
    /// A file or directory of the host.
    Bind {
        /// Absolute host path.
        path: PathBuf,
        /// Options.
        options: BindOptions,
    },
    /// Memory.
    Tmpfs(TmpfsOptions),
    /// The filesystem of an image.
    Image {
        /// Image reference.
        image: String,
        /// Directory inside the image.
        subpath: Option<String>,
    },
}

/// Options of a bind mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindOptions {
    /// Make a missing directory (short form: yes; long form without `bind:`: no).
    pub create_host_path: bool,
    /// `rprivate`, `rslave`, …; `None` = rprivate.
    pub propagation: Option<String>,
    /// `enabled`, `disabled`, `writable`, `readonly`; `None` = enabled.
    pub recursive: Option<String>,
    /// Label for SELinux; `None` = as it is.
    #[serde(default)]
    pub selinux: Option<SelinuxLabel>,
}

/// How a bind mount is labelled for SELinux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelinuxLabel {
    /// `z`: for all containers.
    Shared,
    /// `Z`: for this container alone.
    Private,
}

/// Options of a tmpfs mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TmpfsOptions {
    /// Size in bytes; `None` = half of memory.
    pub size_bytes: Option<u64>,
    /// Mode of the root directory; `None` = 1777.
    pub mode: Option<u32>,
    /// Further options of the short form (`uid=1000`, `noexec`).
    pub options: Vec<String>,
}

/// A secret or config of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileObject {
    /// Full name: `name:`, else `<project>_<key>`.
    pub name: String,
    /// Where the bytes come from.
    pub source: FileSource,
    /// Labels.
    pub labels: IndexMap<String, String>,
}

/// Where the bytes of a secret or config come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileSource {
    /// A host file, absolute.
    File(PathBuf),
    /// An environment variable: its name and, once resolved, its value.
    Environment {
        /// Name of the variable.
        variable: String,
        /// Its value; `None` = not set.
        value: Option<String>,
    },
    /// Text in the Compose file (configs only).
    Content(String),
    /// Made elsewhere.
    External,
}

/// A secret or config that a service may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileGrant {
    /// Key of the secret or config.
    pub source: String,
    /// Absolute path in the container.
    pub target: String,
    /// Owner; `None` = root.
    pub uid: Option<u32>,
    /// Group; `None` = root.
    pub gid: Option<u32>,
    /// Mode; `None` = 0444.
    pub mode: Option<u32>,
}
