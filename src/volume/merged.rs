//! Layers of an image, read as the one tree that they make.
//!
//! It merges as overlayfs does, by descriptors only: a character device 0:0 hides what is below (a whiteout), a directory with the
//! attribute `trusted.overlay.opaque=y` hides the directories below. So nothing needs to be mounted, and no name in an image is ever
//! looked up on the host.
//!
//! A directory that is no layer is read by the same code, in which nothing is hidden then ([`Directory::plain`]).

use std::{
    collections::BTreeSet,
    ffi::{CStr, CString, OsStr, OsString},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags, RawDir, Stat, fstat, open, openat, readlinkat, statat,
    },
    io::Errno,
};

/// Symbolic links followed in one path, as many as the kernel follows.
const LINKS_MAX: usize = 40;

/// A directory of the merged tree: the directories of the layers that make it up, the topmost first; never empty.
#[derive(Debug)]
pub(super) struct Directory {
    layers: Vec<OwnedFd>,
    /// Whether overlayfs's marks mean something in it.
    hides: bool,
}

/// What a name means in a merged directory.
#[derive(Debug)]
pub(super) enum Entry {
    /// A directory.
    Directory(Directory),
    /// Anything else: where it lies.
    Other(Other),
}

/// An entry that is not a directory.
#[derive(Debug)]
pub(super) struct Other {
    /// An `O_PATH` descriptor of it.
    pub(super) fd: OwnedFd,
    /// Its attributes.
    pub(super) stat: Stat,
}

impl Directory {
    /// Opens the root of an image.
    pub(super) fn root(layers: &[PathBuf]) -> Result<Self, Errno> {
        let mut result = Vec::new();
        for layer in layers {
            let fd = open(layer, DIRECTORY, Mode::empty())?;
            let opaque = is_opaque(fd.as_fd())?;
            result.push(fd);
            if opaque {
                break;
            }
        }
        if result.is_empty() {
            return Err(Errno::NOENT);
        }
        Ok(Self {
            layers: result,
            hides: true,
        })
    }

    /// Opens an ordinary directory: every name in it means what it says.
    pub(super) fn plain(path: &Path) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            layers: vec![open(path, flags, Mode::empty())?],
            hides: false,
        })
    }

    /// Tells whether nothing is hidden in it.
    pub(super) fn is_plain(&self) -> bool {
        !self.hides
    }

    /// Returns the descriptor of the topmost layer: owner, mode and times are its.
    pub(super) fn top(&self) -> BorrowedFd<'_> {
        self.layers[0].as_fd()
    }

    /// Looks a name up; `None` = there is none.
    pub(super) fn lookup(&self, name: &OsStr) -> Result<Option<Entry>, Errno> {
        let mut found: Vec<OwnedFd> = Vec::new();
        for layer in &self.layers {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = match openat(layer, name, flags, Mode::empty()) {
                Ok(fd) => fd,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno),
            };
            let stat = fstat(&fd)?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            if self.is_whiteout(kind, &stat) {
                break;
            }
            if kind != FileType::Directory {
                if found.is_empty() {
                    return Ok(Some(Entry::Other(Other { fd, stat })));
                }
                // A file below a directory is hidden by it.
                break;
            }
            let directory = openat(layer, name, DIRECTORY, Mode::empty())?;
            let opaque = self.hides && is_opaque(directory.as_fd())?;
            found.push(directory);
            if opaque {
                break;
            }
        }
        Ok((!found.is_empty()).then_some(Entry::Directory(Self {
            layers: found,
            hides: self.hides,
        })))
    }

    /// Returns all names, sorted; whiteouts and what they hide are not among them.
    pub(super) fn names(&self) -> Result<Vec<OsString>, Errno> {
        let mut names = BTreeSet::new();
        let mut hidden: BTreeSet<OsString> = BTreeSet::new();
        for layer in &self.layers {
            let mut white = Vec::new();
            for name in raw_names(layer.as_fd())? {
                if hidden.contains(&name) {
                    continue;
                }
                if !self.hides {
                    names.insert(name);
                    continue;
                }
                let stat = statat(layer, &name, AtFlags::SYMLINK_NOFOLLOW)?;
                let kind = FileType::from_raw_mode(stat.st_mode);
                if self.is_whiteout(kind, &stat) {
                    white.push(name);
                } else {
                    names.insert(name);
                }
            }
            // A whiteout hides what lies below, not what an upper layer put there again.
            hidden.extend(white.into_iter().filter(|name| !names.contains(name)));
        }
        Ok(names.into_iter().collect())
    }

    fn is_whiteout(&self, kind: FileType, stat: &Stat) -> bool {
        self.hides && kind == FileType::CharacterDevice && stat.st_rdev == 0
    }

    /// Follows a path from the root of an image; symbolic links and `..` stay inside it. `None` = it leads nowhere, or not to a directory.
    pub(super) fn find(layers: &[PathBuf], path: &Path) -> Result<Option<Self>, Errno> {
        let mut rest: Vec<OsString> = components(path);
        rest.reverse();
        let mut at = vec![Self::root(layers)?];
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                if at.len() > 1 {
                    at.pop();
                }
                continue;
            }
            let here = at.last().expect("the root is never popped");
            match here.lookup(&name)? {
                None => return Ok(None),
                Some(Entry::Directory(directory)) => at.push(directory),
                Some(Entry::Other(other)) => {
                    let kind = FileType::from_raw_mode(other.stat.st_mode);
                    if kind != FileType::Symlink {
                        return Ok(None);
                    }
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::LOOP);
                    }
                    let target = link_target(other.fd.as_fd())?;
                    let target = Path::new(OsStr::from_bytes(target.to_bytes()));
                    if target.is_absolute() {
                        at.truncate(1);
                    }
                    rest.extend(components(target).into_iter().rev());
                }
            }
        }
        Ok(at.pop())
    }
}

/// Reads the target of a symbolic link through an `O_PATH` descriptor of it.
pub(super) fn link_target(link: BorrowedFd<'_>) -> Result<CString, Errno> {
    readlinkat(link, c"", Vec::new())
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

fn components(path: &Path) -> Vec<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

fn is_opaque(directory: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut value = [0; 1];
    match rustix::fs::fgetxattr(directory, c"trusted.overlay.opaque", &mut value[..]) {
        Ok(length) => Ok(length == 1 && value[0] == b'y'),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
        // Longer than `y`: not a mark.
        Err(Errno::RANGE) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn raw_names(directory: BorrowedFd<'_>) -> Result<Vec<OsString>, Errno> {
    // A descriptor of its own: the position in a directory is shared by duplicates.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fresh = openat(directory, c".", flags, Mode::empty())?;
    let mut buffer = Vec::with_capacity(32 * 1024);
    let mut entries = RawDir::new(fresh, buffer.spare_capacity_mut());
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if name != c"." && name != c".." {
            names.push(OsStr::from_bytes(name.to_bytes()).to_owned());
        }
    }
    Ok(names)
}

/// Returns a path that leads to exactly what a descriptor has open, also when that is `O_PATH`.
pub(super) fn proc_path(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Opens a regular file for reading that is known by an `O_PATH` descriptor.
pub(super) fn reopen(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    openat(
        CWD,
        proc_path(fd),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}
