//! What a container sees in /sys/fs/cgroup: its own group only, as a bind of its directory, read-only unless it is privileged.
//!
//! The v2 group is mounted there itself. With v1 each hierarchy is a directory of its own, and a v2 group beside them is `unified`.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{CWD, Mode, OFlags};

use super::confine::open_plain;
use super::mounts::{Prepared, Source, attach, clone_tree, make, settings};
use crate::cgroup::{JoinPlan, JoinV1};
use crate::error::{Error, Step};
use crate::fault::{At, Fault, Subject, Subjects};
use crate::sys::mount::{Change, NODEV, NOEXEC, NOSUID, RDONLY, change_mount};

/// Where the view is.
const TARGET: &CStr = c"/sys/fs/cgroup";

/// The view.
#[derive(Debug)]
pub(crate) enum Plan {
    /// The container has no group of its own: nothing to show.
    Nothing,
    /// The v2 group.
    Unified(Prepared),
    /// A directory a hierarchy.
    Hierarchies {
        settings: Vec<(CString, CString)>,
        hierarchies: Vec<Hierarchy>,
        is_read_only: bool,
        subject: Subject,
    },
}

/// A group in a v1 hierarchy.
#[derive(Debug)]
pub(crate) struct Hierarchy {
    /// Name of the directory (`cpu,cpuacct`).
    name: CString,
    /// Names of the controllers that share it: links to the directory.
    links: Vec<CString>,
    tree: OwnedFd,
    subject: Subject,
}

impl Plan {
    /// Clones the directories of the group.
    pub(crate) fn of(
        join: &JoinPlan,
        is_read_only: bool,
        subjects: &mut Subjects,
    ) -> Result<Self, Error> {
        let v2 = match &join.v2_directory {
            Some(directory) => Some(detach(directory.as_fd(), "v2 directory", is_read_only)?),
            None => None,
        };
        if join.v1.is_empty() {
            return Ok(match v2 {
                Some(tree) => {
                    Self::Unified(Prepared::builtin(TARGET, Source::Detached(tree), subjects))
                }
                None => Self::Nothing,
            });
        }
        let mut hierarchies = Vec::new();
        for group in &join.v1 {
            hierarchies.push(hierarchy(group, is_read_only, subjects)?);
        }
        if let Some(tree) = v2 {
            let subject = subjects.add("v2 cgroup on /sys/fs/cgroup/unified");
            hierarchies.push(Hierarchy {
                name: c"unified".to_owned(),
                links: Vec::new(),
                tree,
                subject,
            });
        }
        let subject = subjects.add("tmpfs on /sys/fs/cgroup");
        let settings = settings(&[("mode", "755".to_owned())])
            .map_err(|errno| Error::new(Step::Mount, "tmpfs on /sys/fs/cgroup", errno))?;
        Ok(Self::Hierarchies {
            settings,
            hierarchies,
            is_read_only,
            subject,
        })
    }

    /// Child: mounts the view.
    pub(crate) fn mount(&self, root: BorrowedFd<'_>) -> Result<(), Fault> {
        let (settings, hierarchies, is_read_only, subject) = match self {
            Self::Nothing => return Ok(()),
            Self::Unified(mount) => return mount.mount(root, root),
            Self::Hierarchies {
                settings,
                hierarchies,
                is_read_only,
                subject,
            } => (settings, hierarchies, *is_read_only, *subject),
        };
        let top = open_plain(root, TARGET, OFlags::PATH)
            .and_then(|target| {
                let top = make(c"tmpfs", settings, NOSUID | NODEV | NOEXEC)?;
                attach(top.as_fd(), target.as_fd())?;
                Ok(top)
            })
            .at(Step::Mount, subject)?;
        for hierarchy in hierarchies {
            hierarchy
                .mount(top.as_fd())
                .at(Step::Mount, hierarchy.subject)?;
        }
        if is_read_only {
            let change = Change {
                set: RDONLY,
                ..Change::NONE
            };
            change_mount(top.as_fd(), &change).at(Step::MountFlags, subject)?;
        }
        Ok(())
    }
}

impl Hierarchy {
    fn mount(&self, top: BorrowedFd<'_>) -> Result<(), rustix::io::Errno> {
        rustix::fs::mkdirat(top, self.name.as_c_str(), Mode::from_raw_mode(0o755))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let place = rustix::fs::openat(top, self.name.as_c_str(), flags, Mode::empty())?;
        attach(self.tree.as_fd(), place.as_fd())?;
        for link in &self.links {
            rustix::fs::symlinkat(self.name.as_c_str(), top, link.as_c_str())?;
        }
        Ok(())
    }
}

/// Clones the group's directory; its hierarchy is called as where it is mounted on the host.
fn hierarchy(
    group: &JoinV1,
    is_read_only: bool,
    subjects: &mut Subjects,
) -> Result<Hierarchy, Error> {
    let directory = group.directory.as_path();
    let refuse = |errno| Error::new(Step::Open, directory.display().to_string(), errno);
    let name = group.mount_point.file_name().unwrap_or_default();
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|_nul| refuse(rustix::io::Errno::INVAL));
    let parts: Vec<_> = name.as_bytes().split(|byte| *byte == b',').collect();
    let links = match parts.as_slice() {
        [_] => Vec::new(),
        parts => parts
            .iter()
            .map(|part| text(part))
            .collect::<Result<_, _>>()?,
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place = rustix::fs::openat(CWD, directory, flags, Mode::empty()).map_err(refuse)?;
    let shown = directory.display().to_string();
    Ok(Hierarchy {
        name: text(name.as_bytes())?,
        links,
        tree: detach(place.as_fd(), &shown, is_read_only)?,
        subject: subjects.add(format!(
            "cgroup {shown} on /sys/fs/cgroup/{}",
            name.to_string_lossy()
        )),
    })
}

fn detach(directory: BorrowedFd<'_>, shown: &str, is_read_only: bool) -> Result<OwnedFd, Error> {
    let refuse = |errno| Error::new(Step::Bind, format!("cgroup {shown}"), errno);
    let tree = clone_tree(directory, false).map_err(refuse)?;
    let mut change = Change {
        set: NOSUID | NODEV | NOEXEC,
        propagation: libc::MS_PRIVATE,
        ..Change::NONE
    };
    change.set.set(RDONLY, is_read_only);
    change_mount(tree.as_fd(), &change).map_err(refuse)?;
    Ok(tree)
}
