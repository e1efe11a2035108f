//! Devices that a container was given: their nodes, and what its control group lets it do with them.

use std::fs;
use std::os::unix::fs::symlink;

use runtime::cgroup::{Cgroup, DevicePolicy};
use runtime::spec::{ContainerSpec, Device, DeviceAccess, DeviceKind, DeviceRule, Resources};

use crate::harness::Test;
use crate::running::Finished;
use crate::world::World;

pub(crate) const TESTS: &[Test] = &[
    (
        "given_devices_have_their_node_mode_and_owner",
        given_devices_have_their_node_mode_and_owner,
    ),
    (
        "given_devices_are_found_where_they_were_asked_for",
        given_devices_are_found_where_they_were_asked_for,
    ),
    (
        "the_control_group_permits_what_was_given_and_no_more",
        the_control_group_permits_what_was_given_and_no_more,
    ),
    (
        "what_is_no_device_is_refused_by_name",
        what_is_no_device_is_refused_by_name,
    ),
];

fn device(source: &std::path::Path, target: &str, access: &str) -> Device {
    Device {
        source: source.to_owned(),
        target: target.to_owned(),
        access: DeviceAccess::parse(access).unwrap(),
    }
}

/// Makes a character device's node on the test's host.
fn node(path: &std::path::Path, mode: u32, major: u32, minor: u32) {
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let number = makedev(major.into(), minor.into());
    mknod(path, SFlag::S_IFCHR, Mode::empty(), number).unwrap();
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

fn given_devices_have_their_node_mode_and_owner() {
    let world = World::new();
    let source = world.path("nodes/zero");
    node(&source, 0o640, 1, 5);
    std::os::unix::fs::chown(&source, Some(7), Some(9)).unwrap();
    symlink(&source, world.path("link")).unwrap();
    let mut spec = world.spec(&[
        "stat:/dev/mine",
        "stat:/dev/sub/dir/link",
        "ls:/dev",
        "stat:/dev/full",
    ]);
    spec.devices = vec![
        device(&source, "/dev/mine", "rwm"),
        device(&world.path("link"), "/dev/sub//dir/link", "r"),
        // In place of one that every container has.
        device(&source, "/dev/full", "rw"),
    ];
    let finished = world.run(spec);
    assert_eq!(finished.answer("stat:/dev/mine"), "char 640 7:9 1:5");
    assert_eq!(
        finished.answer("stat:/dev/sub/dir/link"),
        "char 640 7:9 1:5"
    );
    assert_eq!(finished.answer("stat:/dev/full"), "char 640 7:9 1:5");
    assert!(finished.answer("ls:/dev").contains("null"));
}

fn given_devices_are_found_where_they_were_asked_for() {
    let world = World::new();
    for (name, minor) in [("one", 3), ("deep/two", 5)] {
        node(&world.path("nodes").join(name), 0o666, 1, minor);
    }
    fs::write(world.path("nodes/README"), "no device").unwrap();
    let mut spec = world.spec(&[
        "stat:/dev/all/one",
        "stat:/dev/all/deep/two",
        "ls:/dev/all",
        "stat:/srv/null",
    ]);
    spec.devices = vec![
        device(&world.path("nodes"), "/dev/all", "rwm"),
        device(&world.path("nodes/one"), "/srv/null", "rwm"),
    ];
    let finished = world.run(spec);
    assert_eq!(finished.answer("stat:/dev/all/one"), "char 666 0:0 1:3");
    assert_eq!(
        finished.answer("stat:/dev/all/deep/two"),
        "char 666 0:0 1:5"
    );
    assert_eq!(finished.answer("ls:/dev/all"), "deep one");
    // Outside /dev it is the host's own node.
    assert_eq!(finished.answer("stat:/srv/null"), "char 666 0:0 1:3");
}

/// Runs a container in a control group of its own, made as the monitor makes it.
fn run_in_group(world: &World, mut spec: ContainerSpec) -> Finished {
    spec.cgroup.parent = format!("stack-test-{}-devices", std::process::id());
    let mut warnings = Vec::new();
    let policy = DevicePolicy::of(&spec).unwrap();
    let group =
        Cgroup::create(&spec.cgroup, &Resources::default(), &policy, &mut warnings).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let join = group.join_files().unwrap();
    let finished = world.start_with(spec, &join, &[]).unwrap().finish();
    drop(join);
    group.remove().unwrap();
    finished
}

fn the_control_group_permits_what_was_given_and_no_more() {
    let world = World::new();
    // The kernel's log (1:11) is readable for root and harmless; nobody is permitted it by default.
    node(&world.path("nodes/kmsg"), 0o600, 1, 11);
    let commands = [
        "open:r:/dev/log",
        "open:w:/dev/log",
        "node:/tmp/k:1:11",
        "open:r:/tmp/k",
        "open:r:/dev/null",
    ];
    let run = |devices: Vec<Device>, rules: Vec<DeviceRule>| {
        let mut spec = world.spec(&commands);
        // Without it the kernel lets nobody read its log, where dmesg is restricted.
        spec.security.capabilities.push("SYSLOG".to_owned());
        spec.devices = devices;
        spec.device_rules = rules;
        let finished = run_in_group(&world, spec);
        fs::remove_file(world.path("upper/tmp/k")).ok();
        commands.map(|command| finished.answer(command))
    };
    let source = world.path("nodes/kmsg");
    let given = |access| vec![device(&source, "/dev/log", access)];
    assert_eq!(
        run(given("r"), vec![]),
        ["opened", "error EPERM", "made", "opened", "opened"]
    );
    assert_eq!(
        run(given("rw"), vec![]),
        ["opened", "opened", "made", "opened", "opened"]
    );
    assert_eq!(
        run(given("m"), vec![]),
        [
            "error EPERM",
            "error EPERM",
            "made",
            "error EPERM",
            "opened"
        ]
    );
    // Rules permit what the container makes itself.
    let rule = |major, minor, access| DeviceRule {
        kind: DeviceKind::Character,
        major,
        minor,
        access: DeviceAccess::parse(access).unwrap(),
    };
    let with_rule = run(vec![], vec![rule(Some(1), Some(11), "r")]);
    assert_eq!(
        with_rule,
        ["error ENOENT", "error ENOENT", "made", "opened", "opened"]
    );
    let any_minor = run(vec![], vec![rule(Some(1), None, "rw")]);
    assert_eq!(any_minor[3], "opened");
    let other = run(
        vec![],
        vec![rule(Some(2), None, "rwm"), rule(Some(1), Some(11), "w")],
    );
    assert_eq!(other[3], "error EPERM");
}

fn what_is_no_device_is_refused_by_name() {
    let world = World::new();
    fs::write(world.path("share/file"), "").unwrap();
    for (name, reason) in [
        ("share/file", "no such device"),
        ("share", "no such device"),
        ("none", "no such file or directory"),
    ] {
        let mut spec = world.spec(&[]);
        spec.devices = vec![device(&world.path(name), "/dev/x", "r")];
        let policy = DevicePolicy::of(&spec).unwrap_err().to_string();
        assert_eq!(
            policy,
            format!("look at device `{}`", world.path(name).display())
        );
        let error = world.start(spec).err().unwrap().to_string();
        assert_eq!(
            error,
            format!("make device {}: {reason}", world.path(name).display())
        );
    }
}
