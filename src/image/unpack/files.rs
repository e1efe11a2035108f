//! Small operations on entries of a directory, none of which follows a link.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat, unlinkat},
    io::Errno,
};

use super::attributes;

/// Bytes copied at a time.
pub(super) const CHUNK: usize = 128 << 10;
/// Deepest directory that is removed by recursion.
const REMOVE_DEPTH_MAX: usize = 4096;

/// Tells whether an entry is a character device 0:0, by which overlayfs hides what is below.
pub(crate) fn is_whiteout(directory: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Errno> {
    statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| is_whiteout_stat(&stat))
}

pub(super) fn is_whiteout_stat(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == 0
}

/// Removes an entry of any kind, a directory with everything in it; one that does not exist counts as removed.
pub(crate) fn remove_any(directory: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    remove_at(directory, name, 0)
}

fn remove_at(directory: BorrowedFd<'_>, name: &[u8], depth: usize) -> Result<(), Errno> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        Err(Errno::NOENT) => return Ok(()),
        result => return result,
    }
    if depth > REMOVE_DEPTH_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inner = openat(directory, name, flags, Mode::empty())?;
    for child in Dir::read_from(&inner)? {
        let child = child?;
        let child = child.file_name().to_bytes();
        if child != b"." && child != b".." {
            remove_at(inner.as_fd(), child, depth + 1)?;
        }
    }
    unlinkat(directory, name, AtFlags::REMOVEDIR)
}

/// Copies a regular file with its attributes to a name that is free.
pub(crate) fn copy_file(
    from: (BorrowedFd<'_>, &[u8]),
    to: (BorrowedFd<'_>, &[u8]),
) -> Result<(), Errno> {
    let source = openat(
        from.0,
        from.1,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = openat(to.0, to.1, flags, Mode::from_raw_mode(0o600))?;
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    loop {
        match rustix::io::read(&source, &mut buffer[..]) {
            Ok(0) => break,
            Ok(count) => {
                write_at(&target, &buffer[..count], at)?;
                at += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    attributes::copy_attributes(from, to)
}

pub(super) fn write_at(file: &OwnedFd, mut bytes: &[u8], mut offset: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, offset) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
