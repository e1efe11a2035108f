//! Groups in directories that only look like a hierarchy.

use fs_err as fs;

use super::super::*;

#[test]
fn a_place_that_leaves_the_hierarchy_is_refused() {
    for (parent, name) in [
        ("..", "x"),
        ("/etc", "x"),
        ("stack", ".."),
        ("stack", "a/b"),
        ("stack", ""),
        ("a/../b", "c"),
    ] {
        let place = CgroupPlace {
            parent: parent.to_owned(),
            name: name.to_owned(),
        };
        assert!(
            matches!(Cgroup::open(&place), Err(CgroupError::Place(_))),
            "{parent} {name}"
        );
    }
}

/// A v2 host made of plain files.
fn fake_v2(controllers: &str) -> (tempfile::TempDir, Hierarchies) {
    let directory = tempfile::tempdir().unwrap();
    for level in ["", "stack", "stack/shop", "stack/shop/c"] {
        let level = directory.path().join(level);
        fs::create_dir_all(&level).unwrap();
        fs::write(level.join("cgroup.controllers"), controllers).unwrap();
        fs::write(level.join("cgroup.subtree_control"), "").unwrap();
    }
    for file in [
        "memory.max",
        "memory.swap.max",
        "memory.low",
        "cpu.max",
        "cpu.weight",
        "cpuset.cpus",
        "pids.max",
        "io.max",
        "io.weight",
        "cpuset.mems",
    ] {
        fs::write(directory.path().join("stack/shop/c").join(file), "").unwrap();
    }
    let v2 = Some(directory.path().to_owned());
    (directory, Hierarchies { v1: vec![], v2 })
}

fn shop() -> CgroupPlace {
    CgroupPlace {
        parent: "stack/shop".to_owned(),
        name: "c".to_owned(),
    }
}

#[test]
fn v2_controllers_are_enabled_from_the_top_and_limits_written() {
    let (directory, hierarchies) = fake_v2("cpu memory pids hugetlb\n");
    let resources = Resources {
        memory_bytes: Some(1000),
        cpu_quota_us: Some(1),
        cpuset_cpus: Some("0".to_owned()),
        pids: Some(5),
        ..Resources::default()
    };
    let mut warnings = Vec::new();
    let cgroup = Cgroup::create_in(
        &hierarchies,
        &shop(),
        &resources,
        &DevicePolicy::Everything,
        &mut warnings,
    )
    .unwrap();
    // The fake keeps the last of the three separate writes.
    for level in ["", "stack", "stack/shop"] {
        let file = directory.path().join(level).join("cgroup.subtree_control");
        assert_eq!(fs::read_to_string(file).unwrap(), "+pids", "{level:?}");
    }
    let leaf = directory.path().join("stack/shop/c");
    let read = |file: &str| fs::read_to_string(leaf.join(file)).unwrap();
    assert_eq!(read("memory.max"), "1000");
    assert_eq!(read("memory.swap.max"), "1000");
    assert_eq!(read("cpu.max"), "1 100000");
    assert_eq!(read("pids.max"), "5");
    assert_eq!(read("cpuset.cpus"), "");
    assert_eq!(
        warnings,
        [
            "the CPU set has no effect: this host's control groups have no `cpuset` controller for it"
        ]
    );
    let plan = cgroup.join_files().unwrap();
    assert!(plan.v1.is_empty() && plan.v2_directory.is_some());
}

#[test]
fn what_only_v1_has_is_told_once_each_on_v2() {
    let (directory, hierarchies) = fake_v2("cpu memory cpuset io\n");
    let resources = Resources {
        memory_swappiness: Some(10),
        oom_kill_disable: true,
        cpu_rt_period_us: Some(1000),
        cpu_rt_runtime_us: Some(10),
        cpuset_mems: Some("0".to_owned()),
        block_io: crate::spec::BlockIo {
            weight: Some(500),
            ..Default::default()
        },
        ..Resources::default()
    };
    let mut warnings = Vec::new();
    Cgroup::create_in(
        &hierarchies,
        &shop(),
        &resources,
        &DevicePolicy::Everything,
        &mut warnings,
    )
    .unwrap();
    assert_eq!(
        warnings,
        [
            "the swappiness has no effect: only version 1 of control groups has it",
            "`oom_kill_disable` has no effect: only version 1 of control groups has it",
            "the real-time period has no effect: only version 1 of control groups has it",
            "the real-time limit has no effect: only version 1 of control groups has it",
        ]
    );
    let leaf = directory.path().join("stack/shop/c");
    let read = |file: &str| fs::read_to_string(leaf.join(file)).unwrap();
    assert_eq!(read("cpuset.mems"), "0");
    assert_eq!(read("io.weight"), "default 4950");
}

#[test]
fn v2_files_are_read_for_statistics() {
    let (directory, hierarchies) = fake_v2("cpu memory pids io\n");
    let leaf = directory.path().join("stack/shop/c");
    for (file, text) in [
        ("memory.current", "5000\n"),
        ("memory.max", "max\n"),
        ("memory.stat", "anon 1\ninactive_file 1000\n"),
        (
            "memory.events",
            "low 0\noom 3\noom_kill 2\noom_group_kill 0\n",
        ),
        ("cpu.stat", "usage_usec 12\nuser_usec 10\n"),
        ("pids.current", "3\n"),
        ("io.stat", "8:0 rbytes=1 wbytes=2\n"),
        ("cgroup.procs", "10\n0\n11\n"),
    ] {
        fs::write(leaf.join(file), text).unwrap();
    }
    let cgroup = Cgroup::open_in(&hierarchies, &shop()).unwrap();
    assert_eq!(
        cgroup.stats(),
        Stats {
            memory_bytes: Some(4000),
            memory_bytes_max: None,
            cpu_ns: Some(12_000),
            tasks: Some(3),
            read_bytes: Some(1),
            written_bytes: Some(2),
        }
    );
    assert_eq!(cgroup.oom_kills(), 2);
    assert_eq!(cgroup.pids(), [10, 11]);
}

#[test]
fn a_host_without_control_groups_gives_warnings_only() {
    let resources = Resources {
        memory_bytes: Some(1000),
        pids: Some(3),
        ..Resources::default()
    };
    let mut warnings = Vec::new();
    let cgroup = Cgroup::create_in(
        &Hierarchies::default(),
        &shop(),
        &resources,
        &DevicePolicy::Listed(vec![]),
        &mut warnings,
    )
    .unwrap();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(cgroup.is_absent() && cgroup.pids().is_empty());
    assert!(matches!(
        cgroup.freeze(),
        Err(CgroupError::Unavailable { .. })
    ));
    cgroup.kill_all().unwrap();
    cgroup.remove().unwrap();
}
