//! One connection to a monitor, for the supervisor: asynchronous, one JSON document a packet, descriptors beside it.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
};

use runtime::monitor::protocol::{Event, PACKET_BYTES_MAX, Request};
use rustix::{
    fs::{Mode, OFlags},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recvmsg,
        sendmsg, socket_with,
    },
};
use tokio::io::unix::AsyncFd;

/// Most descriptors of one message: listening sockets and DNS sockets of one container.
const FDS_MAX: usize = 250;

/// A monitor could not be talked to.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It does not listen: the container does not run.
    #[error("connect to the monitor of container {id}")]
    Connect {
        /// Short id.
        id: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("talk to the monitor of container {id}")]
    Broken {
        /// Short id.
        id: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The monitor ended.
    #[error("the monitor of container {id} went away")]
    Gone {
        /// Short id.
        id: String,
    },
    /// It refused.
    #[error("{message}")]
    Refused {
        /// What and why.
        message: String,
    },
}

/// A connection to a monitor.
#[derive(Debug)]
pub struct Link {
    socket: AsyncFd<OwnedFd>,
    id: String,
}

impl Link {
    /// Connects to the monitor that serves a container's directory.
    pub fn connect(directory: &Path) -> Result<Self, LinkError> {
        let id = directory
            .file_name()
            .map(|name| name.to_string_lossy().chars().take(12).collect::<String>())
            .unwrap_or_default();
        let socket = connect_below(directory)
            .and_then(register)
            .map_err(|source| LinkError::Connect {
                id: id.clone(),
                source,
            })?;
        Ok(Self { socket, id })
    }

    /// Sends a request and its descriptors.
    pub async fn send(&self, request: &Request, fds: &[OwnedFd]) -> Result<(), LinkError> {
        let packet =
            serde_json::to_vec(request).map_err(|error| self.broken(io::Error::from(error)))?;
        loop {
            let mut guard = self
                .socket
                .writable()
                .await
                .map_err(|error| self.broken(error))?;
            if let Ok(sent) = guard.try_io(|socket| send_packet(socket.get_ref(), &packet, fds)) {
                return sent.map_err(|error| self.broken(error));
            }
        }
    }

    /// Receives the next event and its descriptors.
    pub async fn receive(&self) -> Result<(Event, Vec<OwnedFd>), LinkError> {
        let (packet, fds) = self.receive_bytes().await?;
        let event =
            serde_json::from_slice(&packet).map_err(|error| self.broken(io::Error::from(error)))?;
        Ok((event, fds))
    }

    /// Receives the next packet of an attached connection: its [`Frame`] tag, then the payload.
    ///
    /// [`Frame`]: runtime::monitor::protocol::Frame
    pub async fn receive_frame(&self) -> Result<(u8, Vec<u8>), LinkError> {
        let (mut packet, _) = self.receive_bytes().await?;
        let tag = packet.remove(0);
        Ok((tag, packet))
    }

    /// Parses the payload of an event frame.
    pub fn parse_event(&self, payload: &[u8]) -> Result<Event, LinkError> {
        serde_json::from_slice(payload).map_err(|error| self.broken(io::Error::from(error)))
    }

    async fn receive_bytes(&self) -> Result<(Vec<u8>, Vec<OwnedFd>), LinkError> {
        loop {
            let mut guard = self
                .socket
                .readable()
                .await
                .map_err(|error| self.broken(error))?;
            let Ok(received) = guard.try_io(|socket| receive_packet(socket.get_ref())) else {
                continue;
            };
            let (packet, fds) = received.map_err(|error| self.broken(error))?;
            if packet.is_empty() {
                return Err(LinkError::Gone {
                    id: self.id.clone(),
                });
            }
            return Ok((packet, fds));
        }
    }

    /// Sends a request and waits for `Done`.
    pub async fn call(&self, request: &Request, fds: &[OwnedFd]) -> Result<(), LinkError> {
        self.send(request, fds).await?;
        loop {
            match self.receive().await?.0 {
                Event::Done => return Ok(()),
                Event::Failed { message, .. } => return Err(LinkError::Refused { message }),
                _ => {}
            }
        }
    }

    pub(super) fn broken(&self, source: io::Error) -> LinkError {
        LinkError::Broken {
            id: self.id.clone(),
            source,
        }
    }
}

/// Connects through `/proc/self/fd`, because `sun_path` holds only 108 bytes (unix(7)).
fn connect_below(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::open(directory, flags, Mode::empty())?;
    let path = format!("/proc/self/fd/{}/monitor.sock", parent.as_raw_fd());
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

#[expect(
    deprecated,
    reason = "its soundness hole needs a type whose descriptor changes; an OwnedFd's never does"
)]
fn register(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(socket)
}

fn send_packet(socket: &OwnedFd, packet: &[u8], fds: &[OwnedFd]) -> io::Result<()> {
    let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !borrowed.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "too many descriptors",
        ));
    }
    sendmsg(
        socket,
        &[IoSlice::new(packet)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

fn receive_packet(socket: &OwnedFd) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut packet = vec![0; PACKET_BYTES_MAX];
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut packet)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    packet.truncate(received.bytes);
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok((packet, fds))
}
