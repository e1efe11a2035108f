//! Unpacks a tar stream below a directory. No symbolic link is followed below it: whatever the stream brings or somebody swaps, nothing is written
//! elsewhere.

use std::{
    collections::BTreeSet,
    ffi::{CString, OsStr},
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Component, Path, PathBuf},
};

use runtime::spec::UserMap;
use rustix::{
    fs::{
        AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chownat,
        fchmod, fchown, fsetxattr, futimens, linkat, mkdirat, mknodat, openat, symlinkat, unlinkat,
        utimensat,
    },
    io::Errno,
};
use tar::{Archive, Entry, EntryType};

use super::{CopyError, DEPTH_MAX, as_root_of};

const XATTR_KEY: &[u8] = b"SCHILY.xattr.";

/// Who owns what is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// The stream says.
    Kept,
    /// This user and group. Set-user-ID and set-group-ID bits are then taken away: they were meant for another owner.
    Fixed(u32, u32),
}

/// What was unpacked.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// Files, links and directories.
    pub entries: u64,
    /// Bytes of regular files.
    pub bytes: u64,
    /// Devices, which are not made.
    pub skipped: Vec<PathBuf>,
}

/// Unpacks a stream below an open directory. With `users` it belongs to a container whose users are others on the host: owners are the
/// container's, and files are made as its root, because nobody else may make any there (EOVERFLOW).
pub fn extract(
    stream: impl Read + Send,
    target: BorrowedFd<'_>,
    owners: Owners,
    users: Option<&UserMap>,
) -> Result<Extracted, CopyError> {
    as_root_of(users, || unpack(stream, target, owners, users))
}

fn unpack(
    stream: impl Read,
    target: BorrowedFd<'_>,
    owners: Owners,
    users: Option<&UserMap>,
) -> Result<Extracted, CopyError> {
    let mut extractor = Extractor {
        target,
        owners,
        users,
        made: BTreeSet::new(),
        directories: Vec::new(),
        extracted: Extracted::default(),
    };
    let mut archive = Archive::new(stream);
    for entry in archive.entries().map_err(reading)? {
        extractor.entry(entry.map_err(reading)?)?;
    }
    extractor.finish()
}

fn reading(source: io::Error) -> CopyError {
    CopyError::Stream {
        intent: "read the archive",
        source,
    }
}

/// Attributes of one entry.
#[derive(Debug, Clone)]
struct Attributes {
    mode: Mode,
    owner: (Uid, Gid),
    times: Timestamps,
    xattrs: Vec<(CString, Vec<u8>)>,
}

struct Extractor<'a> {
    target: BorrowedFd<'a>,
    owners: Owners,
    users: Option<&'a UserMap>,
    /// Directories that this stream made.
    made: BTreeSet<PathBuf>,
    /// Directories and what they get at the end: writing into one changes its time, and a read-only one could not be written into.
    directories: Vec<(PathBuf, Attributes)>,
    extracted: Extracted,
}

impl Extractor<'_> {
    fn entry(&mut self, mut entry: Entry<'_, impl Read>) -> Result<(), CopyError> {
        let path = clean(&entry.path().map_err(reading)?)?;
        let kind = entry.header().entry_type();
        let attributes = self.attributes(&mut entry)?;
        let Some(name) = path.file_name().map(OsStr::to_owned) else {
            // The target itself keeps its attributes.
            return Ok(());
        };
        let parent = self.parent(&path)?;
        let parent = parent.as_ref().map_or(self.target, AsFd::as_fd);
        let place = At {
            parent,
            name: &name,
            path: &path,
        };
        match kind {
            EntryType::Directory => {
                if place.directory()? {
                    self.made.insert(path.clone());
                }
                self.directories.push((path, attributes));
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.extracted.bytes += place.file(&mut entry, &attributes)?;
            }
            EntryType::Symlink => {
                let target = link_name(&entry)?;
                place.replace()?;
                symlinkat(&target, parent, &name)
                    .map_err(CopyError::file("make the link", &path))?;
                place.owner_and_times(&attributes)?;
            }
            EntryType::Link => {
                let first = clean(&link_name(&entry)?)?;
                self.hard_link(&first, &place)?;
            }
            EntryType::Fifo => {
                place.replace()?;
                mknodat(
                    parent,
                    &name,
                    rustix::fs::FileType::Fifo,
                    attributes.mode,
                    0,
                )
                .map_err(CopyError::file("make the fifo", &path))?;
                place.owner_and_times(&attributes)?;
            }
            EntryType::XGlobalHeader => return Ok(()),
            _ => {
                self.extracted.skipped.push(path);
                return Ok(());
            }
        }
        self.extracted.entries += 1;
        Ok(())
    }

    fn attributes(&self, entry: &mut Entry<'_, impl Read>) -> Result<Attributes, CopyError> {
        let mut xattrs = Vec::new();
        if let Some(extensions) = entry.pax_extensions().map_err(reading)? {
            for extension in extensions {
                let extension = extension.map_err(reading)?;
                if let Some(name) = extension.key_bytes().strip_prefix(XATTR_KEY)
                    && let Ok(name) = CString::new(name)
                {
                    xattrs.push((name, extension.value_bytes().to_vec()));
                }
            }
        }
        let header = entry.header();
        let number =
            |value: io::Result<u64>| value.map(|value| u32::try_from(value).unwrap_or_default());
        let mode = header.mode().map_err(reading)?;
        let (mode, owner) = match self.owners {
            Owners::Kept => (
                mode & 0o7777,
                (
                    number(header.uid()).map_err(reading)?,
                    number(header.gid()).map_err(reading)?,
                ),
            ),
            Owners::Fixed(uid, gid) => (mode & 0o1777, (uid, gid)),
        };
        let owner = match self.users {
            None => owner,
            Some(users) => users.uid(owner.0).zip(users.gid(owner.1)).ok_or_else(|| {
                let path = entry.path().map(std::borrow::Cow::into_owned);
                let operation = "give to a user whom the container does not have:";
                CopyError::file(operation, path.unwrap_or_default())(Errno::OVERFLOW)
            })?,
        };
        let mtime = header.mtime().map_err(reading)?;
        Ok(Attributes {
            mode: Mode::from_raw_mode(mode),
            owner: (Uid::from_raw(owner.0), Gid::from_raw(owner.1)),
            times: Timestamps {
                last_access: Timespec {
                    tv_sec: 0,
                    tv_nsec: UTIME_OMIT,
                },
                last_modification: Timespec {
                    tv_sec: i64::try_from(mtime).unwrap_or(i64::MAX),
                    tv_nsec: 0,
                },
            },
            xattrs,
        })
    }

    /// Opens the directory above a path, making what is missing; `None` = the target itself.
    fn parent(&self, path: &Path) -> Result<Option<OwnedFd>, CopyError> {
        let Some(parent) = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        else {
            return Ok(None);
        };
        self.walk(parent, true)
    }

    fn walk(&self, path: &Path, make: bool) -> Result<Option<OwnedFd>, CopyError> {
        let mut open: Option<OwnedFd> = None;
        for (depth, name) in path.iter().enumerate() {
            if depth > DEPTH_MAX {
                return Err(CopyError::TooDeep {
                    path: path.to_owned(),
                });
            }
            let above = open.as_ref().map_or(self.target, AsFd::as_fd);
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let next = match openat(above, name, flags, Mode::empty()) {
                Err(Errno::NOENT) if make => mkdirat(above, name, Mode::from_raw_mode(0o755))
                    .and_then(|()| openat(above, name, flags, Mode::empty())),
                next => next,
            };
            open = Some(next.map_err(CopyError::file("open the directory", path))?);
        }
        Ok(open)
    }

    fn hard_link(&self, first: &Path, place: &At<'_>) -> Result<(), CopyError> {
        let Some(name) = first.file_name() else {
            return Err(CopyError::Escape {
                path: first.to_owned(),
            });
        };
        let parent = match first.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.walk(parent, false)?,
            _ => None,
        };
        let parent = parent.as_ref().map_or(self.target, AsFd::as_fd);
        place.replace()?;
        linkat(parent, name, place.parent, place.name, AtFlags::empty())
            .map_err(CopyError::file("make the hard link", place.path))
    }

    /// Gives directories their attributes, the deepest first. One that was there before keeps its owner.
    fn finish(mut self) -> Result<Extracted, CopyError> {
        self.directories.sort_by(|a, b| b.0.cmp(&a.0));
        for (path, attributes) in &self.directories {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let above = self.walk(path.parent().unwrap_or_else(|| Path::new("")), false)?;
            let above = above.as_ref().map_or(self.target, AsFd::as_fd);
            let name = path.file_name().unwrap_or_default();
            let directory = openat(above, name, flags, Mode::empty())
                .map_err(CopyError::file("open the directory", path))?;
            if self.made.contains(path) || self.owners == Owners::Kept {
                apply(&directory, attributes)
                    .map_err(CopyError::file("set the attributes of", path))?;
            }
        }
        Ok(self.extracted)
    }
}

/// A name in an open directory.
struct At<'a> {
    parent: BorrowedFd<'a>,
    name: &'a OsStr,
    /// For messages.
    path: &'a Path,
}

impl At<'_> {
    /// Makes a directory; returns whether it was missing.
    fn directory(&self) -> Result<bool, CopyError> {
        match mkdirat(self.parent, self.name, Mode::from_raw_mode(0o700)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                openat(self.parent, self.name, flags, Mode::empty())
                    .map(|_directory| false)
                    .map_err(CopyError::file("make the directory", self.path))
            }
            Err(errno) => Err(CopyError::file("make the directory", self.path)(errno)),
        }
    }

    /// Writes a file anew; returns its size.
    fn file(&self, content: &mut impl Read, attributes: &Attributes) -> Result<u64, CopyError> {
        let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let flags = match unlinkat(self.parent, self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => create,
            // A file is mounted here, /etc/hosts for example: it is written in place.
            Err(Errno::BUSY) => OFlags::WRONLY | OFlags::TRUNC,
            Err(errno) => return Err(CopyError::file("replace", self.path)(errno)),
        } | OFlags::NOFOLLOW
            | OFlags::CLOEXEC;
        let file = openat(self.parent, self.name, flags, Mode::from_raw_mode(0o600))
            .map_err(CopyError::file("make", self.path))?;
        let mut file = File::from(file);
        let bytes = io::copy(content, &mut file).map_err(|source| CopyError::Stream {
            intent: "write a file",
            source,
        })?;
        apply(&OwnedFd::from(file), attributes)
            .map_err(CopyError::file("set the attributes of", self.path))?;
        Ok(bytes)
    }

    /// Removes what is in the way; a directory is not.
    fn replace(&self) -> Result<(), CopyError> {
        match unlinkat(self.parent, self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(CopyError::file("replace", self.path)(errno)),
        }
    }

    fn owner_and_times(&self, attributes: &Attributes) -> Result<(), CopyError> {
        let (uid, gid) = attributes.owner;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        chownat(self.parent, self.name, Some(uid), Some(gid), flags)
            .and_then(|()| utimensat(self.parent, self.name, &attributes.times, flags))
            .map_err(CopyError::file("set the attributes of", self.path))
    }
}

/// The owner comes first: chown(2) clears set-user-ID bits and file capabilities.
fn apply(file: &OwnedFd, attributes: &Attributes) -> Result<(), Errno> {
    let (uid, gid) = attributes.owner;
    fchown(file, Some(uid), Some(gid))?;
    fchmod(file, attributes.mode)?;
    for (name, value) in &attributes.xattrs {
        match fsetxattr(file, name.as_c_str(), value, XattrFlags::empty()) {
            // A filesystem without extended attributes takes the file all the same, as cp(1) does it.
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(errno) => return Err(errno),
        }
    }
    futimens(file, &attributes.times)
}

fn link_name(entry: &Entry<'_, impl Read>) -> Result<PathBuf, CopyError> {
    let name = entry.link_name().map_err(reading)?;
    name.map(std::borrow::Cow::into_owned).ok_or_else(|| {
        reading(io::Error::new(
            io::ErrorKind::InvalidData,
            "a link without a target",
        ))
    })
}

/// Returns a name of the stream as a path below the target; a leading `/` is left out, as tar(1) does it.
fn clean(name: &Path) -> Result<PathBuf, CopyError> {
    let mut path = PathBuf::new();
    for part in name.components() {
        match part {
            Component::Normal(part) if !part.as_bytes().contains(&0) => path.push(part),
            Component::RootDir | Component::CurDir => {}
            Component::Normal(_) | Component::ParentDir | Component::Prefix(_) => {
                return Err(CopyError::Escape {
                    path: name.to_owned(),
                });
            }
        }
    }
    Ok(path)
}
