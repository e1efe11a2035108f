//! Many starts and stops through the supervisor: nothing grows.

use std::{collections::BTreeMap, time::Duration};

use crate::support::{World, eventually, run_tool};

/// Restarts of a service, and of whole projects; `STACK_TEST_CYCLES` is another number of restarts.
const RESTARTS: u32 = 40;
const PROJECTS: u32 = 4;
/// What the supervisor's memory may grow by, in KiB: an allocator keeps some of what was used at once.
const GROWTH_KIB_MAX: u64 = 4096;

const SOON: Duration = Duration::from_secs(60);

/// Everything that could be left, counted.
fn counts(world: &World) -> BTreeMap<&'static str, usize> {
    let [supervisor] = world.supervisors()[..] else {
        panic!("one supervisor: {:?}", world.supervisors());
    };
    let entries = |path: &str| fs_err::read_dir(path).map_or(0, Iterator::count);
    let (_, monitor) = world.pids("app");
    let mounts = fs_err::read_to_string("/proc/thread-self/mountinfo").unwrap();
    BTreeMap::from([
        (
            "descriptors of the supervisor",
            entries(&format!("/proc/{supervisor}/fd")),
        ),
        (
            "descriptors of a monitor",
            entries(&format!("/proc/{monitor}/fd")),
        ),
        ("mounts", mounts.lines().count()),
        ("links", run_tool("ip", &["-o", "link"]).lines().count()),
        (
            "namespaces",
            entries(world.root().join("run/netns").to_str().unwrap()),
        ),
        ("control groups", groups(world)),
        (
            "containers",
            entries(world.root().join("containers").to_str().unwrap()),
        ),
        (
            "left to be made",
            entries(world.root().join("tmp").to_str().unwrap()),
        ),
        ("nft", run_tool("nft", &["list", "ruleset"]).lines().count()),
    ])
}

/// Groups of the project's containers, in all hierarchies.
fn groups(world: &World) -> usize {
    let text = fs_err::read_to_string(world.container("app").join("spec.json")).unwrap();
    let spec: serde_json::Value = serde_json::from_str(&text).unwrap();
    let parent = spec["cgroup"]["parent"].as_str().unwrap();
    let top = fs_err::read_dir("/sys/fs/cgroup").unwrap();
    let hierarchies = top.map(|entry| entry.unwrap().path());
    let all = hierarchies.chain(["/sys/fs/cgroup".into()]);
    all.map(|path| fs_err::read_dir(path.join(parent)).map_or(0, Iterator::count))
        .sum()
}

fn resident_kib(pid: i32) -> u64 {
    let text = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn restarts_and_projects_leave_nothing_behind() {
    let world = World::new(
        r"
services:
  app: { image: busybox, command: sleep 1000, stop_grace_period: 0s, networks: [ front ], volumes: [ 'data:/data' ], ports: [ '127.0.0.1:18437:80' ] }
networks: { front: }
volumes: { data: }
",
    );
    let restarts =
        std::env::var("STACK_TEST_CYCLES").map_or(RESTARTS, |text| text.parse().unwrap());
    let restart = || world.stack(&["restart", "-t", "0", "app"]).ok();
    let again = || {
        world.stack(&["down", "-v", "-t", "0"]).ok();
        world.stack(&["up", "-d"]).ok();
    };
    world.stack(&["up", "-d"]).ok();
    // What is made once and kept is made now.
    (0..5).for_each(|_| drop(restart()));
    let supervisor = world.supervisors();
    let (before, memory) = (counts(&world), resident_kib(supervisor[0]));
    for _ in 0..restarts {
        restart();
    }
    assert_eq!(world.supervisors(), supervisor, "it is the same one");
    let grown = resident_kib(supervisor[0]).saturating_sub(memory);
    eprintln!("{restarts} restarts: the supervisor grew by {grown} KiB");
    assert!(grown <= GROWTH_KIB_MAX, "{grown} KiB");
    settles(&world, &before);
    for _ in 0..PROJECTS {
        again();
    }
    settles(&world, &before);
    world.finish();
}

/// Waits until nothing is more than it was. Removal goes on for a moment after a command has ended: the host's end of a veth is the kernel's to
/// remove. What was there for a moment when it was counted first may be gone: a leak of each cycle is far more than that.
fn settles(world: &World, before: &BTreeMap<&'static str, usize>) {
    eventually("nothing is more than before", SOON, || {
        let now = counts(world);
        let more: Vec<_> = now
            .iter()
            .filter(|(what, count)| **count > before[*what])
            .map(|(what, count)| format!("{what}: {count}, not {}", before[what]))
            .collect();
        if more.is_empty() { Ok(()) } else { Err(more) }
    });
}
