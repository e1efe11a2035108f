//! close_range(2) and getcwd(2).

use rustix::io::Errno;

use super::outcome;

/// Closes every descriptor from `first` on.
///
/// Only for a child that owns its copy of the descriptor table and never returns to code that holds an `OwnedFd`: see
/// [`super::clone::clone_child`].
pub fn close_from(first: u32) -> Result<(), Errno> {
    close_range(first, 0)
}

/// Makes every descriptor from `first` on close-on-exec.
pub fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    close_range(first, libc::CLOSE_RANGE_CLOEXEC)
}

fn close_range(first: u32, flags: u32) -> Result<(), Errno> {
    // SAFETY: the call takes three integers. Descriptors that are closed under an owner are the caller's contract, see above.
    outcome(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) }).map(drop)
}

/// Returns the working directory as the kernel writes it, in `buffer`: `(unreachable)/…` when it is outside the root.
pub fn working_directory(buffer: &mut [u8]) -> Result<&[u8], Errno> {
    // SAFETY: the kernel writes at most `buffer.len()` bytes to the start of `buffer`.
    let length = outcome(unsafe {
        libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len())
    })?;
    // The length includes the null byte.
    let length = usize::try_from(length).unwrap_or(0).saturating_sub(1);
    buffer.get(..length).ok_or(Errno::RANGE)
}
