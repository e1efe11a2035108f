//! A control group of a test's own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use runtime::cgroup::{JoinPlan, JoinV1};

use crate::world::DEADLINE;

/// A control group of the test's own, in one v1 hierarchy or in v2. Dropping it removes it.
pub(crate) struct Group {
    dir: PathBuf,
    is_v2: bool,
}

impl Group {
    /// Makes a group where this host has the `pids` controller.
    pub(crate) fn new() -> Self {
        let name = format!("stack-test-{}", std::process::id());
        let v1 = Path::new("/sys/fs/cgroup/pids");
        let is_v2 = !v1.exists();
        let dir = if is_v2 {
            Path::new("/sys/fs/cgroup")
        } else {
            v1
        }
        .join(name);
        fs::create_dir(&dir).unwrap();
        Self { dir, is_v2 }
    }

    /// Makes a group in the v2 hierarchy, wherever this host has it.
    pub(crate) fn new_v2() -> Self {
        let unified = Path::new("/sys/fs/cgroup/unified");
        let top = if unified.exists() {
            unified
        } else {
            Path::new("/sys/fs/cgroup")
        };
        let dir = top.join(format!("stack-test-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        Self { dir, is_v2: true }
    }

    /// Returns what the view in a container shows of it.
    pub(crate) fn name(&self) -> &'static str {
        if self.is_v2 { "cgroup.procs" } else { "pids" }
    }

    pub(crate) fn is_v2(&self) -> bool {
        self.is_v2
    }

    pub(crate) fn join(&self) -> JoinPlan {
        if self.is_v2 {
            return JoinPlan {
                v1: vec![],
                v2_directory: Some(File::open(&self.dir).unwrap().into()),
            };
        }
        let tasks = File::options()
            .write(true)
            .open(self.dir.join("tasks"))
            .unwrap();
        JoinPlan {
            v1: vec![JoinV1 {
                tasks: tasks.into(),
                directory: self.dir.clone(),
                mount_point: self.dir.parent().unwrap().to_owned(),
            }],
            v2_directory: None,
        }
    }

    pub(crate) fn pids(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.dir.join("cgroup.procs")).unwrap();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel takes a moment to forget a process that was reaped.
        let start = Instant::now();
        while let Err(error) = fs::remove_dir(&self.dir) {
            assert!(start.elapsed() < DEADLINE, "{error}");
        }
    }
}
