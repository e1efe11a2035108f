//! Control groups v2 with all controllers. A host whose controllers are in v1 hierarchies cannot have these tests: tests/qemu/run boots a
//! machine that can, and there they are listed.

use std::path::PathBuf;
use std::time::Instant;

use runtime::cgroup::{Cgroup, DevicePolicy, Hierarchies};
use runtime::spec::{CgroupPlace, ExactLimit, Resources};

use crate::harness::Test;
use crate::world::{DEADLINE, World, bind};

pub(crate) const TESTS: &[Test] = &[
    (
        "limits_are_what_the_v2_files_say_back",
        limits_are_what_the_v2_files_say_back,
    ),
    (
        "a_device_that_is_not_listed_cannot_be_opened_in_v2",
        a_device_that_is_not_listed_cannot_be_opened_in_v2,
    ),
    (
        "a_clone_is_in_its_v2_group_from_the_first_instruction",
        a_clone_is_in_its_v2_group_from_the_first_instruction,
    ),
    (
        "a_frozen_v2_group_is_killed_without_a_thaw",
        a_frozen_v2_group_is_killed_without_a_thaw,
    ),
    (
        "a_v2_group_with_too_many_tasks_refuses_the_next",
        a_v2_group_with_too_many_tasks_refuses_the_next,
    ),
    (
        "a_value_that_v2_refuses_leaves_no_group",
        a_value_that_v2_refuses_leaves_no_group,
    ),
];

/// Tells whether this host has the controllers in v2.
pub(crate) fn is_unified() -> bool {
    std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers")
        .is_ok_and(|text| text.split_ascii_whitespace().any(|name| name == "memory"))
}

/// A group of the product's own making, removed at the end.
struct Made {
    cgroup: Cgroup,
    path: PathBuf,
}

impl Made {
    fn new(resources: &Resources, devices: &DevicePolicy) -> Self {
        let place = place();
        let mut warnings = Vec::new();
        let cgroup = Cgroup::create(&place, resources, devices, &mut warnings).unwrap();
        assert_eq!(warnings, Vec::<String>::new());
        Self {
            cgroup,
            path: path(&place),
        }
    }

    fn read(&self, file: &str) -> String {
        let text = std::fs::read_to_string(self.path.join(file)).unwrap();
        text.trim_end().to_owned()
    }

    fn remove(self) {
        self.cgroup.remove().unwrap();
        assert!(!self.path.exists());
        assert!(!self.path.parent().unwrap().exists());
    }
}

fn exact(controller: &str, file: &str, text: &str) -> ExactLimit {
    ExactLimit {
        limit: file.to_owned(),
        controller: controller.to_owned(),
        v1: None,
        v2: Some((file.to_owned(), text.to_owned())),
    }
}

fn place() -> CgroupPlace {
    CgroupPlace {
        parent: format!("stack-v2-{}", std::process::id()),
        name: "container".to_owned(),
    }
}

fn path(place: &CgroupPlace) -> PathBuf {
    let top = Hierarchies::detect().unwrap().v2.unwrap();
    top.join(&place.parent).join(&place.name)
}

fn limits_are_what_the_v2_files_say_back() {
    let resources = Resources {
        memory_bytes: Some(64 << 20),
        memory_swap_bytes: Some(96 << 20),
        memory_reservation_bytes: Some(32 << 20),
        cpu_quota_us: Some(50_000),
        cpu_period_us: Some(200_000),
        cpu_shares: Some(1024),
        cpuset_cpus: Some("0".to_owned()),
        pids: Some(77),
        exact: vec![
            exact("memory", "memory.high", "50331648"),
            exact("hugetlb", "hugetlb.2MB.max", "4194304"),
        ],
        ..Resources::default()
    };
    let made = Made::new(&resources, &DevicePolicy::Everything);
    for (file, value) in [
        ("memory.max", "67108864"),
        ("memory.swap.max", "33554432"),
        ("memory.low", "33554432"),
        ("cpu.max", "50000 200000"),
        ("cpuset.cpus", "0"),
        ("pids.max", "77"),
        ("memory.high", "50331648"),
        ("hugetlb.2MB.max", "4194304"),
    ] {
        assert_eq!(made.read(file), value, "{file}");
    }
    // The kernel's own scale is 1 to 10000, and its default 100 is Docker's 1024 or near it by either formula.
    let weight: u32 = made.read("cpu.weight").parse().unwrap();
    assert!((39..=100).contains(&weight), "{weight}");
    assert_eq!(made.cgroup.stats().memory_bytes_max, Some(64 << 20));
    made.remove();
}

fn a_device_that_is_not_listed_cannot_be_opened_in_v2() {
    let world = World::new();
    let made = Made::new(&Resources::default(), &DevicePolicy::Listed(vec![]));
    let mut spec = world.spec(&["write:/srv/kmsg:x", "write:/dev/null:x"]);
    spec.mounts.push(bind("/dev/kmsg".as_ref(), "/srv/kmsg"));
    let join = made.cgroup.join_files().unwrap();
    let finished = world.start_with(spec, &join, &[]).unwrap().finish();
    assert_eq!(finished.answer("write:/srv/kmsg:x"), "error EPERM");
    assert!(!finished.answer("write:/dev/null:x").contains("error"));
    // The same node opens outside of the group: it was the program on the group that refused.
    assert!(std::fs::File::open("/dev/kmsg").is_ok());
    drop(join);
    made.remove();
}

fn a_clone_is_in_its_v2_group_from_the_first_instruction() {
    let world = World::new();
    let made = Made::new(&Resources::default(), &DevicePolicy::Everything);
    let join = made.cgroup.join_files().unwrap();
    assert!(join.v1.is_empty());
    let mut running = world
        .start_with(world.spec(&["cgroup", "sleep"]), &join, &[])
        .unwrap();
    running.await_text("ready");
    assert_eq!(made.cgroup.pids(), [running.launched.pid]);
    let finished = running.kill();
    assert_eq!(finished.answer("cgroup"), "0::/");
    drop(join);
    made.remove();
}

fn a_frozen_v2_group_is_killed_without_a_thaw() {
    let world = World::new();
    let made = Made::new(&Resources::default(), &DevicePolicy::Everything);
    let join = made.cgroup.join_files().unwrap();
    let mut running = world
        .start_with(world.spec(&["sleep"]), &join, &[])
        .unwrap();
    running.await_text("ready");
    made.cgroup.freeze().unwrap();
    let start = Instant::now();
    while !made.read("cgroup.events").contains("frozen 1") {
        assert!(start.elapsed() < DEADLINE, "it does not freeze");
    }
    made.cgroup.kill_all().unwrap();
    assert_eq!(running.finish().code, 128 + libc::SIGKILL);
    drop(join);
    made.remove();
}

fn a_v2_group_with_too_many_tasks_refuses_the_next() {
    let world = World::new();
    let resources = Resources {
        pids: Some(1),
        ..Resources::default()
    };
    let made = Made::new(&resources, &DevicePolicy::Everything);
    let join = made.cgroup.join_files().unwrap();
    let mut running = world
        .start_with(world.spec(&["sleep"]), &join, &[])
        .unwrap();
    running.await_text("ready");
    let error = world
        .start_with(world.spec(&["exit:0"]), &join, &[])
        .err()
        .unwrap();
    assert_eq!(error.source.0, libc::EAGAIN, "{error}");
    running.kill();
    drop(join);
    made.remove();
}

fn a_value_that_v2_refuses_leaves_no_group() {
    let resources = Resources {
        cpuset_cpus: Some("4000".to_owned()),
        ..Resources::default()
    };
    let refused = Cgroup::create(
        &place(),
        &resources,
        &DevicePolicy::Everything,
        &mut Vec::new(),
    );
    assert!(refused.is_err());
    assert!(!path(&place()).parent().unwrap().exists());
}
