//! Hands one descriptor, or the errno that stands in its place, from a child to its parent over a socket pair.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// Both ends, close-on-exec.
#[derive(Debug)]
pub(crate) struct Handover {
    receiver: OwnedFd,
    sender: OwnedFd,
}

impl Handover {
    /// Makes a socket pair.
    pub(crate) fn new() -> Result<Self, Errno> {
        let (receiver, sender) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok(Self { receiver, sender })
    }

    /// Child: sends. Does not allocate.
    pub(crate) fn send(&self, outcome: Result<BorrowedFd<'_>, Errno>) -> Result<(), Errno> {
        let errno = outcome.err().map_or(0, Errno::raw_os_error).to_ne_bytes();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptor = outcome.map(|descriptor| [descriptor]);
        if let Ok(descriptor) = &descriptor {
            control.push(SendAncillaryMessage::ScmRights(descriptor));
        }
        let text = [IoSlice::new(&errno)];
        rustix::net::sendmsg(&self.sender, &text, &mut control, SendFlags::NOSIGNAL).map(drop)
    }

    /// Parent: receives. ECHILD when the child ended without sending.
    pub(crate) fn receive(self) -> Result<OwnedFd, Errno> {
        // Our copy of the sender would keep the end of the child from being seen.
        drop(self.sender);
        let mut errno = [0; size_of::<i32>()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message = loop {
            let mut text = [IoSliceMut::new(&mut errno)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            match rustix::net::recvmsg(self.receiver.as_fd(), &mut text, &mut control, flags) {
                Err(Errno::INTR) => {}
                outcome => break outcome?,
            }
        };
        if message.bytes != errno.len() || message.flags.contains(ReturnFlags::CTRUNC) {
            return Err(Errno::CHILD);
        }
        match i32::from_ne_bytes(errno) {
            0 => {}
            errno => return Err(Errno::from_raw_os_error(errno)),
        }
        let descriptors = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        descriptors.last().ok_or(Errno::CHILD)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn descriptors_arrive() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let handover = Handover::new().unwrap();
        handover.send(Ok(read.as_fd())).unwrap();
        drop(read);
        let read = handover.receive().unwrap();
        std::fs::File::from(write).write_all(b"x").unwrap();
        let mut text = String::new();
        std::fs::File::from(read).read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
    }

    #[test]
    fn errors_and_silence_arrive() {
        let handover = Handover::new().unwrap();
        handover.send(Err(Errno::PERM)).unwrap();
        assert_eq!(handover.receive().unwrap_err(), Errno::PERM);
        assert_eq!(
            Handover::new().unwrap().receive().unwrap_err(),
            Errno::CHILD
        );
    }
}
