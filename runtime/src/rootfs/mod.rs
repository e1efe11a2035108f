//! The root filesystem of a container and everything that is mounted on it.
//!
//! The parent opens what belongs to the host and registers what can be refused; the child, in its own mount namespace, only attaches.
//! Paths of the container are followed on descriptors inside its root ([`confine`]), so that nothing in an image leads to the host.

mod binds;
mod cgroup_view;
pub mod confine;
pub(crate) mod devices;
pub mod exact;
mod image;
pub mod mask;
pub(crate) mod mounts;
pub mod overlay;
mod path_buffer;
mod shared_memory;
pub mod tmpfs;
mod tree;

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::Mode;

use crate::cgroup::JoinPlan;
use crate::check::plain_path;
use crate::error::{Error, Step};
use crate::fault::{At, Fault, Subject, Subjects};
use crate::namespaces::users::Users;
use crate::spec::{ContainerSpec, Mount};
use crate::sys::mount::{NODEV, NOEXEC, NOSUID, RDONLY};
use confine::{Entry, c_path, ensure};
use mounts::{Prepared, Source, settings};

/// Group of terminals in every distribution (`tty`).
const TTY_GROUP: u32 = 5;

/// Bytes of device nodes and links in /dev.
const DEV_BYTES_MAX: &str = "65536k";

/// The whole tree of a container.
#[derive(Debug)]
pub(crate) struct Plan {
    root: OwnedFd,
    /// Where the root is attached until it is pivoted to.
    place: CString,
    subject: Subject,
    builtin: Vec<Prepared>,
    user: Vec<Prepared>,
    cgroup: cgroup_view::Plan,
    /// `None` when the user mounts something of theirs on /dev.
    devices: Option<devices::Plan>,
    mask: Option<mask::Plan>,
    is_read_only: bool,
    /// Propagation that the root mount gets at last; `None` = what it has.
    late_propagation: Option<(u64, bool)>,
    working_directory: (CString, Subject),
}

impl Plan {
    /// Parent: opens and prepares everything.
    pub(crate) fn of(
        spec: &ContainerSpec,
        join: &JoinPlan,
        users: Option<&Users>,
        subjects: &mut Subjects,
    ) -> Result<Self, Error> {
        let exact = spec.security.exact.as_deref();
        let root_propagation = exact.and_then(|exact| exact.root_propagation);
        let root = tree::make(&spec.rootfs, root_propagation, users)?;
        let is_privileged = spec.security.privileged;
        let mut builtin = Vec::new();
        for (target, source) in builtins(spec, users)? {
            // What the user mounts on the place of a built-in mount replaces it.
            let name = target.to_string_lossy();
            builtin.push(
                match spec
                    .mounts
                    .iter()
                    .find(|mount| plain_path(&mount.target) == name)
                {
                    Some(mount) => Prepared::of(mount, users, subjects)?,
                    None => Prepared::builtin(target, source, subjects),
                },
            );
        }
        let mut user = Vec::new();
        for mount in spec.mounts.iter().filter(|mount| !is_builtin(mount)) {
            user.push(Prepared::of(mount, users, subjects)?);
        }
        let has_own_dev = !spec
            .mounts
            .iter()
            .any(|mount| plain_path(&mount.target) == "/dev");
        for mount in devices::binds(spec, has_own_dev)? {
            user.push(Prepared::of(&mount, users, subjects)?);
        }
        let is_masked = spec.security.mask_paths && !is_privileged;
        let cwd = c_path(spec.process.cwd.as_ref(), Step::WorkingDirectory)?;
        Ok(Self {
            root,
            place: tree::place(&spec.rootfs, !spec.hooks.is_empty())?,
            subject: subjects.add("the container's root"),
            builtin,
            user,
            cgroup: cgroup_view::Plan::of(join, !is_privileged, subjects)?,
            devices: if has_own_dev {
                Some(devices::Plan::of(spec, subjects)?)
            } else {
                None
            },
            mask: match &spec.security.exact {
                Some(exact) => Some(mask::Plan::exactly(exact, subjects)?),
                None => is_masked.then(|| mask::Plan::of(subjects)),
            },
            is_read_only: spec.rootfs_read_only,
            late_propagation: root_propagation.map(binds::kernel_propagation),
            working_directory: (cwd, subjects.add(&spec.process.cwd)),
        })
    }

    /// Returns the root mount.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Child: attaches the root in its own mount namespace.
    pub(crate) fn attach(&self) -> Result<(), Fault> {
        tree::attach(self.root(), &self.place).at(Step::Mount, self.subject)
    }

    /// Child: mounts everything on it. `procfs` is the child's own handle, which becomes /proc.
    pub(crate) fn mount(&self, procfs: BorrowedFd<'_>) -> Result<(), Fault> {
        for mount in &self.builtin {
            mount.mount(self.root(), procfs)?;
        }
        self.cgroup.mount(self.root())?;
        if let Some(devices) = &self.devices {
            devices.make(self.root())?;
        }
        for mount in &self.user {
            mount.mount(self.root(), procfs)?;
        }
        Ok(())
    }

    /// Child: makes the working directory, hides kernel paths and write-protects the root.
    pub(crate) fn close(&self) -> Result<(), Fault> {
        let (path, subject) = &self.working_directory;
        ensure(
            self.root(),
            path,
            Entry::Directory,
            Mode::from_raw_mode(0o755),
        )
        .at(Step::WorkingDirectory, *subject)?;
        if let Some(mask) = &self.mask {
            mask.apply(self.root())?;
        }
        if self.is_read_only {
            tree::protect(self.root()).at(Step::MountFlags, self.subject)?;
        }
        Ok(())
    }

    /// Child: makes it the root of the process.
    pub(crate) fn pivot(&self) -> Result<(), Fault> {
        tree::pivot(self.root()).at(Step::Pivot, self.subject)?;
        match self.late_propagation {
            Some(propagation) => {
                tree::spread(self.root(), propagation).at(Step::MountFlags, self.subject)
            }
            None => Ok(()),
        }
    }
}

/// Targets of the built-in mounts, in the order in which they are mounted.
const BUILTINS: [&CStr; 6] = [
    c"/proc",
    c"/dev",
    c"/dev/pts",
    c"/dev/shm",
    c"/dev/mqueue",
    c"/sys",
];

fn is_builtin(mount: &Mount) -> bool {
    let target = plain_path(&mount.target);
    BUILTINS
        .iter()
        .any(|builtin| builtin.to_bytes() == target.as_bytes())
}

fn builtins(
    spec: &ContainerSpec,
    users: Option<&Users>,
) -> Result<[(&'static CStr, Source); 6], Error> {
    let new = |filesystem, pairs: &[(&str, &str)], attributes| {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(key, value)| (*key, (*value).to_owned()))
            .collect();
        let settings = settings(&pairs).map_err(|errno: rustix::io::Errno| {
            Error::new(Step::Mount, "the standard mounts", errno)
        })?;
        Ok::<_, Error>(Source::New {
            filesystem: std::borrow::Cow::Borrowed(filesystem),
            settings,
            attributes,
        })
    };
    let [proc, dev, pts, shm, mqueue, sys] = BUILTINS;
    let tty = match users {
        Some(users) => users.map().gid(TTY_GROUP).unwrap_or(TTY_GROUP),
        None => TTY_GROUP,
    };
    let tty = tty.to_string();
    let pts_settings = [
        ("newinstance", ""),
        ("ptmxmode", "0666"),
        ("mode", "0620"),
        ("gid", tty.as_str()),
    ];
    let shm_source = shared_memory::prepare(&spec.namespaces.ipc, spec.shm_size_bytes)?;
    let mut sys_attributes = NOSUID | NODEV | NOEXEC;
    sys_attributes.set(RDONLY, !spec.security.privileged);
    Ok([
        (proc, Source::Procfs),
        (
            dev,
            new(
                c"tmpfs",
                &[("mode", "755"), ("size", DEV_BYTES_MAX)],
                NOSUID,
            )?,
        ),
        (pts, new(c"devpts", &pts_settings, NOSUID | NOEXEC)?),
        (shm, shm_source),
        (mqueue, new(c"mqueue", &[], NOSUID | NODEV | NOEXEC)?),
        (sys, new(c"sysfs", &[], sys_attributes)?),
    ])
}
