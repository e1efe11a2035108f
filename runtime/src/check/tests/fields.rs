//! Every field of a description with a value that it must not have, and any value in any place.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

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
const ANY: [&str; 32] = [
    "/device_rules/0/access/make",
    "/device_rules/0/access/read",
    "/device_rules/0/access/write",
    "/device_rules/0/major",
    "/device_rules/0/minor",
    "/devices/0/access/make",
    "/devices/0/access/read",
    "/devices/0/access/write",
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

/// A field, a value that it must not have, and what the refusal says.
type Row = (&'static str, Value, &'static str);

/// What serde says of a word that is none of an enumeration's.
const WORD: &str = "unknown variant `x`";

fn rows() -> Vec<Row> {
    let mut rows = of_the_container();
    rows.extend(of_mounts());
    rows.extend(of_resources());
    rows.extend(of_security());
    rows
}

fn of_the_container() -> Vec<Row> {
    let path = "namespace `n` is not an absolute path";
    vec![
        ("/version", json!(9), "version 9"),
        ("/id", json!("a/b"), "id `a/b`"),
        ("/hostname", json!("a b"), "hostname `a b`"),
        ("/domainname", json!("a b"), "domainname `a b`"),
        ("/rootfs/overlay/lowers/0", json!("l"), "layer `l`"),
        ("/rootfs/overlay/upper", json!("u"), "upper directory `u`"),
        ("/rootfs/overlay/work", json!("w"), "work directory `w`"),
        ("/rootfs/overlay/mount_point", json!("m"), "mount point `m`"),
        ("/process/argv/0", json!("a\0"), "argument `a\\0`"),
        ("/process/env/0", json!("=b"), "environment entry `=b`"),
        ("/process/cwd", json!("x"), "working directory `x`"),
        ("/process/user", json!("-1"), "`-1`"),
        ("/process/groups/0", json!("+3"), "`+3`"),
        ("/namespaces/net/join", json!("n"), path),
        ("/namespaces/pid/join", json!("n"), path),
        ("/namespaces/ipc/join", json!("n"), path),
        ("/namespaces/uts/join", json!("n"), path),
        ("/namespaces/cgroup/join", json!("n"), path),
        ("/rlimits/0/name", json!("x"), "`x` is not a resource limit"),
        ("/rlimits/0/soft", json!(3), "soft limit 3 of `nofile`"),
        ("/rlimits/0/hard", json!(0), "hard limit 0"),
        ("/sysctls/0/0", json!("vm.x"), "kernel parameter `vm.x`"),
        ("/sysctls/0/1", json!("1\n2"), "`net.core.somaxconn`"),
        ("/oom_score_adj", json!(1001), "OOM score adjustment 1001"),
        ("/probe/test/exec/0", json!("a\0"), "probe `a\\0`"),
        ("/probe/interval_ms", json!(0), "probe interval 0"),
        ("/probe/timeout_ms", json!(0), "probe timeout 0"),
        ("/probe/retries", json!(0), "probe retries 0"),
        ("/probe/start_interval_ms", json!(0), "during the start 0"),
        ("/stop/signal", json!(65), "stop signal 65"),
        ("/log/dir", json!("log"), "log directory `log`"),
        ("/log/file_bytes_max", json!(0), "log file size 0"),
        ("/log/files_max", json!(0), "number of log files 0"),
    ]
}

fn of_mounts() -> Vec<Row> {
    let flag = "unknown flag `x`";
    let filesystem = "filesystem type `x\\0`";
    let tmpfs = "unknown option `x=1`";
    vec![
        ("/mounts/0/target", json!("/proc/x"), "mount on `/proc/x`"),
        ("/mounts/0/kind/bind/source", json!("s"), "source `s`"),
        ("/mounts/0/kind/bind/subpath", json!("\0"), "subpath `\\0`"),
        ("/mounts/0/kind/bind/propagation", json!("x"), WORD),
        ("/mounts/1/kind/tmpfs/mode", json!(4096), "tmpfs 4096"),
        ("/mounts/1/kind/tmpfs/options/0", json!("x=1"), tmpfs),
        ("/mounts/2/kind/image/lowers/0", json!("l"), "layer `l`"),
        ("/mounts/2/kind/image/subpath", json!("\0"), "subpath `\\0`"),
        (
            "/mounts/3/kind/exact/source/bind/path",
            json!("s"),
            "source `s`",
        ),
        ("/mounts/3/kind/exact/set/0", json!("x"), flag),
        ("/mounts/3/kind/exact/cleared/0", json!("x"), flag),
        ("/mounts/3/kind/exact/set_below/0", json!("x"), flag),
        ("/mounts/3/kind/exact/propagation", json!("x"), WORD),
        (
            "/mounts/4/kind/exact/source/filesystem/kind",
            json!("x\0"),
            filesystem,
        ),
        (
            "/mounts/4/kind/exact/source/filesystem/source",
            json!("\0"),
            "mount source `\\0`",
        ),
        (
            "/mounts/4/kind/exact/source/filesystem/options/0/0",
            json!("\0"),
            "mount option `\\0`",
        ),
        ("/devices/0/source", json!("x"), "device `x`"),
        ("/devices/0/target", json!("x"), "device target `x`"),
        ("/device_rules/0/kind", json!("x"), WORD),
    ]
}

fn of_resources() -> Vec<Row> {
    let io = "/resources/block_io";
    let row = |name: &str, value, wanted| -> Row {
        let pointer: &'static str = Box::leak(format!("{io}/{name}").into_boxed_str());
        (pointer, value, wanted)
    };
    vec![
        (
            "/users/uids/0/inside",
            json!(1),
            "user map `1 5 6` does not",
        ),
        (
            "/users/uids/0/outside",
            json!(u32::MAX),
            "map `0 4294967295 6`",
        ),
        ("/users/uids/0/count", json!(0), "user map `0 5 0` has an"),
        ("/users/gids/0/inside", json!(1), "group map `1 5 6`"),
        (
            "/users/gids/0/outside",
            json!(u32::MAX),
            "map `0 4294967295 6`",
        ),
        ("/users/gids/0/count", json!(0), "group map `0 5 0`"),
        ("/cgroup/parent", json!("../x"), "control group `../x/"),
        ("/cgroup/name", json!(".."), "control group `stack/shop/..`"),
        ("/resources/memory_swap_bytes", json!(-2), "plus swap -2"),
        ("/resources/cpu_quota_us", json!(-2), "CPU quota -2"),
        ("/resources/cpu_period_us", json!(5), "CPU period 5"),
        ("/resources/cpu_shares", json!(1), "CPU shares 1"),
        ("/resources/cpuset_cpus", json!("2-1"), "CPU set `2-1`"),
        ("/resources/cpuset_mems", json!("a"), "memory nodes `a`"),
        ("/resources/pids", json!(-2), "process limit -2"),
        ("/resources/memory_swappiness", json!(101), "swappiness 101"),
        ("/resources/cpu_rt_runtime_us", json!(6), "limit 6"),
        ("/resources/cpu_rt_period_us", json!(4), "limit 5"),
        row("weight", json!(9), "block I/O weight 9"),
        row("weights/0/device", json!("x"), "block device `x`"),
        row("weights/0/weight", json!(1001), "block I/O weight 1001"),
        row("throttles/0/device", json!("x"), "block device `x`"),
        row("throttles/0/bound", json!("x"), WORD),
        row("throttles/0/rate", json!(0), "block I/O limit 0"),
        ("/resources/exact/0/controller", json!("a/b"), "`a/b`"),
        ("/resources/exact/0/v1/0", json!("../x"), "names `../x`"),
        ("/resources/exact/0/v1/1", json!("\0"), "limit `\\0`"),
        ("/resources/exact/0/v2/0", json!("a/b"), "names `a/b`"),
        ("/resources/exact/0/v2/1", json!("\0"), "limit `\\0`"),
    ]
}

fn of_security() -> Vec<Row> {
    let capability = "`X` is not a capability";
    let row = |name: &str, value, wanted| -> Row {
        let pointer: &'static str = Box::leak(format!("/security/{name}").into_boxed_str());
        (pointer, value, wanted)
    };
    let call = "seccomp/profile/syscalls/0";
    let attribute = |name: &str, value, wanted| {
        let name = format!("exact/attributes/{name}");
        row(&name, value, wanted)
    };
    let of_call = |name: &str, value, wanted| row(&format!("{call}/{name}"), value, wanted);
    let nodes = "memory policy `MPOL_BIND a`";
    let period = "SCHED_DEADLINE 6000";
    vec![
        row("privileged", json!(true), "privileged"),
        row("capabilities/0", json!("X"), capability),
        row("seccomp/profile/defaultAction", json!("x"), WORD),
        of_call("action", json!("x"), WORD),
        of_call("errnoRet", json!(4096), "4096"),
        of_call("args/0/index", json!(6), "6"),
        of_call("args/0/value", json!(-1), "-1"),
        of_call("args/0/valueTwo", json!(-1), "-1"),
        of_call("args/0/op", json!("x"), WORD),
        row("exact/capabilities/bounding/0", json!("X"), capability),
        row("exact/capabilities/permitted/0", json!("X"), capability),
        row("exact/capabilities/effective/0", json!("X"), capability),
        row("exact/capabilities/inheritable/0", json!("X"), capability),
        row("exact/capabilities/ambient/0", json!("X"), capability),
        row("exact/hidden/0", json!("h"), "hidden path `h`"),
        row("exact/protected/0", json!("p"), "protected path `p`"),
        row("exact/umask", json!(512), "umask 512"),
        row("exact/nodes/0/path", json!("/dev/../x"), "`/dev/../x`"),
        row("exact/nodes/0/kind", json!("x"), WORD),
        row("exact/nodes/0/major", json!(4096), "major number 4096"),
        row("exact/nodes/0/minor", json!(1 << 20), "number 1048576"),
        row("exact/nodes/0/mode", json!(4096), "device mode 4096"),
        row("exact/root_propagation", json!("x"), WORD),
        attribute("personality", json!("x"), WORD),
        attribute("scheduler/policy", json!("x"), WORD),
        attribute("scheduler/nice", json!(20), "nice value 20"),
        attribute("scheduler/priority", json!(1), "real-time priority 1"),
        attribute("scheduler/flags/0", json!("x"), WORD),
        attribute("scheduler/runtime", json!(6001), "SCHED_DEADLINE 6001"),
        attribute("scheduler/deadline", json!(7001), "SCHED_DEADLINE 7001"),
        attribute("scheduler/period", json!(5999), period),
        attribute("io_priority/class", json!("x"), WORD),
        attribute("io_priority/priority", json!(8), "I/O priority 8"),
        attribute("memory_policy/mode", json!("x"), WORD),
        attribute("memory_policy/nodes", json!("a"), nodes),
        attribute("memory_policy/flags/0", json!("x"), WORD),
    ]
}

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
