//! Device nodes and links of a container's own /dev, a tmpfs that nobody else has seen yet.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;

use super::confine::open_plain;
use super::mounts::attach;
use crate::error::{Error, Step};
use crate::fault::{At, Fault, Subject, Subjects};

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

/// Nodes copied at most from the host's /dev, and directories below it looked at.
const COPIED_MAX: usize = 4096;

/// What the child makes in /dev.
#[derive(Debug)]
pub(crate) struct Plan {
    nodes: Vec<Node>,
    links: Subject,
}

#[derive(Debug)]
struct Node {
    /// Path below /dev.
    path: CString,
    kind: FileType,
    mode: u32,
    device: u64,
    subject: Subject,
}

impl Plan {
    /// Lists the nodes: the usual ones, and those of the host when `is_privileged`.
    pub(crate) fn of(is_privileged: bool, subjects: &mut Subjects) -> Result<Self, Error> {
        let mut nodes = Vec::new();
        for (name, major, minor) in NODES {
            nodes.push(Node {
                path: name.to_owned(),
                kind: FileType::CharacterDevice,
                mode: 0o666,
                device: rustix::fs::makedev(major, minor),
                subject: subjects.add(format!("/dev/{}", name.to_string_lossy())),
            });
        }
        if is_privileged {
            copy_nodes(Path::new("/dev"), &mut nodes, subjects)?;
        }
        Ok(Self {
            nodes,
            links: subjects.add("the standard links in /dev"),
        })
    }

    /// Child: makes nodes and links.
    pub(crate) fn make(&self, root: BorrowedFd<'_>) -> Result<(), Fault> {
        let dev = open_plain(root, c"dev", OFlags::PATH | OFlags::DIRECTORY)
            .at(Step::Device, self.links)?;
        for node in &self.nodes {
            node.make(dev.as_fd()).at(Step::Device, node.subject)?;
        }
        for (name, target) in LINKS {
            rustix::fs::symlinkat(target, dev.as_fd(), name).at(Step::Link, self.links)?;
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
            Err(Errno::PERM) => self.bind(dev),
            // A privileged container's copy of a node that it has anyway.
            Err(Errno::EXIST) => Ok(()),
            outcome => outcome,
        }
    }

    /// The old root is still the process's root here, so the host's /dev is found by its path.
    fn bind(&self, dev: BorrowedFd<'_>) -> Result<(), Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let host = rustix::fs::openat(CWD, c"/dev", flags, Mode::empty())?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
        let tree = rustix::mount::open_tree(host.as_fd(), self.path.as_c_str(), flags)?;
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

fn copy_nodes(dir: &Path, nodes: &mut Vec<Node>, subjects: &mut Subjects) -> Result<(), Error> {
    let refuse = |error| Error::new(Step::Read, dir.display().to_string(), error);
    for entry in fs_err::read_dir(dir).map_err(refuse)? {
        let entry = entry.map_err(refuse)?;
        let is_top = dir == Path::new("/dev");
        if is_top && NOT_COPIED.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        // Devices come and go; one that went is not an error.
        let Ok(metadata) = fs_err::symlink_metadata(entry.path()) else {
            continue;
        };
        let file_type = metadata.file_type();
        if file_type.is_dir() {
            copy_nodes(&entry.path(), nodes, subjects)?;
        }
        let kind = match (file_type.is_char_device(), file_type.is_block_device()) {
            (true, _) => FileType::CharacterDevice,
            (_, true) => FileType::BlockDevice,
            _ => continue,
        };
        let path = entry.path();
        let below = path.strip_prefix("/dev").unwrap_or(&path);
        let Ok(name) = CString::new(below.as_os_str().as_bytes()) else {
            continue;
        };
        if nodes.len() >= COPIED_MAX {
            return Err(Error::new(
                Step::Device,
                "more nodes than fit",
                Errno::NOSPC,
            ));
        }
        let subject = subjects.add(path.display().to_string());
        let (mode, device) = (metadata.mode() & 0o7777, metadata.rdev());
        nodes.push(Node {
            path: name,
            kind,
            mode,
            device,
            subject,
        });
    }
    Ok(())
}
