//! Freezing, killing and removing groups.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fs_err as fs;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process},
};

use super::{Cgroup, CgroupError, control};

/// Time that freezing may take; a process in an uninterruptible wait freezes when it leaves it.
const FREEZE_MAX: Duration = Duration::from_secs(2);
/// Time that killed processes may take to leave their group.
const LEAVE_MAX: Duration = Duration::from_secs(5);
/// Times that a group's processes are listed and killed; each round catches those forked since the one before.
const KILL_ROUNDS_MAX: u32 = 64;
/// Depth to which groups made inside of a container's group are followed.
const DEPTH_MAX: u32 = 32;

impl Cgroup {
    /// Stops every process of the group until [`Cgroup::thaw`].
    pub fn freeze(&self) -> Result<(), CgroupError> {
        const INTENT: &str = "pause";
        if let Some(file) = self.v2_freezer() {
            write(INTENT, &file, "1")?;
            let events = file.with_file_name("cgroup.events");
            return until(FREEZE_MAX, Some(&events), || {
                control::keyed(&events, "frozen") == Some(1)
            })
            .then_some(())
            .ok_or_else(|| timed_out(INTENT, &file));
        }
        let Some(directory) = self.v1_directory("freezer") else {
            return Err(CgroupError::Unavailable { intent: INTENT });
        };
        let file = directory.join("freezer.state");
        // Written in every round: a process forked while FREEZING keeps the state from being reached (kernel documentation,
        // freezer-subsystem: "the application should retry").
        let frozen = until(FREEZE_MAX, None, || {
            control::write(&file, "FROZEN").is_ok()
                && control::words(&file).iter().any(|word| word == "FROZEN")
        });
        if !frozen {
            // Half frozen is the one state that nobody asked for.
            self.thaw()?;
            return Err(timed_out(INTENT, &file));
        }
        Ok(())
    }

    /// Lets every process of the group run again.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        const INTENT: &str = "resume";
        if let Some(file) = self.v2_freezer() {
            write(INTENT, &file, "0")?;
        }
        if let Some(directory) = self.v1_directory("freezer") {
            write(INTENT, &directory.join("freezer.state"), "THAWED")?;
        }
        Ok(())
    }

    /// Tells whether [`Cgroup::freeze`] was called last, by whomever.
    pub fn is_frozen(&self) -> bool {
        if let Some(file) = self.v2_freezer() {
            return control::words(&file) == ["1"];
        }
        self.v1_directory("freezer")
            .is_some_and(|directory| control::words(&directory.join("freezer.state")) != ["THAWED"])
    }

    /// Returns the processes of the group and of groups made in it.
    pub fn pids(&self) -> Vec<i32> {
        let mut pids = Vec::new();
        if let Some(directory) = self.any_directory() {
            collect_pids(directory, DEPTH_MAX, &mut pids);
        }
        pids
    }

    /// Sends SIGKILL to every process of the group, also to those that are being forked; thaws it first.
    ///
    /// Returns when nobody is left to send it to, which is before all have ended.
    pub fn kill_all(&self) -> Result<(), CgroupError> {
        self.thaw()?;
        self.call_back_from_frozen_groups()?;
        if let Some(group) = &self.v2 {
            // Linux 5.14.
            let file = group.path.join("cgroup.kill");
            match control::write(&file, "1") {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(failed("kill", &file, source)),
            }
        }
        let mut known = Vec::new();
        for _ in 0..KILL_ROUNDS_MAX {
            let pids = self.pids();
            if pids.iter().all(|pid| known.contains(pid)) {
                break;
            }
            for pid in pids.iter().copied().filter_map(Pid::from_raw) {
                // ESRCH: it has ended since, which is what is wanted; there is no other error for root.
                kill_process(pid, Signal::KILL).ok();
            }
            known = pids;
        }
        Ok(())
    }

    /// Moves processes that somebody has put into another v1 freezer group into that of this group, which is thawed: frozen there they
    /// would never end.
    fn call_back_from_frozen_groups(&self) -> Result<(), CgroupError> {
        let Some(freezer) = self.v1_directory("freezer") else {
            return Ok(());
        };
        let mut own = Vec::new();
        collect_pids(freezer, DEPTH_MAX, &mut own);
        let file = freezer.join("cgroup.procs");
        for pid in self.pids().iter().filter(|pid| !own.contains(pid)) {
            match control::write(&file, &pid.to_string()) {
                Ok(()) => {}
                // It has ended since.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                Err(source) => return Err(failed("call back a process to", &file, source)),
            }
        }
        Ok(())
    }

    /// Kills what is left in the group, removes it, and removes the parents of its place that are empty then.
    pub fn remove(&self) -> Result<(), CgroupError> {
        if !self.pids().is_empty() {
            self.kill_all()?;
        }
        let mut first = None;
        for directory in self.directories() {
            if let Err(error) = remove_group(directory) {
                first.get_or_insert(error);
                continue;
            }
            for parent in directory.ancestors().skip(1).take(self.parents) {
                // Not empty: another container's; that ends the way up.
                if fs::remove_dir(parent).is_err() {
                    break;
                }
            }
        }
        first.map_or(Ok(()), Err)
    }

    pub(super) fn directories(&self) -> impl Iterator<Item = &Path> {
        let v1 = self.v1.iter().map(|group| group.path.as_path());
        v1.chain(self.v2.iter().map(|group| group.path.as_path()))
    }

    /// The v2 freezer, which hybrid hosts have too; Linux 5.2.
    fn v2_freezer(&self) -> Option<PathBuf> {
        let file = self.v2.as_ref()?.path.join("cgroup.freeze");
        file.exists().then_some(file)
    }
}

/// Removes one directory with the groups in it, once its processes have left.
fn remove_group(directory: &Path) -> Result<(), CgroupError> {
    let mut last = None;
    let gone = until(
        LEAVE_MAX,
        Some(&directory.join("cgroup.events")),
        || match remove_tree(directory, DEPTH_MAX) {
            Ok(()) => true,
            Err(error) => {
                last = Some(error);
                false
            }
        },
    );
    if gone {
        return Ok(());
    }
    let mut pids = Vec::new();
    collect_pids(directory, DEPTH_MAX, &mut pids);
    Err(match last {
        Some(error) if pids.is_empty() => failed("remove", directory, error),
        _ => CgroupError::Busy {
            path: directory.to_owned(),
            pids,
        },
    })
}

fn remove_tree(directory: &Path, depth: u32) -> io::Result<()> {
    match fs::remove_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(_) if depth > 0 => {}
        result => return result,
    }
    for child in children(directory) {
        remove_tree(&child, depth - 1)?;
    }
    fs::remove_dir(directory)
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn collect_pids(directory: &Path, depth: u32, pids: &mut Vec<i32>) {
    let words = control::words(&directory.join("cgroup.procs"));
    // 0 stands for a process that this pid namespace does not see.
    pids.extend(
        words
            .iter()
            .filter_map(|word| word.parse::<i32>().ok())
            .filter(|pid| *pid != 0),
    );
    if depth > 0 {
        for child in children(directory) {
            collect_pids(&child, depth - 1, pids);
        }
    }
}

/// Waits until a condition holds, at most this long: by the change notice of `events` where that file exists, else (v1 has no
/// notice) by looking again at growing intervals.
fn until(time_max: Duration, events: Option<&Path>, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + time_max;
    let mut pause = Duration::from_micros(500);
    loop {
        // Opened before looking, so that a change after the look is noticed.
        let file = events.and_then(|path| fs::File::open(path).ok());
        if let Some(file) = &file {
            drop(io::read_to_string(file));
        }
        if holds() {
            return true;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        // Bounded also with a notice: removal waits for more than what the notice tells.
        let timeout = Timespec::try_from(left.min(pause)).expect("milliseconds fit");
        let mut fds: Vec<PollFd<'_>> = file
            .iter()
            .map(|file| PollFd::new(file, PollFlags::PRI))
            .collect();
        poll(&mut fds, Some(&timeout)).ok();
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn write(intent: &'static str, file: &Path, value: &str) -> Result<(), CgroupError> {
    control::write(file, value).map_err(|source| failed(intent, file, source))
}

fn failed(intent: &'static str, path: &Path, source: io::Error) -> CgroupError {
    CgroupError::Use {
        intent,
        path: path.to_owned(),
        source,
    }
}

fn timed_out(intent: &'static str, path: &Path) -> CgroupError {
    failed(intent, path, io::ErrorKind::TimedOut.into())
}
