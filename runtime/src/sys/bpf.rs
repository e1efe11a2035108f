//! bpf(2): device programs of v2 control groups.

use std::{
    ffi::CStr,
    mem::size_of,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use rustix::io::Errno;

use super::outcome;

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
/// Programs of groups above and below count too: all have to permit.
const BPF_F_ALLOW_MULTI: u32 = 1 << 1;
/// The kernel wants one; only some helper functions, of which none is called, want a particular one.
const LICENSE: &CStr = c"Apache-2.0";

/// One instruction, as in linux/bpf.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u8,
    /// Destination register in the low half, source register in the high half.
    pub registers: u8,
    /// Jump distance or memory offset.
    pub offset: i16,
    /// Constant operand.
    pub immediate: i32,
}

/// The part of `union bpf_attr` that loading uses.
#[derive(Debug)]
#[repr(C)]
struct LoadAttributes {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// The part of `union bpf_attr` that attaching uses.
#[derive(Debug)]
#[repr(C)]
struct AttachAttributes {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

/// Has the kernel verify and take a device program (Linux 4.15).
pub fn load_device_program(instructions: &[Instruction]) -> Result<OwnedFd, Errno> {
    let attributes = LoadAttributes {
        program_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        instruction_count: u32::try_from(instructions.len()).or(Err(Errno::TOOBIG))?,
        instructions: instructions.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: the size of the attributes is passed, and the kernel takes what lies behind as zero. The pointers in them lead to
    // `instruction_count` instructions in the kernel's layout and to a NUL-terminated text, which outlive the call; the kernel only
    // reads them.
    let descriptor = outcome(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_LOAD,
            &raw const attributes,
            size_of::<LoadAttributes>(),
        )
    })?;
    let descriptor = i32::try_from(descriptor).or(Err(Errno::RANGE))?;
    // SAFETY: the call has just made this descriptor (close-on-exec, as all of bpf(2)) for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Makes a device program judge the processes of a v2 group, as long as the group exists. An O_PATH descriptor is refused.
pub fn attach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    let attributes = AttachAttributes {
        target: group.as_raw_fd().unsigned_abs(),
        program: program.as_raw_fd().unsigned_abs(),
        attach_type: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: the size of the attributes is passed, and the kernel takes what lies behind as zero; it only reads them. Both
    // descriptors are open for the length of the call.
    outcome(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_ATTACH,
            &raw const attributes,
            size_of::<AttachAttributes>(),
        )
    })
    .map(drop)
}
