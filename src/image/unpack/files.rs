//! Small operations on entries of a directory, none of which follows a link.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::{
    fs::{
        AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, openat, renameat_with, statat, unlinkat,
    },
    io::Errno,
};

use super::attributes;

/// Bytes copied at a time.
pub(super) const CHUNK: usize = 128 << 10;
/// Deepest directory that is removed where it is.
const REMOVE_DEPTH_MAX: usize = 32;

/// Tells whether an entry is a character device 0:0, by which overlayfs hides what is below.
pub(crate) fn is_whiteout(directory: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Errno> {
    statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| is_whiteout_stat(&stat))
}

/// Returns what an entry is.
pub(super) fn existing(directory: &OwnedFd, name: &[u8]) -> Result<FileType, Errno> {
    statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
        .map(|stat| FileType::from_raw_mode(stat.st_mode))
}

pub(super) fn is_whiteout_stat(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == 0
}

/// Removes an entry of any kind, a directory with everything in it; one that does not exist counts as removed.
///
/// The tree may be of any depth: what lies deep is moved up to its top first, so few descriptors are open at once.
pub(crate) fn remove_any(directory: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        Err(Errno::NOENT) => return Ok(()),
        result => return result,
    }
    let mut removal = Removal {
        top: openat(directory, name, DIRECTORY, Mode::empty())?,
        moved: 0,
    };
    loop {
        let before = removal.moved;
        let top = openat(&removal.top, ".", DIRECTORY, Mode::empty())?;
        removal.empty(&top, 0)?;
        match unlinkat(directory, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY) if removal.moved > before => {}
            result => return result,
        }
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A tree on its way out.
struct Removal {
    top: OwnedFd,
    /// Directories that were moved up.
    moved: u64,
}

impl Removal {
    fn empty(&mut self, directory: &OwnedFd, depth: usize) -> Result<(), Errno> {
        let mut inner = Vec::new();
        for child in Dir::read_from(directory)? {
            let child = child?;
            let child = child.file_name().to_bytes();
            if child == b"." || child == b".." {
                continue;
            }
            match unlinkat(directory, child, AtFlags::empty()) {
                Err(Errno::ISDIR) => inner.push(child.to_vec()),
                Err(Errno::NOENT) => {}
                result => result?,
            }
        }
        for child in inner {
            if depth >= REMOVE_DEPTH_MAX {
                self.lift(directory, &child)?;
                continue;
            }
            let opened = openat(directory, &*child, DIRECTORY, Mode::empty())?;
            self.empty(&opened, depth + 1)?;
            unlinkat(directory, &*child, AtFlags::REMOVEDIR)?;
        }
        Ok(())
    }

    /// Moves a directory to the top, under a name that is free.
    fn lift(&mut self, directory: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        loop {
            self.moved += 1;
            let free = format!(".deep-{}", self.moved);
            let flags = RenameFlags::NOREPLACE;
            match renameat_with(directory, name, &self.top, free, flags) {
                Err(Errno::EXIST) => {}
                result => return result,
            }
        }
    }
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
