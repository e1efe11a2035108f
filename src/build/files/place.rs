//! Writes a selection into an image: the rules of COPY for destinations.
//!
//! Symbolic links on the way to the destination are followed inside the image; below it nothing is followed, because a link that stands
//! where a directory is to be copied is an error, as in the reference builder. Existing files are replaced, never written into.

use std::{
    collections::HashMap,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use runtime::{Error, Step};
use rustix::{
    fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};

use super::{
    chmod::Chmod,
    select::{Entry, EntryKind, Item},
    tree::{ITSELF, Resolved, Tree, xattrs},
};

/// Where COPY writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    /// Absolute path in the image.
    pub(crate) path: PathBuf,
    /// Written with a trailing slash, or more than one source: it is a directory.
    pub(crate) directory: bool,
}

/// User and group id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Something cannot be written where it should be.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A directory over something else.
    #[error("cannot copy a directory to `{0}`: it is not a directory")]
    NotDirectory(String),
    /// A file over a directory.
    #[error("cannot replace the directory `{0}` with a file")]
    IsDirectory(String),
    /// A call was refused.
    #[error(transparent)]
    File(#[from] Error),
}

/// Writes into an image.
#[derive(Debug)]
pub(crate) struct Placer<'a> {
    tree: &'a Tree,
    owner: Option<Owner>,
    chmod: Option<&'a Chmod>,
    /// First path of each file with several names, so that names of one file stay names of one file.
    shared: HashMap<(u64, u64), Resolved>,
    /// The directory written into last: most entries follow a sibling.
    parent: Option<(Resolved, OwnedFd)>,
}

impl<'a> Placer<'a> {
    pub(crate) fn new(tree: &'a Tree, owner: Option<Owner>, chmod: Option<&'a Chmod>) -> Self {
        Self {
            tree,
            owner,
            chmod,
            shared: HashMap::new(),
            parent: None,
        }
    }

    /// Writes one source.
    pub(crate) fn place(
        &mut self,
        source: &Tree,
        item: &Item,
        destination: &Destination,
    ) -> Result<(), PlaceError> {
        if item.entries.is_empty() {
            return Ok(());
        }
        let mut target = self.tree.resolve(&destination.path)?;
        if destination.directory {
            self.directories(&target)?;
        } else if let Some(parent) = target.parent() {
            self.directories(&parent)?;
        }
        if item.is_directory() {
            self.directories(&target)?;
        } else if self.is_directory(&target)? {
            target = self.tree.resolve(target.entry(&item.name).as_path())?;
            if self.is_directory(&target)? {
                return Err(PlaceError::IsDirectory(shown(&target)));
            }
        }
        for entry in &item.entries {
            self.entry(source, item, entry, &target)?;
        }
        // Writing below changed their times, and a mode may forbid writing.
        for entry in item.entries.iter().rev() {
            if entry.kind == EntryKind::Directory {
                self.finish_directory(source, item, entry, &target)?;
            }
        }
        Ok(())
    }

    /// Writes an inline document.
    pub(crate) fn document(
        &mut self,
        name: &str,
        content: &[u8],
        destination: &Destination,
    ) -> Result<(), PlaceError> {
        let mut target = self.tree.resolve(&destination.path)?;
        if destination.directory {
            self.directories(&target)?;
        } else if let Some(parent) = target.parent() {
            self.directories(&parent)?;
        }
        if self.is_directory(&target)? {
            target = self.tree.resolve(target.entry(name).as_path())?;
        }
        let (parent, name) = self.free(&target)?;
        let file = create(&parent, name).map_err(|errno| self.refused(Step::Create, &target, errno))?;
        std::io::Write::write_all(&mut &file, content)
            .map_err(|error| self.io(Step::Write, &target, &error))?;
        let owner = self.owner.unwrap_or(Owner { uid: 0, gid: 0 });
        let mode = self.chmod.map_or(0o644, |chmod| chmod.apply(0o644, false));
        own(&file, owner, mode).map_err(|errno| self.refused(Step::Create, &target, errno))?;
        Ok(())
    }

    /// Makes a directory and those above it, all with the owner that was asked for.
    pub(crate) fn directories(&mut self, path: &Resolved) -> Result<(), PlaceError> {
        let mut missing = Vec::new();
        let mut at = path.clone();
        loop {
            match self.tree.stat(&at)? {
                Some(stat) if is_directory(stat.st_mode) => break,
                Some(_) => return Err(PlaceError::NotDirectory(shown(&at))),
                None => missing.push(at.clone()),
            }
            let Some(parent) = at.parent() else { break };
            at = parent;
        }
        let mode = self.chmod.map_or(0o755, Chmod::of_new_directory);
        let owner = self.owner.unwrap_or(Owner { uid: 0, gid: 0 });
        for path in missing.into_iter().rev() {
            let (parent, name) = self.split(&path)?;
            rustix::fs::mkdirat(&parent, name, Mode::RWXU)
                .and_then(|()| own(open_directory(parent.as_fd(), name)?, owner, mode))
                .map_err(|errno| self.refused(Step::Create, &path, errno))?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        source: &Tree,
        item: &Item,
        entry: &Entry,
        target: &Resolved,
    ) -> Result<(), PlaceError> {
        if entry.path.as_os_str().is_empty() && entry.kind == EntryKind::Directory {
            return Ok(());
        }
        let path = target.entry(&entry.path);
        if entry.kind == EntryKind::Directory {
            return self.directory(&path);
        }
        let from = item.source.entry(&entry.path);
        if let Some(first) = entry.shared.and_then(|id| self.shared.get(&id)).cloned() {
            return self.link(&first, &path);
        }
        if let Some(id) = entry.shared {
            self.shared.insert(id, path.clone());
        }
        let (parent, name) = self.free(&path)?;
        match entry.kind {
            EntryKind::File => self.file(source, &from, entry, &parent, name, &path)?,
            _ => self.node(source, &from, entry, &parent, name, &path)?,
        }
        set_times(parent.as_fd(), name, entry.mtime)
            .map_err(|errno| self.refused(Step::Write, &path, errno))?;
        Ok(())
    }

    fn directory(&mut self, path: &Resolved) -> Result<(), PlaceError> {
        match self.tree.stat(path)? {
            Some(stat) if is_directory(stat.st_mode) => Ok(()),
            Some(_) => Err(PlaceError::NotDirectory(shown(path))),
            None => {
                let (parent, name) = self.split(path)?;
                rustix::fs::mkdirat(&parent, name, Mode::RWXU)
                    .map_err(|errno| self.refused(Step::Create, path, errno).into())
            }
        }
    }

    fn file(
        &self,
        source: &Tree,
        from: &Resolved,
        entry: &Entry,
        parent: &OwnedFd,
        name: &std::ffi::OsStr,
        path: &Resolved,
    ) -> Result<(), PlaceError> {
        let mut content = source.file(from)?;
        let mut file =
            create(parent, name).map_err(|errno| self.refused(Step::Create, path, errno))?;
        std::io::copy(&mut content, &mut file)
            .map_err(|error| self.io(Step::Write, path, &error))?;
        let (owner, mode) = self.attributes(entry);
        own(&file, owner, mode).map_err(|errno| self.refused(Step::Write, path, errno))?;
        copy_xattrs(&content, &file).map_err(|errno| self.refused(Step::Write, path, errno))?;
        Ok(())
    }

    /// Makes a link, device or FIFO.
    fn node(
        &self,
        source: &Tree,
        from: &Resolved,
        entry: &Entry,
        parent: &OwnedFd,
        name: &std::ffi::OsStr,
        path: &Resolved,
    ) -> Result<(), PlaceError> {
        let (owner, mode) = self.attributes(entry);
        let kind = match entry.kind {
            EntryKind::CharacterDevice => FileType::CharacterDevice,
            EntryKind::BlockDevice => FileType::BlockDevice,
            EntryKind::Fifo => FileType::Fifo,
            _ => FileType::Symlink,
        };
        let make = || {
            if kind == FileType::Symlink {
                let link = source.read_link(from).map_err(|_error| Errno::IO)?;
                rustix::fs::symlinkat(link.as_path(), parent, name)?;
            } else {
                rustix::fs::mknodat(parent, name, kind, Mode::empty(), entry.device)?;
            }
            chown(parent.as_fd(), name, owner)?;
            if kind != FileType::Symlink {
                rustix::fs::chmodat(parent, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
            }
            Ok(())
        };
        make().map_err(|errno| self.refused(Step::Create, path, errno).into())
    }

    fn link(&mut self, first: &Resolved, path: &Resolved) -> Result<(), PlaceError> {
        let (from, from_name) = self.split(first)?;
        let (parent, name) = self.free(path)?;
        rustix::fs::linkat(&from, from_name, &parent, name, AtFlags::empty())
            .map_err(|errno| self.refused(Step::Link, path, errno).into())
    }

    /// Gives a directory its attributes once everything is in it. One that COPY was pointed at keeps its own, but for the time.
    fn finish_directory(
        &mut self,
        source: &Tree,
        item: &Item,
        entry: &Entry,
        target: &Resolved,
    ) -> Result<(), PlaceError> {
        let path = target.entry(&entry.path);
        let fd = self.tree.directory(&path)?;
        if !entry.path.as_os_str().is_empty() {
            let (owner, mode) = self.attributes(entry);
            let from = source.directory(&item.source.entry(&entry.path))?;
            own(&fd, owner, mode)
                .and_then(|()| copy_xattrs(from, &fd))
                .map_err(|errno| self.refused(Step::Write, &path, errno))?;
        }
        rustix::fs::futimens(&fd, &times(entry.mtime))
            .map_err(|errno| self.refused(Step::Write, &path, errno).into())
    }

    fn attributes(&self, entry: &Entry) -> (Owner, u32) {
        let owner = self.owner.unwrap_or(Owner {
            uid: entry.uid,
            gid: entry.gid,
        });
        let is_directory = entry.kind == EntryKind::Directory;
        let mode = self
            .chmod
            .map_or(entry.mode, |chmod| chmod.apply(entry.mode, is_directory));
        (owner, mode)
    }

    fn is_directory(&self, path: &Resolved) -> Result<bool, Error> {
        let stat = self.tree.stat(path)?;
        Ok(stat.is_some_and(|stat| is_directory(stat.st_mode)))
    }

    /// Opens the parent of a path, after removing what stands there; a directory does not give way to a file.
    fn free<'p>(
        &mut self,
        path: &'p Resolved,
    ) -> Result<(OwnedFd, &'p std::ffi::OsStr), PlaceError> {
        let (parent, name) = self.split(path)?;
        match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok((parent, name)),
            Err(Errno::ISDIR) => Err(PlaceError::IsDirectory(shown(path))),
            Err(errno) => Err(self.refused(Step::Remove, path, errno).into()),
        }
    }

    /// Opens the parent of a path.
    fn split<'p>(
        &mut self,
        path: &'p Resolved,
    ) -> Result<(OwnedFd, &'p std::ffi::OsStr), PlaceError> {
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else {
            return Err(PlaceError::IsDirectory("/".to_owned()));
        };
        let known = self.parent.as_ref().filter(|(known, _)| *known == parent);
        if known.is_none() {
            let fd = self.tree.directory(&parent)?;
            self.parent = Some((parent.clone(), fd));
        }
        let (_, fd) = self.parent.as_ref().expect("it was set above");
        let fd = fd
            .try_clone()
            .map_err(|error| self.io(Step::Open, &parent, &error))?;
        Ok((fd, name))
    }

    fn refused(&self, step: Step, path: &Resolved, errno: Errno) -> Error {
        self.tree.error(step, path.as_path(), errno.raw_os_error())
    }

    fn io(&self, step: Step, path: &Resolved, error: &std::io::Error) -> Error {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        self.tree.error(step, path.as_path(), errno)
    }
}

fn shown(path: &Resolved) -> String {
    format!("/{}", path.as_path().display())
}

fn is_directory(mode: u32) -> bool {
    FileType::from_raw_mode(mode) == FileType::Directory
}

fn create(parent: &OwnedFd, name: &std::ffi::OsStr) -> Result<std::fs::File, Errno> {
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR).map(std::fs::File::from)
}

fn open_directory(parent: BorrowedFd<'_>, name: &std::ffi::OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Owner first: a change of owner clears setuid and capabilities.
fn own(fd: impl AsFd, owner: Owner, mode: u32) -> Result<(), Errno> {
    rustix::fs::fchown(
        &fd,
        Some(Uid::from_raw(owner.uid)),
        Some(Gid::from_raw(owner.gid)),
    )?;
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode))
}

fn chown(parent: BorrowedFd<'_>, name: &std::ffi::OsStr, owner: Owner) -> Result<(), Errno> {
    rustix::fs::chownat(
        parent,
        name,
        Some(Uid::from_raw(owner.uid)),
        Some(Gid::from_raw(owner.gid)),
        ITSELF,
    )
}

fn times(mtime: (i64, i64)) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime.0,
        tv_nsec: mtime.1,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn set_times(
    parent: BorrowedFd<'_>,
    name: &std::ffi::OsStr,
    mtime: (i64, i64),
) -> Result<(), Errno> {
    rustix::fs::utimensat(parent, name, &times(mtime), ITSELF)
}

/// Copies extended attributes; a filesystem that has none of a kind is no reason to fail, except for capabilities.
fn copy_xattrs(from: impl AsFd, to: impl AsFd) -> Result<(), Errno> {
    for (name, value) in xattrs(from)? {
        let key = std::ffi::OsStr::from_bytes(&name);
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
