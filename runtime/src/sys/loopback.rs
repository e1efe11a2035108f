//! Brings the loopback link of the current network namespace up, by ioctl: one socket, no netlink, no allocation.

use std::os::fd::AsRawFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::outcome;

/// `IFF_UP` in the type of the request.
const UP: libc::c_short = 1;

/// Brings `lo` up; the kernel gives it 127.0.0.1 and ::1 by itself.
pub fn loopback_up() -> Result<(), Errno> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: all-zero is a valid value of this struct of integers and a union of integers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, letter) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *place = letter.cast_signed();
    }
    // SAFETY: the request names a link by a null-terminated name and is a valid place for the answer.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) };
    outcome(result.into())?;
    // SAFETY: SIOCGIFFLAGS has stored this member.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | UP;
    // SAFETY: the request names a link by a null-terminated name and carries the flags.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    outcome(result.into()).map(drop)
}
