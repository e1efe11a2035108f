//! Connects the user's streams to a container's first process, through the container's monitor.
//!
//! The attached connection carries only input and output; signals and window sizes go over a second one.

mod command;
mod keys;

use std::{io, os::fd::AsFd, path::Path};

use nix::sys::signal::Signal;
use runtime::{
    monitor::{
        Client, ClientError, Received,
        protocol::{Event, Request},
    },
    spec::{ContainerState, ExitStatus},
};
use rustix::io::Errno;

pub(super) use command::{Arguments, run};
pub(super) use keys::{DetachKeys, Detector};

use super::{
    failure::Failure,
    poll::{self, Interest},
    session::Session,
    terminal::{self, RawMode, Signals},
};

/// Bytes of input in one packet.
const CHUNK_BYTES: usize = 16 * 1024;

/// What to connect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streams {
    /// The container has a terminal.
    pub(super) tty: bool,
    /// Also send input.
    pub(super) stdin: bool,
    /// Pass signals on; without it they end this command only.
    pub(super) sig_proxy: bool,
}

/// How an attachment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The process ended for good.
    Exited(ExitStatus),
    /// The user left; the container runs on.
    Detached,
}

/// What comes from the user's side.
enum Input {
    /// Nothing yet.
    None,
    /// These bytes; none = the end.
    Bytes(Vec<u8>),
    /// The keys that leave.
    Detach,
}

/// Stays connected until the container's process has ended for good or the user types the keys that leave. The keys have a meaning only on a terminal.
pub(super) fn attach(
    session: &Session<'_>,
    directory: &Path,
    name: &str,
    streams: Streams,
    keys: &DetachKeys,
) -> Result<End, Failure> {
    let signals = Signals::take().map_err(|error| Failure::intent("take signals", &error))?;
    let attachment = Attachment {
        session,
        directory,
        name,
    };
    let monitor = Client::connect(directory).map_err(|error| attachment.failed(&error))?;
    let is_raw = streams.tty && session.settings.terminals.stdin;
    let _raw = is_raw
        .then(RawMode::enter)
        .transpose()
        .map_err(|error| Failure::intent("set up the terminal", &error))?;
    if streams.tty {
        attachment.resize();
    }
    monitor
        .request(
            &Request::Attach {
                stdin: streams.stdin,
            },
            &[],
        )
        .and_then(|()| monitor.set_nonblocking(true))
        .map_err(|error| attachment.failed(&error))?;
    let detector = is_raw.then(|| Detector::new(keys.clone()));
    attachment.relay(&monitor, &signals, streams, detector)
}

struct Attachment<'a> {
    session: &'a Session<'a>,
    directory: &'a Path,
    name: &'a str,
}

impl Attachment<'_> {
    fn relay(
        &self,
        monitor: &Client,
        signals: &Signals,
        streams: Streams,
        mut detector: Option<Detector>,
    ) -> Result<End, Failure> {
        // A chunk of input that the monitor has no room for yet; an empty one closes the input.
        let (mut pending, mut has_stdin) = (None::<Vec<u8>>, streams.stdin);
        loop {
            let stdin = io::stdin();
            let interest = if pending.is_some() {
                Interest::ReadWrite
            } else {
                Interest::Read
            };
            let fds = [
                Some((signals.as_fd(), Interest::Read)),
                Some((monitor.as_fd(), interest)),
                (has_stdin && pending.is_none()).then(|| (stdin.as_fd(), Interest::Read)),
            ];
            let ready = poll::wait(&fds, None).map_err(|error| self.broken(&error))?;
            if ready[0] {
                let is_end = self.pass_signal(signals, streams)?;
                if is_end {
                    return Ok(End::Detached);
                }
            }
            if ready[2] {
                match self.read_input(detector.as_mut())? {
                    Input::None => {}
                    Input::Bytes(chunk) => {
                        has_stdin = !chunk.is_empty();
                        pending = Some(chunk);
                    }
                    Input::Detach => return Ok(End::Detached),
                }
            }
            if let Some(chunk) = &pending
                && self.send_input(monitor, chunk)?
            {
                pending = None;
            }
            if ready[1]
                && let Some(status) = self.receive(monitor)?
            {
                return Ok(End::Exited(status));
            }
        }
    }

    /// Returns false when the monitor has no room now.
    fn send_input(&self, monitor: &Client, chunk: &[u8]) -> Result<bool, Failure> {
        match monitor.send_input(chunk) {
            Ok(()) => Ok(true),
            Err(error) if error.is_would_block() => Ok(false),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Prints output. Returns how the process ended when it did.
    fn receive(&self, monitor: &Client) -> Result<Option<ExitStatus>, Failure> {
        let received = match monitor.receive_frame() {
            // The connection was ready for input only.
            Err(error) if error.is_would_block() => return Ok(None),
            received => received.map_err(|error| self.failed(&error))?,
        };
        let Some(received) = received else {
            return Err(Failure::message(format!(
                "attach to `{}`: the container's monitor went away",
                self.name
            )));
        };
        match received {
            Received::Stdout(bytes) => self.session.ui.data(bytes)?,
            Received::Stderr(bytes) => self.session.ui.foreign_error(&bytes),
            Received::Event(Event::State {
                state: ContainerState::Exited { status, .. },
                ..
            }) => {
                return Ok(Some(status));
            }
            Received::Event(Event::Failed { message, code }) => {
                let failure = Failure::message(format!("run `{}`: {message}", self.name));
                return Err(failure.with_code(u8::try_from(code).unwrap_or(125)));
            }
            Received::Event(_) => {}
        }
        Ok(None)
    }

    fn read_input(&self, detector: Option<&mut Detector>) -> Result<Input, Failure> {
        let mut chunk = vec![0; CHUNK_BYTES];
        match rustix::io::read(io::stdin(), &mut chunk) {
            Ok(length) => chunk.truncate(length),
            Err(Errno::WOULDBLOCK | Errno::INTR) => return Ok(Input::None),
            Err(errno) => return Err(self.broken(&errno.into())),
        }
        let Some(detector) = detector.filter(|_| !chunk.is_empty()) else {
            return Ok(Input::Bytes(chunk));
        };
        Ok(match detector.filter(&chunk) {
            (_, true) => Input::Detach,
            // All of it is held back: it may begin the sequence.
            (passed, false) if passed.is_empty() => Input::None,
            (passed, false) => Input::Bytes(passed),
        })
    }

    /// Returns whether the signal ends this command.
    fn pass_signal(&self, signals: &Signals, streams: Streams) -> Result<bool, Failure> {
        match signals.next().map_err(|error| self.broken(&error))? {
            None => {}
            Some(Signal::SIGWINCH) if streams.tty => self.resize(),
            Some(Signal::SIGWINCH) => {}
            Some(_) if !streams.sig_proxy => return Ok(true),
            Some(signal) => self.tell(&Request::Kill {
                signal: signal as i32,
            }),
        }
        Ok(false)
    }

    fn resize(&self) {
        if let Some(size) = terminal::size(io::stdin()) {
            self.tell(&Request::Resize {
                rows: size.ws_row,
                columns: size.ws_col,
            });
        }
    }

    /// Sends a request on a connection of its own. A container that has just ended is no failure: the attached connection tells how.
    fn tell(&self, request: &Request) {
        let answer = Client::connect(self.directory).and_then(|monitor| {
            monitor
                .request(request, &[])
                .and_then(|()| monitor.receive())
        });
        match answer {
            Ok(Some((Event::Failed { message, .. }, _))) => {
                self.session.ui.warn(&format!("`{}`: {message}", self.name));
            }
            Ok(_) | Err(ClientError::NoMonitor(_)) => {}
            Err(error) => self.session.ui.warn(&format!("`{}`: {error}", self.name)),
        }
    }

    fn failed(&self, error: &ClientError) -> Failure {
        Failure::intent(format!("attach to `{}`", self.name), error)
    }

    fn broken(&self, error: &io::Error) -> Failure {
        Failure::intent(format!("attach to `{}`", self.name), error)
    }
}
