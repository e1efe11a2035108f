//! Hooks of containers: `post_start` after a start, `pre_stop` before a stop, one after the other, as `exec` would run them.
//!
//! They accompany what the supervisor does: a restart by policy, which the container's monitor makes, runs none. A hook that fails fails its step:
//! the container goes on running, and nothing that needs the step is done. [`HookRecord`] tells how far a container's hooks have come.

use std::{collections::VecDeque, time::Duration};

use compose_spec::model::Hook;
use runtime::spec::ContainerState;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use tokio::{sync::mpsc, time::Instant};
use tracing::debug;

use super::{ApplyError, Context, Job, container::find, queue::Done};
use crate::{
    container::{self, HookOutput, HookRun, Link, LinkError},
    model::{ContainerId, ContainerRecord, ContainerRole, HookRecord, Subject},
    protocol::Event,
};

/// Shortest time that all `pre_stop` hooks of a container have, also when its grace is shorter: `-t 0` is about the signal.
const PRE_STOP_MIN: Duration = Duration::from_secs(2);
/// Shortest time between the stop signal and SIGKILL after hooks that took almost all of the grace.
const SIGNAL_GRACE_MIN: Duration = Duration::from_secs(1);
/// Longest line of output that is told at once; a longer one is told in parts.
const LINE_BYTES_MAX: usize = 8 * 1024;
/// What is said of a hook that nobody waits for any more.
const INTERRUPTED: &str = "was killed, because the command was interrupted";
/// Last lines of a hook that failed, which its error shows.
const TAIL_LINES: usize = 10;

/// Runs the `post_start` hooks that were not begun yet.
pub(super) async fn post_start(
    context: &Context,
    job: &Job,
    subject: &Subject,
    id: &ContainerId,
) -> Result<Done, ApplyError> {
    let record = find(context, id)?;
    let hooks = &record.wanted.post_start;
    let mut progress = read(context, &record)?.unwrap_or_else(|| HookRecord::at_start(hooks.len()));
    if progress.post_start_over {
        return Ok(Done::default());
    }
    if let Some(cut) = progress.post_start_begun.checked_sub(1) {
        job.warn(format!(
            "{}: post_start[{cut}] was cut off with the supervisor that ran it; it is not run again",
            record.name
        ))
        .await;
    }
    for (index, hook) in hooks.iter().enumerate().skip(progress.post_start_begun) {
        progress.post_start_begun = index + 1;
        write(context, &record, &progress)?;
        job.working(subject, format!("running post_start[{index}]"))
            .await;
        let place = Place {
            record: &record,
            kind: "post_start",
            index,
        };
        // Waiting for it ends with the call; what it has begun cannot be taken back, so it counts as failed.
        let late = || INTERRUPTED.to_owned();
        let ended = run(context, job, (&place, hook), (job.cancel.cancelled(), late));
        if let Err(error) = ended.await {
            progress.post_start_over = true;
            progress.post_start_failed = true;
            write(context, &record, &progress)?;
            return Err(error);
        }
    }
    progress.post_start_over = true;
    write(context, &record, &progress)?;
    Ok(Done::text("started"))
}

/// Notes that a container is about to be started: its hooks are to be run anew.
pub(super) fn begin(context: &Context, record: &ContainerRecord) -> Result<(), ApplyError> {
    let wanted = &record.wanted;
    if wanted.post_start.is_empty() && wanted.pre_stop.is_empty() {
        return Ok(());
    }
    write(
        context,
        record,
        &HookRecord::at_start(wanted.post_start.len()),
    )
}

/// Runs the `pre_stop` hooks of a container that runs, and returns the grace that is left for its signal; `None` = as asked for, without hooks.
///
/// All of them together have the container's grace. One that fails or takes longer keeps the container running.
pub(super) async fn pre_stop(
    context: &Context,
    job: &Job,
    record: &ContainerRecord,
    (state, grace_ms): (&ContainerState, Option<u64>),
) -> Result<Option<Duration>, ApplyError> {
    let hooks = &record.wanted.pre_stop;
    let is_running = matches!(state, ContainerState::Running { .. });
    if hooks.is_empty() || !is_replica(record) || !is_running {
        return Ok(None);
    }
    let grace = Duration::from_millis(grace_ms.unwrap_or(record.spec.stop.grace_ms));
    let begun = Instant::now();
    let limit = grace.max(PRE_STOP_MIN);
    let mut progress = read(context, record)?.unwrap_or_default();
    for (index, hook) in hooks.iter().enumerate().skip(progress.pre_stop_done) {
        let place = Place {
            record,
            kind: "pre_stop",
            index,
        };
        let late = || {
            if job.cancel.is_cancelled() {
                INTERRUPTED.to_owned()
            } else {
                format!("was killed: the grace of {} s is over", limit.as_secs())
            }
        };
        let until = async {
            // A newer call, `kill` for one, does not wait for what this one waits for.
            tokio::select! {
                () = tokio::time::sleep_until(begun + limit) => {}
                () = job.cancel.cancelled() => {}
            }
        };
        let ended = run(context, job, (&place, hook), (until, late)).await;
        progress.pre_stop_done = match &ended {
            Ok(()) => index + 1,
            // The next stop begins anew.
            Err(_) => 0,
        };
        progress.version = HookRecord::VERSION;
        write(context, record, &progress)?;
        ended?;
    }
    let left = grace.saturating_sub(begun.elapsed());
    Ok(Some(left.max(grace.min(SIGNAL_GRACE_MIN))))
}

/// Forgets the `pre_stop` hooks that ended well before a stop that did not work: the next stop runs them again.
pub(super) fn forget_pre_stop(
    context: &Context,
    record: &ContainerRecord,
) -> Result<(), ApplyError> {
    match read(context, record)? {
        Some(progress) if progress.pre_stop_done > 0 => {
            let progress = HookRecord {
                pre_stop_done: 0,
                ..progress
            };
            write(context, record, &progress)
        }
        _ => Ok(()),
    }
}

/// Tells whether the first process has ended, which its monitor may not have told yet.
pub(super) fn has_ended(state: &ContainerState) -> bool {
    let Some(pid) = state.pid().and_then(Pid::from_raw) else {
        return true;
    };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
        return true;
    };
    // A pidfd becomes readable with the end (pidfd_open(2)).
    let mut ended = [PollFd::new(&process, PollFlags::IN)];
    poll(&mut ended, Some(&Timespec::default())).is_ok_and(|count| count > 0)
}

fn is_replica(record: &ContainerRecord) -> bool {
    matches!(record.role, ContainerRole::Replica(_))
}

/// Which hook of which container.
struct Place<'a> {
    record: &'a ContainerRecord,
    kind: &'static str,
    index: usize,
}

impl Place<'_> {
    fn failed(&self, reason: String, log: Vec<String>) -> ApplyError {
        ApplyError::Hook {
            path: format!(
                "services.{}.{}[{}]",
                self.record.service, self.kind, self.index
            ),
            name: self.record.name.clone(),
            reason,
            log,
        }
    }
}

/// Runs one hook. `late` says why it was killed when `until` came before its end.
async fn run(
    context: &Context,
    job: &Job,
    (place, hook): (&Place<'_>, &Hook),
    (until, late): (impl Future<Output = ()> + Send, impl Fn() -> String),
) -> Result<(), ApplyError> {
    let record = place.record;
    let mut lines = Lines::new(record, job.events.clone());
    let ended = match Link::connect(&context.root.container(&record.id)) {
        Ok(link) => {
            let mut output = |output: HookOutput<'_>| lines.take(output);
            let process = record.hook_process(hook);
            container::run_hook(&link, process, hook.privileged, &mut output, until).await
        }
        Err(error) => Err(error),
    };
    let tail = lines.end();
    let reason = match ended {
        Ok(HookRun::Ended(status)) if status.code == 0 => return Ok(()),
        Ok(HookRun::Ended(status)) => format!("exited with status {}", status.code),
        Ok(HookRun::Cut) => late(),
        Err(LinkError::Refused { message }) => format!("could not be run: {message}"),
        Err(LinkError::Connect { .. } | LinkError::Gone { .. }) => {
            "could not be run: the container has ended".to_owned()
        }
        Err(source) => {
            let intent = format!("run {}[{}] of `{}`", place.kind, place.index, record.name);
            return Err(ApplyError::Monitor { intent, source });
        }
    };
    Err(place.failed(reason, tail))
}

/// Output of a hook by lines: told as they come, and the last ones kept for an error.
pub(super) struct Lines {
    events: mpsc::Sender<Event>,
    source: String,
    out: Stream,
    error: Stream,
    /// Lines that the client was too slow for.
    lost: usize,
}

/// One stream: the line that is not finished, and the last finished ones.
#[derive(Default)]
struct Stream {
    rest: Vec<u8>,
    tail: VecDeque<String>,
}

impl Lines {
    pub(super) fn new(record: &ContainerRecord, events: mpsc::Sender<Event>) -> Self {
        let prefix = format!("{}-", record.project);
        let name = record.name.strip_prefix(&prefix).unwrap_or(&record.name);
        Self {
            events,
            source: format!("{name} ->"),
            out: Stream::default(),
            error: Stream::default(),
            lost: 0,
        }
    }

    pub(super) fn take(&mut self, output: HookOutput<'_>) {
        let (is_error, bytes) = match output {
            HookOutput::Out(bytes) => (false, bytes),
            HookOutput::Error(bytes) => (true, bytes),
        };
        for byte in bytes {
            let stream = if is_error {
                &mut self.error
            } else {
                &mut self.out
            };
            if *byte != b'\n' {
                stream.rest.push(*byte);
            }
            if *byte == b'\n' || stream.rest.len() >= LINE_BYTES_MAX {
                let line = stream.line();
                self.say(line);
            }
        }
    }

    /// A hook does not wait for a client that does not read; one that went away misses nothing.
    fn say(&mut self, line: String) {
        let source = self.source.clone();
        let sent = self.events.try_send(Event::Output { source, line });
        if let Err(mpsc::error::TrySendError::Full(_)) = sent {
            self.lost += 1;
        }
    }

    /// Says lines without an end too, and returns the last lines: those of standard error, which has the reason, unless it is empty.
    pub(super) fn end(mut self) -> Vec<String> {
        for stream in [&mut self.out, &mut self.error] {
            let line = (!stream.rest.is_empty()).then(|| stream.line());
            if let Some(line) = line {
                let source = self.source.clone();
                let sent = self.events.try_send(Event::Output { source, line });
                self.lost += usize::from(sent.is_err());
            }
        }
        if self.lost > 0 {
            debug!(hook = self.source, lines = self.lost, "output was not told");
        }
        let tail = if self.error.tail.is_empty() {
            self.out.tail
        } else {
            self.error.tail
        };
        tail.into()
    }
}

impl Stream {
    fn line(&mut self) -> String {
        let mut line = String::from_utf8_lossy(&self.rest).into_owned();
        self.rest.clear();
        if line.ends_with('\r') {
            line.pop();
        }
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line.clone());
        line
    }
}

fn read(context: &Context, record: &ContainerRecord) -> Result<Option<HookRecord>, ApplyError> {
    container::read_hooks(&context.root, &record.id).map_err(|source| kept(record, source))
}

fn write(
    context: &Context,
    record: &ContainerRecord,
    progress: &HookRecord,
) -> Result<(), ApplyError> {
    container::write_hooks(&context.root, &record.id, progress)
        .map_err(|source| kept(record, source))
}

fn kept(record: &ContainerRecord, source: container::ContainerError) -> ApplyError {
    ApplyError::Container {
        name: record.name.clone(),
        source,
    }
}
