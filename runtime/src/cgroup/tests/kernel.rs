//! Groups on this kernel: root, the hierarchies as they are.

#![expect(
    clippy::disallowed_methods,
    reason = "the tests run processes to have something in the groups"
)]

mod block_io;

use std::{
    io::Write,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use fs_err as fs;

use super::super::*;

/// A group below `stack-test-<pid>-<name>`, removed at the end also when the test fails.
struct Test {
    cgroup: Cgroup,
    parent: String,
}

impl Test {
    fn create(name: &str, hierarchies: &Hierarchies, resources: &Resources) -> Test {
        let parent = format!("stack-test-{}-{name}", std::process::id());
        let place = CgroupPlace {
            parent: format!("{parent}/project"),
            name: "container".to_owned(),
        };
        let mut warnings = Vec::new();
        let cgroup = Cgroup::create_in(
            hierarchies,
            &place,
            resources,
            &DevicePolicy::Listed(vec![]),
            &mut warnings,
        )
        .unwrap();
        assert_eq!(warnings, Vec::<String>::new());
        Test { cgroup, parent }
    }

    /// Runs a shell in the group; it waits for its standard input to end before it runs the script.
    fn run(&self, script: &str) -> Child {
        let mut child = Command::new("sh")
            .args(["-c", &format!("read go; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        for directory in self.cgroup.directories() {
            control::write(&directory.join("cgroup.procs"), &child.id().to_string()).unwrap();
        }
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        child
    }
}

impl Drop for Test {
    fn drop(&mut self) {
        let removed = self.cgroup.remove();
        for directory in self.cgroup.directories().collect::<Vec<_>>() {
            let top = directory
                .ancestors()
                .find(|path| path.ends_with(&self.parent))
                .unwrap();
            let left = top.exists();
            if !std::thread::panicking() {
                assert!(!left, "{} is left", top.display());
            }
        }
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

fn v1_only() -> Hierarchies {
    Hierarchies {
        v2: None,
        ..Hierarchies::detect().unwrap()
    }
}

fn v2_only() -> Hierarchies {
    Hierarchies {
        v1: vec![],
        ..Hierarchies::detect().unwrap()
    }
}

/// This host's own hierarchies, and what a host with one kind would have.
fn every_kind() -> [(&'static str, Hierarchies); 3] {
    [
        ("all", Hierarchies::detect().unwrap()),
        ("v1", v1_only()),
        ("v2", v2_only()),
    ]
}

#[test]
fn limits_are_what_the_kernel_says_back() {
    let resources = Resources {
        memory_bytes: Some(64 << 20),
        memory_swap_bytes: Some(96 << 20),
        memory_reservation_bytes: Some(32 << 20),
        cpu_quota_us: Some(50_000),
        cpu_period_us: Some(200_000),
        cpu_shares: Some(512),
        cpuset_cpus: Some("0".to_owned()),
        pids: Some(77),
        cpuset_mems: Some("0".to_owned()),
        memory_swappiness: Some(17),
        oom_kill_disable: true,
        cpu_rt_period_us: Some(500_000),
        cpu_rt_runtime_us: Some(1_000),
        ..Resources::default()
    };
    let test = Test::create("limits", &v1_only(), &resources);
    for (controller, file, value) in [
        ("memory", "memory.limit_in_bytes", "67108864"),
        ("memory", "memory.memsw.limit_in_bytes", "100663296"),
        ("memory", "memory.soft_limit_in_bytes", "33554432"),
        ("cpu", "cpu.cfs_quota_us", "50000"),
        ("cpu", "cpu.cfs_period_us", "200000"),
        ("cpu", "cpu.shares", "512"),
        ("cpuset", "cpuset.cpus", "0"),
        ("cpuset", "cpuset.mems", "0"),
        ("pids", "pids.max", "77"),
        ("memory", "memory.swappiness", "17"),
        ("cpu", "cpu.rt_period_us", "500000"),
        ("cpu", "cpu.rt_runtime_us", "1000"),
    ] {
        let directory = test.cgroup.v1_directory(controller).unwrap();
        assert_eq!(control::words(&directory.join(file)), [value], "{file}");
    }
    let memory = test.cgroup.v1_directory("memory").unwrap();
    let oom = memory.join("memory.oom_control");
    assert_eq!(control::keyed(&oom, "oom_kill_disable"), Some(1));
    let devices = test
        .cgroup
        .v1_directory("devices")
        .unwrap()
        .join("devices.list");
    let list = fs::read_to_string(devices).unwrap();
    assert!(
        list.contains("c 1:3 rwm") && !list.contains("a *:* rwm"),
        "{list}"
    );
    assert_eq!(test.cgroup.stats().memory_bytes_max, Some(64 << 20));
}

#[test]
fn a_limit_that_the_kernel_refuses_is_an_error_and_leaves_nothing() {
    let parent = format!("stack-test-{}-refused", std::process::id());
    let place = CgroupPlace {
        parent: parent.clone(),
        name: "container".to_owned(),
    };
    let resources = Resources {
        cpuset_cpus: Some("4000".to_owned()),
        ..Resources::default()
    };
    let error = Cgroup::create(
        &place,
        &resources,
        &DevicePolicy::Everything,
        &mut Vec::new(),
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("set the CPU set of control group"),
        "{error}"
    );
    for mount in Hierarchies::detect().unwrap().v1 {
        assert!(!mount.mount_point.join(&parent).exists());
    }
}

#[test]
fn a_device_that_is_not_listed_cannot_be_opened() {
    for (name, hierarchies) in [("v1", v1_only()), ("v2", v2_only())] {
        let test = Test::create(
            &format!("devices-{name}"),
            &hierarchies,
            &Resources::default(),
        );
        let directory = tempfile::tempdir().unwrap();
        let node = directory.path().join("kmsg");
        // 1:11 is /dev/kmsg: not in the list, and there on every kernel; making the node is permitted.
        let script = format!(
            "mknod {0} c 1 11 || exit 9; echo >/dev/null || exit 8; (: <{0}) 2>/dev/null && exit 7; exit 0",
            node.display()
        );
        assert_eq!(test.run(&script).wait().unwrap().code(), Some(0), "{name}");
        // Outside of the group the same node opens: it was the group that refused.
        assert!(fs::File::open(&node).is_ok());
    }
}

#[test]
fn all_processes_are_killed_also_frozen_and_nested_ones() {
    for (name, hierarchies) in every_kind() {
        let test = Test::create(&format!("kill-{name}"), &hierarchies, &Resources::default());
        let mut child = test.run("sleep 1000 & sleep 1000 & wait");
        eventually("three processes", || test.cgroup.pids().len() == 3);
        // A group inside of the group, as systemd in a container makes them.
        for directory in test.cgroup.directories() {
            fs::create_dir(directory.join("inner")).unwrap();
        }
        test.cgroup.freeze().unwrap();
        test.cgroup.kill_all().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()),
            Some(9)
        );
        eventually("no process", || test.cgroup.pids().is_empty());
    }
}

#[test]
fn a_frozen_group_stands_still_until_thawed() {
    for (name, hierarchies) in every_kind() {
        let test = Test::create(
            &format!("freeze-{name}"),
            &hierarchies,
            &Resources::default(),
        );
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ticks");
        fs::write(&file, "").unwrap();
        let mut child = test.run(&format!("while :; do echo >>{}; done", file.display()));
        let size = || fs::metadata(&file).unwrap().len();
        eventually("it runs", || size() > 10);
        test.cgroup.freeze().unwrap();
        let frozen = size();
        let cpu = test.cgroup.stats().cpu_ns.unwrap();
        poll_for(Duration::from_millis(30)).unwrap();
        assert_eq!(size(), frozen);
        test.cgroup.thaw().unwrap();
        eventually("it runs again", || size() > frozen + 10);
        eventually("its CPU time is counted", || {
            test.cgroup.stats().cpu_ns.unwrap() > cpu
        });
        test.cgroup.kill_all().unwrap();
        child.wait().unwrap();
    }
}

/// As an administrator's freezer, or a suite that wants to see a runtime fail.
#[test]
fn a_process_frozen_in_somebody_elses_group_is_killed_all_the_same() {
    let hierarchies = Hierarchies::detect().unwrap();
    let mut v1 = hierarchies.v1.iter();
    let Some(freezer) = v1.find(|mount| mount.controllers.iter().any(|name| name == "freezer"))
    else {
        // Version 2 kills what is frozen.
        assert!(hierarchies.v2.is_some());
        return;
    };
    let test = Test::create("elsewhere", &v1_only(), &Resources::default());
    let mut child = test.run("exec sleep 1000");
    let foreign = freezer
        .mount_point
        .join(format!("stack-test-foreign-{}", std::process::id()));
    fs::create_dir(&foreign).unwrap();
    control::write(&foreign.join("cgroup.procs"), &child.id().to_string()).unwrap();
    control::write(&foreign.join("freezer.state"), "FROZEN").unwrap();
    let killed = test.cgroup.kill_all();
    // The test must not leave it frozen when this fails.
    control::write(&foreign.join("freezer.state"), "THAWED").unwrap();
    killed.unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()),
        Some(9)
    );
    assert_eq!(control::words(&foreign.join("cgroup.procs")).len(), 0);
    eventually("it is empty", || fs::remove_dir(&foreign).is_ok());
}

/// Gives the other process time to run, if it could.
fn poll_for(time: Duration) -> rustix::io::Result<usize> {
    rustix::event::poll(&mut [], Some(&time.try_into().unwrap()))
}

#[test]
fn an_out_of_memory_kill_is_counted() {
    let resources = Resources {
        memory_bytes: Some(8 << 20),
        memory_swap_bytes: Some(8 << 20),
        ..Resources::default()
    };
    let test = Test::create("oom", &v1_only(), &resources);
    assert_eq!(test.cgroup.oom_kills(), 0);
    // tail keeps a line without end in memory.
    let mut child = test.run("exec tail -n 1 /dev/zero");
    assert!(!child.wait().unwrap().success());
    assert!(test.cgroup.oom_kills() >= 1);
}

#[test]
fn a_process_joins_by_the_prepared_files() {
    let test = Test::create(
        "join",
        &Hierarchies::detect().unwrap(),
        &Resources::default(),
    );
    let plan = test.cgroup.join_files().unwrap();
    assert_eq!(plan.v1.len(), test.cgroup.v1.len());
    assert_eq!(plan.v2_directory.is_some(), test.cgroup.v2.is_some());
    // The shell joins itself through inherited descriptors, as the child of a launch does.
    let mut command = Command::new("sh");
    let joins = plan
        .v1
        .iter()
        .map(|group| {
            let number = std::os::fd::AsRawFd::as_raw_fd(&group.tasks);
            format!("echo 0 >/proc/{}/fd/{number}", std::process::id())
        })
        .collect::<Vec<_>>()
        .join(" && ");
    let status = command
        .args([
            "-c",
            &format!("{joins} && grep -c {} /proc/self/cgroup", test.parent),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    let count = String::from_utf8(status.stdout).unwrap();
    assert_eq!(count.trim(), plan.v1.len().to_string());
}
