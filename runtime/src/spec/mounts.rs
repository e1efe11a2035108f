//! The root filesystem and what is mounted on it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The root filesystem of a container. It is mounted in the container's own mount namespace only, so the host's mount table never shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rootfs {
    /// An overlay of image layers and a writable upper directory.
    Overlay {
        /// Layer directories, the topmost first; at least one.
        lowers: Vec<PathBuf>,
        /// Writable directory.
        upper: PathBuf,
        /// overlayfs work directory, on the filesystem of `upper`.
        work: PathBuf,
        /// An existing empty directory to mount on.
        mount_point: PathBuf,
        /// Nothing that is written is synced, whatever its processes ask for, and unmounting waits for no disk (`volatile`, Linux 5.10): for what
        /// counts only once it has been kept elsewhere. The work directory serves one mount.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        volatile: bool,
    },
    /// A directory of the host, bind-mounted on itself.
    Directory(PathBuf),
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Path in the container, resolved inside its root; made when missing (a file when a file is mounted).
    pub target: String,
    /// What is mounted.
    pub kind: MountKind,
    /// No writes, recursively where the kernel can.
    pub read_only: bool,
}

/// What a mount mounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountKind {
    /// A file or directory of the host.
    Bind {
        /// Host path; it must exist. For a volume with subpath, the volume's directory.
        source: PathBuf,
        /// Path below `source`, resolved inside it (never through a symlink that leaves it).
        subpath: Option<String>,
        /// With submounts.
        recursive: bool,
        /// Propagation of mounts below.
        propagation: Propagation,
        /// `read_only` is for this mount only, not for those below it.
        #[serde(default)]
        writable_below: bool,
    },
    /// The layers of an image, always read-only.
    Image {
        /// Layer directories, the topmost first; at least one.
        lowers: Vec<PathBuf>,
        /// Directory or file in the image, resolved inside it.
        subpath: Option<String>,
    },
    /// To the letter, for descriptions in another format; `read_only` is not looked at.
    Exact(super::ExactMount),
    /// Memory.
    Tmpfs {
        /// Size in bytes; `None` = the kernel's default.
        size_bytes: Option<u64>,
        /// Mode of its root directory.
        mode: u32,
        /// Further options (`uid=1000`, `noexec`).
        options: Vec<String>,
    },
}

/// Propagation of a bind mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Propagation {
    /// None in either direction, recursively.
    #[default]
    Rprivate,
    /// None in either direction.
    Private,
    /// From the host, recursively.
    Rslave,
    /// From the host.
    Slave,
    /// Both ways, recursively.
    Rshared,
    /// Both ways.
    Shared,
    /// None, and it cannot be bound elsewhere, recursively.
    Runbindable,
    /// None, and it cannot be bound elsewhere.
    Unbindable,
}
