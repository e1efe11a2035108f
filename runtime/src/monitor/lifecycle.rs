//! Starts the container, takes its end, decides what follows, and tells everybody.

use std::{
    os::{fd::AsRawFd, unix::process::ExitStatusExt},
    process::ExitStatus as WaitStatus,
    time::{Duration, Instant},
};

use super::{
    HealthRun, HealthWatch, Monitor, Parent, Phase, Ready, Run,
    oom::OomWatch,
    packet,
    protocol::Event,
    record::{Current, now_ms},
    restart::Decision,
    setup::{ReadyPipe, Refusal, chain},
    streams::Streams,
};
use crate::{
    cgroup::{Cgroup, DevicePolicy, Hierarchies, JoinPlan},
    process::{LaunchIo, Launched, launch, launch_with_hooks},
    spec::{ContainerState, ExitStatus, Health, StateRecord},
};

/// Time that clients may take to read the last things.
const LINGER_MAX: Duration = Duration::from_secs(30);

impl Monitor {
    /// Starts the container, or takes it over, or waits for the client that wants to see its first byte.
    pub(super) fn begin(
        &mut self,
        last: Option<&StateRecord>,
        await_attach: bool,
        ready: &mut ReadyPipe,
    ) -> Result<(), Refusal> {
        let mut warnings = Vec::new();
        // Reading the mount table costs a tenth of a start on a host with hundreds of mounts: once is enough.
        let hierarchies = Hierarchies::detect()?;
        let adopted = self.recover(last, &hierarchies)?;
        if !adopted && await_attach {
            self.publish();
            ready.tell(&Ready::Waiting);
            return Ok(());
        }
        if !adopted {
            self.start(Some(&hierarchies), &mut warnings)?;
        }
        if let Phase::Running(run) = &self.phase {
            ready.tell(&Ready::Started {
                pid: run.pid,
                warnings,
            });
        }
        Ok(())
    }

    /// Starts the container's process. The control group is made by the first start and kept for later ones.
    pub(super) fn start(
        &mut self,
        hierarchies: Option<&Hierarchies>,
        warnings: &mut Vec<String>,
    ) -> Result<(), Refusal> {
        self.has_started.set(true);
        let spec = self.checked.spec();
        let cgroup = if let Some(cgroup) = self.cgroup.take() {
            cgroup
        } else {
            self.make_group(hierarchies, warnings)?
        };
        let cgroup = self.cgroup.insert(cgroup);
        let join = cgroup.join_files()?;
        let (pipes, io) = if spec.stdio.tty {
            let (rows, columns) = self.terminal_size;
            (Streams::default(), LaunchIo::Tty { rows, columns })
        } else {
            Streams::pipes(spec.stdio.stdin).map_err(Refusal::Streams)?
        };
        let oom = OomWatch::new(cgroup);
        let launched = self.launch(io, &join)?;
        let streams = match launched.console {
            Some(console) => Streams::terminal(console).map_err(Refusal::Streams)?,
            None => pipes,
        };
        let now = Instant::now();
        let since_ms = now_ms();
        self.recorder.started_at_ms.get_or_insert(since_ms);
        warnings.extend(launched.warnings);
        self.phase = Phase::Running(Box::new(Run {
            pid: launched.pid,
            pidfd: launched.pidfd,
            parent: Parent::This,
            start_ticks: launched.start_ticks,
            since: now,
            since_ms,
            log_pipes: streams.inodes(),
            streams,
            oom,
            health: spec.probe.as_ref().map(|probe| HealthRun {
                watch: HealthWatch::new(probe),
                next_at: Some(now),
                probe: None,
            }),
            paused: false,
            freezers: Vec::new(),
        }));
        self.log.event(&format!("started, pid {}", launched.pid));
        self.publish();
        Ok(())
    }

    fn make_group(
        &self,
        hierarchies: Option<&Hierarchies>,
        warnings: &mut Vec<String>,
    ) -> Result<Cgroup, Refusal> {
        let detected;
        let hierarchies = if let Some(known) = hierarchies {
            known
        } else {
            detected = Hierarchies::detect()?;
            &detected
        };
        let spec = self.checked.spec();
        let devices = DevicePolicy::of(spec)?;
        let (place, resources) = (&spec.cgroup, &spec.resources);
        let made = Cgroup::create_in(hierarchies, place, resources, &devices, warnings)?;
        Ok(made)
    }

    /// Starts the process; hooks are told of the container's directory by its path.
    fn launch(&self, io: LaunchIo, join: &JoinPlan) -> Result<Launched, Refusal> {
        let launched = if self.checked.spec().hooks.is_empty() {
            launch(&self.checked, io, join, &self.filter)
        } else {
            let number = self.directory.as_raw_fd();
            let directory =
                fs_err::read_link(format!("/proc/self/fd/{number}")).map_err(Refusal::Directory)?;
            launch_with_hooks(&self.checked, io, join, &self.filter, &directory)
        };
        launched.map_err(Refusal::Launch)
    }

    /// Takes the end of the run: what is left in the control group ends too, the last output is read, and the policy decides.
    pub(super) fn run_ended(&mut self, status: WaitStatus) {
        let Phase::Running(run) = &self.phase else {
            return;
        };
        let (ran, still) = (run.since.elapsed(), run.is_still());
        self.end_leftovers(still);
        self.drain();
        let oom_killed = self.look_for_oom_kills(Instant::now());
        let status = ExitStatus {
            code: exit_code(status),
            signal: status.signal(),
            oom_killed,
            requested: self.stopping.is_some(),
        };
        self.log.event(&describe(status));
        self.decide(ran, status);
    }

    /// Ends processes that outlived PID 1, which happens in a pid namespace that is not the container's own.
    fn end_leftovers(&mut self, still: bool) {
        let Some(cgroup) = &self.cgroup else {
            return;
        };
        let result = if cgroup.pids().is_empty() {
            if still { cgroup.thaw() } else { Ok(()) }
        } else {
            cgroup.kill_all()
        };
        if let Err(error) = result {
            self.log.event(&chain(&error));
        }
    }

    /// Decides after a run, or after a start that did not work.
    pub(super) fn decide(&mut self, ran: Duration, status: ExitStatus) {
        let decision = if status.requested {
            Decision::End
        } else {
            self.restarts.after(ran, status.code)
        };
        match decision {
            Decision::End => self.finish(status),
            Decision::Restart { attempt, delay } => {
                let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                self.phase = Phase::Pausing {
                    attempt,
                    until: Instant::now() + delay,
                    until_ms: now_ms().saturating_add(delay_ms),
                    last: status,
                };
                self.log
                    .event(&format!("restarts in {delay_ms} ms, attempt {attempt}"));
                self.publish();
            }
        }
    }

    /// The back-off is over.
    pub(super) fn start_again(&mut self) {
        let mut warnings = Vec::new();
        if let Err(refusal) = self.start(None, &mut warnings) {
            self.log
                .event(&format!("not started: {}", refusal.message()));
            let status = ExitStatus {
                code: refusal.code(),
                signal: None,
                oom_killed: false,
                requested: false,
            };
            self.decide(Duration::ZERO, status);
        }
        for warning in warnings {
            self.log.event(&warning);
        }
    }

    /// The first client has attached to a container that waited for it.
    pub(super) fn start_for(&mut self, client: u32) {
        let mut warnings = Vec::new();
        match self.start(None, &mut warnings) {
            Ok(()) => {
                for warning in warnings {
                    self.log.event(&warning);
                }
            }
            Err(refusal) => {
                let failed = Event::Failed {
                    message: refusal.message(),
                    code: refusal.code(),
                };
                self.connections.send(client, &failed, Vec::new());
                self.abandon(&refusal);
            }
        }
    }

    /// Ends what could not be started.
    pub(super) fn abandon(&mut self, refusal: &Refusal) {
        self.log
            .event(&format!("not started: {}", refusal.message()));
        self.finish(ExitStatus {
            code: refusal.code(),
            signal: None,
            oom_killed: false,
            requested: false,
        });
    }

    /// Nobody attached to a container that waits for it.
    pub(super) fn give_up_waiting(&mut self) {
        self.abandon(&Refusal::NobodyAttached);
    }

    /// The container has ended for good: record it, tell it, and leave nothing behind.
    ///
    /// The record is made durable after it was told, so that nobody waits for the disk: a power failure in between leaves a record
    /// of a running container of another boot, which everybody reads as "lost".
    pub(super) fn finish(&mut self, status: ExitStatus) {
        self.end_execs();
        self.phase = Phase::Ended {
            status,
            at_ms: now_ms(),
            until: Instant::now() + LINGER_MAX,
        };
        self.publish();
        for client in self
            .stopping
            .take()
            .map(|stopping| stopping.waiting)
            .unwrap_or_default()
        {
            self.connections.send(client, &Event::Done, Vec::new());
        }
        if let Err(error) = self.recorder.sync() {
            self.log.event(&format!("record the end durably: {error}"));
        }
        if let Some(cgroup) = self.cgroup.take()
            && let Err(error) = cgroup.remove()
        {
            self.log.event(&chain(&error));
        }
        self.held.clear();
        self.listener = None;
        // Failure leaves a name that nobody listens to, which the next monitor replaces.
        packet::remove(std::os::fd::AsFd::as_fd(&self.directory)).ok();
        // From here on another monitor may serve the container; this one only talks to its clients.
        self.lock = None;
    }

    /// Writes the present state to disk and to everybody who wants to know.
    pub(super) fn publish(&mut self) {
        self.record();
        let event = self.event();
        self.connections.state_changed(&event);
    }

    /// Writes the present state to disk only.
    pub(super) fn record(&mut self) {
        let (init_start_ticks, log_pipes) = match &self.phase {
            Phase::Running(run) => (Some(run.start_ticks), run.log_pipes.clone()),
            _ => (None, Vec::new()),
        };
        let written = self.recorder.write(Current {
            state: self.state(),
            restarts: self.restarts.attempts(),
            init_start_ticks,
            log_pipes,
        });
        if let Err(error) = written {
            self.log.event(&format!("record the state: {error}"));
        }
    }

    /// The present state as a message.
    pub(super) fn event(&self) -> Event {
        Event::State {
            id: self.checked.spec().id.clone(),
            state: self.state(),
            restarts: self.restarts.attempts(),
        }
    }

    fn state(&self) -> ContainerState {
        match &self.phase {
            Phase::Awaiting { .. } => ContainerState::Created,
            Phase::Running(run) => {
                let (pid, since_ms) = (run.pid, run.since_ms);
                let health = run
                    .health
                    .as_ref()
                    .map_or(Health::None, |health| health.watch.health());
                if run.paused {
                    ContainerState::Paused {
                        pid,
                        since_ms,
                        health,
                    }
                } else {
                    ContainerState::Running {
                        pid,
                        since_ms,
                        health,
                    }
                }
            }
            Phase::Pausing {
                attempt,
                until_ms,
                last,
                ..
            } => ContainerState::Restarting {
                attempt: *attempt,
                until_ms: *until_ms,
                last: *last,
            },
            Phase::Ended { status, at_ms, .. } => ContainerState::Exited {
                status: *status,
                at_ms: *at_ms,
            },
        }
    }
}

/// The code that shells report.
pub(super) fn exit_code(status: WaitStatus) -> i32 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 255,
    }
}

/// An end as a line of the log.
fn describe(status: ExitStatus) -> String {
    let how = match status.signal {
        Some(signal) => format!("ended by signal {signal}"),
        None => format!("exited with code {}", status.code),
    };
    let oom = if status.oom_killed {
        ", out of memory"
    } else {
        ""
    };
    let requested = if status.requested {
        ", as requested"
    } else {
        ""
    };
    format!("{how}{oom}{requested}")
}
