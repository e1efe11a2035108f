//! Control groups: joined by the child itself, seen read-only.

use crate::group::Group;
use crate::harness::Test;
use crate::world::World;

pub(crate) const TESTS: &[Test] = &[
    (
        "the_control_group_is_joined_and_seen_read_only",
        the_control_group_is_joined_and_seen_read_only,
    ),
    (
        "a_v2_group_is_joined_by_the_clone",
        a_v2_group_is_joined_by_the_clone,
    ),
];

fn the_control_group_is_joined_and_seen_read_only() {
    let world = World::new();
    let group = Group::new();
    let mut running = world
        .start_with(
            world.spec(&[
                "mounts",
                "ls:/sys/fs/cgroup",
                "cgroup",
                "mkdir:/sys/fs/cgroup/x",
                "sleep",
            ]),
            &group.join(),
            &[],
        )
        .unwrap();
    running.await_text("ready");
    assert!(group.pids().contains(&running.launched.pid));
    let finished = running.kill();
    assert!(
        finished.answer("ls:/sys/fs/cgroup").contains(group.name()),
        "{}",
        finished.text
    );
    assert!(
        finished
            .answer("mkdir:/sys/fs/cgroup/x")
            .starts_with("error EROFS")
    );
    let cgroup = finished.answer("cgroup");
    let wanted = if group.is_v2() {
        "0::/".to_owned()
    } else {
        format!(":{}:/", group.name())
    };
    assert!(
        cgroup.lines().any(|line| line.ends_with(&wanted)),
        "{cgroup}"
    );
}

fn a_v2_group_is_joined_by_the_clone() {
    let world = World::new();
    let group = Group::new_v2();
    let spec = world.spec(&[
        "ls:/sys/fs/cgroup",
        "cgroup",
        "mkdir:/sys/fs/cgroup/x",
        "sleep",
    ]);
    let mut running = world.start_with(spec, &group.join(), &[]).unwrap();
    running.await_text("ready");
    assert!(group.pids().contains(&running.launched.pid));
    let finished = running.kill();
    assert!(
        finished
            .answer("ls:/sys/fs/cgroup")
            .contains("cgroup.procs"),
        "{}",
        finished.text
    );
    assert_eq!(finished.answer("mkdir:/sys/fs/cgroup/x"), "error EROFS");
    let cgroup = finished.answer("cgroup");
    assert!(cgroup.lines().any(|line| line == "0::/"), "{cgroup}");
}
