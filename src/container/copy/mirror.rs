//! Single files of a container that are made equal to those of this machine (`stack watch`).

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use runtime::spec::ContainerState;
use rustix::{
    fs::{
        AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, chownat,
        fchmod, fchown, fstat, futimens, mkdirat, openat, readlinkat, renameat, statat, symlinkat,
        unlinkat,
    },
    io::Errno,
};

use super::{CopyError, DEPTH_MAX, Kind, Place};
use crate::model::ContainerRecord;

/// How names of files begin that are not complete yet.
const UNFINISHED: &str = ".stack-";
/// Bytes that are compared at a time.
const COMPARED_BYTES: usize = 64 << 10;

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirrored {
    /// It is as it was: there was nothing to do.
    Equal,
    /// It was written or removed.
    Changed,
    /// It is a socket, pipe or device, which nobody wants in a container.
    Left,
}

/// A directory of a container whose files follow those of this machine.
///
/// What is written belongs to whoever owned the file before, else to the owner of the directory: a program that may write into its
/// directory may go on doing so. Files are replaced by a rename, so that nobody reads half of one.
#[derive(Debug)]
pub struct Mirror {
    place: Place,
    /// Path of the target in the root of the place.
    base: PathBuf,
    /// It was written as a directory.
    wants_directory: bool,
}

impl Mirror {
    /// Opens a container, running or not, at an absolute path of it, which need not exist.
    ///
    /// # Errors
    /// [`CopyError::Root`]
    pub fn open(
        record: &ContainerRecord,
        state: &ContainerState,
        target: &str,
    ) -> Result<Self, CopyError> {
        Place::container(record, state, target).map(Self::of_place)
    }

    /// Makes one of a place and what is below it.
    pub fn of_place(place: Place) -> Self {
        Self {
            base: place.path().to_owned(),
            wants_directory: place.wants_directory(),
            place,
        }
    }

    /// Makes what is at `relative` below the target equal to `source`, a path of this machine.
    ///
    /// An empty path is the target itself; a file whose target is a directory goes into it. Directories are made when they are missing; those that
    /// are there stay as they are. A file, or an empty directory, gives way to what comes in its place; a directory with something in it does not.
    ///
    /// # Errors
    /// [`CopyError::File`], for a source that has gone meanwhile too.
    pub fn put(&mut self, source: &Path, relative: &Path) -> Result<Mirrored, CopyError> {
        self.as_its_root(|mirror| mirror.put_now(source, relative))
    }

    /// Removes what came from `source` to `relative` below the target, with all that is in it. A directory that is the target stays.
    ///
    /// # Errors
    /// [`CopyError::File`]
    pub fn remove(&mut self, source: &Path, relative: &Path) -> Result<Mirrored, CopyError> {
        self.as_its_root(|mirror| mirror.remove_now(source, relative))
    }

    /// Only users of the container itself can make files in a container with users of its own (EOVERFLOW).
    fn as_its_root<T: Send>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, CopyError> + Send,
    ) -> Result<T, CopyError> {
        let Some(map) = self.place.users() else {
            return work(self);
        };
        let root = map.uid(0).zip(map.gid(0)).ok_or(Errno::OVERFLOW);
        std::thread::scope(|scope| {
            let working = scope.spawn(|| {
                root.and_then(|(uid, gid)| runtime::namespaces::act_as(uid, gid))
                    .map_err(CopyError::file("act as the container's root at", "/"))?;
                work(self)
            });
            working.join().expect("copying does not panic")
        })
    }

    fn put_now(&mut self, source: &Path, relative: &Path) -> Result<Mirrored, CopyError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let stat = statat(rustix::fs::CWD, source, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(CopyError::file("look at", source))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !matches!(
            kind,
            FileType::RegularFile | FileType::Directory | FileType::Symlink
        ) {
            return Ok(Mirrored::Left);
        }
        let is_directory = kind == FileType::Directory;
        let path = self.go_to(relative, (!is_directory).then_some(source))?;
        let (parent, name) = self.parent()?;
        let there = There::look(&parent, &name, &path)?;
        match kind {
            FileType::Directory => there.directory(Mode::from_raw_mode(stat.st_mode & 0o777)),
            FileType::Symlink => {
                let text = readlinkat(rustix::fs::CWD, source, Vec::new())
                    .map_err(CopyError::file("read the link", source))?;
                there.link(OsStr::from_bytes(text.to_bytes()))
            }
            _ => {
                let file = rustix::fs::open(source, flags, Mode::empty())
                    .map_err(CopyError::file("open", source))?;
                // It may be another one by now.
                let stat = fstat(&file).map_err(CopyError::file("look at", source))?;
                if !FileType::from_raw_mode(stat.st_mode).is_file() {
                    return Ok(Mirrored::Left);
                }
                there.file(&mut File::from(file), &stat, source)
            }
        }
    }

    fn remove_now(&mut self, source: &Path, relative: &Path) -> Result<Mirrored, CopyError> {
        let path = self.go_to(relative, Some(source))?;
        let (parent, name) = match self.place.open_parent() {
            Ok(found) => found,
            Err(CopyError::File {
                source: Errno::NOENT | Errno::NOTDIR,
                ..
            }) => return Ok(Mirrored::Equal),
            Err(error) => return Err(error),
        };
        let there = There::look(&parent, &name, &path)?;
        if there.stat.is_none() {
            return Ok(Mirrored::Equal);
        }
        remove(&parent, &name, 0).map_err(there.failed("remove"))?;
        Ok(Mirrored::Changed)
    }

    /// Moves the place to a path below the target and returns it. `file`: what is copied there is, or was, no directory.
    fn go_to(&mut self, relative: &Path, file: Option<&Path>) -> Result<PathBuf, CopyError> {
        let mut path = self.base.clone();
        if relative.as_os_str().is_empty() {
            self.place.go_to(path.clone());
            let is_inside = self.wants_directory || self.place.kind()? == Kind::Directory;
            if let Some(name) = file.and_then(Path::file_name).filter(|_| is_inside) {
                path.push(name);
            }
        } else {
            path.push(relative);
        }
        self.place.go_to(path.clone());
        Ok(path)
    }

    /// Opens the directory above the place; what is missing of it is made.
    fn parent(&mut self) -> Result<(OwnedFd, OsString), CopyError> {
        match self.place.open_parent() {
            Err(CopyError::File {
                source: Errno::NOENT,
                ..
            }) => {}
            found => return found,
        }
        let path = self.place.path().to_owned();
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        for directory in above.into_iter().filter(|above| above.parent().is_some()) {
            self.place.go_to(directory.to_owned());
            if self.place.kind()? == Kind::Missing {
                let (parent, name) = self.place.open_parent()?;
                There::look(&parent, &name, directory)?.directory(Mode::from_raw_mode(0o755))?;
            }
        }
        self.place.go_to(path);
        self.place.open_parent()
    }
}

/// A name in an open directory of a container, and what is there.
struct There<'a> {
    parent: &'a OwnedFd,
    name: &'a OsStr,
    /// For messages.
    path: &'a Path,
    stat: Option<Stat>,
    /// Of what was there, else of the directory.
    owner: (rustix::fs::Uid, rustix::fs::Gid),
}

impl<'a> There<'a> {
    fn look(parent: &'a OwnedFd, name: &'a OsStr, path: &'a Path) -> Result<Self, CopyError> {
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
            owner: (
                rustix::fs::Uid::from_raw(owner.st_uid),
                rustix::fs::Gid::from_raw(owner.st_gid),
            ),
        })
    }

    fn kind(&self) -> Option<FileType> {
        self.stat.map(|stat| FileType::from_raw_mode(stat.st_mode))
    }

    fn failed(&self, operation: &'static str) -> impl FnOnce(Errno) -> CopyError + use<'a> {
        CopyError::file(operation, self.path)
    }

    fn directory(&self, mode: Mode) -> Result<Mirrored, CopyError> {
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

    fn link(&self, text: &OsStr) -> Result<Mirrored, CopyError> {
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

    fn file(&self, source: &mut File, stat: &Stat, from: &Path) -> Result<Mirrored, CopyError> {
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
