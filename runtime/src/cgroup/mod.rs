//! Control groups of containers.

use std::os::fd::OwnedFd;

/// How a child joins the control group of its container. All descriptors are close-on-exec.
#[derive(Debug, Default)]
pub struct JoinPlan {
    /// The `tasks` file of the group in each v1 hierarchy, open for writing: the child writes `0` to each before anything else.
    pub v1_tasks: Vec<OwnedFd>,
    /// Directory of the group in the v2 hierarchy, for `CLONE_INTO_CGROUP`.
    pub v2_directory: Option<OwnedFd>,
}
