//! Every field of a description with a value that it must not have, and any value in any place.

mod rows;

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use rows::rows;

/// A description in which every field is there.
fn everything() -> Value {
    let access = json!({"read": true, "write": true, "make": true});
    let mut value = serde_json::to_value(spec()).unwrap();
    let fields = json!({
        "domainname": "lan",
        "rootfs": {"overlay": {"lowers": ["/l"], "upper": "/u", "work": "/w", "mount_point": "/m"}},
        "process": {"argv": ["true"], "env": ["A=b"], "cwd": "/", "user": "1:2", "groups": ["3"]},
        "namespaces": {"net": {"join": "/n"}, "pid": {"join": "/n"}, "ipc": {"join": "/n"}, "uts": {"join": "/n"}, "cgroup": {"join": "/n"}},
        "mounts": mounts(),
        "devices": [{"source": "/dev/x", "target": "/dev/x", "access": access}],
        "device_rules": [{"kind": "character", "major": 1, "minor": 2, "access": access}],
        "hooks": [{"at": "create_runtime", "path": "/h", "args": ["h"], "env": ["A=b"], "timeout_s": 5}],
        "users": {"uids": [{"inside": 0, "outside": 5, "count": 6}], "gids": [{"inside": 0, "outside": 5, "count": 6}]},
        "resources": {
            "memory_bytes": 1, "memory_swap_bytes": 2, "memory_reservation_bytes": 1, "cpu_quota_us": 5000, "cpu_period_us": 5000,
            "cpu_shares": 5, "cpuset_cpus": "0", "cpuset_mems": "0-1", "pids": 5, "memory_swappiness": 5, "oom_kill_disable": false,
            "cpu_rt_runtime_us": 5, "cpu_rt_period_us": 5,
            "block_io": {"weight": 10, "weights": [{"device": "/dev/x", "weight": 10}], "throttles": [{"device": "/dev/x", "bound": "read_bytes", "rate": 1}]},
            "exact": [{"limit": "l", "controller": "memory", "v1": ["memory.a", "1"], "v2": ["memory.b", "1"]}],
        },
        "rlimits": [{"name": "nofile", "soft": 1, "hard": 2}],
        "sysctls": [["net.core.somaxconn", "5"]],
        "oom_score_adj": 5,
        "security": {
            "privileged": false, "capabilities": ["KILL"], "no_new_privs": true, "mask_paths": true,
            "seccomp": {"profile": {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
                    "args": [{"index": 0, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_EQ"}]}]}},
            "exact": exact_security(),
        },
        "restart": {"on_failure": {"attempts_max": 5}},
        "probe": {"test": {"exec": ["true"]}, "interval_ms": 1, "timeout_ms": 1, "retries": 1, "start_period_ms": 1, "start_interval_ms": 1},
        "stop": {"signal": 15, "grace_ms": 1},
        "log": {"dir": "/log", "file_bytes_max": 1, "files_max": 1},
    });
    for (name, field) in fields.as_object().unwrap() {
        value[name] = field.clone();
    }
    value
}

fn mounts() -> Value {
    let exact = |source: Value, propagation: Value| json!({"exact": {"source": source, "set": ["ro"], "cleared": ["nosuid"], "set_below": ["nodev"], "propagation": propagation}});
    let bind = json!({"bind": {"path": "/s", "recursive": false}});
    let filesystem =
        json!({"filesystem": {"kind": "ramfs", "source": "x", "options": [["mode", "755"]]}});
    json!([
        {"target": "/a", "read_only": false, "kind": {"bind": {
            "source": "/s", "subpath": "x", "recursive": true, "propagation": "rprivate", "writable_below": false}}},
        {"target": "/b", "read_only": false, "kind": {"tmpfs": {"size_bytes": 1, "mode": 511, "options": ["uid=5"]}}},
        {"target": "/c", "read_only": true, "kind": {"image": {"lowers": ["/l"], "subpath": "y"}}},
        {"target": "/d", "read_only": false, "kind": exact(bind, json!("slave"))},
        {"target": "/e", "read_only": false, "kind": exact(filesystem, Value::Null)},
    ])
}

fn exact_security() -> Value {
    json!({
        "capabilities": {"bounding": ["KILL"], "permitted": ["KILL"], "effective": ["KILL"], "inheritable": ["KILL"], "ambient": ["KILL"]},
        "hidden": ["/h"], "protected": ["/p"], "umask": 18,
        "nodes": [{"path": "/dev/x", "kind": "block", "major": 1, "minor": 2, "mode": 420, "uid": 1, "gid": 1}],
        "attributes": {
            "personality": "LINUX",
            "scheduler": {"policy": "SCHED_DEADLINE", "nice": 0, "priority": 0, "flags": ["SCHED_FLAG_RECLAIM"],
                "runtime": 5000, "deadline": 6000, "period": 7000},
            "io_priority": {"class": "IOPRIO_CLASS_BE", "priority": 1},
            "memory_policy": {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]},
        },
        "root_propagation": "shared",
    })
}

/// Fields of which every value of the type is good: switches, amounts of time and bytes, ids of users, texts for people.
const ANY: [&str; 33] = [
    "/device_rules/0/access/make",
    "/device_rules/0/access/read",
    "/device_rules/0/access/write",
    "/device_rules/0/major",
    "/device_rules/0/minor",
    "/devices/0/access/make",
    "/devices/0/access/read",
    "/devices/0/access/write",
    "/hooks/0/timeout_s",
    "/init",
    "/mounts/0/kind/bind/recursive",
    "/mounts/0/kind/bind/writable_below",
    "/mounts/0/kind/exact/source/bind/recursive",
    // The filesystem judges it.
    "/mounts/0/kind/exact/source/filesystem/options/0/1",
    "/mounts/0/kind/tmpfs/size_bytes",
    "/mounts/0/read_only",
    "/probe/start_period_ms",
    "/resources/exact/0/limit",
    "/resources/memory_bytes",
    "/resources/memory_reservation_bytes",
    "/resources/oom_kill_disable",
    "/restart/on_failure/attempts_max",
    "/rootfs_read_only",
    "/security/exact/nodes/0/gid",
    "/security/exact/nodes/0/uid",
    "/security/mask_paths",
    // Profiles name calls and machines that only other kernels have; they are passed over.
    "/security/seccomp/profile/architectures/0",
    "/security/seccomp/profile/syscalls/0/names/0",
    "/security/no_new_privs",
    "/shm_size_bytes",
    "/stdio/stdin",
    "/stdio/tty",
    "/stop/grace_ms",
];

/// Places of the values of a description.
fn pointers(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                pointers(value, &format!("{path}/{name}"), found);
            }
        }
        Value::Array(values) => {
            for (at, value) in values.iter().enumerate() {
                pointers(value, &format!("{path}/{at}"), found);
            }
        }
        Value::Null => {}
        _ => found.push(path.to_owned()),
    }
}

/// A place with every position in a list as 0, so that one row is for all entries; a pair keeps its second place.
fn plain(pointer: &str) -> String {
    let part = |part: &str| match part.parse::<u32>() {
        Ok(2..) => "0".to_owned(),
        _ => part.to_owned(),
    };
    let text = pointer.split('/').map(part).collect::<Vec<_>>().join("/");
    text.replacen("/mounts/1/", "/mounts/0/", 1)
}

/// What is said of a description with this value in this place.
fn said(pointer: &str, value: &Value) -> String {
    let mut description = everything();
    let place = description.pointer_mut(pointer);
    *place.unwrap_or_else(|| panic!("{pointer}")) = value.clone();
    match serde_json::from_value::<ContainerSpec>(description) {
        Err(error) => error.to_string(),
        Ok(spec) => check(spec).map_or_else(|error| error.to_string(), |_| "accepted".into()),
    }
}

#[test]
fn everything_is_good_as_it_is() {
    let spec: ContainerSpec = serde_json::from_value(everything()).unwrap();
    check(spec).unwrap();
}

#[test]
fn misuse_of_each_field_is_refused_with_its_value() {
    let wrong: Vec<_> = rows()
        .into_iter()
        .map(|(pointer, value, wanted)| (pointer, said(pointer, &value), wanted))
        .filter(|(_, said, wanted)| !said.contains(wanted))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_field_is_missing_from_the_table() {
    let mut all = Vec::new();
    pointers(&everything(), "", &mut all);
    let all: BTreeSet<_> = all.iter().map(|pointer| plain(pointer)).collect();
    let rows = rows();
    let rows = rows.iter().map(|(pointer, ..)| plain(pointer));
    let known: BTreeSet<_> = rows.chain(ANY.iter().map(|any| plain(any))).collect();
    let missing: Vec<_> = all.difference(&known).collect();
    assert!(missing.is_empty(), "no row for {missing:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever stands in whatever place, the description is judged, or refused in one line.
    #[test]
    fn no_value_of_any_field_is_too_much(
        at in any::<prop::sample::Index>(),
        value in prop_oneof![
            Just(Value::Null),
            Just(json!({})),
            Just(json!([])),
            Just(json!(u64::MAX)),
            Just(json!(i64::MIN)),
            Just(json!(-1)),
            Just(json!(0)),
            Just(json!(1e300)),
            Just(json!("x".repeat(70_000))),
            any::<i64>().prop_map(Value::from),
            "[a-z0-9/.,:\\x00\\n-]{0,12}".prop_map(Value::from),
        ],
    ) {
        let mut description = everything();
        let mut found = Vec::new();
        pointers(&description, "", &mut found);
        let pointer: &String = at.get(&found);
        *description.pointer_mut(pointer).unwrap() = value;
        if let Ok(spec) = serde_json::from_value::<ContainerSpec>(description)
            && let Err(error) = check(spec)
        {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
