//! A netlink socket: one batch out, its acknowledgement in. It belongs to the network namespace of the thread that opened it.

use std::{io, time::Duration};

use netlink_sys::{Socket, SocketAddr};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::message::{Attributes, Batch, DUMP, attribute, messages, text, u32_at};

/// `NLMSG_ERROR`: an error, or with code 0 an acknowledgement.
const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a dump.
const DONE: u16 = 3;
/// `NLM_F_CAPPED`: the failed message is not repeated in the answer.
const CAPPED: u16 = 0x100;
/// `NLM_F_DUMP_INTR`: the dump is inconsistent.
const DUMP_INTERRUPTED: u16 = 0x10;
/// `NLMSGERR_ATTR_MSG`: text of the kernel.
const ERROR_TEXT: u16 = 1;
/// Receive buffer of one datagram; the kernel's dumps use at most 32 KiB.
const DATAGRAM_BYTES: usize = 64 * 1024;
/// Attempts at a dump that changes under us.
const DUMP_ATTEMPTS_MAX: usize = 5;
/// The kernel answers within the system call; this only keeps a surprise from hanging the network for ever.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What the kernel said no to.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The socket itself does not work.
    #[error("netlink socket")]
    Socket(#[source] io::Error),
    /// A message was refused.
    #[error("{subject}: {source}{}", .detail.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Refused {
        /// What the message was for.
        subject: String,
        /// The error number.
        source: io::Error,
        /// The kernel's own words.
        detail: Option<String>,
    },
}

impl NetlinkError {
    /// Returns the error number, if the kernel refused.
    pub(crate) fn errno(&self) -> Option<i32> {
        match self {
            Self::Socket(error) | Self::Refused { source: error, .. } => error.raw_os_error(),
        }
    }
}

/// A netlink socket.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket of a netlink family (`libc::NETLINK_ROUTE`, `libc::NETLINK_NETFILTER`) in this thread's network namespace.
    pub(crate) fn open(protocol: i32) -> Result<Self, NetlinkError> {
        let open = || -> io::Result<Socket> {
            let protocol = isize::try_from(protocol).map_err(io::Error::other)?;
            let mut socket = Socket::new(protocol)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            // Both only make errors better; kernels before 4.12 lack them.
            let better = socket
                .set_ext_ack(true)
                .and_then(|()| socket.set_cap_ack(true));
            if let Err(error) = better {
                tracing::debug!(%error, "netlink errors will have no text");
            }
            set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
            Ok(socket)
        };
        Ok(Self {
            socket: open().map_err(NetlinkError::Socket)?,
            sequence: 1,
        })
    }

    /// Sends a batch and waits for the acknowledgement of its last message; the first refusal is the error.
    pub(crate) fn execute(&mut self, mut batch: Batch) -> Result<(), NetlinkError> {
        let last = batch.len().saturating_sub(1);
        self.execute_acknowledging(&mut batch, last)
    }

    /// As [`Self::execute`], with the acknowledgement asked of another message (nf_tables acknowledges no BATCH_END).
    pub(crate) fn execute_acknowledging(
        &mut self,
        batch: &mut Batch,
        acknowledged: usize,
    ) -> Result<(), NetlinkError> {
        if batch.len() == 0 {
            return Ok(());
        }
        let first = self.reserve(batch.len());
        let bytes = batch.finish(first, acknowledged);
        // A batch can be larger than the default send buffer (212 KiB).
        if bytes.len() > 100_000 {
            self.grow_send_buffer(bytes.len() * 2)?;
        }
        self.socket.send(bytes, 0).map_err(NetlinkError::Socket)?;
        let mut refusal = None;
        let mut answered = false;
        let mut flags = 0;
        while let Some(datagram) = self.receive(flags)? {
            for answer in messages(&datagram) {
                let index = answer.sequence.wrapping_sub(first) as usize;
                if answer.kind != ERROR || index >= batch.len() {
                    continue;
                }
                answered = true;
                let code = u32_at(answer.payload, 0).unwrap_or(0).cast_signed();
                if code != 0 && refusal.is_none() {
                    refusal = Some(NetlinkError::Refused {
                        subject: batch.subject(index).to_owned(),
                        source: io::Error::from_raw_os_error(-code),
                        detail: error_text(answer.flags, answer.payload),
                    });
                }
            }
            // Every answer is queued before send(2) returns: once one came, only drain.
            if answered {
                flags = libc::MSG_DONTWAIT;
            }
        }
        match refusal {
            Some(refusal) => Err(refusal),
            None if answered => Ok(()),
            None => Err(NetlinkError::Socket(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Dumps all objects of a kind; `each` gets the payload after the netlink header.
    pub(crate) fn dump(
        &mut self,
        subject: &'static str,
        kind: u16,
        family_header: &[u8],
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), NetlinkError> {
        for _ in 0..DUMP_ATTEMPTS_MAX {
            let mut batch = Batch::default();
            batch.message(subject, kind, DUMP, family_header, |_| {});
            let sequence = self.reserve(1);
            let bytes = batch.finish(sequence, usize::MAX);
            self.socket.send(bytes, 0).map_err(NetlinkError::Socket)?;
            let mut objects = Vec::new();
            if self.read_dump(subject, sequence, &mut objects)? {
                for object in &objects {
                    each(object);
                }
                return Ok(());
            }
        }
        Err(NetlinkError::Socket(io::Error::from_raw_os_error(
            libc::EINTR,
        )))
    }

    /// Asks for one object; `None` when there is none (`ENODEV`).
    pub(crate) fn get(
        &mut self,
        subject: &'static str,
        kind: u16,
        family_header: &[u8],
        fill: impl FnOnce(&mut Attributes<'_>),
    ) -> Result<Option<Vec<u8>>, NetlinkError> {
        let mut batch = Batch::default();
        batch.message(subject, kind, 0, family_header, fill);
        let sequence = self.reserve(1);
        let bytes = batch.finish(sequence, 0);
        self.socket.send(bytes, 0).map_err(NetlinkError::Socket)?;
        let mut object = None;
        loop {
            let Some(datagram) = self.receive(0)? else {
                return Err(NetlinkError::Socket(io::ErrorKind::TimedOut.into()));
            };
            for answer in messages(&datagram).filter(|answer| answer.sequence == sequence) {
                if answer.kind != ERROR {
                    object = Some(answer.payload.to_vec());
                    continue;
                }
                return match u32_at(answer.payload, 0).unwrap_or(0).cast_signed() {
                    0 => Ok(object),
                    code if -code == libc::ENODEV => Ok(None),
                    code => Err(NetlinkError::Refused {
                        subject: subject.to_owned(),
                        source: io::Error::from_raw_os_error(-code),
                        detail: error_text(answer.flags, answer.payload),
                    }),
                };
            }
        }
    }

    /// Reads to the end of a dump; `false` when it was interrupted by a change and must be repeated.
    fn read_dump(
        &mut self,
        subject: &'static str,
        sequence: u32,
        objects: &mut Vec<Vec<u8>>,
    ) -> Result<bool, NetlinkError> {
        let mut consistent = true;
        loop {
            let Some(datagram) = self.receive(0)? else {
                return Err(NetlinkError::Socket(io::ErrorKind::TimedOut.into()));
            };
            for answer in messages(&datagram).filter(|answer| answer.sequence == sequence) {
                consistent &= answer.flags & DUMP_INTERRUPTED == 0;
                match answer.kind {
                    DONE => return Ok(consistent),
                    ERROR => {
                        let code = u32_at(answer.payload, 0).unwrap_or(0).cast_signed();
                        return Err(NetlinkError::Refused {
                            subject: subject.to_owned(),
                            source: io::Error::from_raw_os_error(-code),
                            detail: error_text(answer.flags, answer.payload),
                        });
                    }
                    _ => objects.push(answer.payload.to_vec()),
                }
            }
        }
    }

    /// Receives one datagram; `None` when there is none (`MSG_DONTWAIT`) or the time is up.
    fn receive(&mut self, flags: i32) -> Result<Option<Vec<u8>>, NetlinkError> {
        let mut buffer = Vec::with_capacity(DATAGRAM_BYTES);
        loop {
            match self.socket.recv(&mut buffer, flags) {
                Ok(_) => return Ok(Some(buffer)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(NetlinkError::Socket(error)),
            }
        }
    }

    fn reserve(&mut self, messages: usize) -> u32 {
        let first = self.sequence;
        let count = u32::try_from(messages).expect("a batch has few messages");
        self.sequence = self.sequence.wrapping_add(count);
        first
    }

    fn grow_send_buffer(&self, bytes: usize) -> Result<(), NetlinkError> {
        use std::os::fd::AsFd;
        rustix::net::sockopt::set_socket_send_buffer_size_force(self.socket.as_fd(), bytes)
            .map_err(|errno| NetlinkError::Socket(errno.into()))
    }
}

/// The kernel's words follow the error code and either the header or the whole of the failed message.
fn error_text(flags: u16, payload: &[u8]) -> Option<String> {
    let repeated = if flags & CAPPED != 0 {
        16
    } else {
        usize::try_from(u32_at(payload, 4)?)
            .ok()?
            .next_multiple_of(4)
    };
    attribute(payload.get(4 + repeated..)?, ERROR_TEXT).map(text)
}
