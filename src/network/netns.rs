//! Network namespaces pinned by a bind mount below `<run>/netns`, as `ip netns` does.
//!
//! A thread that changed its namespace never runs anything else: it is made for the purpose and ends.

use std::{
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    thread,
};

use fs_err as fs;
use nix::sched::{CloneFlags, setns, unshare};
use rustix::mount::{UnmountFlags, mount_bind, unmount};

/// `NSFS_MAGIC` of statfs(2): what a pinned namespace lies on.
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// A step on a network namespace did not work.
#[derive(Debug, thiserror::Error)]
#[error("{step} {}", .path.display())]
pub struct NetnsError {
    /// `create`, `pin`, `enter`, `unpin`.
    pub step: &'static str,
    /// The pin.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Makes a namespace, pins it at `path`, and runs `work` in it on a thread of its own.
///
/// When the pin cannot be made nothing is left; when `work` fails the caller decides.
pub(crate) fn create<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NetnsError> {
    let target = path.to_owned();
    let error = |step, source| NetnsError {
        step,
        path: path.to_owned(),
        source,
    };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(|source| error("create", source))?;
    }
    on_thread(path, move || {
        let error = |step, source| NetnsError {
            step,
            path: target.clone(),
            source,
        };
        fs::File::create(&target).map_err(|source| error("create", source))?;
        let pinned = unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|errno| error("create", errno.into()))
            .and_then(|()| {
                mount_bind("/proc/thread-self/ns/net", &target)
                    .map_err(|errno| error("pin", errno.into()))
            });
        if let Err(error) = pinned {
            if let Err(left) = fs::remove_file(&target) {
                tracing::warn!(error = %left, "a namespace's file is left");
            }
            return Err(error);
        }
        Ok(work())
    })
}

/// Runs `work` in the namespace pinned at `path`, on a thread of its own.
pub(crate) fn enter<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NetnsError> {
    let target = path.to_owned();
    on_thread(path, move || {
        let error = |source| NetnsError {
            step: "enter",
            path: target.clone(),
            source,
        };
        let file = fs::File::open(&target).map_err(error)?;
        setns(file.as_fd(), CloneFlags::CLONE_NEWNET).map_err(|errno| error(errno.into()))?;
        Ok(work())
    })
}

/// Removes the pin; one that does not exist counts as removed. The namespace goes when its last process and socket have gone.
pub(crate) fn remove(path: &Path) -> Result<(), NetnsError> {
    let error = |source| NetnsError {
        step: "unpin",
        path: path.to_owned(),
        source,
    };
    while is_pinned(path) {
        unmount(path, UnmountFlags::DETACH).map_err(|errno| error(errno.into()))?;
    }
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(error(source)),
        _ => Ok(()),
    }
}

/// Whether a namespace is pinned at `path`.
pub(crate) fn is_pinned(path: &Path) -> bool {
    rustix::fs::statfs(path)
        .is_ok_and(|stat| u64::try_from(stat.f_type).is_ok_and(|kind| kind == NSFS_MAGIC))
}

fn on_thread<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, NetnsError> + Send + 'static,
) -> Result<T, NetnsError> {
    let error = |source| NetnsError {
        step: "start a thread for",
        path: path.to_owned(),
        source,
    };
    thread::Builder::new()
        .name("netns".to_owned())
        .spawn(work)
        .map_err(error)?
        .join()
        .unwrap_or_else(|_| Err(error(io::Error::other("the thread panicked"))))
}
