//! close_range(2) and getcwd(2).

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::outcome;

/// Closes every descriptor but 0, 1, 2, the `more` that follow these, and `kept`, which is above all of them.
///
/// Only for a child that owns its copy of the descriptor table and never returns to code that holds an `OwnedFd`: see
/// [`super::clone::clone_child`].
pub fn close_all_but(kept: BorrowedFd<'_>, more: u32) -> Result<(), Errno> {
    let first = 3_u32.checked_add(more).ok_or(Errno::INVAL)?;
    let kept = kept.as_raw_fd().unsigned_abs();
    if kept > first {
        close_range(first, kept - 1)?;
    }
    close_range(first.max(kept + 1), u32::MAX)
}

/// Closes a descriptor under its owner, with the same contract as [`close_all_but`].
pub fn close(descriptor: BorrowedFd<'_>) -> Result<(), Errno> {
    let number = descriptor.as_raw_fd().unsigned_abs();
    close_range(number, number)
}

fn close_range(first: u32, last: u32) -> Result<(), Errno> {
    // SAFETY: the call takes three integers. That descriptors are closed under their owners is the caller's contract, see above.
    outcome(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Returns the working directory as the kernel writes it, in `buffer`: `(unreachable)/…` when it is outside the root.
pub fn working_directory(buffer: &mut [u8]) -> Result<&[u8], Errno> {
    // SAFETY: the kernel writes at most `buffer.len()` bytes to the start of `buffer`.
    let length =
        outcome(unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) })?;
    // The length includes the null byte.
    let length = usize::try_from(length).unwrap_or(0).saturating_sub(1);
    buffer.get(..length).ok_or(Errno::RANGE)
}
