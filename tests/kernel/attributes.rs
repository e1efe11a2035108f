//! Attributes of services that reach the kernel, read back from /proc, /sys and inside the container.

use std::{collections::BTreeMap, path::PathBuf};

use crate::support::World;

/// Reads a control file of a service's group: that of v1's controller, or of v2 where the controller is there.
fn limit(world: &World, service: &str, (controller, v1): (&str, &str), v2: &str) -> String {
    let text = fs_err::read_to_string(world.container(service).join("spec.json")).unwrap();
    let spec: serde_json::Value = serde_json::from_str(&text).unwrap();
    let below = |key: &str| spec["cgroup"][key].as_str().unwrap().to_owned();
    let group = PathBuf::from(below("parent")).join(below("name"));
    let top = PathBuf::from("/sys/fs/cgroup");
    let v1 = top.join(controller).join(&group).join(v1);
    let path = if v1.exists() {
        v1
    } else {
        top.join(group).join(v2)
    };
    fs_err::read_to_string(path).unwrap().trim().to_owned()
}

/// Fields of /proc/<pid>/status of a service's first process.
fn status(world: &World, service: &str) -> BTreeMap<String, String> {
    let path = format!("/proc/{}/status", world.pids(service).0);
    let text = fs_err::read_to_string(path).unwrap();
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((
            name.to_owned(),
            value.split_whitespace().collect::<Vec<_>>().join(" "),
        ))
    };
    text.lines().filter_map(field).collect()
}

fn shell(world: &World, service: &str, script: &str) -> String {
    let output = world.stack(&["exec", "-T", service, "sh", "-c", script]);
    output.ok().stdout.trim().to_owned()
}

/// A node of some whole disk, which throttles need.
fn a_disk(world: &World) -> (PathBuf, String) {
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    let disk = fs_err::read_dir("/sys/block")
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let number = fs_err::read_to_string(disk.path().join("dev"))
        .unwrap()
        .trim()
        .to_owned();
    let (major, minor) = number.split_once(':').unwrap();
    let device = makedev(major.parse().unwrap(), minor.parse().unwrap());
    let node = world.project().join("disk");
    mknod(&node, SFlag::S_IFBLK, Mode::S_IRUSR, device).unwrap();
    (node, number)
}

#[test]
fn limits_are_what_the_kernel_has() {
    let world = World::new("services: {}");
    let (disk, number) = a_disk(&world);
    let compose = format!(
        r"
services:
  a:
    image: busybox
    command: sleep 1000
    init: true
    mem_limit: 64m
    memswap_limit: 96m
    mem_reservation: 32m
    cpus: 0.5
    cpu_shares: 512
    cpuset: '0'
    pids_limit: 77
    oom_score_adj: 300
    shm_size: 1m
    ulimits: {{ nofile: {{ soft: 123, hard: 456 }}, core: 0 }}
    sysctls: {{ net.core.somaxconn: 77, kernel.shmmni: 55 }}
    blkio_config:
      device_read_bps: [{{ path: {disk}, rate: 1mb }}]
      device_write_iops: [{{ path: {disk}, rate: 40 }}]
  b:
    image: busybox
    command: sleep 1000
    init: true
    deploy: {{ resources: {{ limits: {{ cpus: '0.25', memory: 32M, pids: 33 }}, reservations: {{ memory: 16M }} }} }}
",
        disk = disk.display()
    );
    world.write("compose.yaml", &compose);
    world.stack(&["up", "-d"]).ok();
    let of = |service: &str, v1: (&str, &str), v2: &str| limit(&world, service, v1, v2);
    assert_eq!(
        of("a", ("memory", "memory.limit_in_bytes"), "memory.max"),
        "67108864"
    );
    let swap = of(
        "a",
        ("memory", "memory.memsw.limit_in_bytes"),
        "memory.swap.max",
    );
    assert!(swap == "100663296" || swap == "33554432", "{swap}");
    assert_eq!(
        of("a", ("memory", "memory.soft_limit_in_bytes"), "memory.low"),
        "33554432"
    );
    let quota = of("a", ("cpu", "cpu.cfs_quota_us"), "cpu.max");
    assert!(quota == "50000" || quota == "50000 100000", "{quota}");
    let shares = of("a", ("cpu", "cpu.shares"), "cpu.weight");
    assert!(shares == "512" || shares == "20", "{shares}");
    assert_eq!(of("a", ("cpuset", "cpuset.cpus"), "cpuset.cpus"), "0");
    assert_eq!(of("a", ("pids", "pids.max"), "pids.max"), "77");
    let read = of("a", ("blkio", "blkio.throttle.read_bps_device"), "io.max");
    assert!(
        read.starts_with(&number) && read.contains("1048576"),
        "{read}"
    );
    let write = of("a", ("blkio", "blkio.throttle.write_iops_device"), "io.max");
    assert!(
        write.starts_with(&number) && write.contains("40"),
        "{write}"
    );
    let pid = world.pids("a").0;
    let proc = |file: &str| fs_err::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    assert_eq!(proc("oom_score_adj").trim(), "300");
    let limits = proc("limits");
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    assert_eq!(
        files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(),
        ["123", "456"]
    );
    assert_eq!(
        shell(
            &world,
            "a",
            "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shmmni"
        ),
        "77\n55"
    );
    let shm = shell(&world, "a", "cat /proc/mounts");
    assert!(
        shm.lines()
            .any(|line| line.contains(" /dev/shm ") && line.contains("size=1024k")),
        "{shm}"
    );

    assert_eq!(
        of("b", ("memory", "memory.limit_in_bytes"), "memory.max"),
        "33554432"
    );
    assert_eq!(
        of("b", ("memory", "memory.soft_limit_in_bytes"), "memory.low"),
        "16777216"
    );
    assert_eq!(of("b", ("pids", "pids.max"), "pids.max"), "33");
    let quota = of("b", ("cpu", "cpu.cfs_quota_us"), "cpu.max");
    assert!(quota == "25000" || quota == "25000 100000", "{quota}");
    world.finish();
}

#[test]
fn confinement_is_what_the_kernel_has() {
    let world = World::new(
        r"
services:
  a:
    image: busybox
    command: sleep 1000
    user: app
    group_add: [ '2000', app ]
    cap_drop: [ ALL ]
    cap_add: [ NET_ADMIN ]
    read_only: true
    tmpfs: [ '/run:size=64k,mode=1770,uid=1000,gid=1000,noexec' ]
    security_opt: [ 'no-new-privileges:true', 'seccomp:profile.json', 'systempaths=unconfined' ]
    stop_grace_period: 0s
  b:
    image: busybox
    command: sleep 1000
    init: true
    security_opt: [ seccomp=unconfined ]
  c:
    image: busybox
    command: sleep 1000
    init: true
    privileged: true
",
    );
    // mkdir fails with an error number that nothing else gives here.
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "archMap": [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}, {"architecture": "SCMP_ARCH_AARCH64"}],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}"#;
    world.write("profile.json", profile);
    world.stack(&["up", "-d"]).ok();
    let a = status(&world, "a");
    assert_eq!(
        (a["Uid"].as_str(), a["Gid"].as_str()),
        ("1000 1000 1000 1000", "1000 1000 1000 1000")
    );
    assert_eq!(a["Groups"], "1000 2000");
    // NET_ADMIN is number 12; a user who is not root has it in the bounding set only.
    assert_eq!(
        (a["CapBnd"].as_str(), a["CapEff"].as_str()),
        ("0000000000001000", "0000000000000000")
    );
    assert_eq!(
        (a["NoNewPrivs"].as_str(), a["Seccomp"].as_str()),
        ("1", "2")
    );
    let made = world
        .stack(&["exec", "-T", "a", "mkdir", "/run/x"])
        .fails(1);
    assert!(made.stderr.contains("No space left"), "{made:?}");
    let written = world.stack(&["exec", "-T", "a", "touch", "/x"]).fails(1);
    assert!(written.stderr.contains("Read-only"), "{written:?}");
    assert_eq!(
        shell(&world, "a", "touch /run/y && stat -c '%a %u:%g' /run"),
        "1770 1000:1000"
    );
    let mounts = shell(&world, "a", "cat /proc/mounts");
    let run = mounts.lines().find(|line| line.contains(" /run ")).unwrap();
    assert!(run.contains("noexec") && run.contains("size=64k"), "{run}");
    assert!(!mounts.contains(" /proc/kcore "), "{mounts}");
    assert_eq!(status(&world, "b")["Seccomp"], "0");
    let c = status(&world, "c");
    assert_eq!(
        (c["Seccomp"].as_str(), c["CapEff"].as_str()),
        ("0", status(&world, "c")["CapBnd"].as_str())
    );
    assert!(
        shell(&world, "c", "ls /dev")
            .lines()
            .any(|name| name == "kmsg")
    );

    // A changed profile is a changed service; an unchanged one is not.
    let (a, b) = (world.pids("a"), world.pids("b"));
    world.stack(&["up", "-d"]).ok();
    assert_eq!(world.pids("a"), a);
    world.write("profile.json", &profile.replace("28", "30"));
    world.stack(&["up", "-d"]).ok();
    assert_ne!(world.pids("a"), a);
    assert_eq!(world.pids("b"), b);
    world.finish();
}

#[test]
fn namespaces_are_shared_as_asked() {
    let world = World::new(
        r"
services:
  a:
    image: busybox
    command: sleep 1000
    init: true
    ipc: shareable
    hostname: first
  b:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    pid: service:a
    ipc: service:a
    network_mode: service:a
  c:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    pid: host
    ipc: host
    uts: host
    cgroup: host
    network_mode: host
    cgroup_parent: stack/tests-own-parent
",
    );
    world.stack(&["up", "-d"]).ok();
    let of = |service: &str, kind: &str| {
        let path = format!("/proc/{}/ns/{kind}", world.pids(service).0);
        fs_err::read_link(path).unwrap()
    };
    let host = |kind: &str| fs_err::read_link(format!("/proc/thread-self/ns/{kind}")).unwrap();
    for kind in ["pid", "ipc", "net"] {
        assert_eq!(of("b", kind), of("a", kind), "{kind}");
        assert_ne!(of("a", kind), host(kind), "{kind}");
    }
    for kind in ["uts", "mnt"] {
        assert_ne!(of("b", kind), of("a", kind), "{kind}");
    }
    for kind in ["pid", "ipc", "uts", "cgroup", "net"] {
        assert_eq!(of("c", kind), host(kind), "{kind}");
    }
    assert_ne!(of("a", "cgroup"), host("cgroup"));
    let groups = fs_err::read_to_string(format!("/proc/{}/cgroup", world.pids("c").0)).unwrap();
    assert!(groups.contains("/stack/tests-own-parent/"), "{groups}");
    world.finish();
}

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

#[test]
fn misuse_ends_before_anything_is_made_in_an_error_with_field_and_value() {
    let world = World::new("services: {}");
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
            "soft 5, hard 4",
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
        assert!(
            output.stderr.contains(wanted),
            "{attribute}: {}",
            output.stderr
        );
        let containers = fs_err::read_dir(world.root().join("containers"));
        assert_eq!(containers.map_or(0, Iterator::count), 0, "{attribute}");
    }
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
