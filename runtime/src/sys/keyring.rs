//! keyctl(2).

use rustix::io::Errno;

use super::outcome;

/// Gives this process a new, empty session keyring, so that it cannot use the keys of whoever started it.
pub fn new_session_keyring() -> Result<(), Errno> {
    // SAFETY: the name is null, which asks for an anonymous keyring; the other argument is an integer.
    outcome(unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            libc::KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<u8>(),
        )
    })
    .map(drop)
}
