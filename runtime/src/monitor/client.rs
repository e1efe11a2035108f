//! A client of a monitor; blocking, unless told otherwise.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::io::Errno;

use super::{
    packet,
    protocol::{Event, Frame, Request},
};

/// A monitor could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The container's directory cannot be opened.
    #[error("open the container's directory")]
    Directory(#[source] io::Error),
    /// Nobody serves the container: it is not started, or it has ended.
    #[error("no monitor serves `{0}`")]
    NoMonitor(PathBuf),
    /// The connection broke, or (with [`Client::set_nonblocking`]) would have to wait.
    #[error("talk to a monitor")]
    Socket(#[source] io::Error),
    /// The monitor said something that this build does not understand.
    #[error("understand a monitor")]
    Malformed(#[source] serde_json::Error),
}

impl ClientError {
    /// Returns whether the call has to be repeated when the socket is ready.
    pub fn is_would_block(&self) -> bool {
        matches!(self, ClientError::Socket(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// What an attached connection carries to the client.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// Bytes of standard output, or of the terminal.
    Stdout(Vec<u8>),
    /// Bytes of standard error.
    Stderr(Vec<u8>),
    /// A change of state, or a refusal.
    Event(Event),
}

/// A connection to the monitor of one container.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
}

impl Client {
    /// Connects to the monitor that serves a container's directory.
    pub fn connect(directory: &Path) -> Result<Client, ClientError> {
        let opened = match fs_err::File::open(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ClientError::NoMonitor(directory.to_owned()));
            }
            result => result.map_err(ClientError::Directory)?,
        };
        match packet::reach(opened.as_fd()) {
            Ok(socket) => Ok(Client { socket }),
            Err(Errno::NOENT | Errno::CONNREFUSED) => {
                Err(ClientError::NoMonitor(directory.to_owned()))
            }
            Err(errno) => Err(ClientError::Socket(errno.into())),
        }
    }

    /// Makes calls return [`ClientError::is_would_block`] errors instead of waiting, or wait again.
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<(), ClientError> {
        rustix::io::ioctl_fionbio(&self.socket, nonblocking)
            .map_err(|errno| ClientError::Socket(errno.into()))
    }

    /// Sends a request with descriptors; its answer is received by [`Client::receive`].
    pub fn request(
        &self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ClientError> {
        let bytes = serde_json::to_vec(request).map_err(ClientError::Malformed)?;
        self.send(&[IoSlice::new(&bytes)], descriptors)
    }

    /// Receives the next event with its descriptors; `None` when the monitor has closed the connection.
    pub fn receive(&self) -> Result<Option<(Event, Vec<OwnedFd>)>, ClientError> {
        self.receive_packet()?
            .map(|packet| Ok((event(&packet.bytes)?, packet.descriptors)))
            .transpose()
    }

    /// Sends input on an attached connection; no bytes close the input.
    pub fn send_input(&self, bytes: &[u8]) -> Result<(), ClientError> {
        self.send(
            &[IoSlice::new(&[Frame::Stdin as u8]), IoSlice::new(bytes)],
            &[],
        )
    }

    /// Receives the next frame of an attached connection; `None` when the monitor has closed it.
    pub fn receive_frame(&self) -> Result<Option<Received>, ClientError> {
        let Some(packet) = self.receive_packet()? else {
            return Ok(None);
        };
        let (tag, payload) = packet
            .bytes
            .split_first()
            .map_or((0, &[][..]), |(tag, rest)| (*tag, rest));
        Ok(Some(if tag == Frame::Stdout as u8 {
            Received::Stdout(payload.to_vec())
        } else if tag == Frame::Stderr as u8 {
            Received::Stderr(payload.to_vec())
        } else if tag == Frame::Event as u8 {
            Received::Event(event(payload)?)
        } else {
            // A refusal of the attach request itself is a plain event.
            Received::Event(event(&packet.bytes)?)
        }))
    }

    fn receive_packet(&self) -> Result<Option<packet::Packet>, ClientError> {
        match packet::receive(&self.socket) {
            Err(Errno::CONNRESET | Errno::PIPE) => Ok(None),
            result => result.map_err(|errno| ClientError::Socket(errno.into())),
        }
    }

    fn send(
        &self,
        parts: &[IoSlice<'_>],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ClientError> {
        packet::send(&self.socket, parts, descriptors)
            .map_err(|errno| ClientError::Socket(errno.into()))
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn event(bytes: &[u8]) -> Result<Event, ClientError> {
    serde_json::from_slice(bytes).map_err(ClientError::Malformed)
}
