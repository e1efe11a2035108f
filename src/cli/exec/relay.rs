//! Carries bytes between the user's terminal and that of a command.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use nix::sys::signal::Signal;
use runtime::spec::ExitStatus;
use rustix::{io::Errno, termios::tcsetwinsize};

use super::{Exec, LEFT_RUNNING};
use crate::cli::{
    attach::Detector,
    failure::Failure,
    poll::{self, Interest},
    terminal::{self, RawMode},
};

/// Bytes read at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// Input that waits for the command; when it is full, keys wait in the terminal.
const INPUT_BYTES_MAX: usize = 64 * 1024;
/// Time in which the kernel hands over what a command that has ended wrote last: it does so in a work queue.
const REST_TIMEOUT: Duration = Duration::from_millis(50);

/// What came from the user.
enum Input {
    /// Keys, or none.
    Some,
    /// The end.
    End,
    /// The keys that leave the command running.
    Leave,
}

/// Two terminals and what is between them.
pub(super) struct Relay<'a> {
    exec: &'a Exec<'a>,
    process: Option<OwnedFd>,
    master: OwnedFd,
    /// Keys that the command's terminal has not taken yet.
    input: Vec<u8>,
    /// Looks for the keys that leave.
    detector: Detector,
    has_stdin: bool,
    /// Somebody has the command's side of its terminal open.
    has_master: bool,
}

impl<'a> Relay<'a> {
    pub(super) fn new(exec: &'a Exec<'a>, process: Option<OwnedFd>, master: OwnedFd) -> Self {
        Self {
            exec,
            process,
            master,
            input: Vec::new(),
            detector: Detector::new(exec.keys.clone()),
            has_stdin: true,
            has_master: true,
        }
    }

    /// Relays until the command has ended, and returns how.
    pub(super) fn run(mut self) -> Result<ExitStatus, Failure> {
        let _raw =
            RawMode::enter().map_err(|error| Failure::intent("set up the terminal", &error))?;
        rustix::io::ioctl_fionbio(&self.master, true).map_err(|errno| self.broken(errno))?;
        loop {
            let ready = self.wait()?;
            if ready[0] {
                self.take_signal()?;
            }
            if ready[2] {
                self.has_master = self.copy_output()?;
                self.write_input()?;
            }
            if ready[3] {
                match self.read_input()? {
                    Input::Some => {}
                    Input::End => self.has_stdin = false,
                    Input::Leave => {
                        self.exec.leave(&self.master)?;
                        return Ok(LEFT_RUNNING);
                    }
                }
            }
            if ready[1]
                && let Some(status) = self.exec.exited()?
            {
                while self.has_master && self.has_rest()? {
                    self.has_master = self.copy_output()?;
                }
                return Ok(status);
            }
        }
    }

    fn wait(&self) -> Result<Vec<bool>, Failure> {
        let stdin = io::stdin();
        let wants_input = self.has_stdin && self.has_master && self.input.len() < INPUT_BYTES_MAX;
        let interest = if self.input.is_empty() {
            Interest::Read
        } else {
            Interest::ReadWrite
        };
        let fds = [
            Some((self.exec.signals.as_fd(), Interest::Read)),
            Some((self.exec.monitor.as_fd(), Interest::Read)),
            self.has_master.then(|| (self.master.as_fd(), interest)),
            wants_input.then(|| (stdin.as_fd(), Interest::Read)),
        ];
        poll::wait(&fds, None).map_err(|error| self.exec.broken(&error))
    }

    fn take_signal(&self) -> Result<(), Failure> {
        match self.exec.signal()? {
            Some(Signal::SIGWINCH) => {
                if let Some(size) = terminal::size(io::stdin()) {
                    tcsetwinsize(&self.master, size).map_err(|errno| self.broken(errno))?;
                }
                Ok(())
            }
            Some(signal) => self.exec.send_signal(self.process.as_ref(), signal),
            None => Ok(()),
        }
    }

    /// Copies what is there; false when the terminal is closed.
    fn copy_output(&self) -> Result<bool, Failure> {
        let mut chunk = [0; CHUNK_BYTES];
        match rustix::io::read(&self.master, &mut chunk) {
            // EIO is how a pseudo-terminal says that nobody has the other side open (tty_ioctl(4)).
            Ok(0) | Err(Errno::IO) => Ok(false),
            Ok(length) => {
                self.exec.session.ui.data(&chunk[..length])?;
                Ok(true)
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(true),
            Err(errno) => Err(self.broken(errno)),
        }
    }

    fn has_rest(&self) -> Result<bool, Failure> {
        let master = [Some((self.master.as_fd(), Interest::Read))];
        poll::wait(&master, Some(REST_TIMEOUT))
            .map(|ready| ready[0])
            .map_err(|error| self.exec.broken(&error))
    }

    fn write_input(&mut self) -> Result<(), Failure> {
        if self.input.is_empty() {
            return Ok(());
        }
        match rustix::io::write(&self.master, &self.input) {
            Ok(length) => {
                self.input.drain(..length);
                Ok(())
            }
            Err(Errno::WOULDBLOCK | Errno::INTR | Errno::IO) => Ok(()),
            Err(errno) => Err(self.broken(errno)),
        }
    }

    /// Reads keys.
    fn read_input(&mut self) -> Result<Input, Failure> {
        let mut chunk = [0; 4096];
        match rustix::io::read(io::stdin(), &mut chunk) {
            Ok(0) => Ok(Input::End),
            Ok(length) => {
                let (passed, leaves) = self.detector.filter(&chunk[..length]);
                self.input.extend_from_slice(&passed);
                Ok(if leaves { Input::Leave } else { Input::Some })
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(Input::Some),
            Err(errno) => Err(self.broken(errno)),
        }
    }

    fn broken(&self, errno: Errno) -> Failure {
        self.exec.broken(&errno.into())
    }
}
