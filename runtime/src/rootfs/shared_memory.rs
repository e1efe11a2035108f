//! /dev/shm: it belongs to the ipc namespace, so containers that share one share the other.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use rustix::process::{WaitId, WaitIdOptions};
use rustix::thread::LinkNameSpaceType;

use super::mounts::{Source, settings};
use crate::error::{Error, Step};
use crate::process::handover::Handover;
use crate::spec::Namespace;
use crate::sys::clone::clone_child;
use crate::sys::mount::{NODEV, NOEXEC, NOSUID};

/// Prepares what is mounted on /dev/shm: a new tmpfs, the host's, or that of the process whose ipc namespace is joined. A namespace that is
/// pinned by a file has no mounts to share, so its containers get a new tmpfs each.
pub(crate) fn prepare(ipc: &Namespace, size_bytes: u64) -> Result<Source, Error> {
    match ipc {
        Namespace::Host => {
            let tree = clone_shm().map_err(|errno| Error::new(Step::Bind, "/dev/shm", errno))?;
            Ok(Source::Detached(tree))
        }
        Namespace::Join(path) if path.ends_with("ns/ipc") && path.starts_with("/proc") => {
            of_process(path).map(Source::Detached)
        }
        Namespace::Join(_) | Namespace::Private => {
            let pairs = [
                ("source", "shm".to_owned()),
                ("mode", "1777".to_owned()),
                ("size", size_bytes.to_string()),
            ];
            let settings = settings(&pairs)
                .map_err(|errno| Error::new(Step::Mount, "tmpfs on /dev/shm", errno))?;
            let attributes = NOSUID | NODEV | NOEXEC;
            Ok(Source::New {
                filesystem: std::borrow::Cow::Borrowed(c"tmpfs"),
                settings,
                attributes,
            })
        }
    }
}

/// Clones /dev/shm in the mount namespace of the process that `ipc` (`/proc/<pid>/ns/ipc`) names. A helper process goes there, because
/// this one could not come back without its own root and working directory.
fn of_process(ipc: &Path) -> Result<OwnedFd, Error> {
    let refuse = |errno| Error::new(Step::Bind, format!("/dev/shm of {}", ipc.display()), errno);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let mounts = rustix::fs::open(ipc.with_file_name("mnt"), flags, Mode::empty());
    let mounts = mounts.map_err(refuse)?;
    let handover = Handover::new().map_err(refuse)?;
    let helper = clone_child(0, None, || {
        let kind = Some(LinkNameSpaceType::Mount);
        let tree = rustix::thread::move_into_link_name_space(mounts.as_fd(), kind)
            .and_then(|()| clone_shm());
        let answer = tree.as_ref().map(OwnedFd::as_fd).map_err(|errno| *errno);
        i32::from(handover.send(answer).is_err())
    })
    .map_err(refuse)?;
    let tree = handover.receive();
    let id = WaitId::PidFd(helper.pidfd.as_fd());
    rustix::process::waitid(id, WaitIdOptions::EXITED).map_err(refuse)?;
    tree.map_err(refuse)
}

/// Clones /dev/shm of the current mount namespace. Does not allocate.
fn clone_shm() -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    rustix::mount::open_tree(CWD, c"/dev/shm", flags)
}
