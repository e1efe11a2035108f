//! Hides kernel paths that tell too much, and write-protects those that steer the machine.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;

use super::confine::{c_path, open_in, open_plain};
use super::mounts::{attach, clone_tree, make};
use crate::error::{Error, Step};
use crate::fault::{At, Fault, Subject, Subjects};
use crate::spec::ExactSecurity;
use crate::sys::mount::{Change, NODEV, NOEXEC, NOSUID, RDONLY, change_mount};

/// Hidden as in Docker: a file becomes empty, a directory too. Those that the kernel does not have are left out.
pub const HIDDEN: [&CStr; 12] = [
    c"/proc/asound",
    c"/proc/acpi",
    c"/proc/interrupts",
    c"/proc/kcore",
    c"/proc/keys",
    c"/proc/latency_stats",
    c"/proc/timer_list",
    c"/proc/timer_stats",
    c"/proc/sched_debug",
    c"/proc/scsi",
    c"/sys/firmware",
    c"/sys/devices/virtual/powercap",
];

/// Write-protected as in Docker.
pub const PROTECTED: [&CStr; 5] = [
    c"/proc/bus",
    c"/proc/fs",
    c"/proc/irq",
    c"/proc/sys",
    c"/proc/sysrq-trigger",
];

/// Numbers of /dev/null.
const NULL: (u32, u32) = (1, 3);

/// The paths, in order.
#[derive(Debug)]
pub(crate) struct Plan {
    hidden: Vec<(CString, Subject)>,
    protected: Vec<(CString, Subject)>,
    /// Links in the paths are followed inside the root.
    follows: bool,
}

impl Plan {
    /// Registers the paths.
    pub(crate) fn of(subjects: &mut Subjects) -> Self {
        let mut add = |path: &CStr| (path.to_owned(), subjects.add(path.to_string_lossy()));
        Self {
            hidden: HIDDEN.into_iter().map(&mut add).collect(),
            protected: PROTECTED.into_iter().map(&mut add).collect(),
            follows: false,
        }
    }

    /// Registers the paths of a description to the letter.
    pub(crate) fn exactly(exact: &ExactSecurity, subjects: &mut Subjects) -> Result<Self, Error> {
        let mut add = |path: &String| {
            let text = c_path(path.as_ref(), Step::Mask)?;
            Ok::<_, Error>((text, subjects.add(path)))
        };
        Ok(Self {
            hidden: exact
                .hidden
                .iter()
                .map(&mut add)
                .collect::<Result<_, _>>()?,
            protected: exact
                .protected
                .iter()
                .map(&mut add)
                .collect::<Result<_, _>>()?,
            follows: true,
        })
    }

    /// Child: hides and protects. The old root is still the process's root here.
    pub(crate) fn apply(&self, root: BorrowedFd<'_>) -> Result<(), Fault> {
        for (path, subject) in &self.hidden {
            if let Some(place) = self.existing(root, path).at(Step::Mask, *subject)? {
                hide(&place).at(Step::Mask, *subject)?;
            }
        }
        for (path, subject) in &self.protected {
            if let Some(place) = self.existing(root, path).at(Step::MountFlags, *subject)? {
                protect(&place).at(Step::MountFlags, *subject)?;
            }
        }
        Ok(())
    }

    /// Opens a path; `None` when this kernel or root filesystem does not have it.
    fn existing(&self, root: BorrowedFd<'_>, path: &CStr) -> Result<Option<OwnedFd>, Errno> {
        let opened = if self.follows {
            open_in(root, path, OFlags::PATH, Mode::empty())
        } else {
            open_plain(root, path, OFlags::PATH)
        };
        match opened {
            Ok(place) => Ok(Some(place)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

fn hide(place: &OwnedFd) -> Result<(), Errno> {
    let stat = rustix::fs::fstat(place)?;
    let cover = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        make(c"tmpfs", &[], RDONLY | NOSUID | NODEV | NOEXEC)?
    } else {
        null()?
    };
    attach(cover.as_fd(), place.as_fd())
}

/// Clones the host's /dev/null. Its numbers are checked on the clone itself, so nothing else can be bound in its place (CVE-2025-31133).
fn null() -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    let tree = rustix::mount::open_tree(CWD, c"/dev/null", flags)?;
    let stat = rustix::fs::fstat(&tree)?;
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if !is_device || stat.st_rdev != rustix::fs::makedev(NULL.0, NULL.1) {
        return Err(Errno::NODEV);
    }
    Ok(tree)
}

fn protect(place: &OwnedFd) -> Result<(), Errno> {
    let tree = clone_tree(place.as_fd(), true)?;
    change_mount(
        tree.as_fd(),
        &Change {
            set: RDONLY,
            recursive: true,
            ..Change::NONE
        },
    )?;
    attach(tree.as_fd(), place.as_fd())
}
