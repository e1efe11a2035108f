//! A name in a container, and how something else comes in its place.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use rustix::{
    fs::{
        AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, Uid,
        chownat, fchmod, fchown, fstat, futimens, mkdirat, openat, readlinkat, renameat, statat,
        symlinkat, unlinkat,
    },
    io::Errno,
};

use super::{
    super::{CopyError, DEPTH_MAX},
    Mirrored,
};

/// How names of files begin that are not complete yet.
const UNFINISHED: &str = ".stack-";
/// Bytes that are compared at a time.
const COMPARED_BYTES: usize = 64 << 10;

/// A name in an open directory of a container, and what is there.
pub(super) struct There<'a> {
    parent: &'a OwnedFd,
    name: &'a OsStr,
    /// For messages.
    path: &'a Path,
    stat: Option<Stat>,
    /// Of what was there, else of the directory.
    owner: (Uid, Gid),
}

impl<'a> There<'a> {
    pub(super) fn look(
        parent: &'a OwnedFd,
        name: &'a OsStr,
        path: &'a Path,
    ) -> Result<Self, CopyError> {
        let failed = CopyError::file("look at", path);
        let stat = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(stat),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(failed(errno)),
        };
        let owner = match stat {
            Some(stat) => stat,
            None => fstat(parent).map_err(failed)?,
        };
        Ok(Self {
            parent,
            name,
            path,
            stat,
            owner: (Uid::from_raw(owner.st_uid), Gid::from_raw(owner.st_gid)),
        })
    }

    fn kind(&self) -> Option<FileType> {
        self.stat.map(|stat| FileType::from_raw_mode(stat.st_mode))
    }

    fn failed(&self, operation: &'static str) -> impl FnOnce(Errno) -> CopyError + use<'a> {
        CopyError::file(operation, self.path)
    }

    pub(super) fn directory(&self, mode: Mode) -> Result<Mirrored, CopyError> {
        match self.kind() {
            Some(FileType::Directory) => return Ok(Mirrored::Equal),
            Some(_) => self.clear()?,
            None => {}
        }
        mkdirat(self.parent, self.name, mode).map_err(self.failed("make the directory"))?;
        let (uid, gid) = (Some(self.owner.0), Some(self.owner.1));
        chownat(self.parent, self.name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(self.failed("set the owner of"))?;
        Ok(Mirrored::Changed)
    }

    pub(super) fn link(&self, text: &OsStr) -> Result<Mirrored, CopyError> {
        match self.kind() {
            Some(FileType::Symlink) => {
                let there = readlinkat(self.parent, self.name, Vec::new())
                    .map_err(self.failed("read the link"))?;
                if there.to_bytes() == text.as_bytes() {
                    return Ok(Mirrored::Equal);
                }
            }
            Some(FileType::Directory) => self.clear()?,
            _ => {}
        }
        let unfinished = unfinished();
        symlinkat(text, self.parent, &*unfinished).map_err(self.failed("make the link"))?;
        let (uid, gid) = (Some(self.owner.0), Some(self.owner.1));
        let placed = chownat(
            self.parent,
            &*unfinished,
            uid,
            gid,
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .and_then(|()| renameat(self.parent, &*unfinished, self.parent, self.name));
        self.placed(placed, &unfinished)
    }

    pub(super) fn file(
        &self,
        source: &mut File,
        stat: &Stat,
        from: &Path,
    ) -> Result<Mirrored, CopyError> {
        match self.kind() {
            Some(FileType::RegularFile) if self.is_equal(source, stat)? => {
                return Ok(Mirrored::Equal);
            }
            Some(FileType::Directory) => self.clear()?,
            _ => {}
        }
        io::Seek::rewind(source).map_err(reading(from))?;
        let unfinished = unfinished();
        let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let target = openat(
            self.parent,
            &*unfinished,
            create | flags,
            Mode::from_raw_mode(0o600),
        )
        .map_err(self.failed("make"))?;
        let mut target = File::from(target);
        let written = self
            .fill(&mut target, source, stat)
            .and_then(|()| renameat(self.parent, &*unfinished, self.parent, self.name));
        // A file is mounted here, so that it has to stay the same one.
        if matches!(written, Err(Errno::BUSY)) {
            io::Seek::rewind(source).map_err(reading(from))?;
            let open = openat(
                self.parent,
                self.name,
                OFlags::WRONLY | OFlags::TRUNC | flags,
                Mode::empty(),
            );
            let written = open.and_then(|file| self.fill(&mut File::from(file), source, stat));
            let removed = unlinkat(self.parent, &*unfinished, AtFlags::empty());
            written
                .and(removed)
                .map_err(self.failed("write the mounted file"))?;
            return Ok(Mirrored::Changed);
        }
        self.placed(written, &unfinished)
    }

    fn fill(&self, target: &mut File, source: &mut File, stat: &Stat) -> Result<(), Errno> {
        let errno = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        io::copy(source, target).map_err(errno)?;
        fchown(&*target, Some(self.owner.0), Some(self.owner.1))?;
        // Bits that give rights of the owner were meant for another one.
        fchmod(&*target, Mode::from_raw_mode(stat.st_mode & 0o1777))?;
        let omit = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        };
        let modified = Timespec {
            tv_sec: stat.st_mtime,
            tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or_default(),
        };
        futimens(
            &*target,
            &Timestamps {
                last_access: omit,
                last_modification: modified,
            },
        )
    }

    /// Ends the replacement: what was not placed goes.
    fn placed(&self, placed: Result<(), Errno>, unfinished: &OsStr) -> Result<Mirrored, CopyError> {
        if let Err(errno) = placed {
            // The first error is the one to tell.
            let _gone = unlinkat(self.parent, unfinished, AtFlags::empty());
            return Err(self.failed("replace")(errno));
        }
        Ok(Mirrored::Changed)
    }

    /// Tells whether the file that is there has the same content and permissions.
    fn is_equal(&self, source: &mut File, stat: &Stat) -> Result<bool, CopyError> {
        let Some(there) = self.stat else {
            return Ok(false);
        };
        if there.st_size != stat.st_size || (there.st_mode ^ stat.st_mode) & 0o777 != 0 {
            return Ok(false);
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let other =
            openat(self.parent, self.name, flags, Mode::empty()).map_err(self.failed("open"))?;
        same_content(source, &mut File::from(other)).map_err(reading(self.path))
    }

    /// Removes what is there, with all below it.
    pub(super) fn remove(&self) -> Result<Mirrored, CopyError> {
        if self.stat.is_none() {
            return Ok(Mirrored::Equal);
        }
        remove(self.parent, self.name, 0).map_err(self.failed("remove"))?;
        Ok(Mirrored::Changed)
    }

    /// Makes room for something of another kind.
    fn clear(&self) -> Result<(), CopyError> {
        let flags = match self.kind() {
            Some(FileType::Directory) => AtFlags::REMOVEDIR,
            _ => AtFlags::empty(),
        };
        unlinkat(self.parent, self.name, flags).map_err(self.failed("replace"))
    }
}

/// Removes a name with all below it. Links are not followed.
fn remove(parent: impl AsFd, name: &OsStr, depth: usize) -> Result<(), Errno> {
    match unlinkat(&parent, name, AtFlags::empty()) {
        // EPERM is what POSIX says of directories.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(Errno::NOENT) => return Ok(()),
        result => return result,
    }
    if depth >= DEPTH_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(&parent, name, flags, Mode::empty())?;
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let inner = entry.file_name().to_bytes();
        if inner != b"." && inner != b".." {
            remove(&directory, OsStr::from_bytes(inner), depth + 1)?;
        }
    }
    unlinkat(&parent, name, AtFlags::REMOVEDIR)
}

fn same_content(a: &mut File, b: &mut File) -> io::Result<bool> {
    let (mut left, mut right) = (vec![0; COMPARED_BYTES], vec![0; COMPARED_BYTES]);
    loop {
        let count = fill_buffer(a, &mut left)?;
        if fill_buffer(b, &mut right)? != count || left[..count] != right[..count] {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
    }
}

fn fill_buffer(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn reading(path: &Path) -> impl FnOnce(io::Error) -> CopyError + '_ {
    move |error| CopyError::file("read", path)(Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

fn unfinished() -> OsString {
    let mut number = [0; 8];
    // Any name that is not taken will do: the file is made with O_EXCL.
    let _filled = rustix::rand::getrandom(&mut number, rustix::rand::GetRandomFlags::empty());
    format!("{UNFINISHED}{:016x}", u64::from_ne_bytes(number)).into()
}
