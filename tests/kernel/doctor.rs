//! What `stack doctor` says of this host, against what the host does.

use std::{collections::BTreeMap, path::Path, process::Command};

use crate::support::World;

/// Findings by name: level and text.
fn findings(world: &World) -> BTreeMap<String, (String, String)> {
    let output = world.stack(&["doctor", "--format", "json"]);
    let all: Vec<serde_json::Value> = serde_json::from_str(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let finding = |one: &serde_json::Value| {
        let (level, found) = (text(&one["Status"]), text(&one["Found"]));
        (text(&one["Check"]), (level, found))
    };
    let found: BTreeMap<_, _> = all.iter().map(finding).collect();
    // Its exit code is its verdict.
    let is_missing = found.values().any(|(level, _)| level == "missing");
    assert_eq!(output.code, if is_missing { 8 } else { 0 }, "{found:#?}");
    found
}

/// Whether a shell command works here.
fn works(script: &str) -> bool {
    let mut command = Command::new("sh");
    let status = command
        .args(["-c", script])
        .stdout(std::process::Stdio::null());
    status
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap()
        .success()
}

#[test]
fn what_the_doctor_says_is_what_the_host_does() {
    let world = World::new("services: {}");
    let found = findings(&world);
    let is_ok = |name: &str| found[name].0 == "ok";
    // The network namespace is the test's own.
    for (name, script) in [
        (
            "bridge",
            "ip link add doc-br type bridge && ip link del doc-br",
        ),
        (
            "veth",
            "ip link add doc-a type veth peer name doc-b && ip link del doc-a",
        ),
        ("nf_tables", "nft list tables"),
        (
            "nft_masq",
            "nft add table ip doc && nft 'add chain ip doc x { type nat hook postrouting priority 100; }' && nft add rule ip doc x masquerade && nft delete table ip doc",
        ),
        ("user namespaces", "unshare --user true"),
        (
            "seccomp",
            "grep -qw errno /proc/sys/kernel/seccomp/actions_avail",
        ),
        (
            "overlay",
            "d=$(mktemp -d) && mount -t tmpfs t $d && mkdir $d/l $d/u $d/w $d/m && mount -t overlay o -o lowerdir=$d/l,upperdir=$d/u,workdir=$d/w $d/m; r=$?; umount -R $d; rmdir $d; exit $r",
        ),
    ] {
        assert_eq!(is_ok(name), works(script), "{name}: {:?}", found[name]);
    }
    assert_eq!(found["kernel"].1, running_release());
    controllers_are_those_of_the_mounts(&found);
    let limit = Command::new("sh")
        .args(["-c", "ulimit -Hn"])
        .output()
        .unwrap();
    let limit = String::from_utf8(limit.stdout).unwrap();
    assert!(
        found["open files"].1.contains(limit.trim()),
        "{:?}",
        found["open files"]
    );
    let can_raise = works("ulimit -Hn $(($(ulimit -Hn) + 1))");
    let lacks = found["privileges"].1.contains("SYS_RESOURCE");
    assert_eq!(lacks, !can_raise, "{:?}", found["privileges"]);
    world.finish();
}

fn running_release() -> String {
    let release = fs_err::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    release.trim().to_owned()
}

fn controllers_are_those_of_the_mounts(found: &BTreeMap<String, (String, String)>) {
    let mounts = fs_err::read_to_string("/proc/thread-self/mounts").unwrap();
    let of = |kind: &str| {
        mounts
            .lines()
            .any(|line| line.split(' ').nth(2) == Some(kind))
    };
    let words = match (of("cgroup"), of("cgroup2")) {
        (true, true) => "hybrid",
        (true, false) => "v1",
        (false, true) => "v2",
        (false, false) => "not mounted",
    };
    assert!(
        found["cgroups"].1.starts_with(words),
        "{:?}",
        found["cgroups"]
    );
    for name in ["cpu", "cpuset", "io", "memory", "pids"] {
        let v1 = if name == "io" { "blkio" } else { name };
        let has_v1 = mounts.lines().any(|line| {
            let mut words = line.split(' ');
            let (kind, options) = (words.nth(2), words.next().unwrap_or_default());
            kind == Some("cgroup") && options.split(',').any(|option| option == v1)
        });
        let top = Path::new("/sys/fs/cgroup");
        let has_v2 = [
            top.join("cgroup.controllers"),
            top.join("unified/cgroup.controllers"),
        ]
        .iter()
        .filter_map(|file| fs_err::read_to_string(file).ok())
        .any(|text| text.split_whitespace().any(|word| word == name));
        let (level, text) = &found["controllers"];
        let listed = text
            .trim_start_matches("no ")
            .split(", ")
            .any(|word| word == name);
        assert_eq!(
            listed == (level == "ok"),
            has_v1 || has_v2,
            "{name}: {text}"
        );
    }
}
