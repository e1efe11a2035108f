//! Further processes in the container: those that clients ask for, and health probes.

use std::{
    fmt::Write,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    process::ExitStatus as WaitStatus,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, ioctl_fionbio, read},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid},
};

use super::{
    Monitor, Phase, lifecycle,
    protocol::Event,
    record::now_ms,
    requests::{Answer, Outcome},
    setup::chain,
    streams,
};
use crate::{
    check::check_process,
    process::{ExecRequest, LaunchIo, Launched, exec, is_ending},
    spec::{ExitStatus, ProbeResult, ProbeTest, Process},
};

/// Bytes of a probe's output that are kept.
const PROBE_OUTPUT_BYTES: usize = 4096;
/// Terminals of processes whose clients left; each takes a descriptor.
const TERMINALS_MAX: usize = 64;
/// Time that killed execs may take to end when the container is over.
const EXECS_END_MAX: Duration = Duration::from_millis(500);

/// A process that a client asked for.
#[derive(Debug)]
pub(super) struct ExecChild {
    pub(super) pid: i32,
    pidfd: OwnedFd,
    /// Who asked. It may be gone; the process goes on.
    client: u32,
}

/// A probe that runs.
#[derive(Debug)]
pub(super) struct ProbeRun {
    pid: i32,
    /// Begin, counted from the start of the container.
    began: Duration,
    began_at: Instant,
    /// When it is killed.
    pub(super) kill_at: Instant,
    /// Its standard output and error in one pipe; `None` when it has ended.
    pub(super) output: Option<OwnedFd>,
    /// The beginning of that.
    text: Vec<u8>,
}

/// What a client wants to have run.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) process: Process,
    /// Terminal size, or the descriptors of the message.
    pub(super) io: WantedIo,
    pub(super) privileged: bool,
}

/// Streams of a process that a client asked for.
#[derive(Debug)]
pub(super) enum WantedIo {
    Terminal { rows: u16, columns: u16 },
    Descriptors(Vec<OwnedFd>),
}

impl Monitor {
    /// Runs a process for a client.
    pub(super) fn exec_for(&mut self, client: u32, wanted: Wanted) {
        let answer = match self.run_wanted(wanted) {
            Ok(launched) => {
                let started = Event::ExecStarted { pid: launched.pid };
                let console = launched.console.into_iter().collect();
                self.execs.push(ExecChild {
                    pid: launched.pid,
                    pidfd: launched.pidfd,
                    client,
                });
                self.connections.send(client, &started, console);
                return;
            }
            Err(failed) => failed,
        };
        self.connections.send(client, &answer, Vec::new());
    }

    fn run_wanted(&self, wanted: Wanted) -> Result<Launched, Event> {
        let failed = |message: String, code| Event::Failed { message, code };
        check_process(&wanted.process).map_err(|error| failed(chain(&error), 125))?;
        let io = match wanted.io {
            WantedIo::Terminal { rows, columns } => LaunchIo::Tty { rows, columns },
            WantedIo::Descriptors(descriptors) => {
                let Ok([stdin, stdout, stderr]) = <[OwnedFd; 3]>::try_from(descriptors) else {
                    return Err(failed("an exec needs three descriptors".to_owned(), 125));
                };
                LaunchIo::Files {
                    stdin,
                    stdout,
                    stderr,
                }
            }
        };
        self.exec(&wanted.process, io, wanted.privileged)
    }

    /// Starts a process in the running container.
    fn exec(&self, process: &Process, io: LaunchIo, privileged: bool) -> Result<Launched, Event> {
        let failed = |message: String, code| Event::Failed { message, code };
        let (Phase::Running(run), Some(cgroup)) = (&self.phase, &self.cgroup) else {
            return Err(failed("the container does not run".to_owned(), 125));
        };
        if run.is_still() {
            let text = if run.paused {
                "the container is paused"
            } else {
                "the container is frozen while its files are read: try again"
            };
            return Err(failed(text.to_owned(), 125));
        }
        let join = cgroup
            .join_files()
            .map_err(|error| failed(chain(&error), 125))?;
        let request = ExecRequest {
            spec: self.checked.spec(),
            init: run.pidfd.as_fd(),
            process,
            privileged,
            kept_files: 0,
        };
        self.has_started.set(true);
        let filter = if privileged { &[][..] } else { &self.filter };
        exec(&request, io, &join, filter)
            .map_err(|error| failed(error.to_string(), error.exit_code()))
    }

    /// Keeps the terminal of a process whose client leaves, so that it gets no SIGHUP and does not wait for a reader.
    pub(super) fn keep_terminal(&mut self, descriptors: Vec<OwnedFd>) -> Outcome {
        let Ok([master]) = <[OwnedFd; 1]>::try_from(descriptors) else {
            return Err("a terminal that is left behind is one descriptor".to_owned());
        };
        if self.terminals.len() >= TERMINALS_MAX {
            return Err(format!(
                "{TERMINALS_MAX} terminals were left behind already"
            ));
        }
        ioctl_fionbio(&master, true).map_err(|errno| format!("keep the terminal: {errno}"))?;
        self.terminals.push(master);
        Ok(Answer::Done)
    }

    /// Throws away what was printed to a terminal that was left behind; one that nobody has open any more goes.
    pub(super) fn drain_terminal(&mut self, number: usize) {
        let Some(master) = self.terminals.get(number) else {
            return;
        };
        // EIO: the last process that had the terminal open has ended (tty_ioctl(4)).
        match read(master, &mut self.buffer[..]) {
            Ok(1..) | Err(Errno::INTR | Errno::AGAIN) => {}
            Ok(0) | Err(_) => drop(self.terminals.remove(number)),
        }
    }

    pub(super) fn exec_ended(&mut self, exec: &ExecChild, status: WaitStatus) {
        let event = Event::ExecExited {
            status: exit_status(status),
        };
        self.connections.send(exec.client, &event, Vec::new());
    }

    /// Takes the end of the processes that clients asked for when the container is over; they were killed with it.
    pub(super) fn end_execs(&mut self) {
        let deadline = Instant::now() + EXECS_END_MAX;
        for exec in std::mem::take(&mut self.execs) {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).expect("milliseconds fit");
            poll(
                &mut [PollFd::new(&exec.pidfd, PollFlags::IN)],
                Some(&timeout),
            )
            .ok();
            let pid = Pid::from_raw(exec.pid);
            if let Ok(Some((_, status))) = waitpid(pid, WaitOptions::NOHANG) {
                self.exec_ended(&exec, WaitStatus::from_raw(status.as_raw()));
            }
        }
    }

    /// Starts the next probe.
    pub(super) fn begin_probe(&mut self, now: Instant) {
        let spec = self.checked.spec();
        let Some(probe) = &spec.probe else {
            return;
        };
        let ProbeTest::Exec(argv) = &probe.test;
        let process = Process {
            argv: argv.clone(),
            ..spec.process.clone()
        };
        let timeout = Duration::from_millis(probe.timeout_ms.max(1));
        let started = probe_pipe()
            .map_err(|errno| format!("make a pipe: {errno}"))
            .and_then(|(output, io)| match self.exec(&process, io, false) {
                Ok(launched) => Ok((launched.pid, output)),
                Err(Event::Failed { message, .. }) => Err(message),
                Err(other) => Err(format!("{other:?}")),
            });
        let Phase::Running(run) = &mut self.phase else {
            return;
        };
        let began = now.saturating_duration_since(run.since);
        let Some(health) = &mut run.health else {
            return;
        };
        health.next_at = None;
        match started {
            Ok((pid, output)) => {
                health.probe = Some(ProbeRun {
                    pid,
                    began,
                    began_at: now,
                    kill_at: now + timeout,
                    output: Some(output),
                    text: Vec::new(),
                });
            }
            Err(message) => self.probe_done(began, now, -1, message),
        }
    }

    /// Reads what the probe prints.
    pub(super) fn probe_output(&mut self) {
        if let Phase::Running(run) = &mut self.phase
            && let Some(probe) = run.health.as_mut().and_then(|health| health.probe.as_mut())
        {
            probe.read(&mut self.buffer);
        }
    }

    /// Takes the end of a child if it is the probe.
    pub(super) fn probe_ended(&mut self, pid: i32, status: WaitStatus) {
        self.probe_output();
        if let Some(probe) = self.take_probe(|probe| probe.pid == pid) {
            if self.has_fallen_with_container(status) {
                return;
            }
            let text = String::from_utf8_lossy(&probe.text).into_owned();
            self.probe_done(
                probe.began,
                probe.began_at,
                lifecycle::exit_code(status),
                text,
            );
        }
    }

    /// Tells whether a probe was killed because the container ends, which says nothing of its health. Its own end is told afterwards: the
    /// kernel waits for all others in its pid namespace.
    fn has_fallen_with_container(&self, status: WaitStatus) -> bool {
        let Phase::Running(run) = &self.phase else {
            return true;
        };
        status.signal() == Some(libc::SIGKILL) && is_ending(run.pid)
    }

    /// Kills a probe that takes too long.
    pub(super) fn time_out_probe(&mut self, now: Instant) {
        self.probe_output();
        let Some(probe) = self.take_probe(|probe| probe.kill_at <= now) else {
            return;
        };
        probe.kill();
        let limit = probe.kill_at.saturating_duration_since(probe.began_at);
        let mut text = String::from_utf8_lossy(&probe.text).into_owned();
        write!(text, "probe took longer than {} ms", limit.as_millis())
            .expect("a String takes every write");
        self.probe_done(probe.began, probe.began_at, -1, text);
    }

    /// Drops the probe without a result: the container is paused or stops.
    pub(super) fn cancel_probe(&mut self) {
        if let Some(probe) = self.take_probe(|_| true) {
            probe.kill();
        }
        if let Phase::Running(run) = &mut self.phase
            && let Some(health) = &mut run.health
        {
            health.next_at = None;
        }
    }

    fn take_probe(&mut self, is_meant: impl Fn(&ProbeRun) -> bool) -> Option<ProbeRun> {
        let Phase::Running(run) = &mut self.phase else {
            return None;
        };
        run.health.as_mut()?.probe.take_if(|probe| is_meant(probe))
    }

    /// Gives a result to the health watch, and tells what changed.
    fn probe_done(&mut self, began: Duration, began_at: Instant, code: i32, output: String) {
        let stopping = self.stopping.is_some();
        let Phase::Running(run) = &mut self.phase else {
            return;
        };
        let ran = run.since.elapsed();
        let Some(health) = &mut run.health else {
            return;
        };
        let before = (health.watch.status(), health.watch.failing());
        health.watch.completed(
            began,
            ProbeResult {
                code,
                output,
                at_ms: now_ms(),
                took: began_at.elapsed(),
            },
        );
        health.next_at = (!stopping).then(|| Instant::now() + health.watch.pause(ran));
        let after = (health.watch.status(), health.watch.failing());
        if before.0 != after.0 {
            self.log
                .event(&format!("health: {} (was {})", after.0, before.0));
        }
        if before == after {
            self.record();
        } else {
            self.publish();
        }
    }
}

impl ProbeRun {
    fn read(&mut self, buffer: &mut [u8]) {
        while let Some(output) = &self.output {
            match read(output, &mut *buffer) {
                Ok(0) => self.output = None,
                Ok(count) => {
                    let room = PROBE_OUTPUT_BYTES.saturating_sub(self.text.len());
                    self.text.extend_from_slice(&buffer[..count.min(room)]);
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// Kills it with what it started: it leads a session, and so a process group.
    fn kill(&self) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            // ESRCH: it ended in this moment; it is reaped like any child.
            kill_process_group(pid, Signal::KILL).ok();
            kill_process(pid, Signal::KILL).ok();
        }
    }
}

fn exit_status(status: WaitStatus) -> ExitStatus {
    ExitStatus {
        code: lifecycle::exit_code(status),
        signal: status.signal(),
        oom_killed: false,
        requested: false,
    }
}

/// A pipe for both outputs of a probe, and its streams.
fn probe_pipe() -> Result<(OwnedFd, LaunchIo), Errno> {
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    ioctl_fionbio(&ours, true)?;
    let io = LaunchIo::Files {
        stdin: streams::null()?,
        stdout: rustix::io::fcntl_dupfd_cloexec(&theirs, 0)?,
        stderr: theirs,
    };
    Ok((ours, io))
}
