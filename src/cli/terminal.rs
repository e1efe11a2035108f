//! The user's terminal: raw mode, size, and signals as something to poll.

use std::{
    io::{self, BufRead, Write},
    os::fd::{AsFd, BorrowedFd},
};

use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use rustix::termios::{
    LocalModes, OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr,
};

/// Signals that are read instead of delivered. They stay blocked until the process ends: whoever reads signals decides how it ends.
#[derive(Debug)]
pub(super) enum Signals {
    /// Those of this process.
    Taken(SignalFd),
    /// Those that a test sends, as bytes with their numbers.
    #[cfg(test)]
    Sent(io::PipeReader),
}

impl Signals {
    /// Takes over what a user or an init system sends: SIGINT, SIGTERM, SIGHUP, SIGQUIT, and changes of the window.
    pub(super) fn take() -> io::Result<Self> {
        let set: SigSet = [
            Signal::SIGINT,
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGQUIT,
            Signal::SIGWINCH,
        ]
        .into_iter()
        .collect();
        set.thread_block()?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self::Taken(fd))
    }

    /// Returns the next signal that has come.
    pub(super) fn next(&self) -> io::Result<Option<Signal>> {
        let number = match self {
            Self::Taken(fd) => match fd.read_signal()? {
                Some(info) => i32::try_from(info.ssi_signo).unwrap_or_default(),
                None => return Ok(None),
            },
            #[cfg(test)]
            Self::Sent(pipe) => {
                let mut byte = [0];
                io::Read::read_exact(&mut &*pipe, &mut byte)?;
                i32::from(byte[0])
            }
        };
        Ok(Some(Signal::try_from(number)?))
    }

    /// Reads the signal that has come and returns whether it ends a command that only shows something.
    pub(super) fn is_end(&self) -> io::Result<bool> {
        Ok(self
            .next()?
            .is_some_and(|signal| signal != Signal::SIGWINCH))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Taken(fd) => fd.as_fd(),
            #[cfg(test)]
            Self::Sent(pipe) => pipe.as_fd(),
        }
    }
}

/// Another mode of standard input, until dropped.
#[derive(Debug)]
pub(super) struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Every key goes to the program as it is, and nothing is echoed.
    pub(super) fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that has gone needs no restoring.
        let _gone = tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Asks for a line on the terminal. The question goes to standard error.
pub(super) fn ask_line(question: &str) -> io::Result<String> {
    io::stderr().write_all(question.as_bytes())?;
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Asks for a secret: what is typed is not shown.
pub(super) fn ask_secret(question: &str) -> io::Result<String> {
    let before = tcgetattr(io::stdin())?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    silent.local_modes.insert(LocalModes::ECHONL);
    tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
    let _shown_again = RawMode { before };
    ask_line(question)
}

/// Returns rows and columns of a terminal; `None` when it is none or does not tell.
pub(super) fn size(fd: impl AsFd) -> Option<Winsize> {
    tcgetwinsize(fd)
        .ok()
        .filter(|size| size.ws_row > 0 && size.ws_col > 0)
}
