//! Bundles as tables: what a description becomes, and what is refused by its name.

mod hostile;

use runtime::{
    check::check,
    spec::{IoClass, Namespace, Personality, Propagation, SchedulerPolicy, Seccomp},
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
        has_selinux: true,
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
    map(&config, place()).map(|mapped| mapped.spec)
}

#[test]
fn the_template_is_a_container_as_docker_makes_them() {
    let config: Config = serde_json::from_value(template()).unwrap();
    let spec = map(&config, place()).unwrap().spec;
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
            json!({"domain": "BSD"}),
            "linux.personality",
        ),
        ("/linux/mountLabel", json!("x"), "linux.mountLabel"),
        (
            "/linux/rootfsPropagation",
            json!("everywhere"),
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
            json!({"unified": {"cgroup.procs": "1"}}),
            "cgroup.procs",
        ),
        (
            "/linux/sysctl",
            json!({"kernel.hostname": "other"}),
            "kernel.hostname=other",
        ),
        (
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_X"}),
            "linux.memoryPolicy",
        ),
        (
            "/linux/resources",
            json!({"devices": [{"allow": false, "type": "c", "major": 1, "minor": 3}]}),
            "single devices",
        ),
        (
            "/linux/devices",
            json!([{"type": "c", "path": "/mnt/../fuse", "major": 10, "minor": 229}]),
            "/mnt/../fuse",
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
    assert_eq!(
        map(&config, place()).unwrap_err(),
        MapError::Missing("root")
    );
}

#[test]
fn unknown_properties_are_ignored_as_the_specification_asks() {
    assert!(mapped("/linux/somethingNew", json!({"a": 1})).is_ok());
    assert!(mapped("/annotations", json!({"x": "y"})).is_ok());
}

#[test]
fn scheduling_memory_and_propagation_are_taken_over() {
    let exact = |pointer, value| {
        let spec = mapped(pointer, value).unwrap();
        *check(spec).unwrap().into_spec().security.exact.unwrap()
    };
    let found = exact(
        "/process/scheduler",
        json!({"policy": "SCHED_BATCH", "nice": 5}),
    );
    let scheduler = found.attributes.scheduler.unwrap();
    assert_eq!(
        (scheduler.policy, scheduler.nice),
        (SchedulerPolicy::SchedBatch, 5)
    );
    let found = exact(
        "/process/ioPriority",
        json!({"class": "IOPRIO_CLASS_IDLE", "priority": 3}),
    );
    let priority = found.attributes.io_priority.unwrap();
    assert_eq!((priority.class, priority.priority), (IoClass::Idle, 3));
    let found = exact("/linux/personality", json!({"domain": "LINUX32"}));
    assert_eq!(found.attributes.personality, Some(Personality::Linux32));
    let found = exact(
        "/linux/memoryPolicy",
        json!({"mode": "MPOL_BIND", "nodes": "0"}),
    );
    assert_eq!(found.attributes.memory_policy.unwrap().nodes, "0");
    let found = exact("/linux/rootfsPropagation", json!("rslave"));
    assert_eq!(found.root_propagation, Some(Propagation::Rslave));
}

#[test]
fn limits_without_a_word_in_compose_are_the_files_that_they_mean() {
    let limits = |value| mapped("/linux/resources", value).unwrap().resources.exact;
    let found = limits(json!({
        "memory": {"kernelTCP": 5},
        "cpu": {"burst": 6},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 7}],
        "network": {"classID": 8, "priorities": [{"name": "eth0", "priority": 9}]},
        "rdma": {"mlx5_0": {"hcaHandles": 1, "hcaObjects": 2}},
        "unified": {"memory.high": "10"},
    }));
    let files: Vec<_> = found
        .iter()
        .map(|limit| (limit.v1.clone(), limit.v2.clone()))
        .collect();
    let line = |file: &str, text: &str| Some((file.to_owned(), text.to_owned()));
    assert_eq!(
        files,
        [
            (line("memory.kmem.tcp.limit_in_bytes", "5"), None),
            (line("cpu.cfs_burst_us", "6"), line("cpu.max.burst", "6")),
            (
                line("hugetlb.2MB.limit_in_bytes", "7"),
                line("hugetlb.2MB.max", "7")
            ),
            (line("net_cls.classid", "8"), None),
            (line("net_prio.ifpriomap", "eth0 9"), None),
            (
                line("rdma.max", "mlx5_0 hca_handle=1 hca_object=2"),
                line("rdma.max", "mlx5_0 hca_handle=1 hca_object=2")
            ),
            (None, line("memory.high", "10")),
        ]
    );
    // A key is a file name, never a path.
    let spec = mapped(
        "/linux/resources",
        json!({"unified": {"memory.max/../../x": "1"}}),
    );
    assert!(
        check(spec.unwrap())
            .unwrap_err()
            .to_string()
            .contains("no control file")
    );
}

#[test]
fn labels_have_no_effect_where_nothing_reads_them() {
    let mut config: Config = serde_json::from_value(template()).unwrap();
    config.linux.as_mut().unwrap().mount_label = Some("x".into());
    let place = Place {
        has_selinux: false,
        ..place()
    };
    let warnings = map(&config, place).unwrap().warnings;
    assert_eq!(
        warnings,
        ["`linux.mountLabel` has no effect: this host has no SELinux"]
    );
}

#[test]
fn host_names_may_be_kernel_parameters() {
    let mut config: Config = serde_json::from_value(template()).unwrap();
    config.hostname = None;
    let sysctls = &mut config.linux.as_mut().unwrap().sysctl;
    sysctls.insert("kernel.hostname".into(), "a".into());
    sysctls.insert("kernel.domainname".into(), "b".into());
    let spec = map(&config, place()).unwrap().spec;
    assert_eq!(
        (spec.hostname.as_str(), spec.domainname.as_deref()),
        ("a", Some("b"))
    );
    assert!(spec.sysctls.is_empty());
}
