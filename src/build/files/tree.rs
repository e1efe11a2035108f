//! A directory that somebody else fills (a context, an image's merged root), opened once; every path below is resolved inside it.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::File,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Component, Path, PathBuf},
};

use runtime::{Errno, Error, Step, rootfs::confine};
use rustix::fs::{AtFlags, Dir, FileType, OFlags, Stat};

/// Symbolic links followed in one path, as many as the kernel follows.
const LINKS_MAX: usize = 40;

/// A root directory.
#[derive(Debug)]
pub(crate) struct Tree {
    root: confine::Root,
    name: PathBuf,
}

/// A path without symbolic links and `..`, relative to the root of its tree; the root is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Resolved(PathBuf);

impl Resolved {
    pub(crate) fn root() -> Self {
        Self(PathBuf::new())
    }

    pub(crate) fn as_path(&self) -> &Path {
        &self.0
    }

    /// Names something below this directory, which is not followed; the empty name is the directory itself.
    pub(crate) fn entry(&self, name: impl AsRef<Path>) -> Self {
        let name = name.as_ref();
        // Joining an empty path would add a slash.
        if name.as_os_str().is_empty() {
            return self.clone();
        }
        Self(self.0.join(name))
    }

    pub(crate) fn parent(&self) -> Option<Self> {
        self.0.parent().map(|parent| Self(parent.to_owned()))
    }

    pub(crate) fn name(&self) -> Option<&std::ffi::OsStr> {
        self.0.file_name()
    }
}

impl Tree {
    /// Opens a directory of the host; its path is trusted.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            root: confine::Root::open_dir(path)?,
            name: path.to_owned(),
        })
    }

    /// Makes a tree of a mount that is attached nowhere. `name` is for messages.
    pub(crate) fn of_mount(mount: OwnedFd, name: &str) -> Self {
        Self {
            root: confine::Root::from_fd(mount, name),
            name: name.into(),
        }
    }

    /// Makes a second handle of the same tree.
    pub(crate) fn try_clone(&self) -> Result<Self, Error> {
        let fd = self.root.as_fd().try_clone_to_owned().map_err(|error| {
            self.error(
                Step::Open,
                Path::new(""),
                error.raw_os_error().unwrap_or(libc::EIO),
            )
        })?;
        Ok(Self {
            root: confine::Root::from_fd(fd, self.name.display().to_string()),
            name: self.name.clone(),
        })
    }

    /// Follows every symbolic link of a path inside the tree, the last one too. Components that do not exist stay as they are named.
    pub(crate) fn resolve(&self, path: &Path) -> Result<Resolved, Error> {
        let mut pending: VecDeque<OsString> = components(path).collect();
        let mut done = PathBuf::new();
        let mut links = 0;
        while let Some(component) = pending.pop_front() {
            if component == ".." {
                done.pop();
                continue;
            }
            let candidate = done.join(&component);
            match self.link_target(&candidate)? {
                None => done = candidate,
                Some(target) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(self.error(Step::Resolve, path, libc::ELOOP));
                    }
                    if target.is_absolute() {
                        done.clear();
                    }
                    for component in components(&target).collect::<Vec<_>>().into_iter().rev() {
                        pending.push_front(component);
                    }
                }
            }
        }
        Ok(Resolved(done))
    }

    /// Returns what is at a path, without following it; `None` when nothing is.
    pub(crate) fn stat(&self, path: &Resolved) -> Result<Option<Stat>, Error> {
        self.stat_path(&path.0)
    }

    fn stat_path(&self, path: &Path) -> Result<Option<Stat>, Error> {
        match self.root.open(path, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(fd) => rustix::fs::fstat(&fd)
                .map(Some)
                .map_err(|errno| self.error(Step::Read, path, errno.raw_os_error())),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn link_target(&self, path: &Path) -> Result<Option<PathBuf>, Error> {
        let fd = match self.root.open(path, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(fd) => fd,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        match rustix::fs::readlinkat(&fd, "", Vec::new()) {
            Ok(target) => Ok(Some(OsString::from_vec(target.into_bytes()).into())),
            // Not a symbolic link.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.error(Step::Resolve, path, errno.raw_os_error())),
        }
    }

    /// Opens a directory.
    pub(crate) fn directory(&self, path: &Resolved) -> Result<OwnedFd, Error> {
        self.root.open(
            &path.0,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW,
        )
    }

    /// Opens a regular file for reading; anything else is refused (a FIFO would block).
    pub(crate) fn file(&self, path: &Resolved) -> Result<File, Error> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = self.root.open(&path.0, flags)?;
        let stat = rustix::fs::fstat(&fd)
            .map_err(|errno| self.error(Step::Read, &path.0, errno.raw_os_error()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(self.error(Step::Read, &path.0, libc::EINVAL));
        }
        Ok(File::from(fd))
    }

    /// Reads a small regular file, following links; an absent one is empty.
    pub(crate) fn text_or_empty(&self, path: &str) -> Result<Vec<u8>, Error> {
        match self.root.read(path) {
            Err(error) if is_absent(&error) => Ok(Vec::new()),
            outcome => outcome,
        }
    }

    /// Returns the sorted names in a directory.
    pub(crate) fn names(&self, path: &Resolved) -> Result<Vec<OsString>, Error> {
        names(self.directory(path)?.as_fd())
            .map_err(|errno| self.error(Step::Read, &path.0, errno.raw_os_error()))
    }

    /// Returns the target of a symbolic link.
    pub(crate) fn read_link(&self, path: &Resolved) -> Result<PathBuf, Error> {
        self.link_target(&path.0)?
            .ok_or_else(|| self.error(Step::Read, &path.0, libc::EINVAL))
    }

    /// Makes an error about a path of this tree.
    pub(crate) fn error(&self, step: Step, path: &Path, errno: i32) -> Error {
        Error::new(
            step,
            format!("/{} in {}", path.display(), self.name.display()),
            Errno(errno),
        )
    }

    /// Whether anything is at this path, a dangling link included.
    pub(crate) fn exists(&self, path: &Resolved) -> Result<bool, Error> {
        self.stat(path).map(|stat| stat.is_some())
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// Returns the sorted names in an open directory.
pub(crate) fn names(directory: BorrowedFd<'_>) -> Result<Vec<OsString>, rustix::io::Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    names.sort();
    Ok(names)
}

/// Whether the error says that nothing is there.
pub(crate) fn is_absent(error: &Error) -> bool {
    matches!(error.source.0, libc::ENOENT | libc::ENOTDIR)
}

fn components(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

/// Extended attributes that belong to a file's content: not those of overlayfs, of security modules, or of ACLs.
pub(crate) fn keeps_xattr(name: &[u8]) -> bool {
    let starts = |prefix: &[u8]| name.starts_with(prefix);
    name == b"security.capability"
        || !(starts(b"security.")
            || starts(b"system.")
            || starts(b"trusted.overlay.")
            || starts(b"user.overlay."))
}

/// Name and value of an extended attribute.
pub(crate) type Xattr = (Vec<u8>, Vec<u8>);

/// Reads the extended attributes of an open file that are copied and digested, sorted.
pub(crate) fn xattrs(fd: impl AsFd) -> Result<Vec<Xattr>, rustix::io::Errno> {
    let length = match rustix::fs::flistxattr_query(&fd) {
        // Mostly there are none; some filesystems have no notion of them.
        Ok(0) | Err(rustix::io::Errno::NOTSUP) => return Ok(Vec::new()),
        outcome => outcome?,
    };
    let mut names = vec![0; length];
    let length = rustix::fs::flistxattr(&fd, &mut names[..])?;
    let mut found = Vec::new();
    for name in names[..length].split(|byte| *byte == 0) {
        if name.is_empty() || !keeps_xattr(name) {
            continue;
        }
        let mut value = vec![0; 64 * 1024];
        let length = rustix::fs::fgetxattr(&fd, std::ffi::OsStr::from_bytes(name), &mut value[..])?;
        value.truncate(length);
        found.push((name.to_vec(), value));
    }
    found.sort();
    Ok(found)
}

/// Flags for calls on the last component itself.
pub(crate) const ITSELF: AtFlags = AtFlags::SYMLINK_NOFOLLOW;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests make files where they need them"
)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn links_never_lead_out() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::write(at("a/file"), "x").unwrap();
        symlink("/a", at("absolute")).unwrap();
        symlink("../../../../a/b", at("climb")).unwrap();
        symlink("/missing/deep", at("dangling")).unwrap();
        symlink("loop", at("loop")).unwrap();
        symlink("/etc", at("conf")).unwrap();
        let tree = Tree::open(root.path()).unwrap();
        for (path, expected) in [
            ("a/file", "a/file"),
            ("/absolute/file", "a/file"),
            ("climb/x/..", "a/b"),
            ("../../a", "a"),
            ("dangling/x", "missing/deep/x"),
            ("conf/passwd", "etc/passwd"),
            ("absolute/../a/b/../file", "a/file"),
            ("", ""),
        ] {
            assert_eq!(
                tree.resolve(Path::new(path)).unwrap().as_path(),
                Path::new(expected),
                "{path}"
            );
        }
        assert!(tree.resolve(Path::new("loop/x")).is_err());
        let passwd = tree.resolve(Path::new("conf/passwd")).unwrap();
        assert!(tree.stat(&passwd).unwrap().is_none());
    }
}
