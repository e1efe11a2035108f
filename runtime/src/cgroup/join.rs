//! Joining a group: prepared by the parent, done by the child.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, open};

use super::{Cgroup, CgroupError};

/// How a new process joins a group, prepared by its parent.
#[derive(Debug, Default)]
pub struct JoinPlan {
    /// Each v1 hierarchy.
    pub v1: Vec<JoinV1>,
    /// The v2 directory, for CLONE_INTO_CGROUP.
    pub v2_directory: Option<OwnedFd>,
}

/// How a new process joins a v1 group.
#[derive(Debug)]
pub struct JoinV1 {
    /// The group's `tasks` file. The child writes `0` to it while it has one thread: `cgroup.procs` would cost milliseconds.
    pub tasks: OwnedFd,
    /// The group.
    pub directory: PathBuf,
    /// Where its hierarchy is mounted: the container sees it under the same name.
    pub mount_point: PathBuf,
}

impl Cgroup {
    /// Prepares the joining of a new process.
    pub fn join_files(&self) -> Result<JoinPlan, CgroupError> {
        let failed = |path: &Path, errno: rustix::io::Errno| CgroupError::Use {
            intent: "join",
            path: path.to_owned(),
            source: errno.into(),
        };
        let mut plan = JoinPlan::default();
        for group in &self.v1 {
            let tasks = group.path.join("tasks");
            let file = open(&tasks, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|errno| failed(&tasks, errno))?;
            plan.v1.push(JoinV1 {
                tasks: file,
                directory: group.path.clone(),
                mount_point: group.mount_point.clone(),
            });
        }
        if let Some(group) = &self.v2 {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = open(&group.path, flags, Mode::empty())
                .map_err(|errno| failed(&group.path, errno))?;
            plan.v2_directory = Some(directory);
        }
        Ok(plan)
    }
}
