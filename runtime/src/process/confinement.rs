//! Streams, user and capabilities of the child. Each function is one stage's work; none allocates.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Gid, Uid};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::plan::Sets;
use super::user::{Credentials, GROUPS_MAX};
use crate::security::capabilities::Mask;

/// Puts three descriptors on 0, 1 and 2. All three are above 2, so none is overwritten before it is used.
pub(crate) fn place(stdin: &OwnedFd, stdout: &OwnedFd, stderr: &OwnedFd) -> Result<(), Errno> {
    rustix::stdio::dup2_stdin(stdin)?;
    rustix::stdio::dup2_stdout(stdout)?;
    rustix::stdio::dup2_stderr(stderr)
}

/// Makes the user the owner of pipes and terminals among the standard streams, so that `/dev/stdout` can be opened again by name.
/// Files, devices and sockets stay as they are: they may be somebody else's.
/// A terminal is ours when it belongs to root, the host's or the container's.
pub(crate) fn give_streams(uid: u32, root: u32) -> Result<(), Errno> {
    let streams = [
        rustix::stdio::stdin(),
        rustix::stdio::stdout(),
        rustix::stdio::stderr(),
    ];
    streams
        .into_iter()
        .try_for_each(|stream| give(stream, uid, root))
}

fn give(stream: BorrowedFd<'_>, uid: u32, root: u32) -> Result<(), Errno> {
    let stat = rustix::fs::fstat(stream)?;
    let is_ours = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => true,
        FileType::CharacterDevice => {
            rustix::termios::isatty(stream) && (stat.st_uid == 0 || stat.st_uid == root)
        }
        _ => false,
    };
    if !is_ours || stat.st_uid == uid {
        return Ok(());
    }
    rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), None)
}

/// Removes everything else from the bounding set, up to the kernel's last capability.
pub(crate) fn cut_bounding_set(kept: Mask) -> Result<(), Errno> {
    for number in 0..u64::BITS {
        if kept.has(number) {
            continue;
        }
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // Past the last one.
            Err(Errno::INVAL) if number > 0 => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Changes groups, group and user. The permitted capabilities are kept and effective again, because the next stages need some.
pub(crate) fn become_user(credentials: &Credentials) -> Result<(), Errno> {
    let mut groups = [Gid::ROOT; GROUPS_MAX];
    let count = credentials.groups().len();
    for (place, gid) in groups.iter_mut().zip(credentials.groups()) {
        *place = Gid::from_raw(*gid);
    }
    rustix::thread::set_thread_groups(&groups[..count])?;
    let gid = Gid::from_raw(credentials.gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_keep_capabilities(true)?;
    let uid = Uid::from_raw(credentials.uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    rustix::thread::set_keep_capabilities(false)?;
    let permitted = rustix::thread::capabilities(None)?.permitted;
    set_capabilities(permitted)
}

/// Cuts permitted and effective set down; inheritable and ambient become empty. A program of another user than root starts with none.
pub(crate) fn cut_capabilities(kept: Mask) -> Result<(), Errno> {
    set_capabilities(CapabilitySet::from_bits_retain(kept.0))
}

/// Sets the capability sets to the letter. The ambient ones must be permitted and inheritable.
pub(crate) fn set_exactly(sets: &Sets) -> Result<(), Errno> {
    let of = |mask: Mask| CapabilitySet::from_bits_retain(mask.0);
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: of(sets.effective),
            permitted: of(sets.permitted),
            inheritable: of(sets.inheritable),
        },
    )?;
    for number in (0..u64::BITS).filter(|number| sets.ambient.has(*number)) {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        rustix::thread::configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

fn set_capabilities(set: CapabilitySet) -> Result<(), Errno> {
    let inheritable = CapabilitySet::empty();
    // The kernel keeps the ambient set inside the inheritable one.
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: set,
            permitted: set,
            inheritable,
        },
    )
}

/// Returns a descriptor above 2 that refers to the same file, close-on-exec.
pub(crate) fn above_streams(descriptor: OwnedFd) -> Result<OwnedFd, Errno> {
    const FIRST: i32 = 3;
    use std::os::fd::AsRawFd;
    if descriptor.as_raw_fd() >= FIRST {
        return Ok(descriptor);
    }
    rustix::io::fcntl_dupfd_cloexec(descriptor.as_fd(), FIRST)
}
