//! `stack exec`: runs a command in a running container, through the container's monitor.
//!
//! Without a terminal the command gets this process's own standard streams, so nothing is copied. With one, the monitor
//! hands out the master of a new pseudo-terminal and this process relays between the two terminals.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use clap::Args;
use nix::sys::signal::Signal;
use runtime::{
    monitor::{
        Client, ClientError,
        protocol::{Event, Request},
    },
    spec::{ExitStatus, Process},
};
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal},
    termios::tcsetwinsize,
};

use super::{
    failure::Failure,
    observed,
    poll::{self, Interest},
    session::{Session, service_names},
    terminal::{self, RawMode, Signals},
    values::{self, Variable},
};
use crate::model::ObservedContainer;

/// Bytes read from a terminal at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// Input that waits for the command; when it is full, keys wait in the terminal.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// Run a command in a running container
#[derive(Debug, Args)]
#[command(override_usage = "stack exec [OPTIONS] SERVICE COMMAND [ARGS...]")]
pub(super) struct Arguments {
    /// Run in the background
    #[arg(short, long)]
    detach: bool,
    /// Environment variable; without a value, that of this process
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = values::variable)]
    env: Vec<Variable>,
    /// Replica number
    #[arg(long)]
    index: Option<u32>,
    /// Without a terminal [default: with one where there is one]
    #[arg(short = 'T', long)]
    no_tty: bool,
    /// With all capabilities and without a system call filter
    #[arg(long)]
    privileged: bool,
    /// user[:group] in place of the container's
    #[arg(short, long)]
    user: Option<String>,
    /// Working directory in place of the container's
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Keep standard input open: it always is
    #[arg(short, long, hide = true)]
    interactive: bool,
    /// With a terminal: the default where there is one
    #[arg(short, long, hide = true, conflicts_with = "no_tty")]
    tty: bool,
    /// The service, the command and its arguments; what follows the service is not ours
    #[arg(value_name = "SERVICE COMMAND", num_args = 2.., required = true, trailing_var_arg = true)]
    words: Vec<String>,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    session.refuse_dry_run("exec")?;
    let services = &arguments.words[..1];
    let target = session.target(services)?;
    let service = service_names(services)?.remove(0);
    let containers = session.containers(&target.project)?;
    let container = observed::running_replica(containers, &service, arguments.index)?;
    let terminals = session.settings.terminals;
    let tty = !arguments.no_tty && !arguments.detach && terminals.stdin && terminals.stdout;
    let request = Request::Exec {
        process: arguments.process(session, &container, tty),
        tty,
        size: tty
            .then(|| terminal::size(io::stdin()))
            .flatten()
            .map(|size| (size.ws_row, size.ws_col)),
        privileged: arguments.privileged,
    };
    let directory = session.settings.root.container(&container.record.id);
    let exec = Exec {
        session,
        name: &container.record.name,
    };
    let status = exec.run(&directory, &request, arguments.detach)?;
    end(status)
}

impl Arguments {
    /// The container's own process with another command.
    fn process(&self, session: &Session<'_>, container: &ObservedContainer, tty: bool) -> Process {
        let own = &container.record.spec.process;
        let mut env = own.env.clone();
        let mut set = |name: &str, value: &str| {
            env.retain(|entry| entry.split('=').next() != Some(name));
            env.push(format!("{name}={value}"));
        };
        if tty && !own.env.iter().any(|entry| entry.starts_with("TERM=")) {
            set("TERM", "xterm");
        }
        for variable in &self.env {
            // A name without a value here stays as the container has it, as in docker.
            let value = variable
                .value
                .as_ref()
                .or_else(|| session.settings.environment.get(&variable.name));
            if let Some(value) = value {
                set(&variable.name, value);
            }
        }
        Process {
            argv: self.words[1..].to_vec(),
            env,
            cwd: self.workdir.clone().unwrap_or_else(|| own.cwd.clone()),
            user: self.user.clone().unwrap_or_else(|| own.user.clone()),
            groups: own.groups.clone(),
        }
    }
}

/// Turns the end of a container's process into the end of this one.
pub(super) fn end(status: ExitStatus) -> Result<(), Failure> {
    match u8::try_from(status.code) {
        Ok(0) => Ok(()),
        Ok(code) => Err(Failure::Status(code)),
        Err(_) => Err(Failure::Status(u8::MAX)),
    }
}

struct Exec<'a> {
    session: &'a Session<'a>,
    name: &'a str,
}

impl Exec<'_> {
    fn run(
        &self,
        directory: &std::path::Path,
        request: &Request,
        detach: bool,
    ) -> Result<ExitStatus, Failure> {
        let monitor = Client::connect(directory).map_err(|error| self.failed(&error))?;
        let signals = Signals::take().map_err(|error| Failure::intent("take signals", &error))?;
        let has_tty = matches!(request, Request::Exec { tty: true, .. });
        self.send(&monitor, request, detach, has_tty)?;
        let (process, master) = match self.receive(&monitor)? {
            (Event::ExecStarted { pid }, fds) => (open_process(pid), fds.into_iter().next()),
            (Event::Failed { message, code }, _) => {
                let failure = Failure::message(format!("exec in `{}`: {message}", self.name));
                return Err(failure.with_code(u8::try_from(code).unwrap_or(125)));
            }
            (event, _) => return Err(self.unexpected(&event)),
        };
        if detach {
            return Ok(ExitStatus {
                code: 0,
                signal: None,
                oom_killed: false,
                requested: false,
            });
        }
        match master {
            None => self.wait(&monitor, &signals, process.as_ref()),
            Some(master) => self.relay(&monitor, &signals, process.as_ref(), &master),
        }
    }

    fn send(
        &self,
        monitor: &Client,
        request: &Request,
        detach: bool,
        has_tty: bool,
    ) -> Result<(), Failure> {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let null = fs_err::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")
            .map_err(|error| Failure::intent("open /dev/null", &error))?;
        let fds: Vec<BorrowedFd<'_>> = match (has_tty, detach) {
            (true, _) => Vec::new(),
            (false, true) => vec![null.as_fd(), null.as_fd(), null.as_fd()],
            (false, false) => vec![stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
        };
        monitor
            .request(request, &fds)
            .map_err(|error| self.failed(&error))
    }

    /// Waits for the end of a command that has our own streams; passes signals on.
    fn wait(
        &self,
        monitor: &Client,
        signals: &Signals,
        process: Option<&OwnedFd>,
    ) -> Result<ExitStatus, Failure> {
        loop {
            let fds = [
                Some((signals.as_fd(), Interest::Read)),
                Some((monitor.as_fd(), Interest::Read)),
            ];
            let ready = poll::wait(&fds, None).map_err(|error| self.broken(&error))?;
            if ready[0] {
                self.pass_signal(signals, process, None)?;
            }
            if ready[1]
                && let Some(status) = self.exited(monitor)?
            {
                return Ok(status);
            }
        }
    }

    /// Carries bytes between our terminal and the command's until the command ends.
    fn relay(
        &self,
        monitor: &Client,
        signals: &Signals,
        process: Option<&OwnedFd>,
        master: &OwnedFd,
    ) -> Result<ExitStatus, Failure> {
        let _raw =
            RawMode::enter().map_err(|error| Failure::intent("set up the terminal", &error))?;
        rustix::io::ioctl_fionbio(master, true).map_err(|errno| self.broken(&errno.into()))?;
        let (mut input, mut has_stdin, mut has_master) = (Vec::new(), true, true);
        loop {
            let stdin = io::stdin();
            let wants_input = has_stdin && has_master && input.len() < INPUT_BYTES_MAX;
            let interest = if input.is_empty() {
                Interest::Read
            } else {
                Interest::ReadWrite
            };
            let fds = [
                Some((signals.as_fd(), Interest::Read)),
                Some((monitor.as_fd(), Interest::Read)),
                has_master.then(|| (master.as_fd(), interest)),
                wants_input.then(|| (stdin.as_fd(), Interest::Read)),
            ];
            let ready = poll::wait(&fds, None).map_err(|error| self.broken(&error))?;
            if ready[0] {
                self.pass_signal(signals, process, Some(master))?;
            }
            if ready[2] {
                has_master = self.copy_output(master)?;
                self.write_input(master, &mut input)?;
            }
            if ready[3] {
                has_stdin = self.read_input(&mut input)?;
            }
            if ready[1]
                && let Some(status) = self.exited(monitor)?
            {
                // What the command wrote last is still in the terminal's buffer.
                while has_master && self.copy_output(master)? && self.has_output(master)? {}
                return Ok(status);
            }
        }
    }

    /// Copies what is there; false when the terminal is closed.
    fn copy_output(&self, master: &OwnedFd) -> Result<bool, Failure> {
        let mut chunk = [0; CHUNK_BYTES];
        match rustix::io::read(master, &mut chunk) {
            // EIO is how a pseudo-terminal says that nobody has the other side open (tty_ioctl(4)).
            Ok(0) | Err(Errno::IO) => Ok(false),
            Ok(length) => {
                self.session.ui.data(&chunk[..length])?;
                Ok(true)
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(true),
            Err(errno) => Err(self.broken(&errno.into())),
        }
    }

    fn has_output(&self, master: &OwnedFd) -> Result<bool, Failure> {
        let now = Some(std::time::Duration::ZERO);
        poll::wait(&[Some((master.as_fd(), Interest::Read))], now)
            .map(|ready| ready[0])
            .map_err(|error| self.broken(&error))
    }

    fn write_input(&self, master: &OwnedFd, input: &mut Vec<u8>) -> Result<(), Failure> {
        if input.is_empty() {
            return Ok(());
        }
        match rustix::io::write(master, input) {
            Ok(length) => {
                input.drain(..length);
                Ok(())
            }
            Err(Errno::WOULDBLOCK | Errno::INTR | Errno::IO) => Ok(()),
            Err(errno) => Err(self.broken(&errno.into())),
        }
    }

    /// Reads keys; false at the end of input.
    fn read_input(&self, input: &mut Vec<u8>) -> Result<bool, Failure> {
        let mut chunk = [0; 4096];
        match rustix::io::read(io::stdin(), &mut chunk) {
            Ok(0) => Ok(false),
            Ok(length) => {
                input.extend_from_slice(&chunk[..length]);
                Ok(true)
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(true),
            Err(errno) => Err(self.broken(&errno.into())),
        }
    }

    fn pass_signal(
        &self,
        signals: &Signals,
        process: Option<&OwnedFd>,
        master: Option<&OwnedFd>,
    ) -> Result<(), Failure> {
        let signal = signals.next().map_err(|error| self.broken(&error))?;
        match (signal, process) {
            (Some(Signal::SIGWINCH), _) => {
                if let (Some(master), Some(size)) = (master, terminal::size(io::stdin())) {
                    tcsetwinsize(master, size).map_err(|errno| self.broken(&errno.into()))?;
                }
            }
            (Some(signal), Some(process)) => {
                let signal = rustix::process::Signal::from_named_raw(signal as i32)
                    .expect("signals that are taken have names");
                match pidfd_send_signal(process, signal) {
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(errno) => return Err(self.broken(&errno.into())),
                }
            }
            (Some(_) | None, None) | (None, Some(_)) => {}
        }
        Ok(())
    }

    /// Returns how the command ended, if that is what the monitor says.
    fn exited(&self, monitor: &Client) -> Result<Option<ExitStatus>, Failure> {
        match self.receive(monitor)?.0 {
            Event::ExecExited { status } => Ok(Some(status)),
            Event::Failed { message, code } => {
                let failure = Failure::message(format!("exec in `{}`: {message}", self.name));
                Err(failure.with_code(u8::try_from(code).unwrap_or(125)))
            }
            _ => Ok(None),
        }
    }

    fn receive(&self, monitor: &Client) -> Result<(Event, Vec<OwnedFd>), Failure> {
        monitor
            .receive()
            .map_err(|error| self.failed(&error))?
            .ok_or_else(|| {
                Failure::message(format!(
                    "exec in `{}`: the container's monitor went away",
                    self.name
                ))
            })
    }

    fn failed(&self, error: &ClientError) -> Failure {
        Failure::intent(format!("exec in `{}`", self.name), error)
    }

    fn broken(&self, error: &io::Error) -> Failure {
        Failure::intent(format!("exec in `{}`", self.name), error)
    }

    fn unexpected(&self, event: &Event) -> Failure {
        Failure::message(format!(
            "exec in `{}`: the monitor answered {event:?}",
            self.name
        ))
    }
}

/// Opens a process so that a later signal cannot hit another one with its pid. `None` when it has ended already.
fn open_process(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}
