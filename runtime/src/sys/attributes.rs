//! Scheduling and memory of the calling process: four calls of which the C library wraps one.

use rustix::io::Errno;

use super::outcome;

/// Nodes that a mask has; Linux knows at most 1024 (`CONFIG_NODES_SHIFT`).
pub const NODES_MAX: usize = 1024;

/// A mask of memory nodes.
pub type NodeMask = [u64; NODES_MAX / u64::BITS as usize];

/// `struct sched_attr` as of Linux 3.14.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct SchedulerAttributes {
    /// Bytes of this struct.
    pub size: u32,
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// For the time-sharing policies.
    pub nice: i32,
    /// For the real-time policies.
    pub priority: u32,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub runtime: u64,
    /// Nanoseconds.
    pub deadline: u64,
    /// Nanoseconds.
    pub period: u64,
}

/// Changes how this process is scheduled.
pub fn set_scheduler(attributes: &SchedulerAttributes) -> Result<(), Errno> {
    // SAFETY: the kernel reads as many bytes as `size` says, which is the struct's; process 0 is this one, and there are no flags.
    outcome(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const *attributes, 0) })
        .map(drop)
}

/// Sets the priority of this process's block I/O: the class in the upper 3 of 16 bits.
pub fn set_io_priority(priority: u16) -> Result<(), Errno> {
    const PROCESS: libc::c_int = 1;
    // SAFETY: the call takes three integers; process 0 is this one.
    outcome(unsafe {
        libc::syscall(
            libc::SYS_ioprio_set,
            PROCESS,
            0,
            libc::c_int::from(priority),
        )
    })
    .map(drop)
}

/// Sets the personality of this process.
pub fn set_personality(personality: libc::c_ulong) -> Result<(), Errno> {
    // SAFETY: the call takes one integer.
    outcome(unsafe { libc::syscall(libc::SYS_personality, personality) }).map(drop)
}

/// Sets from which nodes this process gets memory. An empty mask is no mask.
pub fn set_memory_policy(mode: i32, nodes: &NodeMask) -> Result<(), Errno> {
    let is_empty = nodes.iter().all(|word| *word == 0);
    let (mask, bits) = if is_empty {
        (std::ptr::null(), 0)
    } else {
        // The kernel takes one bit less than it is told.
        (nodes.as_ptr(), NODES_MAX + 1)
    };
    // SAFETY: the kernel reads NODES_MAX bits from the mask, which has them, or nothing when it is told of none.
    outcome(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }).map(drop)
}
