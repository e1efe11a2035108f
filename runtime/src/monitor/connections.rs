//! The monitor's clients: who they are, and what they still have to be sent.
//!
//! Answers are queued, output to attached clients too; states are not: only the newest one is worth sending, so a client that does not
//! read costs one flag. Order for one client: its queue first, then the state.

use std::{
    collections::VecDeque,
    io::IoSlice,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::io::Errno;

use super::{
    packet::{self, Packet},
    protocol::{Event, Frame},
};

/// Most clients at a time; later ones wait in the socket's backlog.
const CONNECTIONS_MAX: usize = 256;
/// Most packets that wait for one client; a client that asks and never reads is dropped.
const QUEUE_MAX: usize = 1024;
/// Time that an attached client without input may leave output unread, which stops the container, before it is dropped.
const STALL_MAX: Duration = Duration::from_secs(10);

/// What a connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Requests and events. `Attach` moves it on.
    Requests,
    /// Frames. Nothing moves it on.
    Attached {
        /// Whether the client sends input. It is then interactive: it may stop reading for as long as it likes.
        input: bool,
    },
}

/// One client.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: u32,
    socket: OwnedFd,
    pub(super) role: Role,
    /// It wants every state.
    pub(super) subscribed: bool,
    /// It is the supervisor.
    pub(super) supervisor: bool,
    queue: VecDeque<Outgoing>,
    /// The newest state has not been sent.
    state_due: bool,
    /// Since when the first packet of the queue waits.
    stalled_since: Instant,
    /// Sending did not work: it is gone.
    broken: bool,
}

#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

/// All clients.
#[derive(Debug, Default)]
pub(super) struct Connections {
    list: Vec<Connection>,
    last_id: u32,
}

impl Connections {
    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= CONNECTIONS_MAX
    }

    pub(super) fn add(&mut self, socket: OwnedFd) {
        self.last_id = self.last_id.wrapping_add(1);
        self.list.push(Connection {
            id: self.last_id,
            socket,
            role: Role::Requests,
            subscribed: false,
            supervisor: false,
            queue: VecDeque::new(),
            state_due: false,
            stalled_since: Instant::now(),
            broken: false,
        });
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.list.iter()
    }

    pub(super) fn find(&mut self, id: u32) -> Option<&mut Connection> {
        self.list.iter_mut().find(|connection| connection.id == id)
    }

    /// Takes away clients that are gone or have stalled for too long; returns whether the supervisor was among them.
    pub(super) fn sweep(&mut self, now: Instant) -> bool {
        let mut supervisor = false;
        self.list.retain(|connection| {
            let gone = connection.broken || connection.drop_at().is_some_and(|at| at <= now);
            supervisor |= gone && connection.supervisor;
            !gone
        });
        supervisor
    }

    /// When the next client is to be dropped for not reading.
    pub(super) fn next_drop(&self) -> Option<Instant> {
        self.list.iter().filter_map(Connection::drop_at).min()
    }

    /// Sends an event to one client, or queues it. A client that is gone gets nothing.
    pub(super) fn send(&mut self, id: u32, event: &Event, descriptors: Vec<OwnedFd>) {
        if let Some(connection) = self.find(id) {
            let bytes = connection.packed(event);
            connection.enqueue(Outgoing { bytes, descriptors });
        }
    }

    /// The state has changed: every subscribed and attached client is to get it.
    pub(super) fn state_changed(&mut self, state: &Event) {
        for connection in &mut self.list {
            connection.state_due |= connection.subscribed || connection.role != Role::Requests;
            connection.flush(state);
        }
    }

    /// Sends what waits for one client as far as it reads.
    pub(super) fn flush(&mut self, id: u32, state: &Event) {
        if let Some(connection) = self.find(id) {
            connection.flush(state);
        }
    }

    /// Whether every attached client has taken all output so far.
    pub(super) fn take_output(&self) -> bool {
        self.attached()
            .all(|connection| connection.queue.is_empty())
    }

    pub(super) fn any_attached(&self) -> bool {
        self.attached().next().is_some()
    }

    /// Sends one frame, tag included, to every attached client.
    pub(super) fn broadcast(&mut self, frame: &[u8]) {
        for connection in &mut self.list {
            if connection.role != Role::Requests {
                connection.send_frame(frame);
            }
        }
    }

    /// Whether something waits for some client.
    pub(super) fn anything_due(&self) -> bool {
        self.list.iter().any(Connection::wants_to_write)
    }

    fn attached(&self) -> impl Iterator<Item = &Connection> {
        self.list
            .iter()
            .filter(|connection| connection.role != Role::Requests)
    }
}

impl Connection {
    /// Receives a packet; `None` when there is none now or never again.
    pub(super) fn receive(&mut self) -> Option<Packet> {
        match packet::receive(&self.socket) {
            Ok(Some(packet)) => Some(packet),
            Err(Errno::AGAIN) => None,
            Ok(None) | Err(_) => {
                self.broken = true;
                None
            }
        }
    }

    pub(super) fn wants_to_write(&self) -> bool {
        !self.queue.is_empty() || self.state_due
    }

    pub(super) fn wants_state(&mut self) {
        self.state_due = true;
    }

    fn drop_at(&self) -> Option<Instant> {
        let stalls = self.role == (Role::Attached { input: false }) && !self.queue.is_empty();
        stalls.then(|| self.stalled_since + STALL_MAX)
    }

    /// An event as this client expects it.
    fn packed(&self, event: &Event) -> Vec<u8> {
        let mut bytes = match self.role {
            Role::Requests => Vec::new(),
            Role::Attached { .. } => vec![Frame::Event as u8],
        };
        serde_json::to_writer(&mut bytes, event)
            .expect("events have no maps and no failing writers");
        bytes
    }

    fn send_frame(&mut self, frame: &[u8]) {
        if self.queue.is_empty() {
            match packet::send(&self.socket, &[IoSlice::new(frame)], &[]) {
                Ok(()) => return,
                Err(Errno::AGAIN) => {}
                Err(_) => {
                    self.broken = true;
                    return;
                }
            }
        }
        self.enqueue(Outgoing {
            bytes: frame.to_vec(),
            descriptors: Vec::new(),
        });
    }

    fn enqueue(&mut self, outgoing: Outgoing) {
        if self.queue.is_empty() {
            self.stalled_since = Instant::now();
        }
        self.broken |= self.queue.len() >= QUEUE_MAX;
        self.queue.push_back(outgoing);
        self.flush_queue();
    }

    fn flush(&mut self, state: &Event) {
        self.flush_queue();
        if self.queue.is_empty() && std::mem::take(&mut self.state_due) {
            match packet::send(&self.socket, &[IoSlice::new(&self.packed(state))], &[]) {
                Ok(()) => {}
                Err(Errno::AGAIN) => self.state_due = true,
                Err(_) => self.broken = true,
            }
        }
    }

    fn flush_queue(&mut self) {
        while let Some(first) = self.queue.front() {
            let descriptors = first
                .descriptors
                .iter()
                .map(AsFd::as_fd)
                .collect::<Vec<_>>();
            match packet::send(&self.socket, &[IoSlice::new(&first.bytes)], &descriptors) {
                Ok(()) => {
                    drop(self.queue.pop_front());
                    self.stalled_since = Instant::now();
                }
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.broken = true;
                    return;
                }
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
