//! What a later entry of a stream takes the place of: its content is part of the stream, and so of the layer's digest.
//!
//! While a record is kept, a file or directory that is replaced is not removed but moved beside the layer's files, to
//! `replaced/<number>`. A content of the record then lies where it was written, or in the first thing that was moved
//! from there, or from above, after the record had named it.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path as HostPath,
};

use fs_err as fs;
use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, readlinkat,
        renameat, statat,
    },
    io::Errno,
};

use super::{Replay, files::remove_any, parents::Path};

/// Name of the directory beside `fs`.
pub(crate) const REPLACED: &str = "replaced";

/// A file or directory that a later entry took the place of. Its number is its place in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replaced {
    /// Where it was, with no symbolic link on the way.
    pub(crate) path: Vec<u8>,
    /// Contents that the record had named by then.
    pub(crate) contents: u64,
}

/// Keeps what is replaced.
pub(super) struct Aside<'a> {
    /// The layer's own directory.
    beside: BorrowedFd<'a>,
    /// `replaced/`, once it was needed.
    directory: Option<OwnedFd>,
    /// The kernel's name of the layer's root.
    root: Vec<u8>,
    /// The directory of the last file: as its entry wrote it, and without links. Entries of a directory follow each other.
    last: Option<(Vec<u8>, Vec<u8>)>,
    contents: u64,
    replaced: Vec<Replaced>,
}

impl<'a> Aside<'a> {
    pub(super) fn new(root: BorrowedFd<'_>, beside: BorrowedFd<'a>) -> Result<Self, Errno> {
        Ok(Self {
            beside,
            directory: None,
            root: kernel_path(root)?,
            last: None,
            contents: 0,
            replaced: Vec::new(),
        })
    }

    /// Returns the path of an entry without links, which may be replaced later while its files stay.
    pub(super) fn place(&mut self, path: &Path, directory: &OwnedFd) -> Result<Vec<u8>, Errno> {
        let (parent, name) = path.split().unwrap_or_default();
        let known = (self.last.as_ref()).filter(|(written, _)| written == parent);
        if let Some((_, real)) = known {
            return Ok(join(real, name));
        }
        let real = match self.below_root(directory) {
            // The kernel has no name of more than a page; a link on such a way that is replaced later is beyond us.
            Err(Errno::NAMETOOLONG) => return Ok(path.0.clone()),
            result => result?,
        };
        let place = join(&real, name);
        self.last = Some((parent.to_owned(), real));
        Ok(place)
    }

    /// Counts a content that the record names; empty ones are not named.
    pub(super) fn count(&mut self, length: u64) {
        self.contents += u64::from(length > 0);
    }

    /// Returns how much was replaced.
    pub(super) fn len(&self) -> usize {
        self.replaced.len()
    }

    /// Frees a name; files are kept.
    pub(super) fn keep(&mut self, parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        self.last = None;
        let kind = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => FileType::from_raw_mode(stat.st_mode),
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        if !kind.is_file() && !kind.is_dir() {
            return remove_any(parent.as_fd(), name);
        }
        let path = join(&self.below_root(parent)?, name);
        let directory = match &self.directory {
            Some(directory) => directory,
            None => self.directory.insert(make(self.beside)?),
        };
        renameat(parent, name, directory, self.replaced.len().to_string())?;
        let contents = self.contents;
        self.replaced.push(Replaced { path, contents });
        Ok(())
    }

    pub(super) fn take(self) -> Vec<Replaced> {
        self.replaced
    }

    fn below_root(&self, directory: &OwnedFd) -> Result<Vec<u8>, Errno> {
        let path = kernel_path(directory.as_fd())?;
        let below = path.strip_prefix(&*self.root).ok_or(Errno::XDEV)?;
        Ok(below.strip_prefix(b"/").unwrap_or(below).to_owned())
    }
}

fn make(beside: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    mkdirat(beside, REPLACED, Mode::from_raw_mode(0o700))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(beside, REPLACED, flags, Mode::empty())
}

/// Returns how the kernel calls an open directory (proc_pid_fd(5)).
fn kernel_path(directory: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let link = format!("/proc/self/fd/{}", directory.as_raw_fd());
    readlinkat(CWD, link, Vec::new()).map(std::ffi::CString::into_bytes)
}

fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() {
        return name.to_owned();
    }
    [parent, b"/", name].concat()
}

/// Finds the contents that a record names.
pub(super) struct Places {
    root: OwnedFd,
    /// `replaced/`, where anything was.
    aside: Option<OwnedFd>,
    /// Path -> what was moved from there: contents named by then, number.
    moved: HashMap<Vec<u8>, Vec<(u64, usize)>>,
}

impl<R: io::Read> Replay<R> {
    /// Opens the record of a layer; `replaced` is what its unpacking has found.
    pub(crate) fn open(record: R, layer: &HostPath, replaced: Vec<Replaced>) -> io::Result<Self> {
        let open = |name| io::Result::Ok(fs::File::open(layer.join(name))?.into_file().into());
        let aside = (!replaced.is_empty()).then(|| open(REPLACED)).transpose()?;
        let mut moved: HashMap<_, Vec<_>> = HashMap::new();
        for (number, Replaced { path, contents }) in replaced.into_iter().enumerate() {
            moved.entry(path).or_default().push((contents, number));
        }
        let places = Places {
            root: open("fs")?,
            aside,
            moved,
        };
        Self::of(record, places)
    }
}

impl Places {
    /// Opens the file with the content that was the `contents`th of the record, from 0.
    pub(super) fn open(&self, path: &[u8], contents: u64) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let moved = self.moved_path(path, contents);
        let (root, path) = match (&self.aside, &moved) {
            (Some(aside), Some(moved)) => (aside, &**moved),
            _ => (&self.root, path),
        };
        loop {
            match openat2(root, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return result.map_err(io::Error::from),
            }
        }
    }

    /// Returns the path below `replaced/`, if the content was moved there.
    fn moved_path(&self, path: &[u8], contents: u64) -> Option<Vec<u8>> {
        if self.moved.is_empty() {
            return None;
        }
        let ends = (0..=path.len()).filter(|end| matches!(path.get(*end), None | Some(b'/')));
        // What was moved once stays where it is, so the earliest move after the content was written counts.
        let moves = ends.filter_map(|end| {
            let moves = self.moved.get(&path[..end])?;
            let next = moves.partition_point(|(before, _)| *before <= contents);
            moves.get(next).map(|(_, number)| (*number, end))
        });
        let (number, end) = moves.min()?;
        Some([number.to_string().as_bytes(), &path[end..]].concat())
    }
}
