//! Runs one command in a running container to its end, and keeps the record of a container's hooks.
//!
//! The command is a process like that of `exec`: the container's monitor starts it and reaps it. Its output comes through pipes whose other ends
//! die with this process, so that a supervisor that is killed leaves a hook that runs on, or ends at its next write.

use std::{io, os::fd::OwnedFd, pin::pin};

use runtime::{
    monitor::protocol::{Event, Request},
    spec::{ExitStatus, Process},
};
use rustix::{
    fs::{Mode, OFlags},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal},
};
use tokio::{io::AsyncReadExt, net::unix::pipe};

use super::{ContainerError, Link, LinkError};
use crate::{
    model::{ContainerId, ContainerRecord, HookRecord, PostStart},
    store::{self, Root},
};

/// Bytes read at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// How a hook ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookRun {
    /// By itself.
    Ended(ExitStatus),
    /// It was killed because `until` came first.
    Cut,
}

/// What a hook prints, as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookOutput<'a> {
    /// Bytes of its standard output.
    Out(&'a [u8]),
    /// Bytes of its standard error.
    Error(&'a [u8]),
}

/// Runs a command in a running container and returns how it ended. When `until` is ready before, the command is killed with its process group.
///
/// # Errors
/// The container does not run or is frozen, the program is not there ([`LinkError::Refused`]), or the monitor went away.
pub async fn run_hook(
    link: &Link,
    process: Process,
    privileged: bool,
    output: &mut (dyn FnMut(HookOutput<'_>) + Send),
    until: impl Future<Output = ()> + Send,
) -> Result<HookRun, LinkError> {
    let broken = |error: io::Error| link.broken(error);
    let (mut out, out_end) = reader().map_err(broken)?;
    let (mut error, error_end) = reader().map_err(broken)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| broken(errno.into()))?;
    let request = Request::Exec {
        process,
        tty: false,
        size: None,
        privileged,
    };
    let descriptors = [null, out_end, error_end];
    link.send(&request, &descriptors).await?;
    drop(descriptors);
    let pid = started(link).await?;
    // One that has ended is a zombie until the monitor has told so: the number is still its own.
    let process = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let mut ended = pin!(exited(link));
    let mut until = pin!(until);
    let (mut out_chunk, mut error_chunk) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
    let (mut has_out, mut has_error, mut cut) = (true, true, false);
    let status = loop {
        tokio::select! {
            biased;
            status = &mut ended => break status?,
            read = out.read(&mut out_chunk), if has_out => {
                has_out = take(&read, |length| output(HookOutput::Out(&out_chunk[..length])));
            }
            read = error.read(&mut error_chunk), if has_error => {
                has_error = take(&read, |length| output(HookOutput::Error(&error_chunk[..length])));
            }
            () = &mut until, if !cut => {
                cut = true;
                kill(pid, process.as_ref());
            }
        }
    };
    // What it wrote is in the pipes; another process that it left behind may hold them open, and is not waited for.
    while let Ok(length @ 1..) = out.try_read(&mut out_chunk) {
        output(HookOutput::Out(&out_chunk[..length]));
    }
    while let Ok(length @ 1..) = error.try_read(&mut error_chunk) {
        output(HookOutput::Error(&error_chunk[..length]));
    }
    Ok(if cut {
        HookRun::Cut
    } else {
        HookRun::Ended(status)
    })
}

/// Makes a pipe: its end for us, and that for the command.
fn reader() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((pipe::Receiver::from_owned_fd(ours)?, theirs))
}

/// Passes on what was read; false at the end.
fn take(read: &io::Result<usize>, pass: impl FnOnce(usize)) -> bool {
    match read {
        Ok(length @ 1..) => {
            pass(*length);
            true
        }
        Ok(0) | Err(_) => false,
    }
}

async fn started(link: &Link) -> Result<i32, LinkError> {
    loop {
        match link.receive().await?.0 {
            Event::ExecStarted { pid } => return Ok(pid),
            Event::Failed { message, .. } => return Err(LinkError::Refused { message }),
            _ => {}
        }
    }
}

async fn exited(link: &Link) -> Result<ExitStatus, LinkError> {
    loop {
        match link.receive().await?.0 {
            Event::ExecExited { status } => return Ok(status),
            Event::Failed { message, .. } => return Err(LinkError::Refused { message }),
            _ => {}
        }
    }
}

/// Kills a command with what it started: it leads a session, and so a process group.
fn kill(pid: i32, process: Option<&OwnedFd>) {
    let (Some(process), Some(pid)) = (process, Pid::from_raw(pid)) else {
        return;
    };
    // ESRCH: it has ended in this moment, and the monitor tells so.
    if pidfd_send_signal(process, Signal::KILL).is_ok() {
        kill_process_group(pid, Signal::KILL).ok();
    }
}

/// Returns the record of a container's hooks; `None` when it was not started since it has hooks.
pub fn read_hooks(root: &Root, id: &ContainerId) -> Result<Option<HookRecord>, ContainerError> {
    store::read_json(&root.container(id).join("hooks.json")).map_err(|source| {
        ContainerError::Record {
            name: id.short().to_owned(),
            source,
        }
    })
}

/// Writes the record of a container's hooks.
pub fn write_hooks(
    root: &Root,
    id: &ContainerId,
    record: &HookRecord,
) -> Result<(), ContainerError> {
    store::write_json(&root.container(id).join("hooks.json"), record).map_err(|source| {
        ContainerError::Record {
            name: id.short().to_owned(),
            source,
        }
    })
}

/// Tells how far the `post_start` hooks have come for the start that the container is in.
pub fn post_start(root: &Root, record: &ContainerRecord) -> Result<PostStart, ContainerError> {
    if record.wanted.post_start.is_empty() {
        return Ok(PostStart::Over);
    }
    Ok(match read_hooks(root, &record.id)? {
        Some(hooks) if !hooks.post_start_over => PostStart::Pending,
        Some(hooks) if hooks.post_start_failed => PostStart::Failed,
        _ => PostStart::Over,
    })
}
