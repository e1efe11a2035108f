//! `stack up` that stays: shows progress, then the logs, until every container has ended or the user has had enough.
//!
//! Ctrl-C stops the services, a second one kills them, a third one leaves at once. Everything is decided by looking at
//! the containers' states again after any wake-up, so a missed event costs nothing.

mod rule;

use std::{collections::BTreeMap, io, os::fd::AsFd, time::Instant};

use compose_spec::{
    Loaded,
    model::{Condition, ServiceName},
};
use nix::sys::signal::Signal;
use runtime::spec::{ContainerState, ExitStatus};

pub(super) use rule::{Attached, EndRule};

use super::{
    failure::{Failure, INTERRUPTED},
    follow::{Follow, LOOK_INTERVAL, Selection},
    observed,
    poll::{self, Interest},
    session::{Session, succeeded},
    terminal::Signals,
    watch::Watching,
};
use crate::{
    client::Call,
    container::logs::{LogTime, Query},
    model::{ContainerId, ObservedContainer},
    protocol::{Event, LifecycleAction, LifecycleRequest, Outcome, Request, UpRequest},
    ui::{
        logs::LogStyle,
        progress::{Progress, ProgressOptions},
        style::Palette,
    },
};

pub(super) fn run(
    session: &Session<'_>,
    loaded: &Loaded,
    request: UpRequest,
    (attached, watching): (Attached, Option<Watching>),
) -> Result<(), Failure> {
    run_until(
        session,
        loaded,
        request,
        (attached, watching),
        Signals::take,
    )
}

fn run_until(
    session: &Session<'_>,
    loaded: &Loaded,
    request: UpRequest,
    (attached, watching): (Attached, Option<Watching>),
    take_signals: impl FnOnce() -> io::Result<Signals>,
) -> Result<(), Failure> {
    let grace_ms = request.options.grace_ms;
    let since = now_in_logs();
    // Containers that ended before this command are no news.
    let ended = session
        .containers(&loaded.project.name)?
        .into_iter()
        .filter_map(|container| Some((container.record.id, end(&container.state)?)))
        .collect();
    // The call comes first: a supervisor that it starts must not inherit blocked signals.
    let up = session.start_call(&Request::Up(Box::new(request)))?;
    let signals = take_signals().map_err(|error| Failure::intent("take signals", &error))?;
    let mut follow = open_logs(session, loaded, &attached, since)?;
    follow.watch()?;
    let progress = session.ui.progress(attached.progress);
    let mut work = Work {
        session,
        loaded,
        attached,
        watching,
        grace_ms,
        follow,
        ended,
        first_exit: None,
        stops: 0,
        interrupted: false,
        call: Some((up, progress)),
        is_up: false,
    };
    work.run(&signals)
}

fn now_in_logs() -> Option<LogTime> {
    let now = jiff::Timestamp::now();
    LogTime::from_unix(now.as_second(), now.subsec_nanosecond())
}

fn end(state: &ContainerState) -> Option<(ExitStatus, u64)> {
    match state {
        ContainerState::Exited { status, at_ms } => Some((*status, *at_ms)),
        _ => None,
    }
}

fn open_logs<'a>(
    session: &'a Session<'a>,
    loaded: &Loaded,
    attached: &Attached,
    since: Option<LogTime>,
) -> Result<Follow<'a>, Failure> {
    let palette = session.ui.options().out;
    Follow::open(
        session,
        loaded.project.name.clone(),
        Selection {
            services: Some(attached.shown.clone()),
            index: None,
        },
        Query {
            since,
            ..Query::default()
        },
        LogStyle {
            palette: Palette::new(attached.colour && palette.is_enabled()),
            prefix: attached.prefix,
            timestamps: attached.timestamps,
        },
    )
}

struct Work<'a> {
    session: &'a Session<'a>,
    loaded: &'a Loaded,
    attached: Attached,
    /// Files that the services follow (`--watch`).
    watching: Option<Watching>,
    grace_ms: Option<u64>,
    follow: Follow<'a>,
    /// Ends that were told, by container: how, and when.
    ended: BTreeMap<ContainerId, (ExitStatus, u64)>,
    /// The service that ended first after everything was up, and its exit code.
    first_exit: Option<(ServiceName, i32)>,
    /// How often a stop was asked for: the second time it is a kill.
    stops: u32,
    /// The user asked for the stop.
    interrupted: bool,
    /// The call in work: `up`, then perhaps a stop.
    call: Option<(Call, Progress<'a>)>,
    /// `up` has succeeded.
    is_up: bool,
}

impl Work<'_> {
    fn run(&mut self, signals: &Signals) -> Result<(), Failure> {
        loop {
            let ready = self.wait(signals)?;
            if ready[0] {
                if self.take_signal(signals)? {
                    return Err(Failure::Status(INTERRUPTED));
                }
                // The call may be another one now: what was ready says nothing about it.
                continue;
            }
            if ready[2]
                && let Some(outcome) = self.receive()?
            {
                succeeded(outcome, Some(self.loaded))?;
                if self.stops > 0 {
                    self.show()?;
                    self.follow.print_rest()?;
                    return self.result();
                }
                self.is_up = true;
                if let Some(watching) = &self.watching {
                    watching.begin(self.session, self.loaded)?;
                }
            }
            if ready[3]
                && let Some(watching) = &mut self.watching
            {
                watching.turn(self.session, self.loaded)?;
            }
            let containers = self.show()?;
            if self.is_up && self.stops == 0 {
                if self.is_over(&containers) {
                    self.follow.print_rest()?;
                    return self.result();
                }
                if self.must_abort() {
                    self.session.ui.say("Aborting on container exit...");
                    self.stop()?;
                }
            }
        }
    }

    fn wait(&mut self, signals: &Signals) -> Result<Vec<bool>, Failure> {
        let call = self.call.as_ref();
        // Changes before everything is up are found when it is.
        let watching = self
            .watching
            .as_ref()
            .filter(|_| self.is_up && self.stops == 0);
        let fds = [
            Some((signals.as_fd(), Interest::Read)),
            Some((self.follow.as_fd(), Interest::Read)),
            call.map(|(call, _)| (call.as_fd(), Interest::Read)),
            watching.map(|watching| (watching.as_fd(), Interest::Read)),
        ];
        let interval = call
            .and_then(|(_, progress)| progress.tick_interval())
            .map_or(LOOK_INTERVAL, |interval| interval.min(LOOK_INTERVAL));
        let ready = poll::wait(&fds, Some(interval))
            .map_err(|error| Failure::intent("wait for the containers", &error))?;
        if let Some((_, progress)) = &mut self.call {
            progress.tick(Instant::now());
        }
        Ok(ready)
    }

    /// Returns whether to leave at once.
    fn take_signal(&mut self, signals: &Signals) -> Result<bool, Failure> {
        let signal = signals
            .next()
            .map_err(|error| Failure::intent("read a signal", &error))?;
        match signal {
            None | Some(Signal::SIGWINCH) => Ok(false),
            // The terminal has gone; the services stay.
            Some(Signal::SIGHUP) => Ok(true),
            Some(_) if self.stops >= 2 => Ok(true),
            Some(_) => {
                self.interrupted = true;
                self.stop()?;
                Ok(false)
            }
        }
    }

    /// Reads what the supervisor says. Returns the outcome when the call has ended.
    fn receive(&mut self) -> Result<Option<Outcome>, Failure> {
        let Some((call, progress)) = &mut self.call else {
            return Ok(None);
        };
        let now = Instant::now();
        for event in call.receive()? {
            progress.event(&event, now)?;
            if let Event::Finished(outcome) = event {
                self.close_call();
                return Ok(Some(outcome));
            }
        }
        Ok(None)
    }

    fn close_call(&mut self) {
        if let Some((_, progress)) = self.call.take() {
            progress.finish();
        }
    }

    /// Asks the supervisor to stop the services, the second time to kill them. An `up` still in work is given up.
    fn stop(&mut self) -> Result<(), Failure> {
        self.close_call();
        self.stops += 1;
        let action = if self.stops == 1 {
            self.session
                .ui
                .say("Gracefully stopping... (press Ctrl+C again to force)");
            LifecycleAction::Stop {
                grace_ms: self.grace_ms,
            }
        } else {
            self.session.ui.say("Killing...");
            LifecycleAction::Kill {
                signal: "SIGKILL".into(),
            }
        };
        let request = Request::Lifecycle(LifecycleRequest {
            project: self.loaded.project.name.clone(),
            services: Vec::new(),
            action,
        });
        let call = self.session.start_call(&request)?;
        let progress = self.session.ui.progress(ProgressOptions::default());
        self.call = Some((call, progress));
        Ok(())
    }

    /// Prints new log lines and tells new ends.
    fn show(&mut self) -> Result<Vec<ObservedContainer>, Failure> {
        let containers = self.follow.refresh()?.to_vec();
        loop {
            let batch = self.follow.batch()?;
            if batch.is_empty() {
                break;
            }
            let ui = self.session.ui;
            self.above_progress(|| ui.data(batch))?;
        }
        for container in &containers {
            if self.is_waited_for(container) {
                self.tell_end(container);
            }
        }
        Ok(containers)
    }

    fn tell_end(&mut self, container: &ObservedContainer) {
        let record = &container.record;
        let Some(new) = end(&container.state) else {
            self.ended.remove(&record.id);
            return;
        };
        if self.ended.insert(record.id.clone(), new) == Some(new) {
            return;
        }
        let (status, _) = new;
        let line = self
            .follow
            .status(container, &format!("exited with code {}", status.code));
        let ui = self.session.ui;
        self.above_progress(|| ui.say(&line));
        if self.first_exit_counts(&record.service, status) {
            self.first_exit = Some((record.service.clone(), status.code));
        }
    }

    fn above_progress<T>(&mut self, print: impl FnOnce() -> T) -> T {
        match &mut self.call {
            Some((_, progress)) => progress.suspended(print),
            None => print(),
        }
    }

    fn first_exit_counts(&self, service: &ServiceName, status: ExitStatus) -> bool {
        self.first_exit.is_none()
            && match self.attached.rule {
                EndRule::LastExit => false,
                // A job that others wait for has done what it is for.
                EndRule::FirstExit { .. } => status.code != 0 || !self.is_job(service),
                EndRule::FirstFailure => status.code != 0,
            }
    }

    fn is_job(&self, service: &ServiceName) -> bool {
        self.loaded.project.services.values().any(|dependent| {
            dependent
                .depends_on
                .get(service)
                .is_some_and(|needs| needs.condition == Condition::ServiceCompletedSuccessfully)
        })
    }

    fn is_waited_for(&self, container: &ObservedContainer) -> bool {
        observed::replica(container).is_some()
            && self.attached.ends.contains(&container.record.service)
    }

    fn is_over(&self, containers: &[ObservedContainer]) -> bool {
        !containers
            .iter()
            .any(|container| self.is_waited_for(container) && container.state.is_live())
    }

    fn must_abort(&self) -> bool {
        self.first_exit.is_some()
    }

    /// Returns what the command ends with.
    fn result(&self) -> Result<(), Failure> {
        if self.interrupted {
            return Err(Failure::Status(INTERRUPTED));
        }
        let code = match (&self.attached.rule, &self.first_exit) {
            (
                EndRule::FirstExit {
                    code_of: Some(service),
                },
                _,
            ) => self.code_of(service)?,
            (_, Some((_, code))) => *code,
            (_, None) => 0,
        };
        match u8::try_from(code & 0xff).unwrap_or(1) {
            0 => Ok(()),
            code => Err(Failure::Status(code)),
        }
    }

    fn code_of(&self, service: &ServiceName) -> Result<i32, Failure> {
        let containers = self.session.containers(&self.loaded.project.name)?;
        Ok(containers
            .iter()
            .filter(|container| container.record.service == *service)
            .find_map(|container| match container.state {
                ContainerState::Exited { status, .. } => Some(status.code),
                _ => None,
            })
            .unwrap_or(0))
    }
}

#[cfg(test)]
mod tests;
