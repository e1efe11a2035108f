//! The standard streams of a process as its parent prepares them.

use std::os::fd::OwnedFd;

use super::LaunchIo;
use super::confinement::above_streams;
use super::handover::Handover;
use crate::error::{Error, Step};

/// Standard streams.
#[derive(Debug)]
pub(crate) enum Streams {
    /// A terminal that the child opens.
    Tty {
        rows: u16,
        columns: u16,
        handover: Handover,
    },
    /// Descriptors above 2.
    Files {
        stdin: OwnedFd,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
}

impl Streams {
    /// Moves descriptors above 2, so that placing one overwrites no other.
    pub(crate) fn of(io: LaunchIo) -> Result<Self, Error> {
        match io {
            LaunchIo::Tty { rows, columns } => {
                let handover = Handover::new()
                    .map_err(|errno| Error::new(Step::Pipe, "the terminal", errno))?;
                Ok(Self::Tty {
                    rows,
                    columns,
                    handover,
                })
            }
            LaunchIo::Files {
                stdin,
                stdout,
                stderr,
            } => {
                let lift = |descriptor| {
                    above_streams(descriptor)
                        .map_err(|errno| Error::new(Step::Stdio, "standard streams", errno))
                };
                Ok(Self::Files {
                    stdin: lift(stdin)?,
                    stdout: lift(stdout)?,
                    stderr: lift(stderr)?,
                })
            }
        }
    }
}
