//! Runs one build step as a container of its own: no network record, no restart, removed when it has ended.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use fs_err as fs;
use runtime::{
    monitor::protocol::{Event, Frame, Request},
    spec::{ContainerSpec, ContainerState, ExitStatus, Rootfs},
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{Link, LinkError, SpawnError, Start, spawn_monitor};
use crate::store::Root;

/// What directories of steps are called.
const PREFIX: &str = "step-";
/// Longest wait for a killed step.
const END_MAX: Duration = Duration::from_secs(5);

/// A build step could not be run.
#[derive(Debug, thiserror::Error)]
pub enum StepsError {
    /// Its directory could not be made.
    #[error("make the directory of a build step")]
    Directory(#[source] io::Error),
    /// Its monitor could not be started.
    #[error("start a build step")]
    Spawn(#[source] SpawnError),
    /// Its monitor was lost.
    #[error("follow a build step")]
    Link(#[source] LinkError),
    /// The runtime refused.
    #[error("{message}")]
    Refused {
        /// What and why.
        message: String,
        /// 125, 126 or 127 as the shell uses them.
        code: i32,
    },
}

/// Kills build steps whose supervisor was killed: nobody would take their result.
pub async fn end_orphan_steps(root: &Root) {
    let Ok(entries) = fs::read_dir(root.tmp()) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // One that does not listen has ended.
        let Ok(link) = Link::connect(&entry.path()) else {
            continue;
        };
        match tokio::time::timeout(END_MAX, link.call(&KILL, &[])).await {
            Ok(Ok(()) | Err(LinkError::Gone { .. })) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a build step of a killed supervisor"),
            Err(_elapsed) => tracing::warn!("a build step of a killed supervisor does not end"),
        }
    }
}

/// Ends a step at once.
const KILL: Request = Request::Stop {
    signal: Some(libc::SIGKILL),
    grace_ms: Some(0),
};

/// Kills a step through a connection of its own: an attached one carries only input.
async fn kill(directory: &Path) -> Result<(), LinkError> {
    let link = Link::connect(directory)?;
    match link.call(&KILL, &[]).await {
        // It has ended meanwhile.
        Err(LinkError::Gone { .. }) => Ok(()),
        outcome => outcome,
    }
}

/// Runs build steps. Blocking: call it on a thread that may block.
#[derive(Debug, Clone)]
pub struct Steps {
    root: Root,
    program: PathBuf,
    handle: Handle,
}

impl Steps {
    /// Makes a runner that starts `program` as monitor.
    pub fn new(root: Root, program: PathBuf, handle: Handle) -> Self {
        Self {
            root,
            program,
            handle,
        }
    }

    /// Runs a step to its end; `output` gets what it prints, as it comes. When `cancel` is cancelled all its processes are killed.
    ///
    /// The overlay directories named by the spec must exist; its mount point is replaced by one in the step's own directory.
    pub fn run(
        &self,
        mut spec: ContainerSpec,
        output: &mut dyn FnMut(&[u8]),
        cancel: &CancellationToken,
    ) -> Result<ExitStatus, StepsError> {
        fs::create_dir_all(self.root.tmp()).map_err(StepsError::Directory)?;
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(self.root.tmp())
            .map_err(StepsError::Directory)?;
        if let Rootfs::Overlay { mount_point, .. } = &mut spec.rootfs {
            *mount_point = directory.path().join("rootfs");
            fs::create_dir(&*mount_point).map_err(StepsError::Directory)?;
        }
        let text =
            serde_json::to_vec(&spec).map_err(|error| StepsError::Directory(error.into()))?;
        fs::write(directory.path().join("spec.json"), text).map_err(StepsError::Directory)?;
        let start = Start {
            program: self.program.clone(),
            directory: directory.path().to_owned(),
            await_attach: true,
            supervisor: Vec::<OsString>::new(),
        };
        self.follow(&start, output, cancel)
    }

    /// Waits for one thing at a time, so that `output` is called outside the runtime and may block.
    fn follow(
        &self,
        start: &Start,
        output: &mut dyn FnMut(&[u8]),
        cancel: &CancellationToken,
    ) -> Result<ExitStatus, StepsError> {
        let wait = &self.handle;
        wait.block_on(spawn_monitor(start))
            .map_err(StepsError::Spawn)?;
        let link = {
            let _runtime = wait.enter();
            Link::connect(&start.directory).map_err(StepsError::Link)?
        };
        wait.block_on(link.send(&Request::Attach { stdin: false }, &[]))
            .map_err(StepsError::Link)?;
        let mut killed = false;
        loop {
            let received = if killed {
                Some(wait.block_on(link.receive_frame()))
            } else {
                wait.block_on(cancel.run_until_cancelled(link.receive_frame()))
            };
            let Some(received) = received else {
                // The end is waited for all the same: until then the step's mounts are in use.
                killed = true;
                wait.block_on(kill(&start.directory))
                    .map_err(StepsError::Link)?;
                continue;
            };
            let (tag, payload) = received.map_err(StepsError::Link)?;
            if tag != Frame::Event as u8 {
                output(&payload);
                continue;
            }
            match link.parse_event(&payload).map_err(StepsError::Link)? {
                Event::State {
                    state: ContainerState::Exited { status, .. },
                    ..
                } => {
                    return Ok(status);
                }
                Event::Failed { message, code } => {
                    return Err(StepsError::Refused { message, code });
                }
                _ => {}
            }
        }
    }
}
