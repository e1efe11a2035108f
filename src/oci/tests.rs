//! Bundles as tables: what a description becomes, and what is refused by its name.

use runtime::{
    check::check,
    spec::{Namespace, Seccomp},
};
use serde_json::{Value, json};

use super::{
    config::Config,
    describe::template,
    map::{MapError, Place, map},
};

fn place() -> Place<'static> {
    Place {
        id: "web",
        bundle: "/bundle".as_ref(),
        host_name: "host",
    }
}

/// The template with one property changed (`/linux/seccomp`).
fn mapped(pointer: &str, value: Value) -> Result<runtime::spec::ContainerSpec, MapError> {
    let mut config = template();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    config
        .pointer_mut(parent)
        .and_then(Value::as_object_mut)
        .unwrap_or_else(|| panic!("{parent}"))
        .insert(name.to_owned(), value);
    let config: Config = serde_json::from_value(config).unwrap();
    map(&config, place())
}

#[test]
fn the_template_is_a_container_as_docker_makes_them() {
    let config: Config = serde_json::from_value(template()).unwrap();
    let spec = map(&config, place()).unwrap();
    assert_eq!(spec.namespaces, runtime::spec::Namespaces::PRIVATE);
    assert_eq!(spec.process.user, "0:0");
    assert!(spec.rootfs_read_only && spec.stdio.tty && spec.security.no_new_privs);
    assert_eq!(
        (spec.cgroup.parent.as_str(), spec.cgroup.name.as_str()),
        ("stack-oci", "web")
    );
    // /proc, /dev and the control groups are the runtime's own.
    assert_eq!(spec.mounts.len(), 4);
    let exact = spec.security.exact.as_ref().unwrap();
    assert_eq!(exact.capabilities.bounding.len(), 14);
    assert_eq!(exact.capabilities.ambient, Vec::<String>::new());
    check(spec).unwrap();
}

#[test]
fn properties_become_attributes() {
    let spec = mapped("/linux/cgroupsPath", json!("/a/b/c")).unwrap();
    assert_eq!(
        (spec.cgroup.parent.as_str(), spec.cgroup.name.as_str()),
        ("a/b", "c")
    );
    let spec = mapped("/linux/cgroupsPath", json!("/c")).unwrap();
    assert_eq!(spec.cgroup.parent, "");
    check(spec).unwrap();
    let spec = mapped(
        "/linux/namespaces",
        json!([{"type": "mount"}, {"type": "network", "path": "/x"}]),
    );
    // The template has a host name, which needs a namespace of its own.
    assert!(spec.unwrap_err().to_string().contains("uts namespace"));
    let spec = mapped(
        "/linux/namespaces",
        json!([{"type": "mount"}, {"type": "uts"}, {"type": "network", "path": "/x"}]),
    )
    .unwrap();
    assert_eq!(spec.namespaces.net, Namespace::Join("/x".into()));
    assert_eq!(spec.namespaces.pid, Namespace::Host);
    let spec = mapped(
        "/linux/resources",
        json!({"memory": {"limit": 5, "swap": -1}, "cpu": {"shares": 7, "mems": "0"}, "pids": {"limit": 9}}),
    )
    .unwrap();
    assert_eq!(spec.resources.memory_bytes, Some(5));
    assert_eq!(spec.resources.memory_swap_bytes, Some(-1));
    assert_eq!(spec.resources.cpu_shares, Some(7));
    assert_eq!(spec.resources.cpuset_mems.as_deref(), Some("0"));
    assert_eq!(spec.resources.pids, Some(9));
    let spec = mapped(
        "/linux/resources",
        json!({"devices": [
            {"allow": true, "type": "c", "major": 10, "minor": 1},
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"},
        ]}),
    )
    .unwrap();
    assert_eq!(
        spec.device_rules.len(),
        1,
        "a refusal of all forgets what was allowed"
    );
    let spec = mapped(
        "/linux/seccomp",
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}),
    )
    .unwrap();
    assert!(matches!(spec.security.seccomp, Seccomp::Profile(_)));
}

#[test]
fn what_has_no_place_is_refused_by_its_name() {
    for (pointer, value, name) in [
        (
            "/linux/timeOffsets",
            json!({"monotonic": {"secs": 1}}),
            "linux.timeOffsets",
        ),
        ("/linux/intelRdt", json!({}), "linux.intelRdt"),
        (
            "/linux/personality",
            json!({"domain": "LINUX32"}),
            "linux.personality",
        ),
        ("/linux/mountLabel", json!("x"), "linux.mountLabel"),
        (
            "/linux/rootfsPropagation",
            json!("shared"),
            "linux.rootfsPropagation",
        ),
        ("/linux/namespaces", json!([{"type": "pid"}]), "mount"),
        (
            "/linux/namespaces",
            json!([{"type": "mount"}, {"type": "time"}]),
            "time",
        ),
        (
            "/linux/namespaces",
            json!([{"type": "mount"}, {"type": "pid"}, {"type": "pid"}]),
            "twice",
        ),
        (
            "/linux/namespaces",
            json!([{"type": "mount", "path": "/x"}]),
            "cannot be joined",
        ),
        (
            "/linux/resources",
            json!({"unified": {"memory.max": "1"}}),
            "unified",
        ),
        (
            "/linux/resources",
            json!({"hugepageLimits": [{}]}),
            "hugepageLimits",
        ),
        (
            "/linux/resources",
            json!({"devices": [{"allow": false, "type": "c", "major": 1, "minor": 3}]}),
            "single devices",
        ),
        (
            "/linux/devices",
            json!([{"type": "c", "path": "/mnt/fuse", "major": 10, "minor": 229}]),
            "/mnt/fuse",
        ),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_NOTIFY_ALL"}),
            "linux.seccomp",
        ),
        ("/linux/cgroupsPath", json!("system.slice:x:y"), "systemd"),
        ("/process/apparmorProfile", json!("x"), "apparmorProfile"),
        ("/process/scheduler", json!({}), "scheduler"),
        (
            "/process/capabilities",
            json!({"bounding": ["CAP_NONE"]}),
            "CAP_NONE",
        ),
        (
            "/process/rlimits",
            json!([{"type": "NOFILE", "hard": 1, "soft": 1}]),
            "NOFILE",
        ),
    ] {
        let error = mapped(pointer, value).unwrap_err().to_string();
        assert!(error.contains(name), "{pointer}: {error}");
    }
    let config: Config = serde_json::from_value(json!({"ociVersion": "1.0.0"})).unwrap();
    assert_eq!(map(&config, place()), Err(MapError::Missing("root")));
}

#[test]
fn unknown_properties_are_ignored_as_the_specification_asks() {
    assert!(mapped("/linux/somethingNew", json!({"a": 1})).is_ok());
    assert!(mapped("/annotations", json!({"x": "y"})).is_ok());
}
