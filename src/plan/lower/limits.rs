//! Limits: control group, rlimits, log.

use compose_spec::model::{Resources as Wanted, Service};
use runtime::spec::{CgroupPlace, LogPlace, Resources, Rlimit};

use super::{
    LowerInput, block_io,
    error::{Checks, Refusal},
};

/// Rotate logs at this size.
const LOG_FILE_BYTES: u64 = 20 << 20;
/// Log files kept, the current one included.
const LOG_FILES: u32 = 5;
/// Docker's lower bound of a memory limit.
const MEMORY_BYTES_MIN: u64 = 6 << 20;
/// The kernel's default CFS period.
const PERIOD_US: u64 = 100_000;

/// getrlimit(2) without `RLIMIT_`.
const RLIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Lowers the control group limits, checked as Docker checks them.
pub(super) fn resources(input: &LowerInput<'_>, checks: &mut Checks<'_>) -> Resources {
    let wanted = &input.new.service.resources;
    let (cpu_quota_us, cpu_period_us) = cpu(wanted, input.host.cpus, checks);
    memory(wanted, checks);
    if let Some(shares) = wanted.cpu_shares
        && shares != 0
        && !(2..=262_144).contains(&shares)
    {
        checks.invalid("cpu_shares", "weight", shares.to_string(), "2 to 262144");
    }
    if let Some(set) = &wanted.cpuset
        && !is_cpu_list(set)
    {
        checks.invalid(
            "cpuset",
            "list of CPUs",
            set,
            "numbers and ranges, as in `0-2,4`",
        );
    }
    if let Some(pids) = wanted.pids
        && pids < -1
    {
        checks.invalid("pids_limit", "number", pids.to_string(), "-1 or more");
    }
    Resources {
        memory_bytes: wanted.memory_bytes.filter(|bytes| *bytes != 0),
        memory_swap_bytes: wanted.memory_swap_bytes.filter(|bytes| *bytes != 0),
        memory_reservation_bytes: wanted.memory_reservation_bytes.filter(|bytes| *bytes != 0),
        cpu_quota_us,
        cpu_period_us,
        cpu_shares: wanted.cpu_shares.filter(|shares| *shares != 0),
        cpuset_cpus: wanted.cpuset.clone().filter(|set| !set.is_empty()),
        // 0 is "no limit" to Docker.
        pids: wanted.pids.map(|pids| if pids == 0 { -1 } else { pids }),
        cpuset_mems: None,
        memory_swappiness: swappiness(wanted, checks),
        oom_kill_disable: wanted.oom_kill_disable,
        cpu_rt_runtime_us: real_time(wanted, checks),
        cpu_rt_period_us: wanted.cpu_rt_period_us.filter(|period| *period != 0),
        block_io: block_io::lower(wanted, checks),
        exact: Vec::new(),
    }
}

fn cpu(wanted: &Wanted, cpus: u32, checks: &mut Checks<'_>) -> (Option<i64>, Option<u64>) {
    let quota = wanted.cpu_quota_us.filter(|quota| *quota != 0);
    let period = wanted.cpu_period_us.filter(|period| *period != 0);
    if let Some(period) = period
        && !(1_000..=1_000_000).contains(&period)
    {
        checks.invalid(
            "cpu_period",
            "period",
            period.to_string(),
            "1000 to 1000000 microseconds",
        );
    }
    if let Some(quota) = quota
        && (quota < -1 || (0..1_000).contains(&quota))
    {
        checks.invalid(
            "cpu_quota",
            "quota",
            quota.to_string(),
            "-1, or 1000 microseconds or more",
        );
    }
    let Some(nanos) = wanted.cpu_nanos.filter(|nanos| *nanos != 0) else {
        return (quota, period);
    };
    if quota.is_some() || period.is_some() {
        checks.conflict("cpus", "`cpus`", "`cpu_quota` and `cpu_period`");
    }
    if nanos > u64::from(cpus) * 1_000_000_000 {
        checks.warn(format!(
            "the CPU limit is higher than the {cpus} CPUs of this host"
        ));
    }
    let quota = (u128::from(nanos) * u128::from(PERIOD_US) / 1_000_000_000).max(1_000);
    (
        Some(i64::try_from(quota).unwrap_or(i64::MAX)),
        Some(PERIOD_US),
    )
}

fn swappiness(wanted: &Wanted, checks: &mut Checks<'_>) -> Option<u64> {
    let value = wanted.memory_swappiness?;
    if value > 100 {
        checks.invalid("mem_swappiness", "number", value.to_string(), "0 to 100");
        return None;
    }
    Some(u64::from(value))
}

fn real_time(wanted: &Wanted, checks: &mut Checks<'_>) -> Option<u64> {
    let value = wanted.cpu_rt_runtime_us.filter(|value| *value != 0)?;
    let most = wanted.cpu_rt_period_us.filter(|period| *period != 0);
    let runtime = u64::try_from(value).ok();
    let Some(runtime) = runtime.filter(|runtime| most.is_none_or(|most| *runtime <= most)) else {
        let reason = "0 or more microseconds, and not more than `cpu_rt_period`";
        checks.invalid("cpu_rt_runtime", "time", value.to_string(), reason);
        return None;
    };
    Some(runtime)
}

fn memory(wanted: &Wanted, checks: &mut Checks<'_>) {
    let limit = wanted.memory_bytes.filter(|bytes| *bytes != 0);
    if let Some(bytes) = limit
        && bytes < MEMORY_BYTES_MIN
    {
        checks.invalid("mem_limit", "size", bytes.to_string(), "at least 6 MiB");
    }
    match (limit, wanted.memory_swap_bytes.filter(|bytes| *bytes != 0)) {
        (_, None | Some(-1)) => {}
        (None, Some(swap)) => {
            checks.invalid(
                "memswap_limit",
                "size",
                swap.to_string(),
                "it needs `mem_limit`",
            );
        }
        (Some(limit), Some(swap)) => {
            if u64::try_from(swap).is_ok_and(|swap| swap >= limit) {
                // The total holds memory and swap.
            } else {
                checks.invalid(
                    "memswap_limit",
                    "size",
                    swap.to_string(),
                    "it must not be less than `mem_limit`: it is memory plus swap",
                );
            }
        }
    }
    if let (Some(limit), Some(reservation)) = (limit, wanted.memory_reservation_bytes)
        && reservation > limit
    {
        checks.invalid(
            "mem_reservation",
            "size",
            reservation.to_string(),
            "it must not be more than `mem_limit`",
        );
    }
}

fn is_cpu_list(text: &str) -> bool {
    text.split(',').all(|item| {
        let mut bounds = item.trim().splitn(2, '-').map(str::parse::<u32>);
        match (bounds.next(), bounds.next()) {
            (Some(Ok(_)), None) => true,
            (Some(Ok(first)), Some(Ok(last))) => first <= last,
            _ => false,
        }
    })
}

/// Returns the place of the control group: `stack/<project>/<id>`, or below `cgroup_parent`.
pub(super) fn cgroup(input: &LowerInput<'_>, checks: &mut Checks<'_>) -> CgroupPlace {
    let own = format!("{}/{}", input.places.cgroup_parent, input.project.name);
    let parent = match &input.new.service.cgroup_parent {
        None => own,
        Some(parent) => {
            let relative = parent.trim_matches('/');
            let is_name = |part: &str| {
                let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
                !matches!(part, "" | "." | "..") && part.chars().all(is_letter)
            };
            let clean = relative.split('/').all(is_name);
            if !clean {
                checks.invalid(
                    "cgroup_parent",
                    "path",
                    parent,
                    "names of letters, digits, `_`, `.` and `-` between slashes",
                );
            }
            relative.to_owned()
        }
    };
    CgroupPlace {
        parent,
        name: input.id.as_str().to_owned(),
    }
}

/// Lowers `oom_score_adj`.
pub(super) fn oom_score_adj(service: &Service, checks: &mut Checks<'_>) -> Option<i32> {
    let value = service.oom_score_adj?;
    if !(-1000..=1000).contains(&value) {
        checks.invalid("oom_score_adj", "score", value.to_string(), "-1000 to 1000");
    }
    Some(value)
}

/// Lowers `ulimits`.
pub(super) fn rlimits(service: &Service, checks: &mut Checks<'_>) -> Vec<Rlimit> {
    let mut result = Vec::new();
    for (name, limit) in &service.ulimits {
        let path = format!("ulimits.{name}");
        if !RLIMITS.contains(&name.as_str()) {
            checks.refuse(
                path,
                Refusal::Unknown {
                    kind: "resource limit",
                    name: name.clone(),
                },
            );
            continue;
        }
        let (Some(soft), Some(hard)) = (bound(limit.soft), bound(limit.hard)) else {
            let text = format!("soft {}, hard {}", limit.soft, limit.hard);
            checks.invalid(path, "limit", text, "-1 or more");
            continue;
        };
        if soft > hard {
            checks.invalid(
                path,
                "limit",
                format!("soft {}, hard {}", limit.soft, limit.hard),
                "the soft limit must not be higher than the hard one",
            );
            continue;
        }
        result.push(Rlimit {
            name: name.clone(),
            soft,
            hard,
        });
    }
    result
}

/// -1 is "unlimited".
fn bound(value: i64) -> Option<u64> {
    match value {
        -1 => Some(u64::MAX),
        value => u64::try_from(value).ok(),
    }
}

/// Lowers `logging`. Without limits in the file ours hold: Docker's unbounded default fills disks.
pub(super) fn log(input: &LowerInput<'_>, checks: &mut Checks<'_>) -> LogPlace {
    let logging = &input.new.service.logging;
    let mut place = LogPlace {
        dir: Some(input.places.log.clone()),
        file_bytes_max: LOG_FILE_BYTES,
        files_max: LOG_FILES,
    };
    match logging.driver.as_deref() {
        None | Some("json-file" | "local" | "") => {}
        Some("none") => place.dir = None,
        Some(other) => {
            checks.unsupported("logging.driver", format!("log driver `{other}`"));
            return place;
        }
    }
    for (name, value) in &logging.options {
        let path = format!("logging.options.{name}");
        match name.as_str() {
            "max-size" => match size(value) {
                Some(bytes) if bytes > 0 => place.file_bytes_max = bytes,
                _ => checks.invalid(path, "size", value, "a number with k, m or g, or -1"),
            },
            "max-file" => match value.parse::<u32>() {
                Ok(files) if files > 0 => place.files_max = files,
                _ => checks.invalid(path, "number", value, "1 or more"),
            },
            "compress" | "labels" | "labels-regex" | "env" | "env-regex" | "tag" | "mode"
            | "max-buffer-size" => {
                checks.warn(format!("`logging.options.{name}` has no effect"));
            }
            _ => checks.refuse(
                path,
                Refusal::Unknown {
                    kind: "log option",
                    name: name.clone(),
                },
            ),
        }
    }
    place
}

/// Reads `10m`, `1g`, `512kb`, `4096`; -1 = no limit. Units are binary, as Docker's.
fn size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    if lower == "-1" {
        return Some(u64::MAX);
    }
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &lower[digits.len()..] {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    let number = digits.trim().parse::<u64>().ok()?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
}
