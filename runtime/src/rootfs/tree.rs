//! The root mount itself: made by the parent, attached and pivoted to by the child.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, UnmountFlags};

use super::confine::c_path;
use super::mounts::clone_tree;
use super::overlay::{self, Overlay, Upper};
use crate::error::{Error, Step};
use crate::namespaces::users::{Owners, Users};
use crate::spec::{Propagation, Rootfs};
use crate::sys::mount::{Change, RDONLY, change_mount, map_users};

/// Parent: makes the root mount, attached nowhere.
pub(crate) fn make(
    rootfs: &Rootfs,
    root_propagation: Option<Propagation>,
    users: Option<&Users>,
) -> Result<OwnedFd, Error> {
    match rootfs {
        Rootfs::Overlay {
            lowers,
            upper,
            work,
            mount_point,
            volatile,
        } => overlay::mount(&Overlay {
            lowers: &overlay::without_repeats(lowers),
            upper: Some(Upper {
                directory: upper,
                work,
                volatile: *volatile,
            }),
            mount_point,
            users: owners(users)?,
        }),
        Rootfs::Directory(path) => {
            let refuse = |errno| Error::new(Step::Bind, path.display().to_string(), errno);
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let place = rustix::fs::open(path, flags, Mode::empty()).map_err(refuse)?;
            let tree = clone_tree(place.as_fd(), true).map_err(refuse)?;
            let (propagation, recursive) = match root_propagation {
                // Recursive in any case: what is mounted in the container must not spread to the host.
                Some(Propagation::Slave | Propagation::Rslave) => (libc::MS_SLAVE, true),
                // Others are set in the container: nothing of it is to reach the host.
                _ => (libc::MS_PRIVATE, true),
            };
            let change = Change {
                propagation,
                recursive,
                ..Change::NONE
            };
            change_mount(tree.as_fd(), &change).map_err(refuse)?;
            if let Some(users) = users {
                map_users(tree.as_fd(), users.namespace(), true).map_err(refuse)?;
            }
            Ok(tree)
        }
    }
}

/// Where the child attaches it. Hooks look for it by its path.
pub(crate) fn place(rootfs: &Rootfs, has_hooks: bool) -> Result<CString, Error> {
    match rootfs {
        Rootfs::Overlay { mount_point, .. } if has_hooks => {
            c_path(mount_point.as_os_str(), Step::Bind)
        }
        Rootfs::Overlay { .. } => Ok(c"/".to_owned()),
        Rootfs::Directory(path) => c_path(path.as_os_str(), Step::Bind),
    }
}

/// Who owns the files of a container's own layers.
pub(crate) fn owners(users: Option<&Users>) -> Result<Option<Owners<'_>>, Error> {
    let owners = users.map(Users::owners).transpose();
    owners.map_err(|errno| Error::new(Step::Credentials, "root of a map without id 0", errno))
}

/// Child: cuts its copy of the host's mounts off from the host, and attaches the root: a directory of the host over itself, where hooks
/// look for it, anything else over `/`. Paths still start at the host's root until [`pivot`], because a process's root does not follow
/// what is mounted on it.
pub(crate) fn attach(root: BorrowedFd<'_>, place: &CStr) -> Result<(), Errno> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change(c"/", private)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(root, c"", CWD, place, flags)
}

/// Child: write-protects the root mount alone, not what is mounted on it.
pub(crate) fn protect(root: BorrowedFd<'_>) -> Result<(), Errno> {
    change_mount(
        root,
        &Change {
            set: RDONLY,
            ..Change::NONE
        },
    )
}

/// Child: makes the mount its root and drops every mount of the host.
pub(crate) fn pivot(root: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = rustix::fs::openat(CWD, c"/", flags, Mode::empty())?;
    rustix::process::fchdir(root)?;
    // With the same place twice the old root ends up mounted on the new one: no directory is needed for it (pivot_root(2)).
    rustix::process::pivot_root(c".", c".")?;
    rustix::process::fchdir(&old)?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")
}

/// Child: sets how mounts below its root spread, once it is the root.
pub(crate) fn spread(root: BorrowedFd<'_>, propagation: (u64, bool)) -> Result<(), Errno> {
    let (propagation, recursive) = propagation;
    change_mount(
        root,
        &Change {
            propagation,
            recursive,
            ..Change::NONE
        },
    )
}
