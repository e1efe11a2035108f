//! Control groups: one group for each container, in the v2 hierarchy, in every v1 hierarchy, or (hybrid hosts) in both.
//!
//! A group is `<mount point>/<parent>/<name>` in each hierarchy, made below the mount point whatever group this process lives
//! in. This module never decides limits and never watches a group; it does what it is told.
//!
//! Surprises, all of the kernel's making: joining by writing to `cgroup.procs` waits for an RCU grace period (10 ms), so a child
//! joins by [`JoinPlan`] instead; a frozen v1 group ignores SIGKILL until it is thawed; a hybrid host's `unified` hierarchy limits
//! nothing but has the atomic `cgroup.kill`, so it is used for that.

mod block_io;
mod control;
mod device_program;
mod devices;
mod end;
mod exact;
mod hierarchies;
mod join;
mod limits;
mod oom;
mod policy;
mod stats;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use crate::spec::{CgroupPlace, ExactLimit, Resources};

pub use crate::spec::{DeviceAccess, DeviceKind, DeviceRule};
pub use devices::DevicePolicy;
pub use hierarchies::{Hierarchies, V1Mount};
pub use join::{JoinPlan, JoinV1};
pub use oom::OomNotice;
pub use stats::Stats;

/// A control group could not be made, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The mount table is not readable.
    #[error("read the mounted control group hierarchies")]
    Mounts(#[source] io::Error),
    /// The place leaves the hierarchy.
    #[error("control group `{0}` is not a relative path of plain names")]
    Place(PathBuf),
    /// The directory could not be made.
    #[error("create control group `{path}`")]
    Create {
        /// The directory.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The kernel refused a limit.
    #[error("set the {limit} of control group `{path}` to {value}")]
    Limit {
        /// Which limit, for people.
        limit: &'static str,
        /// The group's directory.
        path: PathBuf,
        /// The value in the kernel's notation.
        value: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The kernel refused a limit that names its control file.
    #[error("set `{limit}`: write `{value}` to `{path}`")]
    ExactLimit {
        /// Which limit.
        limit: String,
        /// The control file.
        path: PathBuf,
        /// The text.
        value: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// A device to limit or to permit is none.
    #[error("look at device `{path}`")]
    Device {
        /// The node.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// A group could not be read, killed, frozen or thawed.
    #[error("{intent} control group `{path}`")]
    Use {
        /// What was being done.
        intent: &'static str,
        /// The group's directory.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// No hierarchy of this host can do it.
    #[error("{intent} a container: no control group hierarchy that can is available")]
    Unavailable {
        /// What was being done.
        intent: &'static str,
    },
    /// Processes do not leave the group.
    #[error("remove control group `{path}`: processes {pids:?} do not end")]
    Busy {
        /// The group's directory.
        path: PathBuf,
        /// Some of them.
        pids: Vec<i32>,
    },
}

/// The control group of one container.
#[derive(Debug)]
pub struct Cgroup {
    /// Its directories in the v1 hierarchies.
    v1: Vec<V1Group>,
    /// Its directory in the v2 hierarchy.
    v2: Option<V2Group>,
    /// Number of path components of the place's parent: how far up empty parents are removed.
    parents: usize,
}

#[derive(Debug)]
struct V1Group {
    controllers: Vec<String>,
    path: PathBuf,
    /// Of its hierarchy.
    mount_point: PathBuf,
}

#[derive(Debug)]
struct V2Group {
    /// Controllers that are enabled for the group.
    controllers: Vec<String>,
    path: PathBuf,
}

impl Cgroup {
    /// Makes the group in every hierarchy of this host and sets its limits and devices.
    ///
    /// What the host cannot do is told in `warnings`; what the kernel refuses is an error, and nothing is left behind.
    pub fn create(
        place: &CgroupPlace,
        resources: &Resources,
        devices: &DevicePolicy,
        warnings: &mut Vec<String>,
    ) -> Result<Cgroup, CgroupError> {
        Self::create_in(&Hierarchies::detect()?, place, resources, devices, warnings)
    }

    /// As [`Cgroup::create`], in these hierarchies.
    pub fn create_in(
        hierarchies: &Hierarchies,
        place: &CgroupPlace,
        resources: &Resources,
        devices: &DevicePolicy,
        warnings: &mut Vec<String>,
    ) -> Result<Cgroup, CgroupError> {
        let mut cgroup = Self::at(hierarchies, place)?;
        let result = cgroup
            .make(&resources.exact, warnings)
            .and_then(|()| limits::apply(&cgroup, resources, warnings))
            .and_then(|()| block_io::apply(&cgroup, &resources.block_io, warnings))
            .and_then(|()| exact::apply(&cgroup, &resources.exact, warnings))
            .and_then(|()| devices::apply(&cgroup, devices, warnings));
        match result {
            Ok(()) => Ok(cgroup),
            Err(error) => {
                // The first error is the one to tell; what cannot be removed now is removed when the name is used again.
                drop(cgroup.remove());
                Err(error)
            }
        }
    }

    /// Sets limits of a group that exists; those that are `None` stay as they are.
    pub fn update(
        &self,
        resources: &Resources,
        warnings: &mut Vec<String>,
    ) -> Result<(), CgroupError> {
        limits::apply(self, resources, warnings)?;
        block_io::apply(self, &resources.block_io, warnings)?;
        exact::apply(self, &resources.exact, warnings)
    }

    /// Returns the group that was made at this place, in those hierarchies where it exists.
    pub fn open(place: &CgroupPlace) -> Result<Cgroup, CgroupError> {
        Self::open_in(&Hierarchies::detect()?, place)
    }

    /// As [`Cgroup::open`], in these hierarchies.
    pub fn open_in(hierarchies: &Hierarchies, place: &CgroupPlace) -> Result<Cgroup, CgroupError> {
        let mut cgroup = Self::at(hierarchies, place)?;
        cgroup.v1.retain(|group| group.path.is_dir());
        cgroup.v2 = cgroup.v2.filter(|group| group.path.is_dir());
        if let Some(group) = &mut cgroup.v2 {
            group.controllers = control::words(&group.path.join("cgroup.controllers"));
        }
        Ok(cgroup)
    }

    /// Returns whether the group exists nowhere.
    pub fn is_absent(&self) -> bool {
        self.v1.is_empty() && self.v2.is_none()
    }

    /// Returns the group that somebody has made below this one, in those hierarchies where it exists, and this group in all others.
    pub fn below(mut self, path: &str) -> Result<Cgroup, CgroupError> {
        let refuse = || CgroupError::Place(path.into());
        if path.is_empty() || !plain(Path::new(path)) {
            return Err(refuse());
        }
        let v2 = self.v2.iter_mut().map(|group| &mut group.path);
        let mut is_found = false;
        for directory in self.v1.iter_mut().map(|group| &mut group.path).chain(v2) {
            let child = directory.join(path);
            if child.is_dir() {
                *directory = child;
                is_found = true;
            }
        }
        is_found.then_some(self).ok_or_else(refuse)
    }

    /// Returns the groups' paths, not yet made.
    fn at(hierarchies: &Hierarchies, place: &CgroupPlace) -> Result<Cgroup, CgroupError> {
        let below = Path::new(&place.parent).join(&place.name);
        if place.name.is_empty() || place.name.contains('/') || !plain(&below) {
            return Err(CgroupError::Place(below));
        }
        Ok(Cgroup {
            v1: hierarchies
                .v1
                .iter()
                .map(|mount| V1Group {
                    controllers: mount.controllers.clone(),
                    path: mount.mount_point.join(&below),
                    mount_point: mount.mount_point.clone(),
                })
                .collect(),
            v2: hierarchies.v2.as_ref().map(|mount_point| V2Group {
                controllers: Vec::new(),
                path: mount_point.join(&below),
            }),
            parents: Path::new(&place.parent).components().count(),
        })
    }

    /// Makes the directories. A hierarchy that this process may not change is left out, with one warning.
    fn make(
        &mut self,
        exact: &[ExactLimit],
        warnings: &mut Vec<String>,
    ) -> Result<(), CgroupError> {
        let levels = self.parents + 1;
        let mut refused = Vec::new();
        let mut made = Vec::new();
        for group in std::mem::take(&mut self.v1) {
            let cpuset = group.controllers.iter().any(|name| name == "cpuset");
            let prepare = |directory: &Path| {
                if cpuset {
                    control::inherit_cpuset(directory)
                } else {
                    Ok(())
                }
            };
            match control::make_path(&group.path, levels, prepare) {
                Ok(()) => made.push(group),
                Err(error) if control::is_refusal(&error) => {
                    refused.push(format!("{} ({error})", group.path.display()));
                }
                Err(source) => {
                    return Err(CgroupError::Create {
                        path: group.path,
                        source,
                    });
                }
            }
        }
        self.v1 = made;
        if let Some(mut group) = self.v2.take() {
            let wanted = self.wanted_from_v2(exact);
            match control::make_v2_path(&group.path, levels, &wanted) {
                Ok(()) => {
                    group.controllers = control::words(&group.path.join("cgroup.controllers"));
                    self.v2 = Some(group);
                }
                Err(error) if control::is_refusal(&error) => {
                    refused.push(format!("{} ({error})", group.path.display()));
                }
                Err(source) => {
                    return Err(CgroupError::Create {
                        path: group.path,
                        source,
                    });
                }
            }
        }
        if !refused.is_empty() {
            warnings.push(format!(
                "control groups cannot be made here: {}",
                refused.join(", ")
            ));
        }
        Ok(())
    }

    /// The controllers to enable in the v2 hierarchy: those that no v1 hierarchy has, the rarer ones only for who needs them.
    fn wanted_from_v2<'l>(&self, exact: &'l [ExactLimit]) -> Vec<&'l str> {
        let rare = ["hugetlb", "misc", "rdma"];
        let others = exact.iter().map(|limit| limit.controller.as_str());
        ["cpu", "cpuset", "io", "memory", "pids"]
            .into_iter()
            .chain(others.filter(|name| rare.contains(name)))
            .filter(|name| {
                let v1_name = if *name == "io" { "blkio" } else { name };
                self.v1_directory(v1_name).is_none()
            })
            .collect()
    }

    /// The directory that has a v1 controller.
    fn v1_directory(&self, controller: &str) -> Option<&Path> {
        self.v1
            .iter()
            .find(|group| group.controllers.iter().any(|name| name == controller))
            .map(|group| group.path.as_path())
    }

    /// The directory that has a v2 controller.
    fn v2_directory(&self, controller: &str) -> Option<&Path> {
        self.v2
            .as_ref()
            .filter(|group| group.controllers.iter().any(|name| name == controller))
            .map(|group| group.path.as_path())
    }

    /// One directory that lists every process of the group, the cheapest to ask first.
    fn any_directory(&self) -> Option<&Path> {
        self.v2
            .as_ref()
            .map(|group| group.path.as_path())
            .or_else(|| self.v1_directory("pids"))
            .or_else(|| self.v1.first().map(|group| group.path.as_path()))
    }
}

/// Tells whether a path has names only: no `..`, no root.
fn plain(path: &Path) -> bool {
    path.components()
        .all(|component| matches!(component, Component::Normal(_)))
}
