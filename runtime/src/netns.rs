//! Network namespaces that exist without a process: pinned by a bind mount on a file, as `ip netns` does.
//!
//! A namespace is per thread, so each function does its work on a helper thread that ends afterwards: callers may have any number of
//! threads, and none of them ever changes its namespace.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread;

use rustix::fs::{Mode, OFlags};
use rustix::mount::UnmountFlags;
use rustix::thread::LinkNameSpaceType;

use crate::error::{Errno, Error, Step};
use crate::sys::loopback::loopback_up;

/// Makes a network namespace with its loopback link up and pins it at `path`, which must not exist.
pub fn create(path: &Path) -> Result<(), Error> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|errno| error(Step::Create, path, errno))?;
    let pinned = on_helper_thread(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
            .map_err(|errno| Error::new(Step::Unshare, "network namespace", errno))?;
        loopback_up().map_err(|errno| Error::new(Step::Loopback, "lo", errno))?;
        rustix::mount::mount_bind("/proc/thread-self/ns/net", path)
            .map_err(|errno| error(Step::Bind, path, errno))
    });
    if pinned.is_err() {
        // Nothing is mounted on the file, and the error to report is the one above.
        rustix::fs::unlink(path).ok();
    }
    pinned
}

/// Unpins a network namespace and removes the file. It goes when its last process and socket do. Nothing happens when `path` is missing.
pub fn remove(path: &Path) -> Result<(), Error> {
    match rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        // EINVAL: a file without a mount, left by a crash between the two steps of `create`.
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
        Err(errno) => return Err(error(Step::Remove, path, errno)),
    }
    match rustix::fs::unlink(path) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(errno) => Err(error(Step::Remove, path, errno)),
    }
}

/// Runs `work` inside the network namespace pinned at `path` and returns its result. Sockets made there stay there.
pub fn enter<T: Send>(path: &Path, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    let namespace = open(path)?;
    on_helper_thread(|| {
        rustix::thread::move_into_link_name_space(
            namespace.as_fd(),
            Some(LinkNameSpaceType::Network),
        )
        .map_err(|errno| error(Step::JoinNamespace, path, errno))?;
        Ok(work())
    })
}

/// Opens a pinned namespace.
pub fn open(path: &Path) -> Result<OwnedFd, Error> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| error(Step::Open, path, errno))
}

fn on_helper_thread<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    thread::scope(|scope| {
        let helper = thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, work)
            .map_err(|error| Error::new(Step::Clone, "helper thread", error))?;
        match helper.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn error(step: Step, path: &Path, errno: impl Into<Errno>) -> Error {
    Error::new(step, path.display().to_string(), errno)
}
