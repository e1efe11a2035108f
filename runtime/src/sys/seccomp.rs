//! seccomp(2).

use libc::{sock_filter, sock_fprog};
use rustix::io::Errno;

use super::outcome;

/// Installs a system call filter on this thread, for good. Needs CAP_SYS_ADMIN or no_new_privs.
pub fn seccomp_install(filter: &[sock_filter]) -> Result<(), Errno> {
    let len = u16::try_from(filter.len()).or(Err(Errno::TOOBIG))?;
    let program = sock_fprog {
        len,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: `program` names `len` instructions that live through the call; the kernel copies and never writes them.
    outcome(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    })
    .map(drop)
}
