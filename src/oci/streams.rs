//! Standard streams and terminals of processes that the low-level runtime starts.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use runtime::process::{LaunchIo, Launched};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{Mode, OFlags},
    io::Errno,
    net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
        SocketFlags, SocketType, connect, sendmsg, socket_with,
    },
    process::{WaitId, WaitIdOptions, waitid},
    termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize},
};

use super::error::OciError;

/// Bytes relayed at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// Descriptors handed on at most.
const KEPT_MAX: u32 = 1024;
/// First descriptor after the standard streams.
const FIRST_KEPT: u32 = 3;

/// Makes the streams of a process: a terminal, or this process's own.
pub(super) fn of(terminal: bool, size: Option<(u16, u16)>) -> Result<LaunchIo, OciError> {
    if terminal {
        let own = tcgetwinsize(io::stdin()).map(|size| (size.ws_row, size.ws_col));
        let (rows, columns) = size.or_else(|| own.ok()).unwrap_or((0, 0));
        return Ok(LaunchIo::Tty { rows, columns });
    }
    let copy = |stream: BorrowedFd<'_>| stream.try_clone_to_owned().map_err(OciError::Terminal);
    Ok(LaunchIo::Files {
        stdin: copy(io::stdin().as_fd())?,
        stdout: copy(io::stdout().as_fd())?,
        stderr: copy(io::stderr().as_fd())?,
    })
}

/// Takes the numbers of descriptors that are to be handed on but are not open, so that none of our own gets them. What is returned is
/// close-on-exec: the program finds them closed, as they were.
pub(super) fn take_gaps(count: u32) -> Result<Vec<OwnedFd>, OciError> {
    let mut taken = Vec::new();
    if count > KEPT_MAX {
        return Err(OciError::Usage(format!(
            "{count} descriptors are more than {KEPT_MAX}"
        )));
    }
    let end = FIRST_KEPT.saturating_add(count);
    if count == 0 {
        return Ok(taken);
    }
    // The lowest free number is always taken first.
    loop {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let null = rustix::fs::open("/dev/null", flags, Mode::empty())
            .map_err(|errno| OciError::Terminal(errno.into()))?;
        let number = null.as_raw_fd().unsigned_abs();
        if number >= end {
            return Ok(taken);
        }
        taken.push(null);
    }
}

/// Sends the master of a terminal to whoever listens on a socket.
pub(super) fn send_console(path: &Path, master: &OwnedFd) -> Result<(), OciError> {
    let send = || {
        let socket = socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [master.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        // The name is for people; the receiver needs at least one byte.
        let text = [IoSlice::new(b"/dev/ptmx")];
        sendmsg(&socket, &text, &mut control, SendFlags::NOSIGNAL).map(drop)
    };
    send().map_err(|errno: Errno| OciError::Console(path.to_owned(), errno.into()))
}

/// Waits for a process that runs in the foreground: signals that come are its own, and so is the terminal. Returns its exit code.
pub(super) fn follow(launched: &Launched) -> Result<u8, OciError> {
    let signals = take_signals().map_err(OciError::Wait)?;
    let _raw = launched
        .console
        .as_ref()
        .map(|_| RawMode::enter())
        .transpose()
        .map_err(OciError::Terminal)?;
    let mut has_input = launched.console.is_some();
    loop {
        let stdin = io::stdin();
        let mut ready = vec![
            PollFd::new(&launched.pidfd, PollFlags::IN),
            PollFd::new(&signals, PollFlags::IN),
        ];
        if let Some(master) = &launched.console {
            ready.push(PollFd::new(master, PollFlags::IN));
            if has_input {
                ready.push(PollFd::new(&stdin, PollFlags::IN));
            }
        }
        match poll(&mut ready, None) {
            Err(Errno::INTR) => continue,
            outcome => outcome.map_err(|errno| OciError::Wait(errno.into()))?,
        };
        let is_ready: Vec<_> = ready
            .iter()
            .map(|entry| !entry.revents().is_empty())
            .collect();
        drop(ready);
        if let Some(master) = &launched.console {
            if is_ready[2] {
                copy(master.as_fd(), io::stdout().as_fd());
            }
            if is_ready.get(3) == Some(&true) {
                has_input = copy(stdin.as_fd(), master.as_fd());
            }
        }
        if is_ready[1] {
            pass_signal(&signals, launched).map_err(OciError::Wait)?;
        }
        if is_ready[0] {
            if let Some(master) = &launched.console {
                // What it wrote last is still there, until the other side's end is seen.
                rustix::io::ioctl_fionbio(master, true).ok();
                while copy(master.as_fd(), io::stdout().as_fd()) {}
            }
            return reap(launched);
        }
    }
}

/// Takes the exit code of a process that has ended; 128 + the signal that ended it.
fn reap(launched: &Launched) -> Result<u8, OciError> {
    let id = WaitId::PidFd(launched.pidfd.as_fd());
    let status = waitid(id, WaitIdOptions::EXITED)
        .map_err(|errno| OciError::Wait(errno.into()))?
        .ok_or_else(|| OciError::Wait(Errno::CHILD.into()))?;
    let code = status
        .exit_status()
        .unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or(0));
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}

/// Copies what is there; false at the end of the input.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut buffer = [0; CHUNK_BYTES];
    let Ok(length @ 1..) = rustix::io::read(from, &mut buffer) else {
        return false;
    };
    let mut rest = &buffer[..length];
    while !rest.is_empty() {
        match rustix::io::write(to, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            // Nobody takes it any more; the process goes on.
            Err(_) => return true,
        }
    }
    true
}

fn take_signals() -> io::Result<SignalFd> {
    let set: SigSet = [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGWINCH,
    ]
    .into_iter()
    .collect();
    set.thread_block()?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    Ok(SignalFd::with_flags(&set, flags)?)
}

fn pass_signal(signals: &SignalFd, launched: &Launched) -> io::Result<()> {
    let Some(info) = signals.read_signal()? else {
        return Ok(());
    };
    let number = i32::try_from(info.ssi_signo).unwrap_or_default();
    match (&launched.console, Signal::try_from(number)) {
        (Some(master), Ok(Signal::SIGWINCH)) => {
            let size = tcgetwinsize(io::stdin())?;
            tcsetwinsize(master, size)?;
        }
        (None, Ok(Signal::SIGWINCH)) => {}
        // It has ended: its end is seen next.
        _ => drop(runtime::sys::signal::kill(launched.pid, number)),
    }
    Ok(())
}

/// Raw mode of standard input, if that is a terminal, until dropped.
struct RawMode(Option<Termios>);

impl RawMode {
    fn enter() -> io::Result<Self> {
        let Ok(before) = tcgetattr(io::stdin()) else {
            return Ok(Self(None));
        };
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?;
        Ok(Self(Some(before)))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // A terminal that has gone needs no restoring.
            tcsetattr(io::stdin(), OptionalActions::Drain, before).ok();
        }
    }
}
