//! Judges what is described to the letter: capability sets, nodes, mounts, limits, attributes of the process.

use super::{CheckError, absolute, check_capabilities, no_nul, plain_path};
use crate::process::attributes::{name, node_mask};
use crate::rootfs::exact::flags;
use crate::spec::{
    Attributes, ExactLimit, ExactMount, ExactNode, ExactSecurity, ExactSource, MemoryFlag,
    MemoryMode, MemoryPolicy, Scheduler, SchedulerPolicy,
};

/// Least time that `SCHED_DEADLINE` takes: the kernel counts in units of 1024 ns (`DL_SCALE`).
const DEADLINE_RUNTIME_NS_MIN: u64 = 1 << 10;
/// Most that it takes: the highest bit is the kernel's.
const DEADLINE_NS_MAX: u64 = (1 << 63) - 1;

/// Judges confinement.
pub(super) fn check(security: &ExactSecurity) -> Result<(), CheckError> {
    let sets = &security.capabilities;
    for set in [
        &sets.bounding,
        &sets.permitted,
        &sets.effective,
        &sets.inheritable,
        &sets.ambient,
    ] {
        check_capabilities(set)?;
    }
    for path in &security.hidden {
        absolute("hidden path", path)?;
    }
    for path in &security.protected {
        absolute("protected path", path)?;
    }
    if let Some(umask) = security.umask {
        range("umask", umask.into(), (0, 0o777), "0 to 0777 (octal)")?;
    }
    security.nodes.iter().try_for_each(check_node)?;
    check_attributes(&security.attributes)
}

fn check_node(node: &ExactNode) -> Result<(), CheckError> {
    absolute("device", &node.path)?;
    let text = node.path.to_string_lossy();
    let plain = plain_path(&text);
    if text != plain || plain == "/" || plain == "/dev" {
        return Err(CheckError::Node(text.into_owned()));
    }
    if plain == "/proc" || plain.starts_with("/proc/") {
        return Err(CheckError::MountInProc(plain));
    }
    // 12 and 20 bits (linux/kdev_t.h).
    range("major number", node.major.into(), (0, 0xfff), "0 to 4095")?;
    range(
        "minor number",
        node.minor.into(),
        (0, 0xf_ffff),
        "0 to 1048575",
    )?;
    range(
        "device mode",
        node.mode.into(),
        (0, 0o7777),
        "0 to 07777 (octal)",
    )
}

/// Judges limits.
pub(super) fn check_limits(limits: &[ExactLimit]) -> Result<(), CheckError> {
    for of in limits {
        let ExactLimit { limit, v1, v2, .. } = of;
        is_file(limit, &of.controller)?;
        for (file, text) in [v1, v2].into_iter().flatten() {
            is_file(limit, file)?;
            no_nul("limit", text)?;
        }
    }
    Ok(())
}

fn is_file(limit: &str, file: &str) -> Result<(), CheckError> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !file.is_empty() && !file.starts_with('.') && file.chars().all(is_letter) {
        return Ok(());
    }
    Err(CheckError::ControlFile {
        limit: limit.to_owned(),
        file: file.escape_debug().to_string(),
    })
}

fn check_attributes(attributes: &Attributes) -> Result<(), CheckError> {
    if let Some(scheduler) = &attributes.scheduler {
        check_scheduler(scheduler)?;
    }
    if let Some(priority) = &attributes.io_priority {
        in_range("I/O priority", priority.priority, (0, 7), "0 to 7")?;
    }
    attributes
        .memory_policy
        .as_ref()
        .map_or(Ok(()), check_memory_policy)
}

fn check_scheduler(wanted: &Scheduler) -> Result<(), CheckError> {
    let Scheduler {
        policy,
        nice,
        priority,
        runtime_ns,
        deadline_ns,
        period_ns,
        ..
    } = wanted;
    in_range("nice value", *nice, (-20, 19), "-20 to 19")?;
    match policy {
        SchedulerPolicy::SchedFifo | SchedulerPolicy::SchedRr => {
            in_range("real-time priority", *priority, (1, 99), "1 to 99")?;
        }
        _ => in_range(
            "real-time priority",
            *priority,
            (0, 0),
            "0, as for every policy but SCHED_FIFO and SCHED_RR",
        )?,
    }
    let times = [*runtime_ns, *deadline_ns, *period_ns];
    if *policy != SchedulerPolicy::SchedDeadline {
        return match times.into_iter().find(|time| *time != 0) {
            None => Ok(()),
            Some(time) => range(
                "`runtime`, `deadline` or `period` of the scheduler",
                time,
                (0, 0),
                "for this policy, only for SCHED_DEADLINE",
            ),
        };
    }
    let least = DEADLINE_RUNTIME_NS_MIN;
    let period = if *period_ns == 0 {
        *deadline_ns
    } else {
        *period_ns
    };
    range(
        "`deadline` of SCHED_DEADLINE",
        *deadline_ns,
        (least, period.min(DEADLINE_NS_MAX)),
        "1024 ns to its `period`",
    )?;
    range(
        "`runtime` of SCHED_DEADLINE",
        *runtime_ns,
        (least, *deadline_ns),
        "1024 ns to its `deadline`",
    )
}

fn check_memory_policy(policy: &MemoryPolicy) -> Result<(), CheckError> {
    let MemoryPolicy { mode, nodes, flags } = policy;
    let refuse = |reason| {
        Err(CheckError::MemoryPolicy {
            policy: format!("{} {nodes}", name(mode)).trim_end().to_owned(),
            reason,
        })
    };
    let Some(mask) = node_mask(nodes) else {
        return refuse("has nodes that are no list of numbers below 1024 and ranges");
    };
    let has_nodes = mask.iter().any(|word| *word != 0);
    match mode {
        MemoryMode::MpolDefault | MemoryMode::MpolLocal if has_nodes => {
            return refuse("takes no nodes");
        }
        MemoryMode::MpolBind
        | MemoryMode::MpolInterleave
        | MemoryMode::MpolPreferredMany
        | MemoryMode::MpolWeightedInterleave
            if !has_nodes =>
        {
            return refuse("needs nodes");
        }
        _ => {}
    }
    let has = |flag| flags.contains(&flag);
    if has(MemoryFlag::MpolFStaticNodes) && has(MemoryFlag::MpolFRelativeNodes) {
        return refuse("has static and relative nodes, which exclude each other");
    }
    let balances = matches!(mode, MemoryMode::MpolBind | MemoryMode::MpolPreferredMany);
    if has(MemoryFlag::MpolFNumaBalancing) && !balances {
        return refuse("balances, which only MPOL_BIND and MPOL_PREFERRED_MANY can");
    }
    if !flags.is_empty() && !has_nodes {
        return refuse("has flags but no nodes");
    }
    Ok(())
}

fn range(
    what: &'static str,
    value: u64,
    (least, most): (u64, u64),
    range: &'static str,
) -> Result<(), CheckError> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(CheckError::Range { what, value, range })
    }
}

fn in_range(
    what: &'static str,
    value: i32,
    (least, most): (i32, i32),
    range: &'static str,
) -> Result<(), CheckError> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(CheckError::Signed { what, value, range })
    }
}

/// Judges a mount.
pub(super) fn check_mount(target: &str, mount: &ExactMount) -> Result<(), CheckError> {
    for names in [&mount.set, &mount.cleared, &mount.set_below] {
        flags(names).map_err(|flag| CheckError::MountFlag {
            target: target.to_owned(),
            flag: flag.to_owned(),
        })?;
    }
    match &mount.source {
        ExactSource::Bind { path, .. } => absolute("mount source", path),
        ExactSource::Filesystem {
            kind,
            source,
            options,
        } => {
            no_nul("filesystem type", kind)?;
            no_nul("mount source", source)?;
            options.iter().try_for_each(|(key, value)| {
                no_nul("mount option", key)?;
                no_nul("mount option", value)
            })
        }
    }
}
