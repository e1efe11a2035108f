//! Limits of a group: what is written where, in v1 and in v2.

use std::io;

use super::{Cgroup, CgroupError, control};
use crate::spec::Resources;

/// The CFS period where the spec names none, in microseconds; the kernel's default.
const PERIOD_US_DEFAULT: u64 = 100_000;

/// v1's file of real-time time.
const REAL_TIME: &str = "cpu.rt_runtime_us";

/// v1's bound of memory.
const MEMORY: &str = "memory.limit_in_bytes";

/// v1's bound of memory plus swap.
const MEMORY_AND_SWAP: &str = "memory.memsw.limit_in_bytes";

/// One value for one control file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// What it limits, for people.
    limit: &'static str,
    controller: &'static str,
    file: &'static str,
    value: String,
    /// Whether the user asked for it, so that doing without it must be told.
    explicit: bool,
    /// Whether v2 has nothing of the kind.
    only_v1: bool,
}

/// A value in the kernel's notation.
struct Value(String);

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self(value.to_string())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self(value)
    }
}

fn setting(
    limit: &'static str,
    controller: &'static str,
    file: &'static str,
    value: impl Into<Value>,
) -> Setting {
    Setting {
        limit,
        controller,
        file,
        value: value.into().0,
        explicit: true,
        only_v1: false,
    }
}

/// Sets every limit where its controller is; tells those that no controller of this host enforces.
pub(super) fn apply(
    cgroup: &Cgroup,
    resources: &Resources,
    warnings: &mut Vec<String>,
) -> Result<(), CgroupError> {
    let mut missing: Vec<(&str, String)> = Vec::new();
    let mut lacks = |setting: &Setting| {
        let why = if setting.only_v1 && cgroup.v1_directory(setting.controller).is_none() {
            "only version 1 of control groups has it".to_owned()
        } else {
            let controller = setting.controller;
            format!("this host's control groups have no `{controller}` controller for it")
        };
        if setting.explicit && missing.iter().all(|(limit, _)| *limit != setting.limit) {
            missing.push((setting.limit, why));
        }
    };
    // The two lists name the same limits; each one is set by the version that has its controller.
    let settings = v1(resources);
    for (position, setting) in settings.iter().enumerate() {
        match cgroup.v1_directory(setting.controller) {
            Some(directory) => {
                if setting.file == REAL_TIME {
                    lend_real_time(cgroup, directory, setting);
                }
                if !set_with(directory, setting, settings.get(position + 1))? {
                    lacks(setting);
                }
            }
            None if cgroup.v2_directory(setting.controller).is_some() && !setting.only_v1 => {}
            None => lacks(setting),
        }
    }
    for setting in v2(resources) {
        if cgroup.v1_directory(setting.controller).is_none()
            && let Some(directory) = cgroup.v2_directory(setting.controller)
            && !set(directory, &setting)?
        {
            lacks(&setting);
        }
    }
    warnings.extend(missing.into_iter().map(|(limit, why)| {
        // A key stands for itself.
        let article = if limit.starts_with('`') { "" } else { "the " };
        format!("{article}{limit} has no effect: {why}")
    }));
    Ok(())
}

/// A group can only give real-time time that the groups above it have, and new groups have none: they get the same share. What cannot be
/// lent is refused by the group itself, with an error that names it.
fn lend_real_time(cgroup: &Cgroup, directory: &std::path::Path, runtime: &Setting) {
    let period = |group: &std::path::Path| control::number(&group.join("cpu.rt_period_us"));
    let (Ok(wanted), Some(own_period)) = (runtime.value.parse::<u64>(), period(directory)) else {
        return;
    };
    let above = directory.ancestors().skip(1).take(cgroup.parents);
    for parent in above.collect::<Vec<_>>().into_iter().rev() {
        let share = u128::from(wanted) * u128::from(period(parent).unwrap_or(own_period));
        let share = share.div_ceil(u128::from(own_period.max(1)));
        let file = parent.join(runtime.file);
        if control::number(&file).is_some_and(|present| u128::from(present) < share) {
            drop(control::write(&file, &share.to_string()));
        }
    }
}

/// Writes one v1 setting. A group that has both bounds of memory refuses more memory than memory plus swap: then the one that is set next
/// goes first.
fn set_with(
    directory: &std::path::Path,
    setting: &Setting,
    next: Option<&Setting>,
) -> Result<bool, CgroupError> {
    let outcome = set(directory, setting);
    match next.filter(|next| setting.file == MEMORY && next.file == MEMORY_AND_SWAP) {
        Some(next) if outcome.is_err() && set(directory, next).is_ok() => set(directory, setting),
        _ => outcome,
    }
}

/// Writes one setting; false when the kernel does not have its file.
fn set(directory: &std::path::Path, setting: &Setting) -> Result<bool, CgroupError> {
    let unsupported = |error: &io::Error| {
        error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::EOPNOTSUPP)
    };
    match control::write(&directory.join(setting.file), &setting.value) {
        Ok(()) => Ok(true),
        Err(error) if unsupported(&error) => Ok(false),
        Err(source) => Err(CgroupError::Limit {
            limit: setting.limit,
            path: directory.to_owned(),
            value: setting.value.clone(),
            source,
        }),
    }
}

/// The v1 files, in an order that the kernel accepts for a new group: memory before memory plus swap, period before quota.
fn v1(resources: &Resources) -> Vec<Setting> {
    let mut settings = Vec::new();
    if let Some(bytes) = resources.memory_bytes {
        settings.push(setting("memory limit", "memory", MEMORY, bytes));
    }
    if let Some(total) = swap_total(resources) {
        let value = total.text("-1");
        settings.push(Setting {
            explicit: resources.memory_swap_bytes.is_some(),
            ..setting("swap limit", "memory", MEMORY_AND_SWAP, value)
        });
    }
    if let Some(bytes) = resources.memory_reservation_bytes {
        settings.push(setting(
            "memory reservation",
            "memory",
            "memory.soft_limit_in_bytes",
            bytes,
        ));
    }
    if let Some((quota, period)) = cpu_quota(resources) {
        settings.push(setting("CPU limit", "cpu", "cpu.cfs_period_us", period));
        settings.push(setting(
            "CPU limit",
            "cpu",
            "cpu.cfs_quota_us",
            quota.text("-1"),
        ));
    }
    if let Some(shares) = resources.cpu_shares {
        settings.push(setting("CPU shares", "cpu", "cpu.shares", shares));
    }
    if let Some(cpus) = &resources.cpuset_cpus {
        settings.push(setting("CPU set", "cpuset", "cpuset.cpus", cpus.clone()));
    }
    if let Some(pids) = resources.pids {
        settings.push(setting(
            "process limit",
            "pids",
            "pids.max",
            Ceiling::of(pids).text("max"),
        ));
    }
    let node = |value: &String| setting("memory nodes", "cpuset", "cpuset.mems", value.clone());
    settings.extend(resources.cpuset_mems.as_ref().map(node));
    let only_v1 = |limit, controller, file, value: u64| Setting {
        only_v1: true,
        ..setting(limit, controller, file, value)
    };
    let Resources {
        memory_swappiness: swappiness,
        oom_kill_disable,
        cpu_rt_period_us: period,
        cpu_rt_runtime_us: runtime,
        ..
    } = resources;
    let others = [
        (*swappiness).map(|v| only_v1("swappiness", "memory", "memory.swappiness", v)),
        oom_kill_disable.then(|| only_v1("`oom_kill_disable`", "memory", "memory.oom_control", 1)),
        (*period).map(|v| only_v1("real-time period", "cpu", "cpu.rt_period_us", v)),
        (*runtime).map(|v| only_v1("real-time limit", "cpu", REAL_TIME, v)),
    ];
    settings.extend(others.into_iter().flatten());
    settings
}

/// The v2 files. The swap limit counts swap alone there.
fn v2(resources: &Resources) -> Vec<Setting> {
    let mut settings = Vec::new();
    if let Some(bytes) = resources.memory_bytes {
        settings.push(setting("memory limit", "memory", "memory.max", bytes));
    }
    if let Some(total) = swap_total(resources) {
        let memory = resources.memory_bytes.unwrap_or(0);
        let swap = match total {
            Ceiling::At(bytes) => Ceiling::At(bytes.saturating_sub(memory)),
            Ceiling::Unlimited => Ceiling::Unlimited,
        };
        let value = swap.text("max");
        settings.push(Setting {
            explicit: resources.memory_swap_bytes.is_some(),
            ..setting("swap limit", "memory", "memory.swap.max", value)
        });
    }
    if let Some(bytes) = resources.memory_reservation_bytes {
        settings.push(setting("memory reservation", "memory", "memory.low", bytes));
    }
    if let Some((quota, period)) = cpu_quota(resources) {
        settings.push(setting(
            "CPU limit",
            "cpu",
            "cpu.max",
            format!("{} {period}", quota.text("max")),
        ));
    }
    if let Some(shares) = resources.cpu_shares {
        settings.push(setting("CPU shares", "cpu", "cpu.weight", weight(shares)));
    }
    if let Some(cpus) = &resources.cpuset_cpus {
        settings.push(setting("CPU set", "cpuset", "cpuset.cpus", cpus.clone()));
    }
    if let Some(pids) = resources.pids {
        settings.push(setting(
            "process limit",
            "pids",
            "pids.max",
            Ceiling::of(pids).text("max"),
        ));
    }
    let node = |value: &String| setting("memory nodes", "cpuset", "cpuset.mems", value.clone());
    settings.extend(resources.cpuset_mems.as_ref().map(node));
    settings
}

/// A limit, or the wish that there be none.
#[derive(Debug, Clone, Copy)]
enum Ceiling {
    At(u64),
    Unlimited,
}

impl Ceiling {
    /// Negative numbers mean "unlimited" in a spec.
    fn of(value: i64) -> Ceiling {
        u64::try_from(value).map_or(Ceiling::Unlimited, Ceiling::At)
    }

    /// The number, or the control file's word for no limit.
    fn text(self, unlimited: &str) -> String {
        match self {
            Ceiling::At(value) => value.to_string(),
            Ceiling::Unlimited => unlimited.to_owned(),
        }
    }
}

/// Memory plus swap; `None` = not to be set.
fn swap_total(resources: &Resources) -> Option<Ceiling> {
    match (resources.memory_swap_bytes, resources.memory_bytes) {
        (Some(bytes), _) => Some(Ceiling::of(bytes)),
        (None, Some(memory)) => Some(Ceiling::At(memory.saturating_mul(2))),
        (None, None) => None,
    }
}

/// Quota and period; `None` = not to be set.
fn cpu_quota(resources: &Resources) -> Option<(Ceiling, u64)> {
    let period = resources.cpu_period_us.unwrap_or(PERIOD_US_DEFAULT);
    match (resources.cpu_quota_us, resources.cpu_period_us) {
        (Some(quota), _) => Some((Ceiling::of(quota), period)),
        (None, Some(_)) => Some((Ceiling::Unlimited, period)),
        (None, None) => None,
    }
}

/// v1 shares (2 to 262144) as a v2 weight (1 to 10000), by the kernel's recommended linear map.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

#[cfg(test)]
mod tests;
