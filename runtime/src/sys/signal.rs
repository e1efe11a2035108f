//! Signals by their raw calls: the C library hides two of them, which could be ignored all the same.

use std::ptr;

use rustix::io::Errno;

use super::outcome;

/// Largest signal number.
const SIGNAL_MAX: libc::c_int = 64;

/// `sigaction` of the kernel; all zero = the default, no flags.
#[repr(C)]
struct Action {
    handler: usize,
    flags: libc::c_ulong,
    restorer: usize,
    mask: u64,
}

/// Sets every signal to its default. SIGKILL and SIGSTOP always are.
pub fn reset_all() -> Result<(), Errno> {
    let default = Action {
        handler: 0,
        flags: 0,
        restorer: 0,
        mask: 0,
    };
    for signal in 1..=SIGNAL_MAX {
        if matches!(signal, libc::SIGKILL | libc::SIGSTOP) {
            continue;
        }
        // SAFETY: `default` has the kernel's layout for 64-bit machines, with a mask of 8 bytes as the last argument says; the old
        // action is not asked for. The default handler is no code of ours.
        outcome(unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                &raw const default,
                ptr::null_mut::<Action>(),
                size_of::<u64>(),
            )
        })?;
    }
    Ok(())
}

/// Sets the signals that are held back; bit 0 is signal 1.
pub fn set_mask(mask: u64) -> Result<(), Errno> {
    // SAFETY: the kernel reads 8 bytes from `mask`, as the last argument says; the old mask is not asked for.
    outcome(unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            ptr::null_mut::<u64>(),
            size_of::<u64>(),
        )
    })
    .map(drop)
}

/// Waits for any signal that is held back and takes it.
pub fn wait_for_any() -> Result<i32, Errno> {
    let all = u64::MAX;
    // SAFETY: the kernel reads 8 bytes from `all`, as the last argument says; no details and no timeout are asked for.
    let signal = outcome(unsafe {
        libc::syscall(
            libc::SYS_rt_sigtimedwait,
            &raw const all,
            ptr::null_mut::<libc::siginfo_t>(),
            ptr::null::<libc::timespec>(),
            size_of::<u64>(),
        )
    })?;
    i32::try_from(signal).or(Err(Errno::RANGE))
}

/// Sends a signal by number, real-time signals too. `pid` is a process; -1 = all.
pub fn kill(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: the call takes two integers.
    outcome(unsafe { libc::syscall(libc::SYS_kill, pid, signal) }).map(drop)
}
