//! Attributes that depend on files of the host: CDI specifications and ranges of users.

use std::path::PathBuf;

use super::{limit, shell, status};
use crate::support::World;

/// Files of the host's /etc for this test only: its mount namespace is its own.
fn own_etc(world: &World) {
    let path = |name: &str| world.root().parent().unwrap().join(name);
    for name in ["etc-upper", "etc-work"] {
        fs_err::create_dir_all(path(name)).unwrap();
    }
    let options = format!(
        "lowerdir=/etc,upperdir={},workdir={}",
        path("etc-upper").display(),
        path("etc-work").display()
    );
    let flags = nix::mount::MsFlags::empty();
    nix::mount::mount(
        Some("etc"),
        "/etc",
        Some("overlay"),
        flags,
        Some(options.as_str()),
    )
    .unwrap();
}

#[test]
fn devices_are_there_and_permitted_by_node_rule_and_cdi_name() {
    let world = World::new(
        r"
services:
  a:
    image: busybox
    command: sleep 1000
    init: true
    cap_add: [ SYSLOG ]
    devices: [ '/dev/kmsg:/dev/log:r' ]
    device_cgroup_rules: [ 'c 1:4 r' ]
  b:
    image: busybox
    command: sleep 1000
    init: true
    devices: [ 'vendor.example/thing=one' ]
  c:
    image: busybox
    command: sleep 1000
    init: true
    deploy: { resources: { reservations: { devices: [{ capabilities: [ gpu ], count: 1 }] } } }
",
    );
    own_etc(&world);
    world.write("lib/vendor", "library");
    let library = world.project().join("lib/vendor");
    fs_err::create_dir_all("/etc/cdi").unwrap();
    fs_err::write(
        "/etc/cdi/thing.yaml",
        format!(
            "cdiVersion: 0.6.0\nkind: vendor.example/thing\ncontainerEdits:\n  env: [THING=1]\n  additionalGids: [4242]\ndevices:\n  - name: one\n    containerEdits:\n      deviceNodes: [{{path: /dev/thing, hostPath: /dev/zero, permissions: r}}]\n      mounts: [{{hostPath: {}, containerPath: /usr/lib/vendor, options: [ro]}}]\n",
            library.display()
        ),
    )
    .unwrap();
    let gpu = r#"{"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [
        {"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia0", "hostPath": "/dev/null"}]}},
        {"name": "1", "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia1", "hostPath": "/dev/null"}]}}]}"#;
    fs_err::write("/etc/cdi/gpu.json", gpu).unwrap();
    world.stack(&["up", "-d"]).ok();
    assert_eq!(shell(&world, "a", "stat -c %t:%T /dev/log"), "1:b");
    shell(&world, "a", "exec 3</dev/log");
    let written = world.stack(&["exec", "-T", "a", "sh", "-c", "exec 3>/dev/log"]);
    assert!(
        written.code != 0 && written.stderr.contains("not permitted"),
        "{written:?}"
    );
    let list = limit(
        &world,
        "a",
        ("devices", "devices.list"),
        "cgroup.controllers",
    );
    assert!(list.contains("c 1:4 r") || !list.contains(':'), "{list}");

    assert_eq!(
        shell(
            &world,
            "b",
            "stat -c %t:%T /dev/thing && cat /usr/lib/vendor && echo && echo $THING"
        ),
        "1:5\nlibrary\n1"
    );
    assert!(shell(&world, "b", "id -G").contains("4242"));
    let written = world
        .stack(&["exec", "-T", "b", "touch", "/usr/lib/vendor"])
        .fails(1);
    assert!(written.stderr.contains("Read-only"), "{written:?}");
    assert_eq!(shell(&world, "c", "ls -d /dev/nvidia*"), "/dev/nvidia0");

    // A device that nobody describes is refused before anything is touched.
    let before = (world.pids("a"), world.pids("b"));
    let text = fs_err::read_to_string(world.project().join("compose.yaml")).unwrap();
    world.write("compose.yaml", &text.replace("thing=one", "thing=two"));
    let refused = world.stack(&["up", "-d"]).fails(1);
    assert!(
        refused.stderr.contains("vendor.example/thing=two") && refused.stderr.contains("`one`"),
        "{refused:?}"
    );
    assert_eq!((world.pids("a"), world.pids("b")), before);
    world.write("compose.yaml", &text);
    world.finish();
    nix::mount::umount2("/etc", nix::mount::MntFlags::MNT_DETACH).unwrap();
}

/// Finds the container's root as vendors' hooks do, and leaves what it saw there.
const HOOK: &str = r#"#!/bin/sh
state=$(cat)
bundle=$(echo "$state" | sed 's/.*"bundle":"\([^"]*\)".*/\1/')
root=$(sed 's/.*"path":"\([^"]*\)".*/\1/' "$bundle/config.json")
[ "$PWD" = "$bundle" ] || exit 8
echo "$state" | grep -q '"status":"creating"' || exit 9
echo "$1 $MARK $(readlink /proc/self/ns/net) $(env | grep -c COMPOSE)" >> "$root/hooked"
[ -z "$FAIL" ] || exit 7
"#;

#[test]
fn hooks_of_cdi_devices_prepare_the_container_in_its_namespaces() {
    let world = World::new(
        r"
services:
  a: { image: busybox, command: sleep 1000, init: true, devices: [ 'vendor.example/hooked=in' ] }
  b: { image: busybox, command: cat /hooked, devices: [ 'vendor.example/hooked=out' ], x-stack: { userns: auto } }
",
    );
    own_etc(&world);
    fs_err::write("/etc/subuid", "stack:300000:65536\n").unwrap();
    fs_err::write("/etc/subgid", "stack:300000:65536\n").unwrap();
    fs_err::create_dir_all("/etc/cdi").unwrap();
    world.write("hook", HOOK);
    let hook = world.project().join("hook");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs_err::set_permissions(&hook, mode).unwrap();
    let describe = |fail: &str| {
        let text = format!(
            r#"{{"cdiVersion": "0.6.0", "kind": "vendor.example/hooked", "devices": [
                {{"name": "in", "containerEdits": {{"hooks": [{{"hookName": "createContainer", "path": "{0}", "args": ["x", "in"], "env": ["MARK=1"{fail}], "timeout": 30}}]}}}},
                {{"name": "out", "containerEdits": {{"hooks": [{{"hookName": "createRuntime", "path": "{0}", "args": ["x", "out"], "env": ["MARK=2"]}}]}}}}]}}"#,
            hook.display()
        );
        fs_err::write("/etc/cdi/hooked.json", text).unwrap();
    };
    describe("");
    world.stack(&["up", "-d"]).ok();
    // In the container's namespaces, with the container's root where the bundle says; its writes are the container's.
    let own = shell(&world, "a", "readlink /proc/self/ns/net");
    assert_eq!(shell(&world, "a", "cat /hooked"), format!("in 1 {own} 0"));
    let root = world.container("a").join("rootfs/hooked");
    assert!(!root.exists(), "the host sees nothing of it");
    // A createRuntime hook is in the host's namespaces, from which the root is not seen: it finds an empty directory.
    let seen = fs_err::read_to_string(world.container("b").join("rootfs/hooked")).unwrap();
    let host = fs_err::read_link("/proc/thread-self/ns/net").unwrap();
    assert_eq!(seen.trim(), format!("out 2 {} 0", host.display()));

    // Every start runs it: the container keeps its files.
    world.stack(&["restart", "-t", "0", "a"]).ok();
    assert_eq!(shell(&world, "a", "cat /hooked").lines().count(), 2);

    // One that fails is named, and nothing runs.
    describe(r#", "FAIL=1""#);
    let failed = world.stack(&["up", "-d", "--force-recreate", "a"]).fails(1);
    let wanted = format!("hook `{}`: exited with code 7", hook.display());
    assert!(failed.stderr.contains(&wanted), "{failed:?}");
    assert_eq!(world.row("a").unwrap()["ExitCode"], 125, "{failed:?}");
    world.finish();
    nix::mount::umount2("/etc", nix::mount::MntFlags::MNT_DETACH).unwrap();
}

#[test]
fn users_of_its_own_are_mapped_on_the_host_and_not_on_disk() {
    let world = World::new(
        r"
services:
  a:
    image: busybox
    command: sleep 1000
    init: true
    x-stack: { userns: auto }
    volumes: [ 'data:/data', './share:/share' ]
    tmpfs: [ '/run:uid=1000' ]
  b:
    image: busybox
    command: sleep 1000
    init: true
    volumes: [ 'data:/data' ]
volumes: { data: }
",
    );
    own_etc(&world);
    fs_err::write("/etc/subuid", "other:1:2\nstack:300000:65536\n").unwrap();
    fs_err::write("/etc/subgid", "stack:300000:65536\n").unwrap();
    fs_err::create_dir(world.project().join("share")).unwrap();
    world.stack(&["up", "-d"]).ok();
    let pid = world.pids("a").0;
    let proc = |file: &str| {
        let text = fs_err::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(proc("uid_map"), ["0", "300000", "65536"]);
    assert_eq!(proc("gid_map"), ["0", "300000", "65536"]);
    assert_eq!(status(&world, "a")["Uid"], "300000 300000 300000 300000");
    assert_eq!(status(&world, "b")["Uid"], "0 0 0 0");
    assert_eq!(
        shell(
            &world,
            "a",
            "id -u; stat -c %u:%g /data/seed /share /run /etc/passwd /etc/hosts"
        ),
        "0\n0:0\n0:0\n1000:0\n0:0\n0:0"
    );
    // Written as the container's user 1000, by a program of another container seen as the same.
    world
        .stack(&["exec", "-T", "-u", "app", "a", "touch", "/run/mine"])
        .ok();
    world
        .stack(&[
            "exec",
            "-T",
            "a",
            "sh",
            "-c",
            "touch /data/new /share/new && kill -0 1",
        ])
        .ok();
    assert_eq!(shell(&world, "b", "stat -c %u:%g /data/new"), "0:0");
    let owner = |path: PathBuf| {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs_err::metadata(path).unwrap();
        (metadata.uid(), metadata.gid())
    };
    assert_eq!(owner(world.project().join("share/new")), (0, 0));
    // A restart maps the same.
    world.stack(&["restart", "-t", "0", "a"]).ok();
    assert_eq!(shell(&world, "a", "stat -c %u:%g /share/new"), "0:0");
    world.finish();
    nix::mount::umount2("/etc", nix::mount::MntFlags::MNT_DETACH).unwrap();
}
