//! Picks the role of this process before any thread exists: monitor, supervisor or command line. Nothing else.
//!
//! The first two roles are started by `stack` itself and parsed by hand, so that they cost no clap and no environment:
//!
//! ```text
//! stack monitor --directory DIR --ready-fd N [--await-attach] [-- SUPERVISOR-ARGV...]
//! stack supervisor [--root DIR] [--ready-fd N]
//! ```
//!
//! A descriptor named by `--ready-fd` is taken over: it is closed when its role has reported (or died). A supervisor that
//! is started without one (by an init system) reports to nobody.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Write},
    os::fd::{OwnedFd, RawFd},
    path::PathBuf,
    process::ExitCode,
};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use stack::store::Root;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let status = match parse(&arguments) {
        Ok(Role::Monitor(arguments)) => run_monitor(arguments),
        Ok(Role::Supervisor(arguments)) => run_supervisor(arguments),
        Ok(Role::CommandLine) => return stack::cli::main(arguments),
        Err(refusal) => refuse(&refusal),
    };
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}

/// What this process is.
#[derive(Debug, PartialEq, Eq)]
enum Role {
    /// The parent of one container.
    Monitor(Monitor),
    /// The one that makes projects true.
    Supervisor(Supervisor),
    /// What people type.
    CommandLine,
}

/// `stack monitor`.
#[derive(Debug, PartialEq, Eq)]
struct Monitor {
    /// The container's directory.
    directory: PathBuf,
    /// Where it reports that the container runs.
    ready: RawFd,
    /// Start the program with the first `Attach`.
    await_attach: bool,
    /// Argument vector that starts a supervisor; empty = none.
    supervisor: Vec<OsString>,
}

/// `stack supervisor`.
#[derive(Debug, PartialEq, Eq)]
struct Supervisor {
    /// The state root.
    root: Root,
    /// Where it reports that it serves; `None` = nowhere.
    ready: Option<RawFd>,
}

/// Decides the role from the whole argument vector.
fn parse(arguments: &[OsString]) -> Result<Role, String> {
    let rest = arguments.get(2..).unwrap_or_default();
    match arguments.get(1).and_then(|role| role.to_str()) {
        Some("monitor") => parse_monitor(rest).map(Role::Monitor),
        Some("supervisor") => parse_supervisor(rest).map(Role::Supervisor),
        _ => Ok(Role::CommandLine),
    }
}

fn parse_monitor(arguments: &[OsString]) -> Result<Monitor, String> {
    let (mut directory, mut ready, mut await_attach) = (None, None, false);
    let mut supervisor = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--directory") => {
                directory = Some(PathBuf::from(value(argument, &mut arguments)?));
            }
            Some("--ready-fd") => ready = Some(descriptor(value(argument, &mut arguments)?)?),
            Some("--await-attach") => await_attach = true,
            Some("--") => supervisor = arguments.by_ref().cloned().collect(),
            _ => return Err(unexpected(argument)),
        }
    }
    Ok(Monitor {
        directory: directory.ok_or("--directory is missing")?,
        ready: ready.ok_or("--ready-fd is missing")?,
        await_attach,
        supervisor,
    })
}

fn parse_supervisor(arguments: &[OsString]) -> Result<Supervisor, String> {
    let (mut root, mut ready) = (Root::system(), None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--root") => {
                let directory = std::path::absolute(value(argument, &mut arguments)?);
                root = Root::below(directory.map_err(|error| format!("--root: {error}"))?);
            }
            Some("--ready-fd") => ready = Some(descriptor(value(argument, &mut arguments)?)?),
            _ => return Err(unexpected(argument)),
        }
    }
    Ok(Supervisor { root, ready })
}

fn value<'a>(
    name: &OsStr,
    arguments: &mut impl Iterator<Item = &'a OsString>,
) -> Result<&'a OsString, String> {
    arguments
        .next()
        .ok_or_else(|| format!("{} needs a value", name.display()))
}

fn descriptor(text: &OsStr) -> Result<RawFd, String> {
    text.to_str()
        .and_then(|text| text.parse().ok())
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("`{}` is not a file descriptor", text.display()))
}

fn unexpected(argument: &OsStr) -> String {
    format!("unexpected argument `{}`", argument.display())
}

/// Runs the monitor's role to its end.
fn run_monitor(arguments: Monitor) -> i32 {
    let ready = match take_descriptor(arguments.ready) {
        Ok(ready) => ready,
        Err(error) => {
            return refuse(&format!(
                "take over descriptor {}: {error}",
                arguments.ready
            ));
        }
    };
    runtime::monitor::run(runtime::monitor::Arguments {
        directory: arguments.directory,
        ready,
        await_attach: arguments.await_attach,
        supervisor: arguments.supervisor,
    })
}

/// Runs the supervisor's role to its end, as leader of its own session and in `/`, so that neither it nor its monitors keep a
/// filesystem busy. (That a monitor needs no directory of its own lets it be started by vfork instead of a fork of this process.)
fn run_supervisor(arguments: Supervisor) -> i32 {
    if let Err(error) = std::env::set_current_dir("/") {
        return refuse(&format!("enter `/`: {error}"));
    }
    // An init system or a shell may have made this process a group leader already: then it keeps its session.
    let _already_leader = rustix::process::setsid();
    // A command that reads its signals from a descriptor blocks them, and this process inherits that.
    if let Err(error) = nix::sys::signal::SigSet::all().thread_unblock() {
        return refuse(&format!("unblock signals: {error}"));
    }
    let ready = match arguments.ready.map(take_descriptor).transpose() {
        Ok(ready) => ready,
        Err(error) => return refuse(&format!("take over the ready descriptor: {error}")),
    };
    let program = stack::client::program();
    let respawn = stack::client::supervisor_command(&arguments.root);
    stack::supervisor::run(stack::supervisor::Arguments {
        root: arguments.root,
        program,
        respawn,
        ready,
    })
}

/// Reports a wrong argument vector of a hidden role; only a bug or a curious person gets here.
fn refuse(refusal: &str) -> i32 {
    // Nobody may be listening; there is nothing better to do with the error.
    let _ignored = writeln!(io::stderr(), "error: {refusal}");
    2
}

/// Turns an inherited descriptor number into an owned, close-on-exec descriptor, without `unsafe`: a duplicate through
/// `pidfd_getfd(2)` (Linux 5.6), then the number is closed. Standard streams become /dev/null instead, so that no later
/// file gets their number and whatever somebody prints there.
fn take_descriptor(number: RawFd) -> io::Result<OwnedFd> {
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    let owned = pidfd_getfd(&this, number, PidfdGetfdFlags::empty())?;
    match number {
        1 => rustix::stdio::dup2_stdout(open_null()?)?,
        2 => rustix::stdio::dup2_stderr(open_null()?)?,
        _ => nix::unistd::close(number)?,
    }
    Ok(owned)
}

fn open_null() -> io::Result<OwnedFd> {
    let file = fs_err::OpenOptions::new().write(true).open("/dev/null")?;
    Ok(file.into_file().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_role_follows_from_the_first_argument() {
        let monitor = |await_attach, supervisor: &[&str]| {
            Ok(Role::Monitor(Monitor {
                directory: "/c".into(),
                ready: 5,
                await_attach,
                supervisor: supervisor.iter().map(OsString::from).collect(),
            }))
        };
        let supervisor = |root, ready| Ok(Role::Supervisor(Supervisor { root, ready }));
        let error = |text: &str| Err(text.to_owned());
        for (line, role) in [
            ("stack", Ok(Role::CommandLine)),
            ("stack up monitor", Ok(Role::CommandLine)),
            (
                "stack monitor --directory /c --ready-fd 5",
                monitor(false, &[]),
            ),
            (
                "stack monitor --directory /c --ready-fd 5 --await-attach -- stack supervisor --root /r",
                monitor(true, &["stack", "supervisor", "--root", "/r"]),
            ),
            (
                "stack monitor --ready-fd 5",
                error("--directory is missing"),
            ),
            (
                "stack monitor --directory /c",
                error("--ready-fd is missing"),
            ),
            (
                "stack monitor --directory",
                error("--directory needs a value"),
            ),
            (
                "stack monitor --directory /c --ready-fd -1",
                error("`-1` is not a file descriptor"),
            ),
            ("stack supervisor", supervisor(Root::system(), None)),
            (
                "stack supervisor --root /r --ready-fd 7",
                supervisor(Root::below("/r"), Some(7)),
            ),
            ("stack supervisor -x", error("unexpected argument `-x`")),
        ] {
            assert_eq!(parse(&arguments(line)), role, "{line}");
        }
    }

    #[test]
    fn a_taken_descriptor_is_the_same_pipe_and_the_number_is_free() {
        use std::{io::Read, os::fd::IntoRawFd};
        let (mut reader, writer) = io::pipe().unwrap();
        let number = OwnedFd::from(writer).into_raw_fd();
        let taken = take_descriptor(number).unwrap();
        io::PipeWriter::from(taken).write_all(b"ready").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "ready");
    }
}
