//! Single files of a container that are made equal to those of this machine (`stack watch`).

mod there;

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use runtime::spec::ContainerState;
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, fstat, readlinkat, statat},
    io::Errno,
};

use super::{CopyError, Kind, Place, as_root_of};
use crate::model::ContainerRecord;
use there::There;

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
        let users = self.place.users().cloned();
        as_root_of(users.as_ref(), || self.put_now(source, relative))
    }

    /// Removes what came from `source` to `relative` below the target, with all that is in it. A directory that is the target stays.
    ///
    /// # Errors
    /// [`CopyError::File`]
    pub fn remove(&mut self, source: &Path, relative: &Path) -> Result<Mirrored, CopyError> {
        let users = self.place.users().cloned();
        as_root_of(users.as_ref(), || self.remove_now(source, relative))
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
        there.remove()
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
