//! Owners, modes, times and extended attributes of what is written.

use std::{
    ffi::OsStr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use runtime::{Error, Step};
use rustix::{
    fs::{CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};

use super::tree::{ITSELF, xattrs};

/// User and group id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

pub(super) fn is_directory(mode: u32) -> bool {
    FileType::from_raw_mode(mode) == FileType::Directory
}

pub(super) fn open_directory(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Owner first: a change of owner clears setuid and capabilities.
pub(super) fn own(fd: impl AsFd, owner: Owner, mode: u32) -> Result<(), Errno> {
    rustix::fs::fchown(
        &fd,
        Some(Uid::from_raw(owner.uid)),
        Some(Gid::from_raw(owner.gid)),
    )?;
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode))
}

pub(super) fn chown(parent: BorrowedFd<'_>, name: &OsStr, owner: Owner) -> Result<(), Errno> {
    rustix::fs::chownat(
        parent,
        name,
        Some(Uid::from_raw(owner.uid)),
        Some(Gid::from_raw(owner.gid)),
        ITSELF,
    )
}

pub(super) fn times(mtime: (i64, i64)) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime.0,
        tv_nsec: mtime.1,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

pub(super) fn set_times(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    mtime: (i64, i64),
) -> Result<(), Errno> {
    rustix::fs::utimensat(parent, name, &times(mtime), ITSELF)
}

/// Copies extended attributes; a filesystem that has none of a kind is no reason to fail, except for capabilities.
pub(super) fn copy_xattrs(from: impl AsFd, to: impl AsFd) -> Result<(), Errno> {
    for (name, value) in xattrs(from)? {
        let key = OsStr::from_bytes(&name);
        match rustix::fs::fsetxattr(&to, key, &value, XattrFlags::empty()) {
            Err(Errno::NOTSUP | Errno::PERM) if name != b"security.capability" => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Lowers the modification times of everything in an upper directory to at most `seconds`, links and directories included.
pub(crate) fn clamp_times(upper: &Path, seconds: i64) -> Result<(), Error> {
    let fail = |errno: Errno| {
        Error::new(
            Step::Write,
            upper.display().to_string(),
            runtime::Errno(errno.raw_os_error()),
        )
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, upper, flags, Mode::empty()).map_err(fail)?;
    clamp_below(root.as_fd(), seconds).map_err(fail)
}

fn clamp_below(directory: BorrowedFd<'_>, seconds: i64) -> Result<(), Errno> {
    for name in super::tree::names(directory)? {
        let stat = rustix::fs::statat(directory, name.as_os_str(), ITSELF)?;
        if is_directory(stat.st_mode) {
            clamp_below(open_directory(directory, &name)?.as_fd(), seconds)?;
        }
        if stat.st_mtime >= seconds {
            set_times(directory, &name, (seconds, 0))?;
        }
    }
    let stat = rustix::fs::fstat(directory)?;
    if stat.st_mtime >= seconds {
        rustix::fs::futimens(directory, &times((seconds, 0)))?;
    }
    Ok(())
}
