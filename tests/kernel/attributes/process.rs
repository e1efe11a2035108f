//! How a service's process runs: reaper, terminal, input, signals, names.

use std::time::{Duration, Instant};

use crate::support::{World, eventually};

use super::{limit, shell};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn init_reaps_and_a_terminal_is_one() {
    let world = World::new(
        r#"
services:
  reaped: { image: busybox, command: sleep 1000, init: true }
  alone: { image: busybox, command: sleep 1000, stop_grace_period: 0s }
  tty: { image: busybox, command: [ sh, -c, "test -t 0 && test -t 1 && echo terminal; exec sleep 1000" ], init: true, tty: true, stdin_open: true }
  pipe: { image: busybox, command: [ sh, -c, "test -t 1 || echo none; cat; echo ended; exec sleep 1000" ], init: true, stdin_open: true }
  closed: { image: busybox, command: [ sh, -c, "cat; echo ended; exec sleep 1000" ], init: true }
"#,
    );
    world.stack(&["up", "-d"]).ok();
    // With a reaper the program is not the first process.
    let first = "tr '\\0' ' ' < /proc/1/cmdline 2>/dev/null || cat /proc/1/cmdline";
    assert!(shell(&world, "alone", first).starts_with("sleep"));
    let orphan = "sh -c 'true &'; for p in /proc/[0-9]*; do grep -q '^State:.Z' $p/status 2>/dev/null && echo zombie; done; true";
    eventually("orphans are reaped", SOON, || {
        match shell(&world, "reaped", orphan) {
            text if text.is_empty() => Ok(()),
            text => Err(text),
        }
    });
    let children = format!("/proc/{0}/task/{0}/children", world.pids("reaped").0);
    eventually("the reaper has one child", SOON, || {
        let children = fs_err::read_to_string(&children).unwrap();
        match children.split_whitespace().count() {
            1 => Ok(()),
            _ => Err(children),
        }
    });
    for (service, wanted) in [
        ("tty", "terminal"),
        ("pipe", "none"),
        // Without stdin_open its input is at its end.
        ("closed", "ended"),
    ] {
        eventually(service, SOON, || {
            let logs = world
                .stack(&["logs", "--no-log-prefix", service])
                .ok()
                .stdout;
            match logs.trim() {
                text if text == wanted => Ok(()),
                text => Err(text.to_owned()),
            }
        });
    }
    world.finish();
}

#[test]
fn stops_are_by_the_signal_and_the_grace_that_were_asked_for() {
    let world = World::new(
        r#"
services:
  named: { image: busybox, command: [ sh, -c, "trap 'exit 41' USR1; trap '' TERM; while :; do sleep 0.05; done" ], stop_signal: SIGUSR1 }
  number: { image: busybox, command: [ sh, -c, "trap 'exit 42' INT; trap '' TERM; while :; do sleep 0.05; done" ], stop_signal: "2" }
  stubborn: { image: busybox, command: [ sh, -c, "trap '' TERM; while :; do sleep 0.05; done" ], stop_grace_period: 700ms }
"#,
    );
    world.stack(&["up", "-d"]).ok();
    let begun = Instant::now();
    world.stack(&["stop"]).ok();
    assert!(
        begun.elapsed() >= Duration::from_millis(700),
        "the grace was cut short"
    );
    for (service, code) in [("named", 41), ("number", 42), ("stubborn", 137)] {
        assert_eq!(world.row(service).unwrap()["ExitCode"], code, "{service}");
    }
    world.finish();
}

#[test]
fn names_hosts_and_interfaces_are_as_asked() {
    let world = World::new(
        r#"
services:
  app:
    image: busybox
    command: sleep 1000
    init: true
    user: "1000:0"
    working_dir: /made/for/it
    hostname: box
    domainname: example.test
    mac_address: "02:42:ac:11:00:07"
    extra_hosts: [ "one=192.0.2.1", "two:192.0.2.2" ]
    dns: [ 192.0.2.53 ]
    dns_search: [ corp.test ]
    dns_opt: [ "ndots:3" ]
    networks: { front: { interface_name: lan7, priority: 10 }, back: { gw_priority: 5 } }
networks: { front: , back: }
"#,
    );
    world.stack(&["up", "-d"]).ok();
    assert_eq!(
        shell(
            &world,
            "app",
            "hostname; cat /proc/sys/kernel/domainname; id -u; id -g; pwd"
        ),
        "box\nexample.test\n1000\n0\n/made/for/it"
    );
    let hosts = shell(&world, "app", "cat /etc/hosts");
    for line in ["192.0.2.1 one", "192.0.2.2 two"] {
        let words: Vec<&str> = line.split(' ').collect();
        assert!(
            hosts
                .lines()
                .any(|text| text.split_whitespace().collect::<Vec<_>>() == words),
            "{line}: {hosts}"
        );
    }
    let resolver = shell(&world, "app", "cat /etc/resolv.conf");
    for word in ["search corp.test", "ndots:3"] {
        assert!(resolver.contains(word), "{word}: {resolver}");
    }
    let links = shell(&world, "app", "ip -o link; ip route");
    assert!(
        links
            .lines()
            .any(|line| line.contains(" lan7") && line.contains("02:42:ac:11:00:07")),
        "{links}"
    );
    assert!(
        links
            .lines()
            .any(|line| line.starts_with("default") && !line.contains("lan7")),
        "{links}"
    );
    world.finish();
}

#[test]
fn what_only_one_hierarchy_has_acts_there_and_is_one_warning_elsewhere() {
    let world = World::new(
        r"
services:
  a:
    image: busybox
    command: sleep 1000
    init: true
    mem_limit: 32m
    mem_swappiness: 7
    cpu_quota: 20000
    cpu_period: 50000
    pids_limit: -1
    memswap_limit: -1
    blkio_config: { weight: 300 }
",
    );
    let up = world.stack(&["up", "-d"]).ok();
    let has = |path: &str| std::path::Path::new("/sys/fs/cgroup").join(path).exists();
    let of = |v1: (&str, &str), v2: &str| limit(&world, "a", v1, v2);
    let quota = of(("cpu", "cpu.cfs_quota_us"), "cpu.max");
    assert!(quota == "20000" || quota == "20000 50000", "{quota}");
    assert_eq!(of(("pids", "pids.max"), "pids.max"), "max");
    let swap = of(("memory", "memory.memsw.limit_in_bytes"), "memory.swap.max");
    assert!(swap == "max" || swap.len() > 15, "{swap}");
    let warnings = |word: &str| up.stderr.lines().filter(|line| line.contains(word)).count();
    if has("memory/memory.swappiness") {
        assert_eq!(of(("memory", "memory.swappiness"), ""), "7");
        assert_eq!(warnings("swappiness"), 0, "{up:?}");
    } else {
        assert_eq!(warnings("swappiness"), 1, "{up:?}");
    }
    // The root group has no weight of its own.
    let weights = ["blkio/stack/blkio.weight", "blkio/stack/blkio.bfq.weight"];
    if let Some(file) = weights.into_iter().find(|file| has(file)) {
        let name = file.rsplit('/').next().unwrap();
        assert_eq!(of(("blkio", name), ""), "300");
        assert_eq!(warnings("blkio"), 0, "{up:?}");
    } else if has("stack/io.bfq.weight") || has("stack/io.weight") {
        assert_eq!(warnings("blkio"), 0, "{up:?}");
    } else {
        assert_eq!(warnings("blkio"), 1, "{up:?}");
    }
    world.finish();
}
