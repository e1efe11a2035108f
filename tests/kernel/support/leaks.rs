//! What must be gone after `down`: processes, mounts, links, nft tables, control groups, directories.

use std::{path::Path, time::Duration};

use super::{
    eventually,
    world::{is_below, run_tool},
};

/// How long the kernel and the idle supervisor may take.
const GONE_TIMEOUT: Duration = Duration::from_secs(10);

/// Panics when something of a project is left.
#[track_caller]
pub(super) fn check(root: &Path, project: &str) {
    eventually("nothing is left", GONE_TIMEOUT, || {
        let left = leftovers(root, project);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

fn leftovers(root: &Path, project: &str) -> Vec<String> {
    let mut left = Vec::new();
    left.extend(
        processes(root)
            .into_iter()
            .map(|(pid, line)| format!("process {pid}: {line}")),
    );
    let mounts = fs_err::read_to_string("/proc/thread-self/mountinfo").unwrap();
    left.extend(
        mounts
            .lines()
            .filter(|line| is_below(line, root))
            .map(ToOwned::to_owned),
    );
    let links = run_tool("ip", &["-o", "link"]);
    left.extend(
        links
            .lines()
            .filter(|line| !line.contains(" lo: "))
            .map(|line| format!("link {line}")),
    );
    let tables = run_tool("nft", &["list", "tables"]);
    left.extend(tables.lines().map(|line| format!("nft {line}")));
    left.extend(cgroups(project));
    for directory in [
        "containers",
        "networks",
        "projects",
        "volumes",
        "logs",
        "run/netns",
    ] {
        if let Ok(entries) = fs_err::read_dir(root.join(directory)) {
            left.extend(entries.map(|entry| entry.unwrap().path().display().to_string()));
        }
    }
    left
}

/// Control groups of a project in any hierarchy.
fn cgroups(project: &str) -> Vec<String> {
    let Ok(hierarchies) = fs_err::read_dir("/sys/fs/cgroup") else {
        return Vec::new();
    };
    hierarchies
        .map(|entry| entry.unwrap().path())
        .chain([Path::new("/sys/fs/cgroup").to_owned()])
        .map(|hierarchy| hierarchy.join("stack").join(project))
        .filter(|path| path.exists())
        .map(|path| format!("control group {}", path.display()))
        .collect()
}

/// Processes of a state root: its path is on their command line.
pub(super) fn processes(root: &Path) -> Vec<(i32, String)> {
    let me = std::process::id().cast_signed();
    fs_err::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| *pid != me)
        .filter_map(|pid| {
            let line = fs_err::read(format!("/proc/{pid}/cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).into_owned();
            is_below(&line, root).then_some((pid, line))
        })
        .collect()
}

/// Kills the processes of a state root.
pub(super) fn kill_all(root: &Path) {
    for (pid, _) in processes(root) {
        let pid = nix::unistd::Pid::from_raw(pid);
        let _gone = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    }
}
