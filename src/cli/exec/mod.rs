//! `stack exec`: runs a command in a running container, through the container's monitor.
//!
//! Without a terminal the command gets this process's own standard streams, so nothing is copied. With one, the monitor
//! hands out the master of a new pseudo-terminal and this process relays between the two terminals.

mod relay;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
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
};

use relay::Relay;

use super::{
    attach::DetachKeys,
    failure::Failure,
    observed,
    poll::{self, Interest},
    session::{Session, service_names},
    terminal::{self, Signals},
    values::{self, Variable},
};
use crate::model::ObservedContainer;

/// Run a command in a running container
#[derive(Debug, Args)]
#[command(override_usage = "stack exec [OPTIONS] SERVICE COMMAND [ARGS...]")]
pub(super) struct Arguments {
    /// Run in the background
    #[arg(short, long)]
    detach: bool,
    /// Keys that leave the command running; empty = none
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q", value_parser = str::parse::<DetachKeys>)]
    detach_keys: DetachKeys,
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
        keys: arguments.detach_keys.clone(),
        ..Exec::open(session, &directory, &container.record.name)?
    };
    let streams = match (tty, arguments.detach) {
        (true, _) => Streams::Terminal,
        (false, true) => Streams::None,
        (false, false) => Streams::Own,
    };
    end(exec.run(&request, streams)?)
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

/// The end of this process, when the command goes on.
const LEFT_RUNNING: ExitStatus = ExitStatus {
    code: 0,
    signal: None,
    oom_killed: false,
    requested: false,
};

/// What a command is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Streams {
    /// A terminal of its own, which is relayed.
    Terminal,
    /// The standard streams of this process.
    Own,
    /// Nothing; nobody waits for it.
    None,
}

/// The conversation about one command.
struct Exec<'a> {
    session: &'a Session<'a>,
    /// Name of the container.
    name: &'a str,
    /// Of the container.
    directory: &'a Path,
    monitor: Client,
    signals: Signals,
    /// What the user types to leave.
    keys: DetachKeys,
}

impl<'a> Exec<'a> {
    fn open(session: &'a Session<'a>, directory: &'a Path, name: &'a str) -> Result<Self, Failure> {
        let monitor = Client::connect(directory)
            .map_err(|error| Failure::intent(format!("exec in `{name}`"), &error))?;
        let signals = Signals::take().map_err(|error| Failure::intent("take signals", &error))?;
        Ok(Self {
            session,
            name,
            directory,
            monitor,
            signals,
            keys: DetachKeys::default(),
        })
    }

    fn run(&self, request: &Request, streams: Streams) -> Result<ExitStatus, Failure> {
        self.send(request, streams)?;
        let (process, master) = match self.receive()? {
            (Event::ExecStarted { pid }, fds) => (open_process(pid), fds.into_iter().next()),
            (Event::Failed { message, code }, _) => return Err(self.refused(&message, code)),
            (event, _) => {
                return Err(Failure::message(format!(
                    "exec in `{}`: the monitor answered {event:?}",
                    self.name
                )));
            }
        };
        match (streams, master) {
            (Streams::None, _) => Ok(LEFT_RUNNING),
            (_, Some(master)) => Relay::new(self, process, master).run(),
            (_, None) => self.wait(process.as_ref()),
        }
    }

    fn send(&self, request: &Request, streams: Streams) -> Result<(), Failure> {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let null = fs_err::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")
            .map_err(|error| self.broken(&error))?;
        let fds: Vec<BorrowedFd<'_>> = match streams {
            Streams::Terminal => Vec::new(),
            Streams::Own => vec![stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
            Streams::None => vec![null.as_fd(), null.as_fd(), null.as_fd()],
        };
        self.monitor
            .request(request, &fds)
            .map_err(|error| self.failed(&error))
    }

    /// Waits for the end of a command that has our own streams; passes signals on.
    fn wait(&self, process: Option<&OwnedFd>) -> Result<ExitStatus, Failure> {
        loop {
            let fds = [
                Some((self.signals.as_fd(), Interest::Read)),
                Some((self.monitor.as_fd(), Interest::Read)),
            ];
            let ready = poll::wait(&fds, None).map_err(|error| self.broken(&error))?;
            if ready[0]
                && let Some(signal) = self.signal()?
                && signal != Signal::SIGWINCH
            {
                self.send_signal(process, signal)?;
            }
            if ready[1]
                && let Some(status) = self.exited()?
            {
                return Ok(status);
            }
        }
    }

    fn signal(&self) -> Result<Option<Signal>, Failure> {
        self.signals.next().map_err(|error| self.broken(&error))
    }

    /// Sends a signal to the command; one that has ended needs none.
    fn send_signal(&self, process: Option<&OwnedFd>, signal: Signal) -> Result<(), Failure> {
        let Some(process) = process else {
            return Ok(());
        };
        let signal = rustix::process::Signal::from_named_raw(signal as i32)
            .expect("signals that are taken have names");
        match pidfd_send_signal(process, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(self.broken(&errno.into())),
        }
    }

    /// Returns how the command ended, if that is what the monitor says.
    fn exited(&self) -> Result<Option<ExitStatus>, Failure> {
        match self.receive()?.0 {
            Event::ExecExited { status } => Ok(Some(status)),
            Event::Failed { message, code } => Err(self.refused(&message, code)),
            _ => Ok(None),
        }
    }

    fn receive(&self) -> Result<(Event, Vec<OwnedFd>), Failure> {
        let received = self
            .monitor
            .receive()
            .map_err(|error| self.failed(&error))?;
        received.ok_or_else(|| {
            Failure::message(format!(
                "exec in `{}`: the container's monitor went away",
                self.name
            ))
        })
    }

    /// Leaves a command running: its monitor takes over its terminal.
    fn leave(&self, master: &OwnedFd) -> Result<(), Failure> {
        let monitor = Client::connect(self.directory).map_err(|error| self.failed(&error))?;
        monitor
            .request(&Request::Detach, &[master.as_fd()])
            .map_err(|error| self.failed(&error))?;
        match monitor.receive().map_err(|error| self.failed(&error))? {
            Some((Event::Failed { message, code }, _)) => Err(self.refused(&message, code)),
            // Without a monitor the container is over, and the command with it.
            Some(_) | None => Ok(()),
        }
    }

    fn refused(&self, message: &str, code: i32) -> Failure {
        Failure::message(format!("exec in `{}`: {message}", self.name))
            .with_code(u8::try_from(code).unwrap_or(125))
    }

    fn failed(&self, error: &ClientError) -> Failure {
        Failure::intent(format!("exec in `{}`", self.name), error)
    }

    fn broken(&self, error: &io::Error) -> Failure {
        Failure::intent(format!("exec in `{}`", self.name), error)
    }
}

/// Opens a process so that a later signal cannot hit another one with its pid. `None` when it has ended already.
fn open_process(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

#[cfg(test)]
mod tests;
