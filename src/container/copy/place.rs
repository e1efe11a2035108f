//! A path of the host or of a container, as something to copy from or to.

use std::{
    ffi::OsString,
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
};

use runtime::{
    rootfs::{
        confine::Root,
        overlay::{self, Overlay, Upper},
    },
    spec::{ContainerState, Mount, MountKind, Rootfs, UserMap},
};
use rustix::{
    fs::{FileType, OFlags, fstat},
    io::Errno,
};

use super::CopyError;
use crate::model::ContainerRecord;

/// What is at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Missing,
    /// A directory.
    Directory,
    /// Anything else.
    File,
}

/// A path and the root in which it is resolved.
#[derive(Debug)]
pub struct Place {
    root: Root,
    /// Users of the container on the host, where they are not the host's and files show the host's.
    users: Option<UserMap>,
    /// Absolute, in the root.
    path: PathBuf,
    /// It was written with `/` or `/.` at its end: a directory is meant, and a link to one is followed.
    wants_directory: bool,
    /// It was written with `/.` at its end: what is in the directory is meant.
    is_content: bool,
}

impl Place {
    /// Makes a place of a path of the host; a relative one is below `working_dir`.
    pub fn host(path: &str, working_dir: &Path) -> Result<Self, CopyError> {
        let root = Root::open_dir("/").map_err(|source| CopyError::Root {
            name: "/".to_owned(),
            source,
        })?;
        Ok(Self::new(root, path, working_dir))
    }

    /// Makes a place in a container. A running one is seen as its processes see it; of another one its layers are mounted for this process, and a
    /// path on one of its volumes is found there.
    pub fn container(
        record: &ContainerRecord,
        state: &ContainerState,
        path: &str,
    ) -> Result<Self, CopyError> {
        let failed = |source| CopyError::Root {
            name: record.name.clone(),
            source,
        };
        if let Some(pid) = state.pid() {
            let root = Root::open_dir(format!("/proc/{pid}/root")).map_err(failed)?;
            // Its mounts show the ids that its own have on the host.
            return Ok(Self {
                users: record.spec.users.clone(),
                ..Self::new(root, path, Path::new("/"))
            });
        }
        if let Some((source, rest)) = on_mount(&record.spec.mounts, Path::new(path)) {
            let root = Root::open_dir(source).map_err(failed)?;
            let rest = rest.display().to_string();
            return Ok(Self::new(root, &rest, Path::new("/")));
        }
        let root = match &record.spec.rootfs {
            Rootfs::Overlay {
                lowers,
                upper,
                work,
                mount_point,
                volatile,
            } => {
                let mount = overlay::mount(&Overlay {
                    lowers,
                    upper: Some(Upper {
                        directory: upper,
                        work,
                        volatile: *volatile,
                    }),
                    mount_point,
                    // Ids on disk are the container's, whatever they are on the host.
                    users: None,
                });
                Root::from_fd(mount.map_err(failed)?, &record.name)
            }
            Rootfs::Directory(directory) => Root::open_dir(directory).map_err(failed)?,
        };
        Ok(Self::new(root, path, Path::new("/")))
    }

    /// Makes a place below a directory of the host, out of which no link leads.
    pub fn below(directory: &Path, name: &str, path: &str) -> Result<Self, CopyError> {
        let root = Root::open_dir(directory).map_err(|source| CopyError::Root {
            name: name.to_owned(),
            source,
        })?;
        Ok(Self::new(root, path, Path::new("/")))
    }

    fn new(root: Root, path: &str, working_dir: &Path) -> Self {
        let is_content = path.ends_with("/.") || path == ".";
        Self {
            root,
            users: None,
            wants_directory: is_content || path.ends_with('/'),
            is_content,
            path: working_dir.join(path),
        }
    }

    /// Makes this the place of another absolute path of the same root.
    pub(super) fn go_to(&mut self, path: PathBuf) {
        self.path = path;
        self.wants_directory = false;
        self.is_content = false;
    }

    /// Returns the users of a container that are not the host's: who packs and unpacks here has to translate.
    pub fn users(&self) -> Option<&UserMap> {
        self.users.as_ref()
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the last name of the path; `None` for `/` and for what ends in `..`.
    pub fn name(&self) -> Option<OsString> {
        match self.path.components().next_back() {
            Some(Component::Normal(name)) => Some(name.to_owned()),
            _ => None,
        }
    }

    /// Tells whether what is in a directory is meant, not the directory: written with `/.` at the end.
    pub fn is_content(&self) -> bool {
        self.is_content
    }

    /// Tells whether the place was written as a directory.
    pub fn wants_directory(&self) -> bool {
        self.wants_directory
    }

    /// Returns what is here, links followed.
    pub fn kind(&self) -> Result<Kind, CopyError> {
        let fd = match self.root.open(&self.path, OFlags::PATH) {
            Ok(fd) => fd,
            Err(error) if error.source.0 == Errno::NOENT.raw_os_error() => {
                return Ok(Kind::Missing);
            }
            Err(error) => return Err(self.failed(&error)),
        };
        let stat = fstat(&fd).map_err(CopyError::file("look at", &self.path))?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory,
            _ => Kind::File,
        })
    }

    /// Opens what is here without reading it. A link that the path ends with is followed only when asked for, or when a directory is meant.
    pub fn open(&self, follow: bool) -> Result<OwnedFd, CopyError> {
        let flags = if follow || self.wants_directory {
            OFlags::PATH
        } else {
            OFlags::PATH | OFlags::NOFOLLOW
        };
        self.root
            .open(&self.path, flags)
            .map_err(|error| self.failed(&error))
    }

    /// Opens the directory that is here, to unpack into.
    pub fn open_directory(&self) -> Result<OwnedFd, CopyError> {
        self.root
            .open(&self.path, OFlags::PATH | OFlags::DIRECTORY)
            .map_err(|error| self.failed(&error))
    }

    /// Opens the directory above, to unpack something by the name of this place.
    pub fn open_parent(&self) -> Result<(OwnedFd, OsString), CopyError> {
        self.root
            .open_parent(&self.path)
            .map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &runtime::Error) -> CopyError {
        CopyError::file("open", &self.path)(Errno::from_raw_os_error(error.source.0))
    }
}

/// Finds the mount of a stopped container on which a path lies, and the path there. Memory that is gone with the processes is no place.
fn on_mount(mounts: &[Mount], path: &Path) -> Option<(PathBuf, PathBuf)> {
    let path = Path::new("/").join(path);
    mounts
        .iter()
        .filter_map(|mount| {
            let MountKind::Bind {
                source, subpath, ..
            } = &mount.kind
            else {
                return None;
            };
            let rest = path.strip_prefix(&mount.target).ok()?;
            // A mounted file is replaced in its directory, never through its parent's name.
            if !source.is_dir() {
                return None;
            }
            let rest = subpath.as_ref().map_or_else(
                || Path::new("/").join(rest),
                |subpath| Path::new("/").join(subpath).join(rest),
            );
            Some((mount.target.len(), (source.clone(), rest)))
        })
        .max_by_key(|(depth, _)| *depth)
        .map(|(_, found)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_stopped_containers_are_found_on_their_volumes() {
        let bind = |target: &str, source: &Path, subpath: Option<&str>| Mount {
            target: target.to_owned(),
            kind: MountKind::Bind {
                source: source.to_owned(),
                subpath: subpath.map(str::to_owned),
                recursive: true,
                propagation: runtime::spec::Propagation::default(),
                writable_below: false,
            },
            read_only: false,
        };
        let directory = tempfile::tempdir().unwrap();
        let (outer, inner) = (directory.path().join("outer"), directory.path().join("in"));
        fs_err::create_dir(&outer).unwrap();
        fs_err::create_dir(&inner).unwrap();
        let mounts = [
            bind("/data", &outer, None),
            bind("/data/deep", &inner, Some("sub")),
            bind("/file", &directory.path().join("no"), None),
        ];
        for (path, found) in [
            ("/data/a", Some((&outer, "/a"))),
            ("data/a", Some((&outer, "/a"))),
            ("/data", Some((&outer, "/"))),
            ("/data/deep/b", Some((&inner, "/sub/b"))),
            ("/database", None),
            ("/file", None),
        ] {
            let wanted = found.map(|(source, rest)| (source.clone(), PathBuf::from(rest)));
            assert_eq!(on_mount(&mounts, Path::new(path)), wanted, "{path}");
        }
    }
}
