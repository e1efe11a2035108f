use compose_spec::model::{Logging, Resources as Wanted, Ulimit};
use runtime::spec::Rlimit;

use super::*;
use crate::plan::tests::fixture::{With, service};

#[test]
fn cpus_become_a_quota_and_zero_means_no_limit() {
    let spec = lowered(
        service("web").with(|service| {
            service.resources = Wanted {
                cpu_nanos: Some(1_500_000_000),
                memory_bytes: Some(64 << 20),
                memory_swap_bytes: Some(-1),
                memory_reservation_bytes: Some(0),
                pids: Some(0),
                cpuset: Some("0-1".to_owned()),
                ..Wanted::default()
            };
        }),
        &plain_image(),
    )
    .record
    .spec;
    assert_eq!(spec.resources.cpu_quota_us, Some(150_000));
    assert_eq!(spec.resources.cpu_period_us, Some(100_000));
    assert_eq!(spec.resources.memory_bytes, Some(64 << 20));
    assert_eq!(spec.resources.memory_swap_bytes, Some(-1));
    assert_eq!(spec.resources.memory_reservation_bytes, None);
    assert_eq!(spec.resources.pids, Some(-1));
    assert_eq!(spec.cgroup.parent, "stack/shop");
    assert_eq!(spec.cgroup.name, id().as_str());
}

#[test]
fn more_cpus_than_the_host_has_is_a_warning() {
    let service = service("web").with(|service| service.resources.cpu_nanos = Some(4_000_000_000));
    let result = lowered(service, &plain_image());
    assert_eq!(result.record.spec.resources.cpu_quota_us, Some(400_000));
    assert_eq!(
        result.warnings,
        ["service `web`: the CPU limit is higher than the 2 CPUs of this host"]
    );
}

#[test]
fn limits_that_make_no_sense_are_refused_with_their_place() {
    let service = service("web").with(|service| {
        service.resources = Wanted {
            cpu_nanos: Some(1),
            cpu_quota_us: Some(5),
            cpu_period_us: Some(5),
            cpu_shares: Some(1),
            cpuset: Some("3-1".to_owned()),
            memory_bytes: Some(1 << 20),
            memory_swap_bytes: Some(1),
            memory_reservation_bytes: Some(2 << 20),
            pids: Some(-2),
            ..Wanted::default()
        };
        service.oom_score_adj = Some(2000);
        service.cgroup_parent = Some("/a/../b".to_owned());
        for (name, soft, hard) in [
            ("nofile", 10, 5),
            ("fish", 1, 1),
            ("core", -2, 0),
            ("nproc", -1, 5),
        ] {
            service
                .ulimits
                .insert(name.to_owned(), Ulimit { soft, hard });
        }
    });
    insta::assert_snapshot!(refusals(service).join("\n"), @r"
    services.web.cgroup_parent: invalid path `/a/../b`: names of letters, digits, `_`, `.` and `-` between slashes
    services.web.cpu_period: invalid period `5`: 1000 to 1000000 microseconds
    services.web.cpu_quota: invalid quota `5`: -1, or 1000 microseconds or more
    services.web.cpus: `cpus` and `cpu_quota` and `cpu_period` exclude each other
    services.web.mem_limit: invalid size `1048576`: at least 6 MiB
    services.web.memswap_limit: invalid size `1`: it must not be less than `mem_limit`: it is memory plus swap
    services.web.mem_reservation: invalid size `2097152`: it must not be more than `mem_limit`
    services.web.cpu_shares: invalid weight `1`: 2 to 262144
    services.web.cpuset: invalid list of CPUs `3-1`: numbers and ranges, as in `0-2,4`
    services.web.pids_limit: invalid number `-2`: -1 or more
    services.web.ulimits.nofile: invalid limit `soft 10, hard 5`: the soft limit must not be higher than the hard one
    services.web.ulimits.fish: unknown resource limit `fish`
    services.web.ulimits.core: invalid limit `soft -2, hard 0`: -1 or more
    services.web.ulimits.nproc: invalid limit `soft -1, hard 5`: the soft limit must not be higher than the hard one
    services.web.oom_score_adj: invalid score `2000`: -1000 to 1000
    ");
}

#[test]
fn ulimits_of_minus_one_are_unlimited() {
    let service = service("web").with(|service| {
        service.ulimits.insert(
            "nofile".to_owned(),
            Ulimit {
                soft: 1024,
                hard: -1,
            },
        );
    });
    let expected = Rlimit {
        name: "nofile".to_owned(),
        soft: 1024,
        hard: u64::MAX,
    };
    assert_eq!(
        lowered(service, &plain_image()).record.spec.rlimits,
        [expected]
    );
}

fn log(driver: Option<&str>, options: &[(&str, &str)]) -> Service {
    service("web").with(|service| {
        service.logging = Logging {
            driver: driver.map(str::to_owned),
            options: options
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        };
    })
}

#[test]
fn logs_are_limited_unless_they_are_not_kept() {
    let place = |service| lowered(service, &plain_image()).record.spec.log;
    let default = place(log(None, &[]));
    assert_eq!((default.file_bytes_max, default.files_max), (20 << 20, 5));
    assert_eq!(default.dir, Some("/s/logs/web-1".into()));
    let own = place(log(
        Some("json-file"),
        &[("max-size", "10m"), ("max-file", "3")],
    ));
    assert_eq!((own.file_bytes_max, own.files_max), (10 << 20, 3));
    assert_eq!(
        place(log(Some("local"), &[("max-size", "-1")])).file_bytes_max,
        u64::MAX
    );
    assert_eq!(place(log(Some("none"), &[])).dir, None);
    let quiet = lowered(log(None, &[("tag", "x")]), &plain_image());
    assert_eq!(
        quiet.warnings,
        ["service `web`: `logging.options.tag` has no effect"]
    );
    let bad = log(
        None,
        &[("max-size", "huge"), ("max-file", "0"), ("maxsize", "1m")],
    );
    assert_eq!(
        refusals(bad),
        [
            "services.web.logging.options.max-size: invalid size `huge`: a number with k, m or g, or -1",
            "services.web.logging.options.max-file: invalid number `0`: 1 or more",
            "services.web.logging.options.maxsize: unknown log option `maxsize`",
        ]
    );
    assert_eq!(
        refusals(log(Some("syslog"), &[])),
        ["services.web.logging.driver: log driver `syslog` is not supported"]
    );
}
