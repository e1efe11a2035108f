//! Room for unfinished things below `tmp/`, which vanishes with the process that works in it.

use std::{
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use fs_err as fs;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};

/// What our directories are called; others in `tmp/` are none of our business.
const PREFIX: &str = "build-";
/// Tries to make a directory that another process does not take for litter.
const ATTEMPTS_MAX: usize = 16;

/// The scratch directory of one build.
#[derive(Debug)]
pub(crate) struct Workspace {
    path: PathBuf,
    /// An empty directory: the lowest layer where there is none.
    empty: PathBuf,
    next: AtomicUsize,
    /// Its `flock(2)` says that somebody works here.
    _lock: OwnedFd,
}

/// A directory for one step, removed when dropped.
#[derive(Debug)]
pub(crate) struct StepRoom(PathBuf);

impl Workspace {
    /// Removes what killed builds left behind and makes a new directory.
    pub(crate) fn create(tmp: &Path) -> io::Result<Self> {
        fs::create_dir_all(tmp)?;
        sweep(tmp)?;
        for _ in 0..ATTEMPTS_MAX {
            let mut bytes = [0_u8; 8];
            rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
            let random = u64::from_ne_bytes(bytes);
            let path = tmp.join(format!("{PREFIX}{}-{random:016x}", std::process::id()));
            std::fs::DirBuilder::new().mode(0o700).create(&path)?;
            // Between the two calls another process may have taken it for litter.
            if let Some(lock) = claim(&path)? {
                let empty = path.join("empty");
                fs::create_dir(&empty)?;
                return Ok(Self {
                    path,
                    empty,
                    next: AtomicUsize::new(0),
                    _lock: lock,
                });
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }

    /// Returns a directory that is and stays empty.
    pub(crate) fn empty(&self) -> &Path {
        &self.empty
    }

    /// Makes the directory of one step.
    pub(crate) fn step(&self) -> io::Result<StepRoom> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(number.to_string());
        fs::create_dir(&path)?;
        Ok(StepRoom(path))
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

impl StepRoom {
    /// Makes an empty directory in it.
    pub(crate) fn directory(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        fs::create_dir(&path)?;
        Ok(path)
    }

    /// Returns the path of a file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for StepRoom {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Removes a tree; what cannot be removed is litter for the next build.
fn remove(path: &Path) {
    if let Err(error) = std::fs::symlink_metadata(path).and_then(|_| fs::remove_dir_all(path)) {
        tracing::warn!(path = %path.display(), %error, "left a work directory behind");
    }
}

fn sweep(tmp: &Path) -> io::Result<()> {
    for entry in fs::read_dir(tmp)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        if let Some(lock) = claim(&entry.path())? {
            tracing::info!(path = %entry.path().display(), "removes what a killed build left");
            remove(&entry.path());
            drop(lock);
        }
    }
    Ok(())
}

/// Locks a directory; `None` when somebody else has it or it is gone.
fn claim(path: &Path) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(directory) = rustix::fs::open(path, flags, Mode::empty()) else {
        return Ok(None);
    };
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    }
    let held = rustix::fs::fstat(&directory)?;
    let there = fs::symlink_metadata(path).ok();
    Ok(there
        .is_some_and(|there| there.ino() == held.st_ino)
        .then_some(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_build_removes_the_litter_of_killed_ones_only() {
        let tmp = tempfile::tempdir().unwrap();
        let litter = tmp.path().join("build-1-dead");
        let foreign = tmp.path().join("image-1-alive");
        fs::create_dir_all(litter.join("upper")).unwrap();
        fs::create_dir_all(&foreign).unwrap();
        let first = Workspace::create(tmp.path()).unwrap();
        let second = Workspace::create(tmp.path()).unwrap();
        assert!(!litter.exists());
        assert!(foreign.exists() && first.path.exists() && second.path.exists());
        let step = first.step().unwrap();
        step.directory("upper").unwrap();
        drop(step);
        drop(first);
        drop(second);
        let left: Vec<_> = fs::read_dir(tmp.path()).unwrap().collect();
        assert_eq!(left.len(), 1);
    }
}
