//! Device nodes and links of a container's own /dev, a tmpfs that nobody else has seen yet; and nodes that a description wants elsewhere.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;

use super::confine::{Entry, ensure, open_plain};
use super::mounts::attach;
use crate::check::plain_path;
use crate::error::{Error, Step};
use crate::fault::{At, Fault, Subject, Subjects};
use crate::spec::{ContainerSpec, Device, DeviceKind, ExactNode, Mount, MountKind, Propagation};

/// Nodes that every container has: name, major and minor number; mode 666.
const NODES: [(&CStr, u32, u32); 6] = [
    (c"null", 1, 3),
    (c"zero", 1, 5),
    (c"full", 1, 7),
    (c"random", 1, 8),
    (c"urandom", 1, 9),
    (c"tty", 5, 0),
];

/// Links that every container has.
const LINKS: [(&CStr, &CStr); 6] = [
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
    (c"core", c"/proc/kcore"),
    (c"ptmx", c"pts/ptmx"),
];

/// Entries of the host's /dev that a privileged container has of its own, or that are no devices.
const NOT_COPIED: [&str; 6] = ["console", "fd", "mqueue", "pts", "ptmx", "shm"];

/// Nodes taken at most from one directory of the host.
const NODES_MAX: usize = 4096;

/// What the child makes in /dev.
#[derive(Debug)]
pub(crate) struct Plan {
    nodes: Vec<Node>,
    /// Nodes outside /dev, with the directory that they are made in.
    elsewhere: Vec<(CString, Node)>,
    links: Subject,
}

#[derive(Debug)]
struct Node {
    /// Path below the container's /dev.
    path: CString,
    /// The node on the host.
    host: CString,
    kind: FileType,
    mode: u32,
    /// Owner and group as on the host; `None` = the container's root.
    owner: Option<(u32, u32)>,
    device: u64,
    subject: Subject,
}

impl Plan {
    /// Lists the nodes: the usual ones, those of the host when the container is privileged, and those it was given below /dev.
    pub(crate) fn of(spec: &ContainerSpec, subjects: &mut Subjects) -> Result<Self, Error> {
        let mut plan = Self {
            nodes: Vec::new(),
            elsewhere: Vec::new(),
            links: subjects.add("the standard links in /dev"),
        };
        for (name, major, minor) in NODES {
            let target = format!("/dev/{}", name.to_string_lossy());
            plan.nodes.push(Node {
                path: name.to_owned(),
                host: c_text(Path::new(&target))?,
                kind: FileType::CharacterDevice,
                mode: 0o666,
                owner: None,
                device: rustix::fs::makedev(major, minor),
                subject: subjects.add(target),
            });
        }
        // Users of the host who are nobody in the container cannot own its nodes.
        let keeps_owner = spec.users.is_none();
        if spec.security.privileged {
            for host in nodes_below(Path::new("/dev"))? {
                let name = host.strip_prefix("/dev").unwrap_or(&host);
                let is_own = |own: &&str| name.starts_with(own);
                // Those of the container's own are made already. Devices come and go; one that went is not an error.
                if !NOT_COPIED.iter().any(is_own) && !plan.has(name) {
                    plan.add(&host, name, keeps_owner, subjects).ok();
                }
            }
        }
        for node in spec.security.exact.iter().flat_map(|exact| &exact.nodes) {
            plan.add_exact(node, subjects)?;
        }
        for (host, target) in given(&spec.devices)? {
            if let Ok(name) = target.strip_prefix("/dev") {
                plan.nodes
                    .retain(|node| node.path.to_bytes() != name.as_os_str().as_bytes());
                plan.add(&host, name, keeps_owner, subjects)?;
            }
        }
        Ok(plan)
    }

    /// Adds a node by its numbers, in place of a default one of the same name.
    fn add_exact(&mut self, node: &ExactNode, subjects: &mut Subjects) -> Result<(), Error> {
        let refuse = || Error::new(Step::Device, node.path.display().to_string(), Errno::INVAL);
        let (directory, name) = match node.path.strip_prefix("/dev") {
            Ok(name) => (None, name),
            Err(_outside) => {
                let name = node.path.file_name().ok_or_else(refuse)?;
                (node.path.parent(), Path::new(name))
            }
        };
        let made = Node {
            path: c_text(name)?,
            host: c_text(&node.path)?,
            kind: match node.kind {
                Some(DeviceKind::Character) => FileType::CharacterDevice,
                Some(DeviceKind::Block) => FileType::BlockDevice,
                None => FileType::Fifo,
            },
            mode: node.mode & 0o7777,
            owner: Some((node.uid, node.gid)),
            device: rustix::fs::makedev(node.major, node.minor),
            subject: subjects.add(node.path.display().to_string()),
        };
        if let Some(directory) = directory {
            self.elsewhere.push((c_text(directory)?, made));
            return Ok(());
        }
        self.nodes.retain(|known| known.path != made.path);
        self.nodes.push(made);
        Ok(())
    }

    fn has(&self, name: &Path) -> bool {
        let mut nodes = self.nodes.iter();
        nodes.any(|node| node.path.to_bytes() == name.as_os_str().as_bytes())
    }

    fn add(
        &mut self,
        host: &Path,
        name: &Path,
        keeps_owner: bool,
        subjects: &mut Subjects,
    ) -> Result<(), Error> {
        let refuse = |errno| Error::new(Step::Device, host.display().to_string(), errno);
        let metadata = fs_err::metadata(host)
            .map_err(|error| Error::new(Step::Device, host.display().to_string(), error))?;
        let kind = FileType::from_raw_mode(metadata.mode());
        if !is_device(kind) {
            return Err(refuse(Errno::NODEV));
        }
        self.nodes.push(Node {
            path: c_text(name)?,
            host: c_text(host)?,
            kind,
            mode: metadata.mode() & 0o7777,
            owner: keeps_owner.then(|| (metadata.uid(), metadata.gid())),
            device: metadata.rdev(),
            subject: subjects.add(format!("/dev/{}", name.display())),
        });
        Ok(())
    }

    /// Child: makes nodes and links.
    pub(crate) fn make(&self, root: BorrowedFd<'_>) -> Result<(), Fault> {
        let dev = open_plain(root, c"dev", OFlags::PATH | OFlags::DIRECTORY)
            .at(Step::Device, self.links)?;
        for node in &self.nodes {
            node.make(dev.as_fd()).at(Step::Device, node.subject)?;
        }
        for (directory, node) in &self.elsewhere {
            node.make_in_image(root, directory)
                .at(Step::Device, node.subject)?;
        }
        for (name, target) in LINKS {
            match rustix::fs::symlinkat(target, dev.as_fd(), name) {
                // A device that was given by this name.
                Err(Errno::EXIST) => {}
                outcome => outcome.at(Step::Link, self.links)?,
            }
        }
        Ok(())
    }
}

impl Node {
    fn make(&self, dev: BorrowedFd<'_>) -> Result<(), Errno> {
        make_parents(dev, &self.path)?;
        let mode = Mode::from_raw_mode(self.mode);
        match rustix::fs::mknodat(dev, self.path.as_c_str(), self.kind, mode, self.device) {
            // In a user namespace nodes cannot be made; the host's can be bound.
            Err(Errno::PERM) => return self.bind(dev),
            outcome => outcome?,
        }
        let Some((uid, gid)) = self.owner.filter(|owner| *owner != (0, 0)) else {
            return Ok(());
        };
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(dev, self.path.as_c_str(), Some(uid), Some(gid), flags)
    }

    /// Makes the node among the files of the image, where a former container may have left it. Links stay inside the root.
    fn make_in_image(&self, root: BorrowedFd<'_>, directory: &CStr) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(0o755);
        let directory = ensure(root, directory, Entry::Directory, mode)?;
        match self.make(directory.as_fd()) {
            Err(Errno::EXIST) => {}
            outcome => return outcome,
        }
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let stat = rustix::fs::statat(&directory, self.path.as_c_str(), flags)?;
        let is_same = FileType::from_raw_mode(stat.st_mode) == self.kind
            && (self.kind == FileType::Fifo || stat.st_rdev == self.device);
        if is_same { Ok(()) } else { Err(Errno::EXIST) }
    }

    /// The old root is still the process's root here, so the host's node is found by its path.
    fn bind(&self, dev: BorrowedFd<'_>) -> Result<(), Errno> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
        let tree = rustix::mount::open_tree(CWD, self.host.as_c_str(), flags)?;
        let stat = rustix::fs::fstat(&tree)?;
        if FileType::from_raw_mode(stat.st_mode) != self.kind || stat.st_rdev != self.device {
            return Err(Errno::NODEV);
        }
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let place = rustix::fs::openat(dev, self.path.as_c_str(), flags, mode)?;
        attach(tree.as_fd(), place.as_fd())
    }
}

/// Makes the directories above a node (`/dev/snd`). The tmpfs is ours and has no links yet.
fn make_parents(dev: BorrowedFd<'_>, path: &CStr) -> Result<(), Errno> {
    let bytes = path.to_bytes();
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
        let parent = super::path_buffer::PathBuffer::of(&bytes[..at])?;
        match rustix::fs::mkdirat(dev, parent.as_c_str(), Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            outcome => return outcome,
        }
    }
    Ok(())
}

/// Devices that are not made in a /dev of ours, as bind mounts of the host's nodes: those with another target, and all when the
/// container has somebody else's /dev.
pub(crate) fn binds(spec: &ContainerSpec, has_own_dev: bool) -> Result<Vec<Mount>, Error> {
    let all = given(&spec.devices)?.into_iter();
    let elsewhere = all.filter(|(_, target)| !has_own_dev || !target.starts_with("/dev"));
    let mounts = elsewhere.map(|(source, target)| Mount {
        target: target.display().to_string(),
        kind: MountKind::Bind {
            source,
            subpath: None,
            recursive: false,
            propagation: Propagation::Rprivate,
            writable_below: false,
        },
        read_only: false,
    });
    Ok(mounts.collect())
}

/// Host node and path in the container of each device that was given.
fn given(devices: &[Device]) -> Result<Vec<(PathBuf, PathBuf)>, Error> {
    let mut result = Vec::new();
    for device in devices {
        let top = resolved(&device.source)?;
        let target = PathBuf::from(plain_path(&device.target));
        for node in nodes_below(&top)? {
            let below = node.strip_prefix(&top).unwrap_or_else(|_| Path::new(""));
            let target = if below.as_os_str().is_empty() {
                target.clone()
            } else {
                target.join(below)
            };
            result.push((node, target));
        }
    }
    Ok(result)
}

/// Names such as /dev/disk/by-id/… are links.
fn resolved(path: &Path) -> Result<PathBuf, Error> {
    fs_err::canonicalize(path)
        .map_err(|error| Error::new(Step::Device, path.display().to_string(), error))
}

/// Lists the device nodes at a path of the host: itself, or those in a directory at any depth, by name. ENODEV when it is neither or has
/// none.
pub(crate) fn nodes_below(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut nodes = Vec::new();
    let top = resolved(path)?;
    collect(&top, &mut nodes)?;
    nodes.sort();
    if nodes.is_empty() {
        let text = path.display().to_string();
        return Err(Error::new(Step::Device, text, Errno::NODEV));
    }
    Ok(nodes)
}

fn collect(path: &Path, nodes: &mut Vec<PathBuf>) -> Result<(), Error> {
    let refuse = |error| Error::new(Step::Read, path.display().to_string(), error);
    // Devices come and go; one that went is not an error.
    let Ok(metadata) = fs_err::symlink_metadata(path) else {
        return Ok(());
    };
    if is_device(FileType::from_raw_mode(metadata.mode())) {
        nodes.push(path.to_owned());
    }
    if nodes.len() > NODES_MAX {
        let text = format!("more than {NODES_MAX} nodes");
        return Err(Error::new(Step::Device, text, Errno::NOSPC));
    }
    if metadata.is_dir() {
        for entry in fs_err::read_dir(path).map_err(refuse)? {
            collect(&entry.map_err(refuse)?.path(), nodes)?;
        }
    }
    Ok(())
}

fn is_device(kind: FileType) -> bool {
    matches!(kind, FileType::CharacterDevice | FileType::BlockDevice)
}

fn c_text(path: &Path) -> Result<CString, Error> {
    super::confine::c_path(path.as_os_str(), Step::Device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_found_below_directories_and_through_links() {
        assert_eq!(
            nodes_below(Path::new("/dev/null")).unwrap(),
            [Path::new("/dev/null")]
        );
        assert!(nodes_below(Path::new("/dev")).unwrap().len() > 5);
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        fs_err::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        let device = Device {
            source: link,
            target: "/dev//x/".to_owned(),
            access: crate::spec::DeviceAccess::ALL,
        };
        assert_eq!(
            given(&[device]).unwrap(),
            [(PathBuf::from("/dev/zero"), PathBuf::from("/dev/x"))]
        );
        let error = nodes_below(directory.path()).unwrap_err();
        assert_eq!(error.step, Step::Device);
        assert_eq!(error.source.0, libc::ENODEV);
        let error = nodes_below(Path::new("/etc/passwd")).unwrap_err();
        assert!(error.to_string().contains("/etc/passwd"), "{error}");
    }
}
