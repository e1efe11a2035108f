//! Directories for unfinished things, which vanish with the process that works in them.

use std::{
    io,
    os::{
        fd::AsFd,
        unix::fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use fs_err as fs;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};

use super::{ImageError, ImageStore};
use crate::image::unpack::remove_any;

/// What our directories in `tmp/` are called; others there are none of our business.
const PREFIX: &str = "image-";
/// Tries to make a directory that another process does not take for litter.
const ATTEMPTS_MAX: usize = 16;

/// A private directory in `tmp/`, removed when dropped, or by the next user of the store when the process was killed.
#[derive(Debug)]
pub(crate) struct Workspace {
    path: PathBuf,
    /// Its `flock(2)` says that somebody works here.
    _lock: std::os::fd::OwnedFd,
    /// What was made here goes to this store, and from there to the disk once the work is over.
    store: Option<ImageStore>,
}

impl Workspace {
    /// Removes what killed processes left behind and makes a new directory.
    pub(crate) fn create(tmp: &Path, store: Option<ImageStore>) -> Result<Self, ImageError> {
        fs::create_dir_all(tmp)
            .map_err(ImageError::io("make the directory of unfinished things"))?;
        sweep(tmp)?;
        for _attempt in 0..ATTEMPTS_MAX {
            let path = tmp.join(format!("{PREFIX}{}-{}", std::process::id(), random()?));
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                result => result.map_err(ImageError::io("make a work directory"))?,
            }
            // Between the two calls another process may have taken it for litter.
            if let Some(lock) = claim(&path)? {
                return Ok(Self {
                    path,
                    _lock: lock,
                    store,
                });
            }
        }
        Err(ImageError::Io {
            intent: "make a work directory",
            source: io::Error::from(io::ErrorKind::AlreadyExists),
        })
    }

    /// Returns its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "left a work directory behind");
        }
        if let Some(store) = &self.store {
            store.write_back();
        }
    }
}

/// Returns 16 random hexadecimal digits.
pub(super) fn random() -> Result<String, ImageError> {
    let mut bytes = [0_u8; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| ImageError::io("draw a random name")(errno.into()))?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

/// Removes a tree without following links and whatever its depth.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let parent = fs::File::open(parent)?;
    remove_any(parent.as_fd(), std::os::unix::ffi::OsStrExt::as_bytes(name))
        .map_err(io::Error::from)
}

fn sweep(tmp: &Path) -> Result<(), ImageError> {
    for entry in fs::read_dir(tmp).map_err(ImageError::io("look for litter"))? {
        let entry = entry.map_err(ImageError::io("look for litter"))?;
        let ours = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX));
        if !ours {
            continue;
        }
        if let Some(lock) = claim(&entry.path())? {
            tracing::info!(path = %entry.path().display(), "removes what a killed process left");
            remove_tree(&entry.path()).map_err(ImageError::io("remove litter"))?;
            drop(lock);
        }
    }
    Ok(())
}

/// Locks a directory; `None` when somebody else has it or it is gone.
fn claim(path: &Path) -> Result<Option<std::os::fd::OwnedFd>, ImageError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(directory) = open(path, flags, Mode::empty()) else {
        return Ok(None);
    };
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(errno) => return Err(ImageError::io("lock a work directory")(errno.into())),
    }
    let held = rustix::fs::fstat(&directory)
        .map_err(|errno| ImageError::io("lock a work directory")(errno.into()))?;
    let there = fs::symlink_metadata(path).ok();
    Ok(there
        .is_some_and(|there| there.ino() == held.st_ino)
        .then_some(directory))
}
