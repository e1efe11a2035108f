//! Copies a merged tree of an image, or an ordinary directory, to a directory, with everything that makes it what it is: owners, modes, extended attributes,
//! hard links, symbolic links, devices, times, holes.

use std::{
    collections::HashMap,
    ffi::{CString, OsStr},
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, chmodat,
        chownat, copy_file_range, fstat, getxattr, ioctl_ficlone, linkat, listxattr, lsetxattr,
        mkdirat, mknodat, openat, setxattr, symlinkat, utimensat,
    },
    io::Errno,
};

use super::{
    archive::parts,
    merged::{Directory, Entry, Other, link_target, proc_path, reopen},
};

/// Deepest nesting that is copied: each level holds descriptors.
const DEPTH_MAX: usize = 256;
/// Bytes that one copy_file_range(2) is asked for.
const COPY_BYTES: usize = 64 << 20;

/// What failed, where in the image.
#[derive(Debug)]
pub(super) struct CopyError {
    pub(super) path: PathBuf,
    pub(super) operation: &'static str,
    pub(super) errno: Errno,
}

/// Copies the content of a merged directory into an empty one, then gives it the attributes of the source.
pub(super) fn copy(
    source: &Directory,
    target: BorrowedFd<'_>,
    path: &Path,
) -> Result<(), CopyError> {
    let mut copier = Copier {
        links: HashMap::new(),
        root: target,
        marks: if source.is_plain() {
            Marks::Kept
        } else {
            Marks::Dropped
        },
    };
    copier.directory(source, target, (path, Path::new("")), 0)
}

/// What becomes of overlayfs's own attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marks {
    /// They belong to the layer and not to the file.
    Dropped,
    /// The source is no layer: they are attributes as any other.
    Kept,
}

/// Gives one directory the attributes of another, which belongs to an image.
pub(super) fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    directory_attributes(from, to, Marks::Dropped)
}

fn directory_attributes(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    marks: Marks,
) -> Result<(), Errno> {
    let stat = fstat(from)?;
    rustix::fs::fchown(to, Some(uid(&stat)), Some(gid(&stat)))?;
    rustix::fs::fchmod(to, mode(&stat))?;
    copy_xattrs(&proc_path(from), &proc_path(to), (false, marks))?;
    rustix::fs::futimens(to, &times(&stat))
}

struct Copier<'a> {
    /// Files with several names that were copied: device and inode -> path below the target.
    links: HashMap<(u64, u64), PathBuf>,
    root: BorrowedFd<'a>,
    marks: Marks,
}

impl Copier<'_> {
    /// `places`: where it is in the image, and below the target.
    fn directory(
        &mut self,
        source: &Directory,
        target: BorrowedFd<'_>,
        places: (&Path, &Path),
        depth: usize,
    ) -> Result<(), CopyError> {
        let (path, below) = places;
        let fail = |operation| move |errno| error(path, operation, errno);
        if depth > DEPTH_MAX {
            return Err(error(path, "descend", Errno::LOOP));
        }
        for name in source.names().map_err(fail("read the directory"))? {
            let (path, below) = (path.join(&name), below.join(&name));
            let fail = |operation| {
                let path = path.clone();
                move |errno| error(&path, operation, errno)
            };
            match source.lookup(&name).map_err(fail("look up"))? {
                // It was removed after the directory was listed.
                None if source.is_plain() => {}
                // It was there a moment ago: somebody changes a layer, which nobody may.
                None => return Err(error(&path, "look up", Errno::STALE)),
                Some(Entry::Directory(directory)) => {
                    mkdirat(target, &name, Mode::from_raw_mode(0o700)).map_err(fail("mkdir"))?;
                    let made = open_directory(target, &name).map_err(fail("open"))?;
                    self.directory(&directory, made.as_fd(), (&path, &below), depth + 1)?;
                }
                Some(Entry::Other(other)) => {
                    self.other(&other, (target, &name), &below)
                        .map_err(|(operation, errno)| error(&path, operation, errno))?;
                }
            }
        }
        // Last, because every entry made in it changes its time.
        directory_attributes(source.top(), target, self.marks).map_err(fail("set attributes"))
    }

    fn other(
        &mut self,
        other: &Other,
        (target, name): (BorrowedFd<'_>, &OsStr),
        below: &Path,
    ) -> Result<(), (&'static str, Errno)> {
        let stat = &other.stat;
        let on = |operation: &'static str| move |errno| (operation, errno);
        if stat.st_nlink > 1 {
            let inode = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&inode) {
                return linkat(self.root, first, target, name, AtFlags::empty())
                    .map_err(on("link"));
            }
            self.links.insert(inode, below.to_owned());
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        match kind {
            FileType::RegularFile => file(other, target, name)?,
            FileType::Symlink => {
                let text: CString = link_target(other.fd.as_fd()).map_err(on("readlink"))?;
                symlinkat(text.as_c_str(), target, name).map_err(on("symlink"))?;
            }
            FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => {
                mknodat(target, name, kind, mode(stat), stat.st_rdev).map_err(on("mknod"))?;
            }
            // A socket lives in a process, an image has none.
            _ => return Ok(()),
        }
        attributes(other, target, name, self.marks).map_err(on("set attributes"))
    }
}

/// Sets owner, then mode (chown clears setuid), then attributes (chown clears capabilities), then times.
fn attributes(
    other: &Other,
    target: BorrowedFd<'_>,
    name: &OsStr,
    marks: Marks,
) -> Result<(), Errno> {
    let stat = &other.stat;
    let no_follow = AtFlags::SYMLINK_NOFOLLOW;
    chownat(target, name, Some(uid(stat)), Some(gid(stat)), no_follow)?;
    let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
    if !is_link {
        chmodat(target, name, mode(stat), AtFlags::empty())?;
    }
    let path = proc_path(target).join(name);
    copy_xattrs(&proc_path(other.fd.as_fd()), &path, (is_link, marks))?;
    utimensat(target, name, &times(stat), no_follow)
}

fn file(other: &Other, target: BorrowedFd<'_>, name: &OsStr) -> Result<(), (&'static str, Errno)> {
    let source = reopen(other.fd.as_fd()).map_err(|errno| ("open", errno))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = openat(target, name, flags, Mode::from_raw_mode(0o600))
        .map_err(|errno| ("create", errno))?;
    if ioctl_ficlone(&made, &source).is_ok() {
        return Ok(());
    }
    content(source, made)
}

/// Copies the parts of a file that have data, and makes it as long as it was.
fn content(source: OwnedFd, made: OwnedFd) -> Result<(), (&'static str, Errno)> {
    let stat = fstat(&source).map_err(|errno| ("look at", errno))?;
    let found = parts(source.as_fd(), &stat).map_err(|errno| ("find the holes", errno))?;
    let Some(found) = found else {
        return whole(source, made);
    };
    let (from, to) = (File::from(source), File::from(made));
    let copied = found.iter().try_for_each(|(offset, length)| {
        (&from).seek(SeekFrom::Start(*offset))?;
        (&to).seek(SeekFrom::Start(*offset))?;
        std::io::copy(&mut (&from).take(*length), &mut (&to)).map(drop)
    });
    copied
        .and_then(|()| to.set_len(u64::try_from(stat.st_size).unwrap_or(0)))
        .map_err(|error| ("copy", Errno::from_io_error(&error).unwrap_or(Errno::IO)))
}

/// copy_file_range(2) copies inside the kernel; where it cannot (other filesystems on old kernels), bytes are read and written.
fn whole(source: OwnedFd, made: OwnedFd) -> Result<(), (&'static str, Errno)> {
    let mut any = false;
    loop {
        match copy_file_range(&source, None, &made, None, COPY_BYTES) {
            Ok(0) => return Ok(()),
            Ok(_) => any = true,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM)
                if !any =>
            {
                break;
            }
            Err(errno) => return Err(("copy", errno)),
        }
    }
    let (mut from, mut to) = (File::from(source), File::from(made));
    std::io::copy(&mut from, &mut to)
        .map(drop)
        .map_err(|error| ("copy", Errno::from_io_error(&error).unwrap_or(Errno::IO)))
}

/// Copies extended attributes. What the target's filesystem cannot hold is left out, except capabilities:
/// without them a program does not work.
fn copy_xattrs(from: &Path, to: &Path, (is_link, marks): (bool, Marks)) -> Result<(), Errno> {
    let mut names = vec![0; 64 * 1024];
    let length = match listxattr(from, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let mut value = vec![0; 64 * 1024];
    for name in names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let is_mark = name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
        if is_mark && marks == Marks::Dropped {
            continue;
        }
        let name = CString::new(name).expect("the list is split at its NULs");
        let size = getxattr(from, name.as_c_str(), &mut value[..])?;
        let set = if is_link {
            lsetxattr(to, name.as_c_str(), &value[..size], XattrFlags::empty())
        } else {
            setxattr(to, name.as_c_str(), &value[..size], XattrFlags::empty())
        };
        match set {
            Err(Errno::OPNOTSUPP | Errno::PERM) if name.as_c_str() != c"security.capability" => {}
            other => other?,
        }
    }
    Ok(())
}

pub(super) fn open_directory(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

fn error(path: &Path, operation: &'static str, errno: Errno) -> CopyError {
    CopyError {
        path: path.to_owned(),
        operation,
        errno,
    }
}

fn uid(stat: &Stat) -> Uid {
    Uid::from_raw(stat.st_uid)
}

fn gid(stat: &Stat) -> Gid {
    Gid::from_raw(stat.st_gid)
}

fn mode(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & 0o7777)
}

pub(super) fn times(stat: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec.cast_signed()),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
    }
}
