//! Writes a selection into an image: the rules of COPY for destinations.
//!
//! Symbolic links on the way to the destination are followed inside the image; below it nothing is followed, because a link that stands
//! where a directory is to be copied is an error, as in the reference builder. Existing files are replaced, never written into.

use std::{
    collections::HashMap,
    ffi::OsStr,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
};

use runtime::{Error, Step};
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags},
    io::Errno,
};

use super::{
    attributes::{Owner, chown, copy_xattrs, is_directory, open_directory, own, set_times, times},
    chmod::Chmod,
    select::{Entry, EntryKind, Item},
    tree::{Resolved, Tree},
};

/// Where COPY writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    /// Absolute path in the image.
    pub(crate) path: PathBuf,
    /// Written with a trailing slash, or more than one source: it is a directory.
    pub(crate) directory: bool,
}

/// An entry of an open directory.
struct Spot<'p> {
    parent: OwnedFd,
    name: &'p OsStr,
    /// For messages.
    path: &'p Resolved,
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
            // A link of that name in the directory is replaced, not followed.
            target = target.entry(&item.name);
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

    /// Forgets names of files of one source: numbers of another tree may be the same and mean other files.
    pub(crate) fn forget_source(&mut self) {
        self.shared.clear();
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
            target = target.entry(name);
        }
        let spot = self.free(&target)?;
        let file = create(&spot).map_err(|errno| self.refused(Step::Create, &target, errno))?;
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
            let spot = self.split(&path)?;
            rustix::fs::mkdirat(&spot.parent, spot.name, Mode::RWXU)
                .and_then(|()| own(open_directory(spot.parent.as_fd(), spot.name)?, owner, mode))
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
        let spot = self.free(&path)?;
        match entry.kind {
            EntryKind::File => self.file(source, &from, entry, &spot)?,
            _ => self.node(source, &from, entry, &spot)?,
        }
        set_times(spot.parent.as_fd(), spot.name, entry.mtime)
            .map_err(|errno| self.refused(Step::Write, &path, errno))?;
        Ok(())
    }

    fn directory(&mut self, path: &Resolved) -> Result<(), PlaceError> {
        match self.tree.stat(path)? {
            Some(stat) if is_directory(stat.st_mode) => Ok(()),
            Some(_) => Err(PlaceError::NotDirectory(shown(path))),
            None => {
                let spot = self.split(path)?;
                rustix::fs::mkdirat(&spot.parent, spot.name, Mode::RWXU)
                    .map_err(|errno| self.refused(Step::Create, path, errno).into())
            }
        }
    }

    fn file(
        &self,
        source: &Tree,
        from: &Resolved,
        entry: &Entry,
        spot: &Spot<'_>,
    ) -> Result<(), PlaceError> {
        let path = spot.path;
        let mut content = source.file(from)?;
        let mut file = create(spot).map_err(|errno| self.refused(Step::Create, path, errno))?;
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
        spot: &Spot<'_>,
    ) -> Result<(), PlaceError> {
        let (parent, name) = (&spot.parent, spot.name);
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
        make().map_err(|errno| self.refused(Step::Create, spot.path, errno).into())
    }

    fn link(&mut self, first: &Resolved, path: &Resolved) -> Result<(), PlaceError> {
        let from = self.split(first)?;
        let to = self.free(path)?;
        rustix::fs::linkat(
            &from.parent,
            from.name,
            &to.parent,
            to.name,
            AtFlags::empty(),
        )
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
    fn free<'p>(&mut self, path: &'p Resolved) -> Result<Spot<'p>, PlaceError> {
        let spot = self.split(path)?;
        match rustix::fs::unlinkat(&spot.parent, spot.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(spot),
            Err(Errno::ISDIR) => Err(PlaceError::IsDirectory(shown(path))),
            Err(errno) => Err(self.refused(Step::Remove, path, errno).into()),
        }
    }

    /// Opens the parent of a path.
    fn split<'p>(&mut self, path: &'p Resolved) -> Result<Spot<'p>, PlaceError> {
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else {
            return Err(PlaceError::IsDirectory("/".to_owned()));
        };
        let known = self.parent.as_ref().filter(|(known, _)| *known == parent);
        let fd = if let Some((_, fd)) = known {
            fd.try_clone()
        } else {
            let fd = self.tree.directory(&parent)?;
            let copy = fd.try_clone();
            self.parent = Some((parent.clone(), fd));
            copy
        };
        Ok(Spot {
            parent: fd.map_err(|error| self.io(Step::Open, &parent, &error))?,
            name,
            path,
        })
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

fn create(spot: &Spot<'_>) -> Result<std::fs::File, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(&spot.parent, spot.name, flags, Mode::RUSR | Mode::WUSR)
        .map(std::fs::File::from)
}
