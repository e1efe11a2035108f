//! Limits of memory, processors and processes, and how they fit together.

use super::values::Checks;
use crate::{diagnostic::Code, yaml::Node};

/// Bounds of `cpu.cfs_period_us` in the kernel, in microseconds.
const CPU_PERIOD: std::ops::RangeInclusive<i64> = 1_000..=1_000_000;
/// Least `cpu.cfs_quota_us` in the kernel, in microseconds.
const CPU_QUOTA_MIN: i64 = 1_000;

/// Checks the limits of one service.
pub(super) fn check(checks: &mut Checks<'_>, service: &Node) {
    memory(checks, service);
    processors(checks, service);
    if let Some(node) = service.get("pids_limit")
        && node.as_int().is_some_and(|count| count < -1)
    {
        let what = "must be a number of processes, or -1 for no limit";
        checks.refuse(Code::BadQuantity, "pids_limit", node.span, what);
    }
    if let Some(node) = service
        .get("blkio_config")
        .and_then(|blkio| blkio.get("weight"))
        && node
            .as_int()
            .is_some_and(|weight| weight != 0 && !(10..=1000).contains(&weight))
    {
        let what = "must be from 10 to 1000";
        checks.refuse(Code::BadQuantity, "blkio_config.weight", node.span, what);
    }
}

fn memory(checks: &mut Checks<'_>, service: &Node) {
    let bytes = |key: &str| {
        let node = service.get(key)?;
        Some((node.as_text()?.parse::<i64>().ok()?, node.span))
    };
    for key in ["mem_limit", "mem_reservation", "shm_size"] {
        if let Some((size, span)) = bytes(key)
            && size < 0
        {
            checks.refuse(Code::BadQuantity, key, span, "must not be negative");
        }
    }
    let limit = bytes("mem_limit").filter(|(size, _)| *size > 0);
    if let (Some((limit, place)), Some((reservation, span))) = (limit, bytes("mem_reservation"))
        && reservation > limit
    {
        let what = "is larger than the limit";
        checks.refuse_beside(
            Code::BadQuantity,
            "mem_reservation",
            span,
            what,
            (place, "the limit"),
        );
    }
    match (bytes("memswap_limit"), limit) {
        (Some((swap, span)), _) if swap < -1 => {
            let what = "must be a size, or -1 for no limit";
            checks.refuse(Code::BadQuantity, "memswap_limit", span, what);
        }
        (Some((swap, span)), Some((limit, place))) if swap > 0 && swap < limit => {
            let what = "counts memory and swap together, and is smaller than the memory alone";
            checks.refuse_beside(
                Code::BadQuantity,
                "memswap_limit",
                span,
                what,
                (place, "the memory"),
            );
        }
        _ => {}
    }
}

fn processors(checks: &mut Checks<'_>, service: &Node) {
    if let Some(node) = service.get("cpus")
        && node.as_float().is_some_and(|cpus| cpus < 0.0)
    {
        checks.refuse(Code::BadQuantity, "cpus", node.span, "must not be negative");
    }
    let number = |key: &str| {
        service
            .get(key)
            .and_then(|node| Some((node.as_int()?, node.span)))
    };
    if let Some((period, span)) = number("cpu_period")
        && period != 0
        && !CPU_PERIOD.contains(&period)
    {
        let what = "must be from 1000 to 1000000 microseconds";
        checks.refuse(Code::BadQuantity, "cpu_period", span, what);
    }
    if let Some((quota, span)) = number("cpu_quota")
        && !matches!(quota, -1 | 0)
        && quota < CPU_QUOTA_MIN
    {
        let what = "must be at least 1000 microseconds, or -1 for no limit";
        checks.refuse(Code::BadQuantity, "cpu_quota", span, what);
    }
    if let Some((shares, span)) = number("cpu_shares")
        && shares < 0
    {
        checks.refuse(
            Code::BadQuantity,
            "cpu_shares",
            span,
            "must not be negative",
        );
    }
    if let Some(node) = service.get("cpuset")
        && let Some(text) = node.as_text()
        && !text.is_empty()
        && !is_cpu_list(text)
    {
        let label = "processors are listed as `0-3,6`";
        let what = "is not a list of processors";
        checks.refuse_with(Code::BadValue, "cpuset", (node.span, label), what, &[]);
    }
}

/// `0-3,6`, as cpuset(7) has it.
fn is_cpu_list(text: &str) -> bool {
    text.split(',').all(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.trim().parse::<u32>(), last.trim().parse::<u32>()) {
            (Ok(first), Ok(last)) => first <= last,
            _ => false,
        }
    })
}
