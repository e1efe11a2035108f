//! The monitor's ends of a run's standard streams: two or three pipes, or the master of a terminal.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{FileType, Mode, OFlags, fstat, open},
    io::{Errno, ioctl_fionbio, read, write},
    pipe::{PipeFlags, pipe_with},
};

use super::log::Stream;
use crate::process::LaunchIo;

/// Ctrl-D, which ends the input of a terminal.
const END_OF_INPUT: u8 = 4;

/// The monitor's ends. All are non-blocking.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Standard output or the terminal; `None` once it has ended.
    stdout: Option<OwnedFd>,
    /// Standard error; `None` with a terminal, and once it has ended.
    stderr: Option<OwnedFd>,
    /// Standard input or the terminal; `None` when the process has none, and once it is closed.
    input: Option<OwnedFd>,
    tty: bool,
    /// Input that the process has not taken yet. No more is accepted until it is empty, so one packet is its limit.
    pending: Vec<u8>,
    /// The input is to be closed behind what is pending.
    input_ends: bool,
}

/// What reading an output gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// This many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// It has ended.
    End,
}

impl Streams {
    /// Makes pipes for a process, and what the process gets of them.
    ///
    /// The process's ends of its outputs are open for reading too: should this monitor be killed, there is still a reader, so that the
    /// process gets no SIGPIPE, and what it prints waits in the pipe for the next monitor.
    pub(super) fn pipes(with_input: bool) -> Result<(Streams, LaunchIo), Errno> {
        let (stdout, process_stdout) = output_pipe()?;
        let (stderr, process_stderr) = output_pipe()?;
        let (input, process_stdin) = if with_input {
            let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC)?;
            ioctl_fionbio(&ours, true)?;
            (Some(ours), theirs)
        } else {
            (None, null()?)
        };
        let streams = Streams {
            stdout: Some(stdout),
            stderr: Some(stderr),
            input,
            ..Streams::default()
        };
        let io = LaunchIo::Files {
            stdin: process_stdin,
            stdout: process_stdout,
            stderr: process_stderr,
        };
        Ok((streams, io))
    }

    /// Takes the master of a process's terminal.
    pub(super) fn terminal(master: OwnedFd) -> Result<Streams, Errno> {
        ioctl_fionbio(&master, true)?;
        Ok(Streams {
            input: Some(rustix::io::fcntl_dupfd_cloexec(&master, 0)?),
            stdout: Some(master),
            tty: true,
            ..Streams::default()
        })
    }

    /// Opens anew the pipes of a process whose monitor is gone, where they are still those with these inode numbers.
    ///
    /// Its input is not opened: the process has seen its end when the monitor was killed.
    pub(super) fn reopen(pid: i32, pipes: &[u64]) -> Streams {
        let reopen = |number: usize| {
            let path = format!("/proc/{pid}/fd/{}", number + 1);
            // Looked at before it is opened for real: the process may have put any file or device there.
            let file = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
            let stat = fstat(&file).ok()?;
            let is_ours = FileType::from_raw_mode(stat.st_mode) == FileType::Fifo
                && pipes.get(number) == Some(&stat.st_ino);
            if !is_ours {
                return None;
            }
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            open(path, flags, Mode::empty()).ok()
        };
        Streams {
            stdout: reopen(0),
            stderr: reopen(1),
            ..Streams::default()
        }
    }

    /// The inode numbers of the output pipes, for [`Streams::reopen`].
    pub(super) fn inodes(&self) -> Vec<u64> {
        if self.tty {
            return Vec::new();
        }
        [&self.stdout, &self.stderr]
            .into_iter()
            .map(|end| end.as_ref().and_then(|end| inode(end.as_fd())).unwrap_or(0))
            .collect()
    }

    /// The outputs that have not ended.
    pub(super) fn outputs(&self) -> impl Iterator<Item = (Stream, BorrowedFd<'_>)> {
        let stdout = self.stdout.iter().map(|end| (Stream::Stdout, end.as_fd()));
        let stderr = self.stderr.iter().map(|end| (Stream::Stderr, end.as_fd()));
        stdout.chain(stderr)
    }

    /// The input, when the process has to take something first.
    pub(super) fn blocked_input(&self) -> Option<BorrowedFd<'_>> {
        (!self.pending.is_empty())
            .then_some(self.input.as_ref())?
            .map(AsFd::as_fd)
    }

    /// The terminal.
    pub(super) fn console(&self) -> Option<BorrowedFd<'_>> {
        self.stdout.as_ref().filter(|_| self.tty).map(AsFd::as_fd)
    }

    /// Reads from an output; closes it at its end.
    pub(super) fn read(&mut self, stream: Stream, buffer: &mut [u8]) -> Output {
        let end = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let Some(file) = end else {
            return Output::End;
        };
        match read(file, buffer) {
            // EIO: no process has the terminal open any more.
            Ok(0) | Err(Errno::IO) => {
                *end = None;
                Output::End
            }
            Ok(count) => Output::Bytes(count),
            Err(_) => Output::Nothing,
        }
    }

    /// Gives input to the process. Without an input it goes nowhere, as with a process that has closed its own.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.input.is_some() && !self.input_ends {
            self.pending.extend_from_slice(bytes);
            self.flush_input();
        }
    }

    /// Ends the input behind what was given.
    pub(super) fn end_input(&mut self) {
        if self.tty {
            self.feed(&[END_OF_INPUT]);
        } else {
            self.input_ends = true;
            self.flush_input();
        }
    }

    /// Writes as much pending input as the process takes now.
    pub(super) fn flush_input(&mut self) {
        let Some(input) = &self.input else {
            return;
        };
        while !self.pending.is_empty() {
            match write(input, &self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                // The process has closed it.
                Err(_) => {
                    self.pending.clear();
                    self.input_ends = true;
                }
            }
        }
        self.pending = Vec::new();
        if self.input_ends {
            self.input = None;
        }
    }
}

/// A pipe: our end for reading, and the process's end for writing and reading.
fn output_pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (ours, write_only) = pipe_with(PipeFlags::CLOEXEC)?;
    ioctl_fionbio(&ours, true)?;
    let path = format!("/proc/self/fd/{}", write_only.as_raw_fd());
    let theirs = open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    Ok((ours, theirs))
}

/// /dev/null for reading.
pub(super) fn null() -> Result<OwnedFd, Errno> {
    open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn inode(file: BorrowedFd<'_>) -> Option<u64> {
    fstat(file).ok().map(|stat| stat.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_end_when_the_process_has_closed_them() {
        let (mut streams, io) = Streams::pipes(false).unwrap();
        let LaunchIo::Files { stdout, stderr, .. } = io else {
            panic!("pipes are files");
        };
        let mut buffer = [0; 16];
        assert_eq!(streams.read(Stream::Stdout, &mut buffer), Output::Nothing);
        write(&stdout, b"abc").unwrap();
        drop(stdout);
        assert_eq!(streams.read(Stream::Stdout, &mut buffer), Output::Bytes(3));
        assert_eq!(streams.read(Stream::Stdout, &mut buffer), Output::End);
        assert_eq!(streams.outputs().count(), 1);
        drop(stderr);
        assert_eq!(streams.read(Stream::Stderr, &mut buffer), Output::End);
        assert_eq!(streams.outputs().count(), 0);
    }

    #[test]
    fn a_dead_reader_does_not_break_the_pipe_and_another_one_gets_everything() {
        let (streams, io) = Streams::pipes(false).unwrap();
        let LaunchIo::Files { stdout, stderr, .. } = io else {
            panic!("pipes are files");
        };
        let pipes = streams.inodes();
        drop(streams);
        write(&stdout, b"kept").unwrap();
        // The reader finds the pipes at the process's descriptors 1 and 2; here at those of a child that has them there.
        #[expect(clippy::disallowed_methods, reason = "something must hold the pipes")]
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let mut again = Streams::reopen(pid, &pipes);
        let mut buffer = [0; 16];
        assert_eq!(again.read(Stream::Stdout, &mut buffer), Output::Bytes(4));
        assert_eq!(&buffer[..4], b"kept");
        assert_eq!(Streams::reopen(pid, &[1, 2]).outputs().count(), 0);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(again.read(Stream::Stdout, &mut buffer), Output::End);
    }

    #[test]
    fn input_waits_until_the_process_takes_it_and_then_ends() {
        let (mut streams, io) = Streams::pipes(true).unwrap();
        let LaunchIo::Files { stdin, .. } = io else {
            panic!("pipes are files");
        };
        let input = vec![b'x'; 100_000];
        streams.feed(&input);
        streams.end_input();
        assert!(streams.blocked_input().is_some());
        streams.feed(b"behind the end: dropped");
        let mut taken = Vec::new();
        let mut buffer = vec![0; 65536];
        loop {
            let count = read(&stdin, &mut buffer).unwrap();
            if count == 0 {
                break;
            }
            taken.extend_from_slice(&buffer[..count]);
            streams.flush_input();
        }
        assert_eq!(taken, input);
        assert!(streams.blocked_input().is_none());
        let (mut streams, io) = Streams::pipes(true).unwrap();
        drop(io);
        streams.feed(b"nobody reads");
        assert!(streams.blocked_input().is_none());
    }
}
