//! Sources of bind mounts: opened and detached by the parent, with the flags and propagation that were asked for.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::confine::Root;
use super::mounts::clone_tree;
use crate::error::{Error, Step};
use crate::namespaces::users::Users;
use crate::spec::{Mount, MountKind, Propagation};
use crate::sys::mount::{Change, RDONLY, change_mount, map_users};

/// Why a bind source could not be detached.
pub(crate) enum Refusal {
    /// Its subpath.
    Path(Error),
    /// The source itself, or its mount.
    Mount(Errno),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Mount(errno)
    }
}

/// Devices, sockets and pipes of the host keep their owners: their filesystems (devtmpfs) have no mapped mounts.
fn map_bind(tree: BorrowedFd<'_>, users: &Users, is_recursive: bool) -> Result<(), Errno> {
    let stat = rustix::fs::fstat(tree)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory | FileType::RegularFile => {
            map_users(tree, users.namespace(), is_recursive)
        }
        _ => Ok(()),
    }
}

/// Clones the mount at a bind source, with the flags and propagation that were asked for.
pub(crate) fn detach(mount: &Mount, users: Option<&Users>) -> Result<OwnedFd, Refusal> {
    let MountKind::Bind {
        source,
        subpath,
        recursive,
        propagation,
        writable_below,
    } = &mount.kind
    else {
        return Err(Refusal::Mount(Errno::INVAL));
    };
    let place = match subpath {
        Some(subpath) => Root::open_dir(source)
            .and_then(|root| root.open(subpath, OFlags::PATH))
            .map_err(Refusal::Path)?,
        None => rustix::fs::openat(CWD, source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?,
    };
    let tree = clone_tree(place.as_fd(), *recursive)?;
    if let Some(users) = users {
        let refuse = |errno| {
            let (source, target) = (source.display(), &mount.target);
            let text = format!(
                "{source} on {target} for a user namespace; does its filesystem have mapped mounts?"
            );
            Refusal::Path(Error::new(Step::Bind, text, errno))
        };
        map_bind(tree.as_fd(), users, *recursive).map_err(refuse)?;
    }
    let (propagation, recursive) = kernel_propagation(*propagation);
    change_mount(
        tree.as_fd(),
        &Change {
            propagation,
            recursive,
            ..Change::NONE
        },
    )?;
    if mount.read_only {
        change_mount(
            tree.as_fd(),
            &Change {
                set: RDONLY,
                recursive: !writable_below,
                ..Change::NONE
            },
        )?;
    }
    Ok(tree)
}

/// The kernel's flag, and whether it is for the mounts below too.
pub(crate) fn kernel_propagation(propagation: Propagation) -> (u64, bool) {
    match propagation {
        Propagation::Rprivate => (libc::MS_PRIVATE, true),
        Propagation::Private => (libc::MS_PRIVATE, false),
        Propagation::Rslave => (libc::MS_SLAVE, true),
        Propagation::Slave => (libc::MS_SLAVE, false),
        Propagation::Rshared => (libc::MS_SHARED, true),
        Propagation::Shared => (libc::MS_SHARED, false),
        Propagation::Runbindable => (libc::MS_UNBINDABLE, true),
        Propagation::Unbindable => (libc::MS_UNBINDABLE, false),
    }
}
