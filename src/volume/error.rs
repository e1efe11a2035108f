//! What can go wrong with volumes.

use std::{io, path::PathBuf};

use crate::{model::UnsupportedBacking, store::StoreError};

/// A volume could not be made, filled, listed or removed.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The name would not be one directory.
    #[error(
        "invalid volume name `{name}`: it must begin with a letter or digit and consist of letters, digits, `_`, `.` and `-`"
    )]
    InvalidName {
        /// The name.
        name: String,
    },
    /// Driver or options are not supported.
    #[error("make volume `{name}`")]
    Unsupported {
        /// The volume.
        name: String,
        /// What is not.
        #[source]
        source: UnsupportedBacking,
    },
    /// The volume does not exist.
    #[error("no such volume: {name}")]
    Missing {
        /// The name.
        name: String,
    },
    /// The host directory of a bound volume does not exist.
    #[error("the directory `{path}` of volume `{name}` does not exist")]
    DeviceMissing {
        /// The volume.
        name: String,
        /// The directory.
        path: PathBuf,
    },
    /// A record could not be read or written.
    #[error("{intent} volume `{name}`")]
    Store {
        /// `make`, `remove`, ….
        intent: &'static str,
        /// The volume.
        name: String,
        /// What happened.
        #[source]
        source: StoreError,
    },
    /// A file operation failed; the source names the path.
    #[error("{intent} volume `{name}`")]
    Io {
        /// `make`, `remove`, ….
        intent: &'static str,
        /// The volume.
        name: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// There is one of that name.
    #[error("volume `{name}` exists already")]
    Exists {
        /// The name.
        name: String,
    },
    /// Its data is not in stack's own directory, which is what could be exchanged.
    #[error("the data of volume `{name}` lies where its driver options say, and is not replaced")]
    Elsewhere {
        /// The name.
        name: String,
    },
    /// Somebody reads it: a backup or a copy.
    #[error(
        "{intent} volume `{name}`: it is being backed up or copied; try again when that has ended"
    )]
    Busy {
        /// `remove`, `rename`, ….
        intent: &'static str,
        /// The name.
        name: String,
    },
    /// It could not be kept from changing who uses volumes.
    #[error("lock the uses of volumes")]
    Uses(#[source] StoreError),
    /// There is no place for what is not finished.
    #[error("make a directory for unfinished volumes")]
    Unfinished(#[source] io::Error),
    /// The volumes could not be listed.
    #[error("list volumes")]
    List(#[source] io::Error),
    /// Content of the image could not be copied.
    #[error("copy `{path}` of the image into volume `{name}`: {operation}")]
    Copy {
        /// The volume.
        name: String,
        /// Path in the image.
        path: PathBuf,
        /// The system call.
        operation: &'static str,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// Its file system could not be mounted.
    #[error("mount `{device}` ({filesystem}) for volume `{name}`{complaint}")]
    Mount {
        /// The volume.
        name: String,
        /// Type of the file system.
        filesystem: String,
        /// What is mounted.
        device: String,
        /// What the kernel says besides its error, after `: `; may be empty.
        complaint: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The kernel has no such file system.
    #[error(
        "mount `{device}` for volume `{name}`: this kernel has no file system `{filesystem}`, and no module of it could be loaded"
    )]
    NoFilesystem {
        /// The volume.
        name: String,
        /// Type of the file system.
        filesystem: String,
        /// What is mounted.
        device: String,
    },
    /// Its file system could not be unmounted.
    #[error("unmount the data of volume `{name}`")]
    Unmount {
        /// The volume.
        name: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The mount table could not be read.
    #[error("read the mount table")]
    Mounts(#[source] io::Error),
    /// A file of the volume could not be read.
    #[error("{operation} `{}` of volume `{name}`", path.display())]
    Read {
        /// The volume.
        name: String,
        /// Path in the archive.
        path: PathBuf,
        /// What was tried.
        operation: &'static str,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// Nobody takes the archive, or the disk is full.
    #[error("write the archive")]
    Write(#[source] io::Error),
    /// A directory inside the volume cannot be used.
    #[error("use directory `{subpath}` of volume `{name}`")]
    Subpath {
        /// The volume.
        name: String,
        /// The directory.
        subpath: String,
        /// What happened.
        #[source]
        source: runtime::Error,
    },
    /// The source of a bind mount does not exist.
    #[error("bind source path does not exist: {path}")]
    BindSourceMissing {
        /// The path.
        path: PathBuf,
    },
    /// The source of a bind mount could not be made or looked at.
    #[error("prepare the source of a bind mount")]
    BindSource(#[source] io::Error),
}
