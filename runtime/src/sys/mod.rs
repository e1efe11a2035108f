//! All `unsafe` of the product: system calls that neither nix nor rustix offers with a safe signature.
//!
//! One function is one system call (or one kind of it); it takes and returns owned or borrowed descriptors and an errno. Nothing
//! here allocates, so that the child of a launch may call it between clone and exec.

pub mod arguments;
pub mod attributes;
pub mod bpf;
pub mod clone;
pub mod exec;
pub mod files;
pub mod keyring;
pub mod loopback;
pub mod memory;
pub mod mount;
pub mod pidfd;
pub mod seccomp;
pub mod signal;

use rustix::io::Errno;

/// Turns the result of a raw system call into a `Result`.
fn outcome(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result >= 0 {
        Ok(result)
    } else {
        Err(last_errno())
    }
}

/// Returns the error number that the C library's wrapper stored last.
fn last_errno() -> Errno {
    Errno::from_raw_os_error(nix::errno::Errno::last_raw())
}
