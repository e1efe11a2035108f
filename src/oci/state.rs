//! What is known of a container between two commands: `<root>/<id>/state.json`, and what the kernel says.
//!
//! ```text
//! <root>/<id>/state.json    the record below, written once by create
//!            /gate          a FIFO; it is there until `start`
//!            /report        a FIFO; see `runtime::process::held`
//! ```

use std::{
    collections::BTreeMap,
    fmt, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use fs_err as fs;
use runtime::{
    cgroup::Cgroup,
    process::{held, start_ticks},
    spec::ContainerSpec,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{config::Hooks, error::OciError};

/// The version of the runtime specification that this runtime follows.
pub(super) const OCI_VERSION: &str = "1.2.0";

/// `state.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) bundle: PathBuf,
    /// Host pid of the container's first process.
    pub(super) pid: i32,
    /// With the pid, tells the process from a later one of the same number.
    pub(super) start_ticks: u64,
    /// RFC 3339.
    pub(super) created: String,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) hooks: Hooks,
    pub(super) spec: ContainerSpec,
}

/// The states of the runtime specification, and `paused`, which everybody adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

/// A container that exists.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) directory: PathBuf,
    pub(super) record: Record,
}

impl Container {
    /// Reads a container.
    pub(super) fn open(root: &Path, id: &str) -> Result<Self, OciError> {
        let directory = directory(root, id)?;
        let path = directory.join("state.json");
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OciError::Unknown(id.to_owned()));
            }
            text => text.map_err(|error| OciError::Read(path.clone(), error))?,
        };
        let record =
            serde_json::from_slice(&text).map_err(|error| OciError::Malformed(path, error))?;
        Ok(Self { directory, record })
    }

    /// Writes its record, whole or not at all.
    pub(super) fn write(&self) -> Result<(), OciError> {
        let path = self.directory.join("state.json");
        let text = serde_json::to_vec(&self.record)
            .map_err(|error| OciError::Malformed(path.clone(), error))?;
        let new = self.directory.join("state.json.new");
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| OciError::Write(path, error))
    }

    /// Opens its first process; `None` when that has ended, whether or not somebody took its status.
    pub(super) fn process(&self) -> Option<OwnedFd> {
        let pid = Pid::from_raw(self.record.pid)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        if start_ticks(self.record.pid).ok()? != self.record.start_ticks {
            return None;
        }
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
        let has_ended = poll(&mut ended, Some(&now)) != Ok(0);
        (!has_ended).then_some(pidfd)
    }

    /// Asks the kernel what it does.
    pub(super) fn status(&self) -> Status {
        if self.process().is_none() {
            return Status::Stopped;
        }
        if held::is_held(&self.directory) {
            return Status::Created;
        }
        let is_frozen = self.cgroup().is_ok_and(|cgroup| cgroup.is_frozen());
        if is_frozen {
            Status::Paused
        } else {
            Status::Running
        }
    }

    /// Opens its control group.
    pub(super) fn cgroup(&self) -> Result<Cgroup, OciError> {
        Ok(Cgroup::open(&self.record.spec.cgroup)?)
    }

    /// What `state` prints and hooks read.
    pub(super) fn state(&self, status: Status) -> Value {
        let pid = match status {
            Status::Stopped => 0,
            _ => self.record.pid,
        };
        json!({
            "ociVersion": OCI_VERSION,
            "id": self.record.id,
            "status": status.to_string(),
            "pid": pid,
            "bundle": self.record.bundle,
            "created": self.record.created,
            "annotations": self.record.annotations,
        })
    }

    /// Fails unless it is in one of these states.
    pub(super) fn require(
        &self,
        states: &[Status],
        wanted: &'static str,
    ) -> Result<Status, OciError> {
        let status = self.status();
        if states.contains(&status) {
            return Ok(status);
        }
        Err(OciError::Status {
            id: self.record.id.clone(),
            status,
            wanted,
        })
    }
}

/// The directory of a container. An id is a name, never a path.
pub(super) fn directory(root: &Path, id: &str) -> Result<PathBuf, OciError> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.');
    if id.is_empty() || matches!(id, "." | "..") || id.len() > 1024 || !id.chars().all(is_letter) {
        return Err(OciError::Id(id.to_owned()));
    }
    Ok(root.join(id))
}

/// The names of all containers.
pub(super) fn list(root: &Path) -> Result<Vec<String>, OciError> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(OciError::Directory)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(OciError::Directory)?;
        if entry.path().join("state.json").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
