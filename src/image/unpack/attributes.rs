//! Owner, mode, extended attributes and times of what was unpacked.

use std::{
    ffi::OsStr,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::ffi::OsStrExt,
    },
    path::PathBuf,
};

use rustix::{
    fs::{
        AtFlags, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat, fchmod,
        fchown, fgetxattr, fstat, futimens, lgetxattr, llistxattr, lsetxattr, statat, utimensat,
    },
    io::Errno,
};

use super::{header::Time, reader::Entry};

/// The attribute by which a directory hides the one below.
pub(crate) const OPAQUE: &str = "trusted.overlay.opaque";
/// File capabilities: an image does not work without them.
const CAPABILITY: &[u8] = b"security.capability";
/// Largest list or value that the kernel has.
const XATTR_BYTES_MAX: usize = 64 << 10;

/// Owner and permission bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
}

/// What becomes of overlayfs's own attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overlay {
    /// They are left out: the tree becomes a lower layer.
    Dropped,
    /// They are attributes as any other.
    Kept,
}

/// Extended attributes: names and values.
pub(crate) type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// Returns the path of a directory entry through its parent's descriptor; the last component is not followed by `l*` calls.
pub(crate) fn through(parent: BorrowedFd<'_>, name: &[u8]) -> PathBuf {
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd()));
    path.push(OsStr::from_bytes(name));
    path
}

/// Gives an entry its owner, then its mode: changing the owner clears set-id bits.
///
/// Looks before it changes: most entries have the owner that this process has, and each change is a write to the inode.
pub(super) fn apply_owner_and_mode(
    parent: BorrowedFd<'_>,
    name: &[u8],
    attributes: &Attributes,
    is_symlink: bool,
) -> Result<(), Errno> {
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let has_owner = attributes.is_owner_of(&stat);
    if !has_owner {
        let (uid, gid) = attributes.owner();
        chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    if is_symlink || (has_owner && attributes.is_mode_of(&stat)) {
        return Ok(());
    }
    // The entry was made by us a moment ago and is no link; fchmodat(2) has no way to say "do not follow" before 6.6.
    chmodat(
        parent,
        name,
        Mode::from_raw_mode(attributes.mode),
        AtFlags::empty(),
    )
}

/// As [`apply_owner_and_mode`], of a file that is open.
pub(super) fn apply_to_file(file: BorrowedFd<'_>, attributes: &Attributes) -> Result<(), Errno> {
    let stat = fstat(file)?;
    let has_owner = attributes.is_owner_of(&stat);
    if !has_owner {
        let (uid, gid) = attributes.owner();
        fchown(file, uid, gid)?;
    }
    if has_owner && attributes.is_mode_of(&stat) {
        return Ok(());
    }
    fchmod(file, Mode::from_raw_mode(attributes.mode))
}

impl Attributes {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            uid: entry.uid,
            gid: entry.gid,
            mode: entry.mode,
        }
    }

    fn owner(&self) -> (Option<Uid>, Option<Gid>) {
        (Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))
    }

    fn is_owner_of(&self, stat: &Stat) -> bool {
        (stat.st_uid, stat.st_gid) == (self.uid, self.gid)
    }

    fn is_mode_of(&self, stat: &Stat) -> bool {
        stat.st_mode & 0o7777 == self.mode & 0o7777
    }
}

pub(super) fn apply_time(parent: BorrowedFd<'_>, name: &[u8], mtime: Time) -> Result<(), Errno> {
    utimensat(parent, name, &timestamps(mtime), AtFlags::SYMLINK_NOFOLLOW)
}

/// As [`apply_time`], of a file that is open.
pub(super) fn apply_time_to_file(file: BorrowedFd<'_>, mtime: Time) -> Result<(), Errno> {
    futimens(file, &timestamps(mtime))
}

fn timestamps(mtime: Time) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime.seconds,
        tv_nsec: i64::from(mtime.nanos),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// Sets extended attributes; the names that were refused, `security.capability` excepted, come back.
///
/// `trusted.overlay.*` and `user.overlay.*` are dropped where a layer is made: a forged opaque mark, redirect or metacopy is an escape.
pub(crate) fn apply_xattrs(
    parent: BorrowedFd<'_>,
    name: &[u8],
    xattrs: &[(Vec<u8>, Vec<u8>)],
    overlay: Overlay,
) -> Result<Vec<(String, Errno)>, Errno> {
    let mut refused = Vec::new();
    for (key, value) in xattrs {
        let is_overlay = key.starts_with(b"trusted.overlay.") || key.starts_with(b"user.overlay.");
        if is_overlay && overlay == Overlay::Dropped {
            continue;
        }
        let path = through(parent, name);
        match lsetxattr(&path, &**key, value, XattrFlags::empty()) {
            Ok(()) => {}
            Err(errno) if key == CAPABILITY => return Err(errno),
            Err(errno) => refused.push((key.escape_ascii().to_string(), errno)),
        }
    }
    Ok(refused)
}

/// Reads the extended attributes of an entry that belong to an image: overlayfs' own are left out.
pub(crate) fn read_xattrs(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Xattrs, Errno> {
    let path = through(parent, name);
    let mut list = vec![0; XATTR_BYTES_MAX];
    let length = match llistxattr(&path, &mut list[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => 0,
        Err(errno) => return Err(errno),
    };
    let mut xattrs = Vec::new();
    for key in list[..length]
        .split(|b| *b == 0)
        .filter(|key| !key.is_empty())
    {
        if key.starts_with(b"trusted.overlay.") || key.starts_with(b"user.overlay.") {
            continue;
        }
        let mut value = vec![0; XATTR_BYTES_MAX];
        let length = match lgetxattr(&path, key, &mut value[..]) {
            Ok(length) => length,
            // Removed meanwhile, or not ours to read.
            Err(Errno::NODATA | Errno::PERM | Errno::ACCESS) => continue,
            Err(errno) => return Err(errno),
        };
        value.truncate(length);
        xattrs.push((key.to_vec(), value));
    }
    xattrs.sort();
    Ok(xattrs)
}

/// Tells whether a directory hides the one below.
pub(crate) fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    // O_PATH descriptors take no fgetxattr(2); the path through /proc does for both kinds.
    let mut value = [0; 2];
    let path = through(directory, b".");
    let read = rustix::fs::getxattr(&path, OPAQUE, &mut value[..])
        .or_else(|_errno| fgetxattr(directory, OPAQUE, &mut value[..]));
    matches!(read, Ok(1) if value[0] == b'y')
}

/// Gives a directory the owner, mode, attributes and time of another one.
pub(crate) fn copy_attributes(
    from: (BorrowedFd<'_>, &[u8]),
    to: (BorrowedFd<'_>, &[u8]),
) -> Result<(), Errno> {
    let stat = statat(from.0.as_fd(), from.1, AtFlags::SYMLINK_NOFOLLOW)?;
    let is_symlink = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink();
    let attributes = Attributes {
        uid: stat.st_uid,
        gid: stat.st_gid,
        mode: stat.st_mode & 0o7777,
    };
    apply_owner_and_mode(to.0, to.1, &attributes, is_symlink)?;
    // What the lower layer carries was accepted by this file system before.
    let xattrs = read_xattrs(from.0, from.1)?;
    apply_xattrs(to.0, to.1, &xattrs, Overlay::Dropped)?;
    apply_time(to.0, to.1, time_of(&stat))
}

/// Sets the time of a directory as it was when it was looked at.
pub(crate) fn set_time_of(directory: BorrowedFd<'_>, stat: &Stat) -> Result<(), Errno> {
    apply_time(directory, b".", time_of(stat))
}

fn time_of(stat: &Stat) -> Time {
    Time {
        seconds: stat.st_mtime,
        nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
    }
}
