//! What a pidfd tells about its process.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::outcome;

/// Returns the wait status of a process that was reaped, by anybody; `None` before that.
///
/// Linux 6.15; older kernels refuse with EINVAL, ENOTTY or a reply without the status.
pub fn exit_status(pidfd: BorrowedFd<'_>) -> Result<Option<i32>, Errno> {
    // SAFETY: all-zero is a valid value of this plain struct of integers.
    let mut info: libc::pidfd_info = unsafe { std::mem::zeroed() };
    info.mask = u64::from(libc::PIDFD_INFO_EXIT);
    // SAFETY: the descriptor is open for the length of the call, and the request number carries the size of the struct that the
    // pointer leads to, which is valid for reading and writing and belongs to nobody else.
    outcome(libc::c_long::from(unsafe {
        libc::ioctl(pidfd.as_raw_fd(), libc::PIDFD_GET_INFO, &raw mut info)
    }))?;
    let known = info.mask & u64::from(libc::PIDFD_INFO_EXIT) != 0;
    Ok(known.then_some(info.exit_code))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    #[test]
    fn the_status_is_there_once_the_process_is_reaped() {
        #[expect(clippy::disallowed_methods, reason = "a process must end")]
        let mut child = std::process::Command::new("sh")
            .args(["-c", "exit 42"])
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        assert!(matches!(
            exit_status(pidfd.as_fd()),
            Ok(None) | Err(Errno::INVAL | Errno::NOTTY)
        ));
        child.wait().unwrap();
        match exit_status(pidfd.as_fd()) {
            Ok(status) => assert_eq!(status, Some(42 << 8)),
            Err(errno) => assert!(
                matches!(errno, Errno::INVAL | Errno::NOTTY | Errno::SRCH),
                "{errno}"
            ),
        }
    }
}
