//! Waits for what the present state makes interesting, and acts.

use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::sys::memory;

use super::{Monitor, Parent, Phase, Run, connections::Role, log::Stream, packet, supervisor};

/// Something that a descriptor became ready for.
#[derive(Debug, Clone, Copy)]
enum Source {
    Signals,
    Listener,
    /// A client sent something or is gone.
    Client(u32),
    /// A client can take more.
    ClientWrites(u32),
    Output(Stream),
    Input,
    Probe,
    /// A terminal that was left behind, by its number.
    Terminal(usize),
    /// The process that this monitor is not the parent of.
    Adopted,
    /// The out-of-memory killer struck.
    Oom,
}

impl Run {
    fn deadline(&self) -> Option<Instant> {
        if let Parent::OtherEnded { until } = self.parent {
            return Some(until);
        }
        let probe = self.health.as_ref().and_then(|health| {
            let kill = health.probe.as_ref().map(|probe| probe.kill_at);
            kill.or(health.next_at)
        });
        [probe, self.oom.look_at].into_iter().flatten().min()
    }
}

impl Monitor {
    /// Serves until the container has ended for good and its clients know.
    pub(super) fn serve(&mut self) {
        loop {
            self.act(Instant::now());
            if self.is_over() {
                return;
            }
            if self.has_started.take() {
                memory::release_unused();
            }
            for source in self.wait() {
                self.ready(source);
            }
        }
    }

    fn is_over(&self) -> bool {
        match self.phase {
            Phase::Ended { until, .. } => {
                !self.connections.anything_due() || Instant::now() >= until
            }
            _ => false,
        }
    }

    /// Does everything whose time has come.
    fn act(&mut self, now: Instant) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if self.connections.sweep(now) {
            self.supervisor.lost(now);
        }
        self.end_freezes();
        match &self.phase {
            Phase::Awaiting { until } if due(Some(*until)) => self.give_up_waiting(),
            Phase::Pausing { until, .. } if due(Some(*until)) => self.start_again(),
            Phase::Running(run) if matches!(run.parent, Parent::OtherEnded { until } if until <= now) =>
            {
                self.adopted_ended(None);
            }
            Phase::Running(run) => {
                let health = run.health.as_ref();
                let next = health.and_then(|health| health.next_at);
                let kill = health.and_then(|health| health.probe.as_ref().map(|p| p.kill_at));
                let look = run.oom.look_at;
                if due(kill) {
                    self.time_out_probe(now);
                } else if due(next) {
                    self.begin_probe(now);
                }
                if due(look) {
                    self.look_for_oom_kills(now);
                }
            }
            _ => {}
        }
        if due(self.stopping.as_ref().and_then(|stopping| stopping.kill_at)) {
            self.kill_everything();
        }
        if due(self.supervisor.start_at()) && !matches!(self.phase, Phase::Ended { .. }) {
            self.supervisor.started(now);
            if let Err(errno) = supervisor::spawn(&self.supervisor_argv) {
                self.log.event(&format!("start a supervisor: {errno}"));
            }
        }
    }

    /// The next time at which [`Monitor::act`] has something to do.
    fn deadline(&self) -> Option<Instant> {
        let of_phase = match &self.phase {
            Phase::Awaiting { until }
            | Phase::Pausing { until, .. }
            | Phase::Ended { until, .. } => Some(*until),
            Phase::Running(run) => run.deadline(),
        };
        let of_supervisor = match self.phase {
            Phase::Ended { .. } => None,
            _ => self.supervisor.start_at(),
        };
        [
            of_phase,
            self.stopping.as_ref().and_then(|stopping| stopping.kill_at),
            of_supervisor,
            self.connections.next_drop(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Waits; returns what is ready.
    fn wait(&self) -> Vec<Source> {
        let (mut fds, sources) = self.interests();
        let timeout = self.deadline().map(|at| {
            let left = at.saturating_duration_since(Instant::now());
            // Waking before the time would make the loop spin until it has come.
            Timespec::try_from(left + Duration::from_micros(1)).expect("no deadline is an age away")
        });
        // EINTR cannot happen with all signals blocked; if it does, nothing is ready.
        if poll(&mut fds, timeout.as_ref()).is_err() {
            return Vec::new();
        }
        fds.iter()
            .zip(sources)
            .filter(|(fd, _)| !fd.revents().is_empty())
            .map(|(_, source)| source)
            .collect()
    }

    /// The descriptors that matter now. One whose readiness could not be acted on is left out, or the loop would spin.
    fn interests(&self) -> (Vec<PollFd<'_>>, Vec<Source>) {
        let mut fds = Vec::new();
        let mut sources = Vec::new();
        let mut add = |fd, flags, source| {
            fds.push(PollFd::from_borrowed_fd(fd, flags));
            sources.push(source);
        };
        add(self.signals.as_fd(), PollFlags::IN, Source::Signals);
        if let Some(listener) = &self.listener
            && !self.connections.is_full()
        {
            add(listener.as_fd(), PollFlags::IN, Source::Listener);
        }
        let mut input_is_blocked = false;
        if let Phase::Running(run) = &self.phase {
            if self.connections.take_output() {
                for (stream, output) in run.streams.outputs() {
                    add(output, PollFlags::IN, Source::Output(stream));
                }
            }
            if let Some(input) = run.streams.blocked_input() {
                input_is_blocked = true;
                add(input, PollFlags::OUT, Source::Input);
            }
            let probe = run.health.as_ref().and_then(|health| health.probe.as_ref());
            if let Some(output) = probe.and_then(|probe| probe.output.as_ref()) {
                add(output.as_fd(), PollFlags::IN, Source::Probe);
            }
            match run.parent {
                Parent::This => {}
                Parent::Other => add(run.pidfd.as_fd(), PollFlags::IN, Source::Adopted),
                // A hang-up is reported unasked.
                Parent::OtherEnded { .. } => {
                    add(run.pidfd.as_fd(), PollFlags::empty(), Source::Adopted);
                }
            }
            if let Some(notice) = &run.oom.notice {
                add(notice.as_fd(), notice.flags(), Source::Oom);
            }
        }
        for (number, terminal) in self.terminals.iter().enumerate() {
            add(terminal.as_fd(), PollFlags::IN, Source::Terminal(number));
        }
        for connection in self.connections.iter() {
            if connection.wants_to_write() {
                add(
                    connection.as_fd(),
                    PollFlags::OUT,
                    Source::ClientWrites(connection.id),
                );
            }
            // What the process does not take now is left in the client's socket.
            if !(input_is_blocked && connection.role == (Role::Attached { input: true })) {
                add(
                    connection.as_fd(),
                    PollFlags::IN,
                    Source::Client(connection.id),
                );
            }
        }
        (fds, sources)
    }

    fn ready(&mut self, source: Source) {
        match source {
            Source::Signals => self.signals(),
            Source::Listener => {
                if let Some(socket) = self
                    .listener
                    .as_ref()
                    .and_then(|listener| packet::accept(listener).ok())
                {
                    self.connections.add(socket);
                }
            }
            Source::Client(id) => self.client_ready(id),
            Source::ClientWrites(id) => {
                let state = self.event();
                self.connections.flush(id, &state);
            }
            Source::Output(stream) => self.output_ready(stream),
            Source::Input => {
                if let Phase::Running(run) = &mut self.phase {
                    run.streams.flush_input();
                }
            }
            Source::Probe => self.probe_output(),
            Source::Terminal(number) => self.drain_terminal(number),
            Source::Adopted => self.adopted_ready(),
            Source::Oom => self.oom_noticed(Instant::now()),
        }
    }
}
