//! Values that no container can have.

use crate::support::World;

#[test]
fn misuse_ends_before_anything_is_made_in_an_error_with_field_and_value() {
    let world = World::new("services: {}");
    let mut missed = Vec::new();
    for (attribute, wanted) in [
        ("devices: [ '/dev/no-such:/proc/x:r' ]", "/proc/x"),
        (
            "devices: [ 'vendor.example/none=x' ]",
            "vendor.example/none=x",
        ),
        ("gpus: all", "nvidia.com/gpu"),
        ("storage_opt: { size: 1G }", "size=1G"),
        ("security_opt: [ 'apparmor=mine' ]", "mine"),
        ("security_opt: [ 'label=user:x' ]", "user:x"),
        ("security_opt: [ 'magic' ]", "magic"),
        ("cap_add: [ FLY ]", "FLY"),
        (
            "ulimits: { nofile: { soft: 5, hard: 4 } }",
            "soft: 5, hard: 4",
        ),
        ("ulimits: { magic: 5 }", "magic"),
        ("sysctls: { kernel.panic: 1 }", "kernel.panic"),
        ("mem_limit: 5m", "5242880"),
        ("cpuset: '2-1'", "2-1"),
        ("pids_limit: -5", "-5"),
        ("cpu_shares: 1", "`1`"),
        ("cgroup_parent: a/../b", "a/../b"),
        ("mem_swappiness: 101", "101"),
        (
            "blkio_config: { device_read_bps: [{ path: sda, rate: 1 }] }",
            "sda",
        ),
        ("x-stack: { userns: maybe }", "maybe"),
        ("tmpfs: [ '/x:magic' ]", "magic"),
        (
            "volumes: [{ type: bind, source: /tmp, target: /x, bind: { propagation: wild } }]",
            "wild",
        ),
        (
            "volumes: [{ type: bind, source: /tmp, target: /x, read_only: true, bind: { recursive: readonly, propagation: rshared } }]",
            "readonly",
        ),
        (
            "privileged: true\n    x-stack: { userns: auto }",
            "privileged",
        ),
    ] {
        let compose = format!(
            "services:\n  a:\n    image: busybox\n    command: sleep 1000\n    {attribute}\n"
        );
        world.write("compose.yaml", &compose);
        let output = world.stack(&["up", "-d"]);
        assert_ne!(output.code, 0, "{attribute}: {output:?}");
        // The loader shows the line, planning names the place and the value.
        if !output.stderr.contains(wanted) {
            missed.push(format!("{attribute}: {}", output.stderr));
        }
        let containers = fs_err::read_dir(world.root().join("containers"));
        assert_eq!(containers.map_or(0, Iterator::count), 0, "{attribute}");
    }
    assert_eq!(missed, Vec::<String>::new());
    // What is not known before the container is made ends there, and names the file.
    let compose = "services:\n  a:\n    image: busybox\n    command: sleep 1000\n    security_opt: [ 'seccomp=bad.json' ]\n";
    world.write("compose.yaml", compose);
    for (text, wanted) in [
        (None, "bad.json"),
        (Some("{"), "line 1"),
        (
            Some(r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["X"]}"#),
            "flag `X` is not supported",
        ),
    ] {
        if let Some(text) = text {
            world.write("bad.json", text);
        }
        let output = world.stack(&["up", "-d"]).fails(1);
        assert!(
            output.stderr.contains(wanted) && output.stderr.contains("services.a.security_opt[0]"),
            "{output:?}"
        );
    }
    world.finish();
}
