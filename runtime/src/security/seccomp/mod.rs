//! The system call filter of a container: Docker's default profile, compiled to classic BPF by our own compiler.
//!
//! Three parts: `numbers.txt` (facts: the number of each call on each architecture), [`profile`] (policy: which call is
//! allowed when; [`custom`] reads it from a profile of the user's), [`assemble`] (mechanism: ranges of numbers to a program). Nothing here talks to the kernel; the program is
//! installed by the child between clone and exec.
//!
//! A binary search over ranges of numbers instead of one test per call, because the kernel runs the whole filter once per
//! system call number when it is installed: 47 µs instead of 992 µs for the linear program that other runtimes load.

mod assemble;
pub(crate) mod custom;
#[cfg(test)]
mod custom_tests;
mod profile;
#[cfg(test)]
mod tests;

use crate::spec::{Seccomp, SeccompProfile, Security};

pub use custom::ProfileError;
pub use libc::sock_filter as SockFilter;

/// Instructions that the kernel takes (`BPF_MAXINSNS`).
const INSTRUCTIONS_MAX: usize = 4096;

/// A filter cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The profiles have no numbers for this machine's architecture.
    #[error(
        "build the system call filter: system calls of {0} are not known; set `security_opt: [seccomp:unconfined]`"
    )]
    UnsupportedArchitecture(&'static str),
    /// The profile of the user's is wrong.
    #[error("build the system call filter of the given profile")]
    Profile(#[source] ProfileError),
}

/// Returns the filter of a container; an empty one means that none is to be installed.
///
/// Which calls are allowed depends on the capabilities, as in Docker: with `SYS_ADMIN` a container may mount.
pub fn program(security: &Security) -> Result<Vec<SockFilter>, FilterError> {
    let abis = native_abis().ok_or(FilterError::UnsupportedArchitecture(std::env::consts::ARCH));
    match &security.seccomp {
        // An explicit profile holds for a privileged container too, as in Docker.
        Seccomp::Profile(profile) => return of_profile(profile, security, abis?[0]),
        Seccomp::Unconfined => return Ok(Vec::new()),
        Seccomp::Default if security.privileged => return Ok(Vec::new()),
        Seccomp::Default => {}
    }
    let sections = abis?
        .iter()
        .map(|&abi| (abi.audit(), profile::verdicts(abi, &security.capabilities)))
        .collect::<Vec<_>>();
    Ok(assemble::program(&sections))
}

fn of_profile(
    profile: &SeccompProfile,
    security: &Security,
    native: Abi,
) -> Result<Vec<SockFilter>, FilterError> {
    custom::check(profile).map_err(FilterError::Profile)?;
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let target = custom::Target {
        native,
        capabilities: &security.capabilities,
        kernel: custom::version(&release).unwrap_or_default(),
    };
    let program = assemble::program(&custom::verdicts(profile, &target));
    if program.len() > INSTRUCTIONS_MAX {
        return Err(FilterError::Profile(ProfileError::Size(program.len())));
    }
    Ok(program)
}

/// The ABIs that the kernel of this architecture offers to programs, and that the filter lets in.
///
/// 32-bit ARM is missing on aarch64: few servers' processors still run it, so it is not worth a table.
fn native_abis() -> Option<&'static [Abi]> {
    match std::env::consts::ARCH {
        "x86_64" => Some(&[Abi::X86_64, Abi::I386]),
        "aarch64" => Some(&[Abi::Aarch64]),
        _ => None,
    }
}

/// A system call ABI: what `seccomp_data.arch` tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Abi {
    X86_64,
    I386,
    Aarch64,
}

impl Abi {
    /// `AUDIT_ARCH_*` of linux/audit.h: ELF machine, 64-bit flag (bit 31), little-endian flag (bit 30).
    fn audit(self) -> u32 {
        match self {
            Abi::X86_64 => 0xc000_003e,
            Abi::I386 => 0x4000_0003,
            Abi::Aarch64 => 0xc000_00b7,
        }
    }
}
