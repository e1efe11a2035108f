//! Carries out what clients ask for.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use super::{
    Monitor, Parent, Phase, Stopping,
    connections::Role,
    exec::{Wanted, WantedIo},
    packet::Packet,
    protocol::{Event, Frame, Request},
    setup::chain,
};
use crate::{pty, spec::ExitStatus, sys};

/// What becomes of a request.
pub(super) type Outcome = Result<Answer, String>;

/// What a client is told now.
#[derive(Debug)]
pub(super) enum Answer {
    Done,
    /// Something else was sent, or will be.
    Later,
}

impl Monitor {
    /// Takes one packet of a client.
    pub(super) fn client_ready(&mut self, id: u32) {
        let Some(connection) = self.connections.find(id) else {
            return;
        };
        let role = connection.role;
        let Some(packet) = connection.receive() else {
            return;
        };
        match role {
            Role::Requests => self.request(id, packet),
            Role::Attached { input } => {
                if input {
                    self.input(&packet.bytes);
                }
            }
        }
    }

    /// Takes input of an attached client. Between two runs it goes nowhere.
    fn input(&mut self, frame: &[u8]) {
        let Some((tag, payload)) = frame.split_first() else {
            return;
        };
        if *tag != Frame::Stdin as u8 {
            return;
        }
        if let Phase::Running(run) = &mut self.phase {
            if payload.is_empty() {
                run.streams.end_input();
            } else {
                run.streams.feed(payload);
            }
        }
    }

    fn request(&mut self, id: u32, packet: Packet) {
        let outcome = serde_json::from_slice::<Request>(&packet.bytes)
            .map_err(|error| format!("understand the request: {error}"))
            .and_then(|request| self.carry_out(id, request, packet.descriptors));
        let answer = match outcome {
            Ok(Answer::Later) => return,
            Ok(Answer::Done) => Event::Done,
            Err(message) => Event::Failed { message, code: 125 },
        };
        self.connections.send(id, &answer, Vec::new());
    }

    fn carry_out(&mut self, id: u32, request: Request, descriptors: Vec<OwnedFd>) -> Outcome {
        match request {
            Request::Subscribe { supervisor } => Ok(self.subscribe(id, supervisor)),
            Request::Release => {
                if let Some(connection) = self.connections.find(id) {
                    connection.supervisor = false;
                }
                self.supervisor.released();
                Ok(Answer::Done)
            }
            Request::Hold { names } => {
                if names.len() != descriptors.len() {
                    let (names, descriptors) = (names.len(), descriptors.len());
                    return Err(format!(
                        "hold {descriptors} descriptors under {names} names"
                    ));
                }
                self.held = names.into_iter().zip(descriptors).collect();
                Ok(Answer::Done)
            }
            Request::Held => self.show_held(id),
            Request::Stop { signal, grace_ms } => {
                if let Some(signal) = signal.filter(|signal| !is_signal(*signal)) {
                    return Err(format!("signal {signal} does not exist"));
                }
                self.stop(signal, grace_ms, Some(id));
                Ok(Answer::Later)
            }
            Request::Kill { signal } => self.kill(signal),
            Request::Pause => self.pause(),
            Request::Resume => self.resume(),
            Request::Freeze => self.freeze_for(id),
            Request::Exec {
                process,
                tty,
                size,
                privileged,
            } => {
                let io = if tty {
                    let (rows, columns) = size.unwrap_or_default();
                    WantedIo::Terminal { rows, columns }
                } else {
                    WantedIo::Descriptors(descriptors)
                };
                let wanted = Wanted {
                    process,
                    io,
                    privileged,
                };
                self.exec_for(id, wanted);
                Ok(Answer::Later)
            }
            Request::Detach => self.keep_terminal(descriptors),
            Request::Attach { stdin } => Ok(self.attach(id, stdin)),
            Request::Resize { rows, columns } => self.resize(rows, columns),
        }
    }

    fn subscribe(&mut self, id: u32, supervisor: bool) -> Answer {
        let state = self.event();
        if let Some(connection) = self.connections.find(id) {
            connection.subscribed = true;
            connection.supervisor |= supervisor;
            connection.wants_state();
        }
        if supervisor {
            self.supervisor.connected(Instant::now());
        }
        self.connections.flush(id, &state);
        Answer::Later
    }

    fn show_held(&mut self, id: u32) -> Outcome {
        let mut descriptors = Vec::with_capacity(self.held.len());
        for (name, descriptor) in &self.held {
            let copy = descriptor
                .try_clone()
                .map_err(|error| format!("copy descriptor `{name}`: {error}"))?;
            descriptors.push(copy);
        }
        let names = self.held.iter().map(|(name, _)| name.clone()).collect();
        self.connections
            .send(id, &Event::Held { names }, descriptors);
        Ok(Answer::Later)
    }

    fn attach(&mut self, id: u32, input: bool) -> Answer {
        if let Some(connection) = self.connections.find(id) {
            connection.role = Role::Attached { input };
            connection.wants_state();
        }
        if matches!(self.phase, Phase::Awaiting { .. }) {
            self.start_for(id);
        }
        let state = self.event();
        self.connections.flush(id, &state);
        Answer::Later
    }

    fn resize(&mut self, rows: u16, columns: u16) -> Outcome {
        if !self.checked.spec().stdio.tty {
            return Err("the container has no terminal".to_owned());
        }
        self.terminal_size = (rows, columns);
        if let Phase::Running(run) = &self.phase
            && let Some(console) = run.streams.console()
        {
            pty::resize(console, rows, columns).map_err(|error| error.to_string())?;
        }
        Ok(Answer::Done)
    }

    /// Stops the container for good; a client that asked is answered when it has ended.
    pub(super) fn stop(&mut self, signal: Option<i32>, grace_ms: Option<u64>, client: Option<u32>) {
        let policy = self.checked.spec().stop;
        let signal = signal.unwrap_or(policy.signal);
        let grace = Duration::from_millis(grace_ms.unwrap_or(policy.grace_ms));
        // A grace beyond all time is one without end.
        let kill_at = Instant::now().checked_add(grace);
        let stopping = self.stopping.get_or_insert_with(|| Stopping {
            kill_at: None,
            waiting: Vec::new(),
        });
        stopping.kill_at = match (stopping.kill_at, kill_at) {
            (Some(earlier), Some(later)) => Some(earlier.min(later)),
            (earlier, later) => earlier.or(later),
        };
        stopping.waiting.extend(client);
        match &self.phase {
            Phase::Running(_) => {
                self.log.event(&format!(
                    "stopping with signal {signal}, {} ms grace",
                    grace.as_millis()
                ));
                self.cancel_probe();
                self.thaw();
                self.signal(signal);
            }
            Phase::Pausing { last, .. } => {
                let status = ExitStatus {
                    requested: true,
                    ..*last
                };
                self.log.event("stopped between two runs");
                self.finish(status);
            }
            Phase::Awaiting { .. } => {
                self.log.event("stopped before it was started");
                self.finish(ExitStatus {
                    code: 0,
                    signal: None,
                    oom_killed: false,
                    requested: true,
                });
            }
            Phase::Ended { .. } => {
                for client in self
                    .stopping
                    .take()
                    .map(|stopping| stopping.waiting)
                    .unwrap_or_default()
                {
                    self.connections.send(client, &Event::Done, Vec::new());
                }
            }
        }
    }

    /// The grace is over.
    pub(super) fn kill_everything(&mut self) {
        if let Some(stopping) = &mut self.stopping {
            stopping.kill_at = None;
        }
        self.log.event("killed: it did not stop in time");
        if let Some(cgroup) = &self.cgroup
            && let Err(error) = cgroup.kill_all()
        {
            self.log.event(&chain(&error));
        }
        // Also where no control group can.
        self.signal(libc::SIGKILL);
    }

    fn kill(&mut self, signal: i32) -> Outcome {
        if !matches!(self.phase, Phase::Running(_)) {
            return Err("the container does not run".to_owned());
        }
        if !is_signal(signal) {
            return Err(format!("signal {signal} does not exist"));
        }
        if signal == libc::SIGKILL {
            self.stopping.get_or_insert_with(|| Stopping {
                kill_at: None,
                waiting: Vec::new(),
            });
            self.thaw();
        }
        self.signal(signal);
        Ok(Answer::Done)
    }

    /// Sends a signal to PID 1.
    fn signal(&self, signal: i32) {
        if let Phase::Running(run) = &self.phase
            && !matches!(run.parent, Parent::OtherEnded { .. })
        {
            // ESRCH: it has ended and waits to be reaped, which keeps its pid from being another process's.
            sys::signal::kill(run.pid, signal).ok();
        }
    }
}

/// Whether the kernel has a signal of this number; `SIGRTMAX` is the last.
fn is_signal(number: i32) -> bool {
    (1..=libc::SIGRTMAX()).contains(&number)
}
