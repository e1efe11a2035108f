//! The table of misuse: one row for each field.

use serde_json::{Value, json};

/// A field, a value that it must not have, and what the refusal says.
type Row = (&'static str, Value, &'static str);

/// What serde says of a word that is none of an enumeration's.
const WORD: &str = "unknown variant `x`";

/// Returns the whole table.
pub(super) fn rows() -> Vec<Row> {
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
        ("/hooks/0/at", json!("x"), WORD),
        ("/hooks/0/path", json!("h"), "hook `h`"),
        ("/hooks/0/args/0", json!("\0"), "argument of a hook"),
        ("/hooks/0/env/0", json!("\0"), "variable of a hook"),
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
