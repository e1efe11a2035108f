//! Fills an empty volume with what the image has at its mount point, as Docker does at the first mount.
//!
//! The content is copied beside the data first (`.fill`), then moved in. A crash while copying leaves nothing in the volume; a crash
//! while moving is made good by the next call, because `.fill-ready` says that the rest is complete. The data directory itself stays
//! the same directory: another container may have the empty volume mounted already. A volume whose data is in another file system is
//! filled from a directory of that one (`_data/.stack-fill`).

use std::{
    ffi::OsString,
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use fs_err as fs;
use runtime::rootfs::confine;
use rustix::{
    fs::{Mode, OFlags, RenameFlags, open, renameat_with},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use super::{
    VolumeError,
    local::Volumes,
    merged::Directory,
    tree::{self, CopyError},
};
use crate::{
    model::Backing,
    store::{read_json, remove_tree, write_json},
};

/// What came of filling a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filled {
    /// The image's content is in it now.
    Copied,
    /// It had data already, which stays.
    NotEmpty,
    /// The image has no directory there.
    NothingToCopy,
    /// It cannot be written.
    ReadOnly,
}

/// `.fill-ready`.
#[derive(Debug, Serialize, Deserialize)]
struct Ready {
    version: u32,
    /// Directory inside the volume that is being filled.
    subpath: Option<String>,
}

impl Volumes {
    /// Fills a volume (or a directory inside it, made when missing) from `source` of an image when it is empty. `layers`: the image's
    /// directories, the topmost first.
    pub(super) fn copy_up(
        &self,
        (name, subpath): (&str, Option<&str>),
        (layers, source): (&[PathBuf], &str),
    ) -> Result<Filled, VolumeError> {
        let record = self.find(name)?.ok_or_else(|| VolumeError::Missing {
            name: name.to_owned(),
        })?;
        let backing = record.wanted.as_ref().map(Backing::of);
        let fill = Fill {
            volumes: self,
            name,
            is_elsewhere: matches!(backing, Some(Ok(Backing::Mount(_) | Backing::Bind(_)))),
        };
        if fill.is_read_only()? {
            return Ok(Filled::ReadOnly);
        }
        let target = fill.target(subpath)?;
        // Who reads a volume with data holds its lock for long, and need not be waited for. The mark is looked at last: it goes when
        // everything is moved in.
        if !fill.is_empty(&target)? && fs::symlink_metadata(fill.ready_path()).is_err() {
            return Ok(Filled::NotEmpty);
        }
        let _lock = self.lock(name, "fill")?;
        fill.recover()?;
        if !fill.is_empty(&target)? {
            return Ok(Filled::NotEmpty);
        }
        let path = Path::new(source);
        let found = Directory::find(layers, path)
            .map_err(|errno| fill.copy_error(copy_error(path, "look up", errno)))?;
        let Some(found) = found else {
            return Ok(Filled::NothingToCopy);
        };
        fill.copy(&found, path)?;
        let ready = Ready {
            version: 1,
            subpath: subpath.map(str::to_owned),
        };
        write_json(&fill.ready_path(), &ready).map_err(|source| fill.store_error(source))?;
        fill.move_in(&target)?;
        Ok(Filled::Copied)
    }

    /// Makes a directory inside a volume.
    pub(super) fn ensure_subpath(&self, name: &str, subpath: &str) -> Result<(), VolumeError> {
        let fill = Fill {
            volumes: self,
            name,
            is_elsewhere: false,
        };
        fill.target(Some(subpath)).map(drop)
    }
}

struct Fill<'a> {
    volumes: &'a Volumes,
    name: &'a str,
    /// The data is in another file system, or in a directory of the host: what is moved in must be made there.
    is_elsewhere: bool,
}

/// Where a volume is filled whose data is elsewhere.
const MOUNTED_FILL: &str = ".stack-fill";
/// What mkfs makes, and nobody put there.
const LOST_FOUND: &str = "lost+found";

impl Fill<'_> {
    fn fill_path(&self) -> PathBuf {
        if self.is_elsewhere {
            return self.volumes.data_dir(self.name).join(MOUNTED_FILL);
        }
        self.volumes.volume_dir(self.name).join(".fill")
    }

    fn ready_path(&self) -> PathBuf {
        self.volumes.volume_dir(self.name).join(".fill-ready")
    }

    /// Ends what a crash cut off: a complete copy is moved in, an incomplete one is thrown away.
    fn recover(&self) -> Result<(), VolumeError> {
        let ready: Option<Ready> =
            read_json(&self.ready_path()).map_err(|source| self.store_error(source))?;
        match ready {
            Some(ready) => {
                let target = self.target(ready.subpath.as_deref())?;
                self.move_in(&target)
            }
            None => remove_tree(&self.fill_path()).map_err(|source| self.store_error(source)),
        }
    }

    /// Tells whether the volume was mounted, or its directory lies, where nobody can write.
    fn is_read_only(&self) -> Result<bool, VolumeError> {
        let mount = rustix::fs::statvfs(self.volumes.data_dir(self.name))
            .map_err(|errno| self.io_error(errno.into()))?;
        Ok(mount.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
    }

    /// Opens the directory to fill; inside the volume no link leads out of it.
    fn target(&self, subpath: Option<&str>) -> Result<OwnedFd, VolumeError> {
        let data = self.volumes.data_dir(self.name);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Some(subpath) = subpath else {
            return open(&data, flags, Mode::empty()).map_err(|errno| self.io_error(errno.into()));
        };
        let refuse = |source| VolumeError::Subpath {
            name: self.name.to_owned(),
            subpath: subpath.to_owned(),
            source,
        };
        let root = confine::Root::open_dir(&data).map_err(refuse)?;
        root.create_dir_all(subpath, 0o755).map_err(refuse)?;
        root.open(subpath, flags).map_err(refuse)
    }

    fn is_empty(&self, directory: &OwnedFd) -> Result<bool, VolumeError> {
        let path = super::merged::proc_path(directory.as_fd());
        let names = self.names(&path)?;
        Ok(names
            .iter()
            .all(|name| self.is_elsewhere && (name == LOST_FOUND || name == MOUNTED_FILL)))
    }

    fn copy(&self, source: &Directory, path: &Path) -> Result<(), VolumeError> {
        let place = self.fill_path();
        fs::create_dir(&place).map_err(|error| self.io_error(error))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let target =
            open(&place, flags, Mode::empty()).map_err(|errno| self.io_error(errno.into()))?;
        tree::copy(source, target.as_fd(), path).map_err(|error| self.copy_error(error))?;
        // One call for all files: without it a power cut leaves empty ones under their names.
        rustix::fs::syncfs(&target).map_err(|errno| self.io_error(errno.into()))
    }

    /// Moves the entries of a complete copy into the volume, then gives it the attributes of the image's directory.
    fn move_in(&self, target: &OwnedFd) -> Result<(), VolumeError> {
        let place = self.fill_path();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match open(&place, flags, Mode::empty()) {
            Ok(from) => {
                // The times of `.fill` are those of the image until the first entry leaves it.
                let kept = Kept::of(&from).map_err(|errno| self.io_error(errno.into()))?;
                for name in self.names(&place)? {
                    match renameat_with(&from, &name, target, &name, RenameFlags::NOREPLACE) {
                        // A container that has the volume mounted already made one of its own: that is data.
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(self.io_error(errno.into())),
                    }
                }
                kept.restore(&from)
                    .and_then(|()| tree::copy_attributes(from.as_fd(), target.as_fd()))
                    .and_then(|()| rustix::fs::fsync(target))
                    .map_err(|errno| self.io_error(errno.into()))?;
                remove_tree(&place).map_err(|source| self.store_error(source))?;
            }
            // Only the mark was left to remove.
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(self.io_error(errno.into())),
        }
        fs::remove_file(self.ready_path()).map_err(|error| self.io_error(error))
    }

    fn names(&self, directory: &Path) -> Result<Vec<OsString>, VolumeError> {
        fs::read_dir(directory)
            .and_then(|entries| {
                entries
                    .map(|entry| entry.map(|entry| entry.file_name()))
                    .collect()
            })
            .map_err(|error| self.io_error(error))
    }

    fn io_error(&self, source: io::Error) -> VolumeError {
        VolumeError::Io {
            intent: "fill",
            name: self.name.to_owned(),
            source,
        }
    }

    fn store_error(&self, source: crate::store::StoreError) -> VolumeError {
        VolumeError::Store {
            intent: "fill",
            name: self.name.to_owned(),
            source,
        }
    }

    fn copy_error(&self, error: CopyError) -> VolumeError {
        VolumeError::Copy {
            name: self.name.to_owned(),
            path: error.path,
            operation: error.operation,
            source: error.errno.into(),
        }
    }
}

fn copy_error(path: &Path, operation: &'static str, errno: Errno) -> CopyError {
    CopyError {
        path: path.to_owned(),
        operation,
        errno,
    }
}

/// The times of a directory whose entries are about to leave.
struct Kept(rustix::fs::Timestamps);

impl Kept {
    fn of(directory: &OwnedFd) -> Result<Self, Errno> {
        Ok(Self(tree::times(&rustix::fs::fstat(directory)?)))
    }

    fn restore(&self, directory: &OwnedFd) -> Result<(), Errno> {
        rustix::fs::futimens(directory, &self.0)
    }
}

#[cfg(test)]
mod tests;
