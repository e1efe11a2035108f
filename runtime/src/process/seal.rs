//! This program's own file, as nobody can write it.
//!
//! A container that executes `/proc/self/exe` during its start runs the file of its monitor, and could open it for writing once nobody
//! executes it any more (CVE-2019-5736). A monitor that was executed from a read-only mount of that file gives EROFS instead.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Step};
use crate::rootfs::mounts::clone_tree;
use crate::sys::mount::{Change, RDONLY, change_mount};

/// Returns a read-only mount of this program's file, attached nowhere: execute it as `/proc/self/fd/N` to start a sealed monitor.
///
/// The program must have been executed from a mount of its own mount namespace; one that is itself sealed is refused with EINVAL
/// before Linux 6.15. Costs two microseconds; the mount lives as long as the descriptor or a process that was executed from it.
pub fn own_executable() -> Result<OwnedFd, Error> {
    let seal = || {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = rustix::fs::openat(CWD, c"/proc/self/exe", flags, rustix::fs::Mode::empty())?;
        let tree = clone_tree(file.as_fd(), false)?;
        let change = Change {
            set: RDONLY,
            propagation: libc::MS_PRIVATE,
            ..Change::NONE
        };
        change_mount(tree.as_fd(), &change)?;
        Ok::<_, Errno>(tree)
    };
    seal().map_err(|errno| Error::new(Step::MountFlags, "this program's own file", errno))
}
