//! What is mounted on the root filesystem, and where.
//!
//! The parent opens everything that belongs to the host (bind sources as detached clones, which keep their propagation); the child makes
//! the filesystems that belong to its namespaces and attaches all of them, each to a descriptor that was resolved inside the root.

use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MoveMountFlags, OpenTreeFlags};

use super::binds::{Refusal, detach};
use super::confine::{Entry, ensure, open_plain};
use crate::check::is_proc_file;
use crate::error::{Error, Step};
use crate::fault::{At, Fault, Subject, Subjects};
use crate::namespaces::users::Users;
use crate::spec::{Mount, MountKind};
use crate::sys::mount::{Attributes, Change, change_mount};

/// Type number of procfs in statfs(2).
pub(crate) const PROC_MAGIC: u64 = 0x9fa0;

/// A mount that the child makes.
#[derive(Debug)]
pub(crate) struct Prepared {
    source: Source,
    /// Path in the container.
    target: CString,
    /// What the target is made as when it is missing.
    entry: Entry,
    /// How far the target is trusted.
    trust: Trust,
    /// Propagation that a new filesystem gets once it is attached; 0 = private.
    propagation: u64,
    step: Step,
    subject: Subject,
}

/// What is mounted.
#[derive(Debug)]
pub(crate) enum Source {
    /// The procfs of the child's pid namespace, which it has opened for its own use.
    Procfs,
    /// A new instance.
    New {
        /// Type.
        filesystem: Cow<'static, CStr>,
        /// Key and value for the filesystem.
        settings: Vec<(CString, CString)>,
        /// Flags of the mount.
        attributes: Attributes,
    },
    /// A mount that the parent made and attached nowhere.
    Detached(OwnedFd),
}

/// How far a target is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Ours: no component may be a symbolic link, so that an image cannot move /proc or /dev elsewhere.
    Plain,
    /// The user's: links are followed inside the root, but not into procfs.
    OutsideProc,
    /// One of the files of /proc that may be covered.
    ProcFile,
}

impl Prepared {
    /// Prepares a mount of ours.
    pub(crate) fn builtin(target: &CStr, source: Source, subjects: &mut Subjects) -> Self {
        let name = match &source {
            Source::Procfs => "proc",
            Source::New { filesystem, .. } => filesystem.to_str().unwrap_or("filesystem"),
            Source::Detached(_) => "cgroup",
        };
        let subject = subjects.add(format!("{name} on {}", target.to_string_lossy()));
        let (target, entry) = (target.to_owned(), Entry::Directory);
        Self {
            source,
            target,
            entry,
            trust: Trust::Plain,
            propagation: 0,
            step: Step::Mount,
            subject,
        }
    }

    /// Prepares a mount of the user's. With a user namespace files belong to its users.
    pub(crate) fn of(
        mount: &Mount,
        users: Option<&Users>,
        subjects: &mut Subjects,
    ) -> Result<Self, Error> {
        let target_text = mount.target.clone();
        let (source, entry, step, text) = match &mount.kind {
            MountKind::Bind {
                source, subpath, ..
            } => {
                let subpath = subpath
                    .as_ref()
                    .map(|path| format!("/{path}"))
                    .unwrap_or_default();
                let text = format!("{}{subpath} on {}", source.display(), mount.target);
                let refuse = |errno| Error::new(Step::Bind, text.clone(), errno);
                let tree = detach(mount, users).map_err(|error| match error {
                    Refusal::Path(error) => error,
                    Refusal::Mount(errno) => refuse(errno),
                })?;
                let is_directory = is_directory(tree.as_fd()).map_err(refuse)?;
                let entry = if is_directory {
                    Entry::Directory
                } else {
                    Entry::File
                };
                (Source::Detached(tree), entry, Step::Bind, text)
            }
            MountKind::Exact(mount) => super::exact::prepare(mount, &target_text)?,
            MountKind::Image { lowers, subpath } => {
                let tree = super::image::detach(lowers, subpath.as_deref(), users, &mount.target)?;
                let text = format!("image on {}", mount.target);
                let is_directory = is_directory(tree.as_fd())
                    .map_err(|errno| Error::new(Step::Bind, text.clone(), errno))?;
                let entry = if is_directory {
                    Entry::Directory
                } else {
                    Entry::File
                };
                (Source::Detached(tree), entry, Step::Bind, text)
            }
            MountKind::Tmpfs {
                size_bytes,
                mode,
                options,
            } => {
                let text = format!("tmpfs on {}", mount.target);
                let text_of = || Error::new(Step::Mount, text.clone(), Errno::INVAL);
                let options = super::tmpfs::outside(options, users).ok_or_else(text_of)?;
                let source = super::tmpfs::source(*size_bytes, *mode, &options, mount.read_only)
                    .map_err(|errno| Error::new(Step::Mount, text.clone(), errno))?;
                (source, Entry::Directory, Step::Mount, text)
            }
        };
        let target = CString::new(mount.target.as_str())
            .map_err(|_nul| Error::new(step, text.clone(), Errno::INVAL))?;
        let is_proc_file = is_proc_file(&crate::check::plain_path(&mount.target));
        let trust = if is_proc_file {
            Trust::ProcFile
        } else {
            Trust::OutsideProc
        };
        Ok(Self {
            source,
            target,
            entry,
            trust,
            propagation: match &mount.kind {
                MountKind::Exact(mount) => super::exact::late_propagation(mount),
                _ => 0,
            },
            step,
            subject: subjects.add(text),
        })
    }

    /// Child: makes the mount and attaches it.
    pub(crate) fn mount(&self, root: BorrowedFd<'_>, procfs: BorrowedFd<'_>) -> Result<(), Fault> {
        let new;
        let mount = match &self.source {
            Source::Procfs => procfs,
            Source::Detached(tree) => tree.as_fd(),
            Source::New {
                filesystem,
                settings,
                attributes,
            } => {
                new = make(filesystem, settings, *attributes).at(self.step, self.subject)?;
                new.as_fd()
            }
        };
        self.target(root)
            .and_then(|target| attach(mount, target.as_fd()))
            .and_then(|()| match self.propagation {
                0 => Ok(()),
                propagation => change_mount(
                    mount,
                    &Change {
                        propagation,
                        ..Change::NONE
                    },
                ),
            })
            .at(self.step, self.subject)
    }

    fn target(&self, root: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
        let mode = match self.entry {
            Entry::Directory => Mode::from_raw_mode(0o755),
            Entry::File => Mode::from_raw_mode(0o644),
        };
        let target = match self.trust {
            Trust::OutsideProc => ensure(root, &self.target, self.entry, mode)?,
            Trust::Plain | Trust::ProcFile => match open_plain(root, &self.target, OFlags::PATH) {
                Err(Errno::NOENT) => {
                    ensure(root, &self.target, self.entry, mode)?;
                    open_plain(root, &self.target, OFlags::PATH)?
                }
                outcome => outcome?,
            },
        };
        // The target's name is not below /proc, so a link in the image has led there (CVE-2019-19921, CVE-2025-52881).
        if self.trust == Trust::OutsideProc && is_procfs(target.as_fd())? {
            return Err(Errno::PERM);
        }
        // The kernel says EINVAL to both, which tells nobody what is wrong.
        match (self.entry, is_directory(target.as_fd())?) {
            (Entry::Directory, false) => Err(Errno::NOTDIR),
            (Entry::File, true) => Err(Errno::ISDIR),
            _ => Ok(target),
        }
    }
}

/// Makes a new instance of a filesystem, attached nowhere. Does not allocate.
///
/// Without a `source` among the settings it is named after its type, as mount(8) does: programs read that column of the mount table.
pub(crate) fn make(
    filesystem: &CStr,
    settings: &[(CString, CString)],
    attributes: Attributes,
) -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen(filesystem, FsOpenFlags::FSOPEN_CLOEXEC)?;
    if settings.iter().all(|(key, _)| key.as_c_str() != c"source") {
        rustix::mount::fsconfig_set_string(context.as_fd(), c"source", filesystem)?;
    }
    for (key, value) in settings {
        if value.is_empty() {
            rustix::mount::fsconfig_set_flag(context.as_fd(), key.as_c_str())?;
        } else {
            rustix::mount::fsconfig_set_string(context.as_fd(), key.as_c_str(), value.as_c_str())?;
        }
    }
    rustix::mount::fsconfig_create(context.as_fd())?;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Attaches a detached mount on what `target` refers to.
pub(crate) fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", target, c"", flags)
}

/// Clones the mount at what `place` refers to, attached nowhere.
pub(crate) fn clone_tree(place: BorrowedFd<'_>, is_recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if is_recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    rustix::mount::open_tree(place, c"", flags)
}

pub(crate) fn is_directory(place: BorrowedFd<'_>) -> Result<bool, Errno> {
    let stat = rustix::fs::fstat(place)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// Tells whether a descriptor refers into a procfs.
pub(crate) fn is_procfs(place: BorrowedFd<'_>) -> Result<bool, Errno> {
    let statfs = rustix::fs::fstatfs(place)?;
    Ok(u64::try_from(statfs.f_type).is_ok_and(|kind| kind == PROC_MAGIC))
}

/// Makes texts for [`Source::New`]; an empty value is a flag.
pub(crate) fn settings(pairs: &[(&str, String)]) -> Result<Vec<(CString, CString)>, Errno> {
    let text = |text: &str| CString::new(text).or(Err(Errno::INVAL));
    pairs
        .iter()
        .map(|(key, value)| Ok((text(key)?, text(value)?)))
        .collect()
}
