//! What is written where.

use super::*;

fn lines(settings: &[Setting]) -> Vec<String> {
    settings
        .iter()
        .map(|setting| format!("{}={}", setting.file, setting.value))
        .collect()
}

#[test]
fn no_limits_write_nothing() {
    assert_eq!(v1(&Resources::default()), []);
    assert_eq!(v2(&Resources::default()), []);
}

#[test]
fn every_limit_has_its_file_in_both_versions() {
    let resources = Resources {
        memory_bytes: Some(1000),
        memory_swap_bytes: Some(1500),
        memory_reservation_bytes: Some(500),
        cpu_quota_us: Some(50_000),
        cpu_period_us: Some(200_000),
        cpu_shares: Some(1024),
        cpuset_cpus: Some("0-1".to_owned()),
        pids: Some(10),
        cpuset_mems: Some("0".to_owned()),
        memory_swappiness: Some(30),
        oom_kill_disable: true,
        cpu_rt_runtime_us: Some(900),
        cpu_rt_period_us: Some(9000),
        ..Resources::default()
    };
    assert_eq!(
        lines(&v1(&resources)),
        [
            "memory.limit_in_bytes=1000",
            "memory.memsw.limit_in_bytes=1500",
            "memory.soft_limit_in_bytes=500",
            "cpu.cfs_period_us=200000",
            "cpu.cfs_quota_us=50000",
            "cpu.shares=1024",
            "cpuset.cpus=0-1",
            "pids.max=10",
            "cpuset.mems=0",
            "memory.swappiness=30",
            "memory.oom_control=1",
            "cpu.rt_period_us=9000",
            "cpu.rt_runtime_us=900",
        ]
    );
    assert_eq!(
        lines(&v2(&resources)),
        [
            "memory.max=1000",
            "memory.swap.max=500",
            "memory.low=500",
            "cpu.max=50000 200000",
            "cpu.weight=39",
            "cpuset.cpus=0-1",
            "pids.max=10",
            "cpuset.mems=0",
        ]
    );
}

#[test]
fn unlimited_and_default_values() {
    let resources = Resources {
        memory_bytes: Some(1000),
        cpu_quota_us: Some(-1),
        pids: Some(-1),
        ..Resources::default()
    };
    assert_eq!(
        lines(&v1(&resources)),
        [
            "memory.limit_in_bytes=1000",
            "memory.memsw.limit_in_bytes=2000",
            "cpu.cfs_period_us=100000",
            "cpu.cfs_quota_us=-1",
            "pids.max=max",
        ]
    );
    let unlimited_swap = Resources {
        memory_swap_bytes: Some(-1),
        ..resources
    };
    assert_eq!(
        lines(&v2(&unlimited_swap)),
        [
            "memory.max=1000",
            "memory.swap.max=max",
            "cpu.max=max 100000",
            "pids.max=max",
        ]
    );
}

#[test]
fn shares_map_onto_the_whole_range_of_weights() {
    for (shares, expected) in [
        (0, 1),
        (2, 1),
        (1024, 39),
        (262_144, 10_000),
        (u64::MAX, 10_000),
    ] {
        assert_eq!(weight(shares), expected, "{shares}");
    }
}
