//! clone3(2) and clone(2) as fork.

use std::convert::Infallible;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::outcome;

/// `CLONE_INTO_CGROUP` (Linux 5.7); libc has it as a number that does not fit its type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

const CLONE_PIDFD: u64 = libc::CLONE_PIDFD.cast_unsigned() as u64;
const SIGCHLD: u64 = libc::SIGCHLD.cast_unsigned() as u64;

/// Exit code of a child that panicked. Nobody reads it: the stage pipe has ended without a report by then.
const PANICKED: i32 = 125;

/// A process that was started by [`clone_child`].
#[derive(Debug)]
pub struct Child {
    /// Its pid as the caller sees it.
    pub pid: i32,
    /// Refers to it, close-on-exec.
    pub pidfd: OwnedFd,
}

/// Starts a child with a copy of this process's memory, in new namespaces (`CLONE_NEW*` in `flags`) and in a v2 control group.
///
/// The child runs `work` and ends with its result as exit code; it never returns to the caller's code, not even by a panic.
/// Refused with EDEADLK when this process has another thread: that thread's locks (the allocator's) would stay locked in the child.
pub fn clone_child(
    flags: libc::c_int,
    cgroup: Option<BorrowedFd<'_>>,
    work: impl FnOnce() -> i32,
) -> Result<Child, Errno> {
    refuse_threads()?;
    let mut pidfd: libc::c_int = -1;
    // SAFETY: all-zero is a valid value of this plain struct of integers.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = u64::from(flags.cast_unsigned()) | CLONE_PIDFD;
    arguments.pidfd = (&raw mut pidfd) as u64;
    arguments.exit_signal = SIGCHLD;
    if let Some(directory) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(directory.as_raw_fd().unsigned_abs());
    }
    // SAFETY: without CLONE_VM, CLONE_VFORK and CLONE_SETTLS this is fork(2): the child continues here on a copy of the stack and
    // all memory. `arguments` outlives the call and its size is passed; `pidfd` is a valid place for one int, which the kernel
    // writes in the parent. No other thread exists (checked above), so no lock is held by a thread that the child lacks.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<libc::clone_args>(),
        )
    };
    match outcome(result)? {
        0 => {
            run_and_exit(work);
        }
        pid => {
            // SAFETY: the kernel stored a new descriptor that nobody else owns, as CLONE_PIDFD promises on success.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Child {
                pid: pid_of(pid)?,
                pidfd,
            })
        }
    }
}

/// Starts a plain child by clone(2), which system call filters permit (Docker's refuses clone3). The caller must be single-threaded:
/// it is the child of a [`clone_child`], or EDEADLK is returned.
pub fn fork(work: impl FnOnce() -> i32) -> Result<i32, Errno> {
    // SAFETY: with SIGCHLD only this is fork(2) on a copy of the stack; null pointers mean "same stack, no tid stores, no TLS".
    // A process made by clone_child has one thread, and the caller made no other.
    let result = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    match outcome(result)? {
        0 => {
            run_and_exit(work);
        }
        pid => pid_of(pid),
    }
}

/// Ends this process at once: no destructors, no exit handlers, no flushing of buffers that belong to the parent.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no requirements and does not return.
    unsafe { libc::_exit(code) }
}

/// Returns the number of threads of this process: the links of /proc/self/task less those of a directory.
pub fn threads() -> Result<u64, Errno> {
    let tasks = rustix::fs::stat(c"/proc/self/task")?;
    Ok(tasks.st_nlink.saturating_sub(2))
}

/// A pid is an int in the kernel too.
fn pid_of(result: libc::c_long) -> Result<i32, Errno> {
    i32::try_from(result).or(Err(Errno::RANGE))
}

/// Refuses a process with several threads, with EDEADLK.
pub fn refuse_threads() -> Result<(), Errno> {
    if threads()? == 1 {
        Ok(())
    } else {
        Err(Errno::DEADLK)
    }
}

fn run_and_exit(work: impl FnOnce() -> i32) -> ! {
    /// Ends the process when a panic unwinds through it, instead of running the parent's code in the child.
    struct EndOnPanic;
    impl Drop for EndOnPanic {
        fn drop(&mut self) {
            exit_now(PANICKED);
        }
    }
    let _end_on_panic = EndOnPanic;
    let code = work();
    exit_now(code)
}

/// Marks a function that returns only to report why it did not replace the process.
pub type Replaced = Result<Infallible, Errno>;
