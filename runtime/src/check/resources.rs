//! Judges limits, devices and user maps.

use super::{CheckError, absolute, no_nul};
use crate::spec::{ContainerSpec, Device, IdRange, Resources, UserMap};

/// Judges numbers whose range the kernel knows.
pub(super) fn check(resources: &Resources) -> Result<(), CheckError> {
    let range = |what, value: u64, (least, most): (u64, u64), range| {
        if (least..=most).contains(&value) {
            Ok(())
        } else {
            Err(CheckError::Range { what, value, range })
        }
    };
    let weight = |weight: u16| range("block I/O weight", weight.into(), (10, 1000), "10 to 1000");
    let io = &resources.block_io;
    if let Some(default) = io.weight {
        weight(default)?;
    }
    for one in &io.weights {
        absolute("block device", &one.device)?;
        weight(one.weight)?;
    }
    for throttle in &io.throttles {
        absolute("block device", &throttle.device)?;
        range("block I/O limit", throttle.rate, (1, u64::MAX), "1 or more")?;
    }
    for (what, amount) in [
        ("memory plus swap", resources.memory_swap_bytes),
        ("CPU quota", resources.cpu_quota_us),
        ("process limit", resources.pids),
    ] {
        if let Some(value) = amount.filter(|value| *value < -1) {
            return Err(CheckError::Negative { what, value });
        }
    }
    for (what, list) in [
        ("CPU set", &resources.cpuset_cpus),
        ("set of memory nodes", &resources.cpuset_mems),
    ] {
        if let Some(list) = list.as_ref().filter(|list| !is_list(list)) {
            return Err(CheckError::List {
                what,
                list: list.escape_debug().to_string(),
            });
        }
    }
    if let Some(swappiness) = resources.memory_swappiness {
        range("swappiness", swappiness, (0, 100), "0 to 100")?;
    }
    if let Some(shares) = resources.cpu_shares {
        range("CPU shares", shares, (2, 262_144), "2 to 262144")?;
    }
    if let Some(period) = resources.cpu_period_us {
        let most = 1_000_000;
        range("CPU period", period, (1000, most), "1000 to 1000000")?;
    }
    if let (Some(runtime), Some(period)) = (resources.cpu_rt_runtime_us, resources.cpu_rt_period_us)
    {
        range("real-time limit", runtime, (0, period), "within its period")?;
    }
    Ok(())
}

/// Tells whether a text is a list of numbers and ranges, as cpuset(7) takes them.
fn is_list(text: &str) -> bool {
    let number = |text: &str| {
        let text = text.trim();
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u32>().ok()).flatten()
    };
    text.split(',').all(|part| match part.split_once('-') {
        // The kernel takes `0-6:2/3` too: two of each three.
        Some((first, rest)) => {
            let last = rest.split([':', '/']).map(number).collect::<Vec<_>>();
            matches!(last.len(), 1 | 3)
                && last.iter().all(Option::is_some)
                && number(first).is_some_and(|first| Some(first) <= last[0])
        }
        None => number(part).is_some(),
    })
}

/// Judges devices.
pub(super) fn check_devices(devices: &[Device]) -> Result<(), CheckError> {
    for device in devices {
        absolute("device", &device.source)?;
        absolute("device target", &device.target)?;
        let target = super::plain_path(&device.target);
        if target == "/" || target == "/dev" && !device.source.ends_with("dev") {
            return Err(CheckError::MountOnRoot(device.target.clone()));
        }
        if target == "/proc" || target.starts_with("/proc/") {
            return Err(CheckError::MountInProc(device.target.clone()));
        }
        let access = device.access;
        if !access.read && !access.write && !access.make {
            let device = device.source.display().to_string();
            return Err(CheckError::DeviceAccess(device));
        }
    }
    Ok(())
}

/// Judges hooks.
pub(super) fn check_hooks(spec: &ContainerSpec) -> Result<(), CheckError> {
    for hook in &spec.hooks {
        absolute("hook", &hook.path)?;
        for text in &hook.args {
            no_nul("argument of a hook", text)?;
        }
        for entry in &hook.env {
            no_nul("variable of a hook", entry)?;
        }
    }
    Ok(())
}

/// Judges a map of users.
pub(super) fn check_users(spec: &ContainerSpec) -> Result<(), CheckError> {
    let Some(UserMap { uids, gids }) = &spec.users else {
        return Ok(());
    };
    if spec.security.privileged {
        return Err(CheckError::PrivilegedUsers);
    }
    for (what, ranges) in [("user", uids), ("group", gids)] {
        if let Err(reason) = check_ranges(ranges) {
            let line =
                |range: &IdRange| format!("{} {} {}", range.inside, range.outside, range.count);
            let map = ranges.iter().map(line).collect::<Vec<_>>().join(", ");
            return Err(CheckError::Users { what, map, reason });
        }
    }
    Ok(())
}

fn check_ranges(ranges: &[IdRange]) -> Result<(), &'static str> {
    if ranges.len() > UserMap::RANGES_MAX {
        return Err("has more than 340 ranges");
    }
    for (position, range) in ranges.iter().enumerate() {
        let end = |first: u32| first.checked_add(range.count);
        if range.count == 0 {
            return Err("has an empty range");
        }
        // The largest id means "leave it as it is" to the kernel.
        if end(range.inside).is_none() || end(range.outside).is_none() {
            return Err("has ids above 4294967294");
        }
        let overlaps = |first: u32, other: u32, count: u32| {
            first < other.saturating_add(count) && other < first.saturating_add(range.count)
        };
        let is_double = ranges[..position].iter().any(|other| {
            overlaps(range.inside, other.inside, other.count)
                || overlaps(range.outside, other.outside, other.count)
        });
        if is_double {
            return Err("has ids twice");
        }
    }
    if ranges.iter().all(|range| range.inside != 0) {
        return Err("does not have id 0");
    }
    Ok(())
}
