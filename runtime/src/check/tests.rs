mod fields;
mod resources;

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::spec::{Mount, Propagation, Rlimit};

fn spec() -> ContainerSpec {
    let process = Process {
        argv: vec!["true".into()],
        env: vec!["A=b".into()],
        cwd: "/".into(),
        user: String::new(),
        groups: vec![],
    };
    let mut spec = ContainerSpec::new("abc", Rootfs::Directory("/srv".into()), process);
    spec.hostname = "web".into();
    spec.cgroup.parent = "stack/shop".into();
    spec.security.capabilities = vec!["KILL".into()];
    spec.log.file_bytes_max = 1;
    spec
}

fn refusal(change: impl FnOnce(&mut ContainerSpec)) -> String {
    let mut spec = spec();
    change(&mut spec);
    check(spec).map_or_else(|error| error.to_string(), |_| "accepted".into())
}

fn bind(target: &str) -> Mount {
    let kind = MountKind::Bind {
        source: "/srv".into(),
        subpath: None,
        recursive: true,
        propagation: Propagation::Rprivate,
        writable_below: false,
    };
    Mount {
        target: target.into(),
        kind,
        read_only: false,
    }
}

#[test]
fn accepts_an_ordinary_container_unchanged() {
    assert_eq!(check(spec()).unwrap().into_spec(), spec());
}

#[test]
fn each_refusal_names_its_object() {
    let cases: Vec<(String, &str)> = vec![
        (
            refusal(|s| s.version = 2),
            "description has version 2, this build knows 1",
        ),
        (
            refusal(|s| s.id = "../x".into()),
            "id `../x` is not made of letters, digits, `_`, `.` and `-`",
        ),
        (
            refusal(|s| s.hostname = "a b".into()),
            "hostname `a b` is not 1 to 64 bytes of letters, digits, `.`, `-` and `_`",
        ),
        (refusal(|s| s.process.argv.clear()), "no program to run"),
        (
            refusal(|s| s.process.argv = vec![String::new()]),
            "no program to run",
        ),
        (
            refusal(|s| s.process.argv.push("a\0b".into())),
            "argument `a\\0b` contains a NUL byte",
        ),
        (
            refusal(|s| s.process.env.push("=x".into())),
            "environment entry `=x` is not `NAME=value`",
        ),
        (
            refusal(|s| s.process.env.push("X".into())),
            "environment entry `X` is not `NAME=value`",
        ),
        (
            refusal(|s| s.process.cwd = "srv".into()),
            "working directory `srv` is not an absolute path",
        ),
        (
            refusal(|s| s.process.user = "-1".into()),
            "user or group `-1` starts with a sign",
        ),
        (
            refusal(|s| s.process.groups = vec!["+5".into()]),
            "user or group `+5` starts with a sign",
        ),
        (
            refusal(|s| s.rootfs = Rootfs::Directory("srv".into())),
            "root filesystem `srv` is not an absolute path",
        ),
        (
            refusal(|s| s.namespaces.net = Namespace::Join("ns".into())),
            "namespace `ns` is not an absolute path",
        ),
        (
            refusal(|s| s.mounts.push(bind("data"))),
            "mount target `data` is not an absolute path",
        ),
        (
            refusal(|s| s.mounts.push(bind("/proc"))),
            "mount on `/proc` is inside /proc",
        ),
        (
            refusal(|s| s.mounts.push(bind("/a/..//proc/./self"))),
            "mount on `/a/..//proc/./self` is inside /proc",
        ),
        (
            refusal(|s| s.mounts.push(bind("/a/.."))),
            "mount on `/a/..` would hide the root filesystem",
        ),
        (refusal(|s| s.mounts.push(bind("/proc/uptime"))), "accepted"),
        (refusal(|s| s.mounts.push(bind("/process"))), "accepted"),
        (
            refusal(|s| s.security.capabilities.push("ALL".into())),
            "`ALL` is not a capability",
        ),
        (
            refusal(|s| s.oom_score_adj = Some(-1001)),
            "OOM score adjustment -1001 is not in -1000 to 1000",
        ),
        (
            refusal(|s| s.cgroup.parent = "a/../b".into()),
            "control group `a/../b/abc` is not a relative path of plain names",
        ),
        (
            refusal(|s| s.cgroup.parent = "/a".into()),
            "control group `/a/abc` is not a relative path of plain names",
        ),
    ];
    for (found, wanted) in cases {
        assert_eq!(found, wanted);
    }
}

#[test]
fn overlays_have_1_to_500_layers() {
    let overlay = |count| Rootfs::Overlay {
        lowers: vec![PathBuf::from("/l"); count],
        upper: "/u".into(),
        work: "/w".into(),
        mount_point: "/m".into(),
        volatile: false,
    };
    for (count, wanted) in [
        (0, "0 layers are not 1 to 500"),
        (1, "accepted"),
        (500, "accepted"),
        (501, "501 layers are not 1 to 500"),
    ] {
        assert_eq!(refusal(|s| s.rootfs = overlay(count)), wanted);
    }
}

#[test]
fn limits_are_known_and_ordered() {
    let limit = |name: &str, soft, hard| {
        let name = name.to_owned();
        refusal(|s| s.rlimits.push(Rlimit { name, soft, hard }))
    };
    assert_eq!(limit("nofile", 5, 5), "accepted");
    assert_eq!(
        limit("nofile", 6, 5),
        "soft limit 6 of `nofile` is above the hard limit 5"
    );
    assert_eq!(limit("files", 5, 5), "`files` is not a resource limit");
}

#[test]
fn kernel_parameters_are_those_of_own_namespaces() {
    let set = |name: &str, value: &str| refusal(|s| s.sysctls.push((name.into(), value.into())));
    for name in [
        "net.ipv4.ip_forward",
        "net.core.somaxconn",
        "net/ipv4/conf/eth0.100/forwarding",
        "fs.mqueue.msg_max",
        "kernel.shmmax",
        "kernel.sem",
        "kernel.domainname",
    ] {
        assert_eq!(set(name, "1 2\t3"), "accepted", "{name}");
    }
    for name in [
        "kernel.core_pattern",
        "vm.swappiness",
        "fs.file-max",
        "kernel.hostname",
        "net",
        "",
        ".",
        "net..x",
        "net/../kernel/core_pattern",
        "net.ipv4/../x",
        "net.x+kernel.shm_rmid_forced",
        "net.x=1",
        "net.x ",
        "/net/x",
    ] {
        assert_ne!(set(name, "1"), "accepted", "{name:?}");
    }
    assert_ne!(set("net.core.somaxconn", "1\nkernel.x=2"), "accepted");
    assert_ne!(set("net.core.somaxconn", ""), "accepted");
}

#[test]
fn kernel_parameters_of_the_host_are_refused() {
    let set = |name: &str| {
        refusal(|s| {
            s.namespaces.net = Namespace::Host;
            s.namespaces.ipc = Namespace::Host;
            s.namespaces.uts = Namespace::Host;
            s.sysctls.push((name.into(), "1".into()));
        })
    };
    for name in [
        "net.ipv4.ip_forward",
        "kernel.shmmax",
        "fs.mqueue.msg_max",
        "kernel.domainname",
    ] {
        assert!(set(name).ends_with("shares with the host"), "{name}");
    }
}

proptest! {
    #[test]
    fn sysctl_paths_stay_below_their_directory(name in "[a-z./+= _-]{0,20}") {
        if let Some(path) = sysctl_path(&name) {
            prop_assert!(path.split('/').all(|part| !part.is_empty() && part != "." && part != ".."));
        }
    }

    #[test]
    fn plain_paths_have_no_dots(path in "(/|\\.|a|b){0,20}") {
        let plain = plain_path(&path);
        prop_assert!(plain.starts_with('/'));
        prop_assert!(plain[1..].is_empty() || plain[1..].split('/').all(|part| !part.is_empty() && part != "." && part != ".."));
    }
}

#[test]
fn records_of_earlier_builds_are_read() {
    let mut record = serde_json::to_value(spec()).unwrap();
    let fields = record.as_object_mut().unwrap();
    for new in ["devices", "device_rules", "users"] {
        fields.remove(new).unwrap();
    }
    let resources = fields["resources"].as_object_mut().unwrap();
    for new in [
        "cpuset_mems",
        "memory_swappiness",
        "oom_kill_disable",
        "cpu_rt_runtime_us",
        "cpu_rt_period_us",
        "block_io",
    ] {
        resources.remove(new).unwrap();
    }
    assert_eq!(
        serde_json::from_value::<ContainerSpec>(record).unwrap(),
        spec()
    );
}
