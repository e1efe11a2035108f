//! Paths inside a root that somebody else fills: they are followed by the kernel on descriptors (`openat2(RESOLVE_IN_ROOT)`, Linux 5.6)
//! and never joined to a host path. A symbolic link, `..` or a swap during the walk cannot lead out of the root.
//!
//! The functions on [`CStr`] do not allocate, because the child of a launch uses them; [`Root`] is the comfortable form for everybody else.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::path_buffer::PathBuffer;
use crate::error::{Error, Step};

/// Largest file that [`Root::read`] reads.
pub const READ_BYTES_MAX: u64 = 16 << 20;

/// Symbolic links followed by [`ensure`], as many as the kernel follows.
const LINKS_MAX: usize = 40;

/// Attempts when somebody renames or removes what is being walked.
const ATTEMPTS_MAX: usize = 128;

/// A directory that is the root of all paths given to it.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    /// For messages only.
    name: PathBuf,
}

impl Root {
    /// Opens a directory of the host. The path itself is trusted.
    pub fn open_dir(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| Error::new(Step::Open, path.display().to_string(), errno))?;
        Ok(Self {
            fd,
            name: path.to_owned(),
        })
    }

    /// Makes a root of an open directory, or of a mount that is attached nowhere. `name` is for messages.
    pub fn from_fd(fd: OwnedFd, name: impl Into<PathBuf>) -> Self {
        Self {
            fd,
            name: name.into(),
        }
    }

    /// Opens what `path` leads to inside the root.
    pub fn open(&self, path: impl AsRef<Path>, flags: OFlags) -> Result<OwnedFd, Error> {
        let path = path.as_ref();
        let text = self.text(path)?;
        open_in(self.as_fd(), &text, flags, Mode::empty())
            .map_err(|errno| self.error(Step::Open, path, errno))
    }

    /// Opens a file for writing, empty, made when missing.
    pub fn create(&self, path: impl AsRef<Path>, mode: u32) -> Result<OwnedFd, Error> {
        let path = path.as_ref();
        let text = self.text(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        open_in(self.as_fd(), &text, flags, Mode::from_raw_mode(mode))
            .map_err(|errno| self.error(Step::Create, path, errno))
    }

    /// Opens the directory that holds the last component of `path`, and returns that component: for calls that make, rename or remove
    /// an entry. Refused with EINVAL when the last component is `/`, `.` or `..`.
    pub fn open_parent(&self, path: impl AsRef<Path>) -> Result<(OwnedFd, OsString), Error> {
        let path = path.as_ref();
        let (Some(Component::Normal(name)), Some(parent)) =
            (path.components().next_back(), path.parent())
        else {
            return Err(self.error(Step::Resolve, path, Errno::INVAL));
        };
        let directory = self.open(
            if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            },
            DIRECTORY,
        )?;
        Ok((directory, name.to_owned()))
    }

    /// Makes a directory and those above it, and opens it (`O_PATH`). Symbolic links are followed inside the root, also those whose
    /// target does not exist yet.
    pub fn create_dir_all(&self, path: impl AsRef<Path>, mode: u32) -> Result<OwnedFd, Error> {
        let path = path.as_ref();
        let text = self.text(path)?;
        ensure(
            self.as_fd(),
            &text,
            Entry::Directory,
            Mode::from_raw_mode(mode),
        )
        .map_err(|errno| self.error(Step::Create, path, errno))
    }

    /// Reads a regular file of at most [`READ_BYTES_MAX`] bytes.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Vec<u8>, Error> {
        let path = path.as_ref();
        // A FIFO would block an open without NONBLOCK for ever.
        let fd = self.open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| self.error(Step::Read, path, errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(self.error(Step::Read, path, Errno::INVAL));
        }
        let mut content = Vec::new();
        std::fs::File::from(fd)
            .take(READ_BYTES_MAX + 1)
            .read_to_end(&mut content)
            .map_err(|error| Error::new(Step::Read, self.subject(path), error))?;
        if content.len() as u64 > READ_BYTES_MAX {
            return Err(self.error(Step::Read, path, Errno::FBIG));
        }
        Ok(content)
    }

    fn text(&self, path: &Path) -> Result<CString, Error> {
        CString::new(path.as_os_str().as_bytes())
            .map_err(|_nul| self.error(Step::Resolve, path, Errno::INVAL))
    }

    fn subject(&self, path: &Path) -> String {
        format!("{} in {}", path.display(), self.name.display())
    }

    fn error(&self, step: Step, path: &Path, errno: Errno) -> Error {
        Error::new(step, self.subject(path), errno)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What [`ensure`] makes when it is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A directory.
    Directory,
    /// An empty regular file.
    File,
}

/// Flags that open a directory without reading it.
pub(crate) const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);

/// Opens what `path` leads to inside `root`; close-on-exec. Magic links of procfs are not followed.
pub(crate) fn open_in(
    root: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    open_with(
        root,
        path,
        flags,
        mode,
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}

/// Opens what `path` names inside `root` when no component is a symbolic link; ELOOP otherwise.
pub(crate) fn open_plain(
    root: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    open_with(
        root,
        path,
        flags,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS,
    )
}

fn open_with(
    root: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    // An empty path is the root itself.
    let path = if path.is_empty() { c"." } else { path };
    let mut outcome = Err(Errno::AGAIN);
    // The kernel answers EAGAIN when a rename anywhere on the machine could have led the walk out of the root.
    for _ in 0..ATTEMPTS_MAX {
        outcome = rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, mode, resolve);
        if !matches!(outcome, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
    }
    outcome
}

/// Opens (`O_PATH`) what `path` leads to inside `root`, and makes it and the directories above it when missing. Where a symbolic link
/// leads to something missing, that is made.
pub(crate) fn ensure(
    root: BorrowedFd<'_>,
    path: &CStr,
    entry: Entry,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let mut path = PathBuffer::of(path.to_bytes())?;
    let mut links = 0;
    for _ in 0..ATTEMPTS_MAX * LINKS_MAX {
        match open_in(root, path.as_c_str(), OFlags::PATH, Mode::empty()) {
            Err(Errno::NOENT) => {}
            Ok(found) if entry == Entry::Directory => return directory(found),
            outcome => return outcome,
        }
        match make_first_missing(root, &path, entry, mode)? {
            Progress::Made => {}
            Progress::Link(next) => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP);
                }
                path = next;
            }
        }
    }
    Err(Errno::AGAIN)
}

fn directory(found: OwnedFd) -> Result<OwnedFd, Errno> {
    let stat = rustix::fs::fstat(&found)?;
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    if is_directory {
        Ok(found)
    } else {
        Err(Errno::NOTDIR)
    }
}

#[expect(
    clippy::large_enum_variant,
    reason = "the child must not allocate, and the value lives for one step"
)]
enum Progress {
    /// One more component exists, by us or by somebody else.
    Made,
    /// The first missing component is a symbolic link to something missing: go on with this path.
    Link(PathBuffer),
}

fn make_first_missing(
    root: BorrowedFd<'_>,
    path: &PathBuffer,
    entry: Entry,
    mode: Mode,
) -> Result<Progress, Errno> {
    let bytes = path.as_bytes();
    let mut parent = open_in(root, c".", DIRECTORY, Mode::empty())?;
    let mut start = 0;
    while start < bytes.len() {
        let end = bytes[start..]
            .iter()
            .position(|byte| *byte == b'/')
            .map_or(bytes.len(), |length| start + length);
        if start == end {
            start += 1;
            continue;
        }
        let is_last = bytes[end..].iter().all(|byte| *byte == b'/');
        let prefix = PathBuffer::of(&bytes[..end])?;
        match open_in(root, prefix.as_c_str(), OFlags::PATH, Mode::empty()) {
            Ok(found) if is_last => drop(found),
            Ok(found) => parent = directory(found)?,
            Err(Errno::NOENT) => {
                let name = PathBuffer::of(&bytes[start..end])?;
                let mut target = [MaybeUninit::uninit(); libc::PATH_MAX as usize];
                if let Ok((target, _)) =
                    rustix::fs::readlinkat_raw(&parent, name.as_c_str(), &mut target)
                {
                    return path.replace(start, end, target).map(Progress::Link);
                }
                let entry = if is_last { entry } else { Entry::Directory };
                return make(parent.as_fd(), name.as_c_str(), entry, mode).map(|()| Progress::Made);
            }
            Err(errno) => return Err(errno),
        }
        start = end;
    }
    // Somebody made it meanwhile.
    Ok(Progress::Made)
}

fn make(parent: BorrowedFd<'_>, name: &CStr, entry: Entry, mode: Mode) -> Result<(), Errno> {
    let outcome = match entry {
        Entry::Directory => rustix::fs::mkdirat(parent, name, mode | Mode::from_raw_mode(0o111)),
        Entry::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::openat(parent, name, flags, mode).map(drop)
        }
    };
    match outcome {
        Err(Errno::EXIST) => Ok(()),
        outcome => outcome,
    }
}

/// Makes a path for the child.
pub(crate) fn c_path(path: &OsStr, step: Step) -> Result<CString, Error> {
    CString::new(path.as_bytes()).map_err(|_nul| {
        Error::new(
            step,
            path.to_string_lossy().escape_debug().to_string(),
            Errno::INVAL,
        )
    })
}

#[cfg(test)]
mod tests;
