//! Mounts of images: their layers, read-only, without an upper directory.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountPropagationFlags;
use rustix::process::{WaitId, WaitIdOptions};

use super::confine::{Root, c_path};
use super::mounts::{attach, clone_tree};
use super::overlay;
use super::tree::owners;
use crate::error::{Error, Step};
use crate::namespaces::users::Users;
use crate::process::handover::Handover;
use crate::sys::clone::clone_child;
use crate::sys::mount::{Change, NODEV, RDONLY, change_mount, map_users};

/// Makes a mount of an image, or of what lies at a path in it; attached nowhere.
pub(crate) fn detach(
    lowers: &[PathBuf],
    subpath: Option<&str>,
    users: Option<&Users>,
    target: &str,
) -> Result<OwnedFd, Error> {
    let refuse = |errno| Error::new(Step::Bind, format!("image on {target}"), errno);
    // overlayfs takes one directory only with an upper one.
    let tree = if let [only] = lowers {
        let place = if let Some(path) = subpath {
            Root::open_dir(only)?.open(path, OFlags::PATH)?
        } else {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::openat(CWD, only, flags, Mode::empty()).map_err(refuse)?
        };
        let tree = clone_tree(place.as_fd(), false).map_err(refuse)?;
        if let Some(users) = users {
            map_users(tree.as_fd(), users.namespace(), false).map_err(refuse)?;
        }
        tree
    } else {
        let tree = overlay::mount_lowers(lowers, owners(users)?)?;
        match subpath {
            Some(path) => part(tree, path, lowers, target)?,
            None => tree,
        }
    };
    let change = Change {
        set: RDONLY | NODEV,
        propagation: libc::MS_PRIVATE,
        ..Change::NONE
    };
    change_mount(tree.as_fd(), &change).map_err(refuse)?;
    Ok(tree)
}

/// Clones what lies at a path of a mount that is attached nowhere.
fn part(tree: OwnedFd, path: &str, lowers: &[PathBuf], target: &str) -> Result<OwnedFd, Error> {
    let refuse = |errno| Error::new(Step::Bind, format!("{path} of image on {target}"), errno);
    let root = Root::from_fd(tree, format!("the image on {target}"));
    let place = root.open(path, OFlags::PATH)?;
    match clone_tree(place.as_fd(), false) {
        // Before Linux 6.15 only what is attached can be cloned.
        Err(Errno::INVAL) => {}
        outcome => return outcome.map_err(refuse),
    }
    let anywhere = lowers.first().ok_or(Errno::INVAL).map_err(refuse)?;
    let anywhere = c_path(anywhere.as_os_str(), Step::Bind)?;
    let handover = Handover::new().map_err(refuse)?;
    let helper = clone_child(libc::CLONE_NEWNS, None, || {
        let tree = attach_and_clone(&root, &anywhere, place.as_fd());
        let answer = tree.as_ref().map(OwnedFd::as_fd).map_err(|errno| *errno);
        i32::from(handover.send(answer).is_err())
    })
    .map_err(refuse)?;
    let tree = handover.receive();
    let id = WaitId::PidFd(helper.pidfd.as_fd());
    rustix::process::waitid(id, WaitIdOptions::EXITED).map_err(refuse)?;
    tree.map_err(refuse)
}

/// Helper process: attaches the mount where nobody else sees it. What was found in it is then attached too.
fn attach_and_clone(root: &Root, anywhere: &CStr, place: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change(c"/", private)?;
    let directory = rustix::fs::open(anywhere, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    attach(root.as_fd(), directory.as_fd())?;
    clone_tree(place, false)
}
