//! Packets with descriptors on the monitor's socket.
//!
//! The socket's path may be longer than the 108 bytes that an address holds, so both ends name it through /proc/self/fd.

use std::{
    io::IoSlice,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, unlinkat},
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
        SocketType, accept_with, bind, connect, listen, recv, recvmsg, sendmsg, socket_with,
    },
};

use super::protocol::PACKET_BYTES_MAX;

/// Name of the socket in the container's directory.
const NAME: &str = "monitor.sock";
/// Most descriptors of one packet; the kernel's SCM_MAX_FD.
pub(super) const DESCRIPTORS_MAX: usize = 253;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// A received packet.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) bytes: Vec<u8>,
    pub(super) descriptors: Vec<OwnedFd>,
}

/// Makes the socket in a directory, in place of one that a killed monitor left.
pub(super) fn serve(directory: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    remove(directory)?;
    let socket = new_socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    bind(&socket, &address(directory)?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Removes the socket from its directory.
pub(super) fn remove(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    match unlinkat(directory, NAME, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

/// Takes the next waiting connection.
pub(super) fn accept(listener: &OwnedFd) -> Result<OwnedFd, Errno> {
    accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
}

/// Connects to the socket of a directory.
pub(super) fn reach(directory: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let socket = new_socket(SocketFlags::CLOEXEC)?;
    connect(&socket, &address(directory)?)?;
    Ok(socket)
}

/// Sends one packet.
pub(super) fn send(
    socket: &OwnedFd,
    parts: &[IoSlice<'_>],
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    let message = SendAncillaryMessage::ScmRights(descriptors);
    let mut space = vec![
        MaybeUninit::uninit();
        if descriptors.is_empty() {
            0
        } else {
            message.size()
        }
    ];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(message) {
        return Err(Errno::INVAL);
    }
    loop {
        match sendmsg(socket, parts, &mut control, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            result => return result.map(drop),
        }
    }
}

/// Receives one packet; `None` when the other end is closed.
pub(super) fn receive(socket: &OwnedFd) -> Result<Option<Packet>, Errno> {
    let length = loop {
        let mut nothing = [0; 0];
        match recv(socket, &mut nothing, RecvFlags::PEEK | RecvFlags::TRUNC) {
            Err(Errno::INTR) => {}
            result => break result?.1,
        }
    };
    let mut bytes = vec![0; length.min(PACKET_BYTES_MAX)];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let parts = &mut [std::io::IoSliceMut::new(&mut bytes)];
        match recvmsg(socket, parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            result => break result?,
        }
    };
    let descriptors = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    if received.bytes == 0 {
        return Ok(None);
    }
    if received
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(Errno::MSGSIZE);
    }
    bytes.truncate(received.bytes);
    Ok(Some(Packet { bytes, descriptors }))
}

fn new_socket(flags: SocketFlags) -> Result<OwnedFd, Errno> {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

fn address(directory: BorrowedFd<'_>) -> Result<SocketAddrUnix, Errno> {
    let number = directory.as_fd().as_raw_fd();
    SocketAddrUnix::new(format!("/proc/self/fd/{number}/{NAME}"))
}

#[cfg(test)]
mod tests {
    use rustix::pipe::pipe;

    use super::*;

    /// A served directory with a path longer than an address holds, and a connection to it: (ours, theirs).
    fn connection() -> (tempfile::TempDir, OwnedFd, OwnedFd) {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("x".repeat(200));
        fs_err::create_dir(&directory).unwrap();
        let directory = fs_err::File::open(directory).unwrap();
        let listener = serve(directory.as_fd()).unwrap();
        let client = reach(directory.as_fd()).unwrap();
        let server = accept(&listener).unwrap();
        (parent, server, client)
    }

    #[test]
    fn packets_and_descriptors_arrive_whole() {
        let (_directory, server, client) = connection();
        let (_read, write) = pipe().unwrap();
        let big = vec![7; PACKET_BYTES_MAX - 1];
        send(
            &client,
            &[IoSlice::new(b"{"), IoSlice::new(b"}")],
            &[write.as_fd(); 200],
        )
        .unwrap();
        send(&client, &[IoSlice::new(&big)], &[]).unwrap();
        let first = receive(&server).unwrap().unwrap();
        assert_eq!(
            (first.bytes.as_slice(), first.descriptors.len()),
            (b"{}".as_slice(), 200)
        );
        let second = receive(&server).unwrap().unwrap();
        assert!(second.bytes == big && second.descriptors.is_empty());
        assert_eq!(receive(&server).unwrap_err(), Errno::WOULDBLOCK);
        drop(client);
        assert!(receive(&server).unwrap().is_none());
    }

    #[test]
    fn a_packet_beyond_the_limit_is_refused_and_the_next_one_arrives() {
        let (_directory, server, client) = connection();
        send(
            &client,
            &[IoSlice::new(&vec![7; PACKET_BYTES_MAX + 1])],
            &[],
        )
        .unwrap();
        send(&client, &[IoSlice::new(b"next")], &[]).unwrap();
        assert_eq!(receive(&server).unwrap_err(), Errno::MSGSIZE);
        assert_eq!(receive(&server).unwrap().unwrap().bytes, b"next");
    }

    #[test]
    fn a_socket_that_was_left_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let directory = fs_err::File::open(directory.path()).unwrap();
        drop(serve(directory.as_fd()).unwrap());
        assert_eq!(reach(directory.as_fd()).unwrap_err(), Errno::CONNREFUSED);
        let _listener = serve(directory.as_fd()).unwrap();
        reach(directory.as_fd()).unwrap();
        remove(directory.as_fd()).unwrap();
        remove(directory.as_fd()).unwrap();
        assert_eq!(reach(directory.as_fd()).unwrap_err(), Errno::NOENT);
    }
}
