//! Attributes of a process in the kernel's numbers, and setting them.

use rustix::io::Errno;

use crate::error::{Error, Step};
use crate::fault::{At, Fault, Subject, Subjects};
use crate::spec::{
    Attributes, IoClass, IoPriority, MemoryFlag, MemoryMode, MemoryPolicy, Personality, Scheduler,
    SchedulerFlag, SchedulerPolicy,
};
use crate::sys::attributes::{
    NODES_MAX, NodeMask, SchedulerAttributes, set_io_priority, set_memory_policy, set_personality,
    set_scheduler,
};

/// linux/personality.h
const PER_LINUX: libc::c_ulong = 0;
/// linux/personality.h
const PER_LINUX32: libc::c_ulong = 8;

/// What the child sets.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    personality: Option<(libc::c_ulong, Subject)>,
    scheduler: Option<(SchedulerAttributes, Subject)>,
    io_priority: Option<(u16, Subject)>,
    memory_policy: Option<(i32, NodeMask, Subject)>,
}

impl Prepared {
    /// Parent: turns the description into numbers.
    pub(crate) fn of(wanted: &Attributes, subjects: &mut Subjects) -> Result<Self, Error> {
        let mut prepared = Self::default();
        if let Some(personality) = wanted.personality {
            let number = match personality {
                Personality::Linux => PER_LINUX,
                Personality::Linux32 => PER_LINUX32,
            };
            prepared.personality = Some((number, subjects.add(name(&personality))));
        }
        if let Some(scheduler) = &wanted.scheduler {
            let subject = subjects.add(name(&scheduler.policy));
            prepared.scheduler = Some((numbers_of(scheduler), subject));
        }
        if let Some(priority) = wanted.io_priority {
            let subject = subjects.add(format!("{} {}", name(&priority.class), priority.priority));
            prepared.io_priority = Some((io_number(priority), subject));
        }
        if let Some(policy) = &wanted.memory_policy {
            let nodes = node_mask(&policy.nodes)
                .ok_or_else(|| Error::new(Step::MemoryPolicy, &policy.nodes, Errno::INVAL))?;
            let subject = subjects.add(format!("{} {}", name(&policy.mode), policy.nodes));
            prepared.memory_policy = Some((memory_mode(policy), nodes, subject));
        }
        Ok(prepared)
    }

    /// Child: sets them. Needs the capabilities of the caller (`SYS_NICE`), so it comes before they are cut.
    pub(crate) fn set(&self) -> Result<(), Fault> {
        if let Some((nodes, mask, subject)) = &self.memory_policy {
            set_memory_policy(*nodes, mask).at(Step::MemoryPolicy, *subject)?;
        }
        if let Some((priority, subject)) = &self.io_priority {
            set_io_priority(*priority).at(Step::IoPriority, *subject)?;
        }
        if let Some((attributes, subject)) = &self.scheduler {
            set_scheduler(attributes).at(Step::Scheduler, *subject)?;
        }
        if let Some((personality, subject)) = &self.personality {
            set_personality(*personality).at(Step::Personality, *subject)?;
        }
        Ok(())
    }
}

/// The name that a description has for a value.
pub(crate) fn name(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

fn numbers_of(wanted: &Scheduler) -> SchedulerAttributes {
    let policy = match wanted.policy {
        SchedulerPolicy::SchedOther => libc::SCHED_OTHER,
        SchedulerPolicy::SchedFifo => libc::SCHED_FIFO,
        SchedulerPolicy::SchedRr => libc::SCHED_RR,
        SchedulerPolicy::SchedBatch => libc::SCHED_BATCH,
        SchedulerPolicy::SchedIdle => libc::SCHED_IDLE,
        SchedulerPolicy::SchedDeadline => libc::SCHED_DEADLINE,
    };
    let flag = |flag: &SchedulerFlag| match flag {
        SchedulerFlag::SchedFlagResetOnFork => 0x01,
        SchedulerFlag::SchedFlagReclaim => 0x02,
        SchedulerFlag::SchedFlagDlOverrun => 0x04,
        SchedulerFlag::SchedFlagKeepPolicy => 0x08,
        SchedulerFlag::SchedFlagKeepParams => 0x10,
    };
    SchedulerAttributes {
        size: u32::try_from(size_of::<SchedulerAttributes>()).unwrap_or(0),
        policy: policy.unsigned_abs(),
        flags: wanted.flags.iter().map(flag).fold(0, |all, one| all | one),
        nice: wanted.nice,
        priority: wanted.priority.unsigned_abs(),
        runtime: wanted.runtime_ns,
        deadline: wanted.deadline_ns,
        period: wanted.period_ns,
    }
}

/// The class stands above 13 bits of data (`IOPRIO_CLASS_SHIFT`).
fn io_number(wanted: IoPriority) -> u16 {
    let class = match wanted.class {
        IoClass::RealTime => 1,
        IoClass::BestEffort => 2,
        IoClass::Idle => 3,
    };
    class << 13 | u16::try_from(wanted.priority).unwrap_or(0)
}

/// The flags stand in the mode (linux/mempolicy.h).
fn memory_mode(wanted: &MemoryPolicy) -> i32 {
    let mode = match wanted.mode {
        MemoryMode::MpolDefault => 0,
        MemoryMode::MpolPreferred => 1,
        MemoryMode::MpolBind => 2,
        MemoryMode::MpolInterleave => 3,
        MemoryMode::MpolLocal => 4,
        MemoryMode::MpolPreferredMany => 5,
        MemoryMode::MpolWeightedInterleave => 6,
    };
    let flag = |flag: &MemoryFlag| match flag {
        MemoryFlag::MpolFNumaBalancing => 1 << 13,
        MemoryFlag::MpolFRelativeNodes => 1 << 14,
        MemoryFlag::MpolFStaticNodes => 1 << 15,
    };
    wanted
        .flags
        .iter()
        .map(flag)
        .fold(mode, |all, one| all | one)
}

/// Reads `0-2,5`; `None` when it is no list of nodes. No text is no node.
pub(crate) fn node_mask(text: &str) -> Option<NodeMask> {
    let mut mask = NodeMask::default();
    if text.is_empty() {
        return Some(mask);
    }
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_number.then(|| text.parse::<usize>().ok()).flatten();
        number.filter(|number| *number < NODES_MAX)
    };
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return None;
        }
        for node in first..=last {
            mask[node / 64] |= 1 << (node % 64);
        }
    }
    Some(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_numbers_and_ranges() {
        let words = |text| node_mask(text).map(|mask| (mask[0], mask[15]));
        assert_eq!(words(""), Some((0, 0)));
        assert_eq!(words("0-2,5"), Some((0b10_0111, 0)));
        assert_eq!(words("63,1023"), Some((1 << 63, 1 << 63)));
        for bad in [
            "a", "1024", "2-1", "-1", "1-", "1,,2", ",", " 1", "+1", "1-2-3",
        ] {
            assert_eq!(node_mask(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn numbers_are_those_of_the_kernels_headers() {
        let policy = MemoryPolicy {
            mode: MemoryMode::MpolBind,
            nodes: "0".into(),
            flags: vec![MemoryFlag::MpolFStaticNodes],
        };
        assert_eq!(memory_mode(&policy), 0x8002);
        let idle = IoPriority {
            class: IoClass::Idle,
            priority: 0,
        };
        assert_eq!(io_number(idle), 0x6000);
        assert_eq!(size_of::<SchedulerAttributes>(), 48);
    }
}
