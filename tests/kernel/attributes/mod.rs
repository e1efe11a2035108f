//! Attributes of services that reach the kernel, read back from /proc, /sys and inside the container.

mod host;
mod misuse;
mod process;
mod shared;

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
