//! Who does what steps need from outside of the builder: the process of a RUN, a file that ADD fetches.

use std::{any::Any, fmt, io, net::Ipv4Addr, path::PathBuf};

use runtime::spec::{ContainerSpec, Device, ExitStatus, Mount};
use tokio_util::sync::CancellationToken;

use crate::image::{DownloadError, Downloaded};

/// Takes bytes as they come.
pub type Write<'a> = &'a mut (dyn FnMut(&[u8]) -> io::Result<()> + Send);

/// Does what steps need from outside.
pub trait StepRunner: Sync {
    /// Runs it, hands over its output as it comes, and returns how it ended. Once `cancel` is cancelled it is killed.
    fn run(
        &self,
        spec: ContainerSpec,
        output: &mut dyn FnMut(&[u8]),
        cancel: &CancellationToken,
    ) -> Result<ExitStatus, RunnerError>;

    /// Lends a network that leads out to a step; nobody else uses it meanwhile. `insecure` = the step has all rights.
    fn network(&self, insecure: bool) -> Result<StepNetwork, StepNetworkError>;

    /// Finds what a device of the host (`vendor/class=name`, as the Container Device Interface names it) brings into a step; why it cannot be
    /// had is for people.
    fn device(&self, name: &str) -> Result<StepDevice, String>;

    /// Fetches a file by its address. `authorization` is the value of that header.
    fn download(
        &self,
        address: &str,
        authorization: Option<&str>,
        write: Write<'_>,
    ) -> Result<Downloaded, DownloadError>;
}

/// A device of the host for a step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepDevice {
    /// Nodes.
    pub nodes: Vec<Device>,
    /// Files that come along.
    pub mounts: Vec<Mount>,
    /// Variables that come along, `NAME=value`.
    pub env: Vec<String>,
    /// Supplementary groups that come along, as numbers.
    pub groups: Vec<String>,
}

/// A network that a step has to itself; given back when dropped.
pub struct StepNetwork {
    /// Where its namespace is pinned.
    pub netns: PathBuf,
    /// Text of /etc/resolv.conf there.
    pub resolv_conf: String,
    /// The host as it sees it.
    pub gateway: Ipv4Addr,
    /// Gives it back when dropped.
    pub loan: Box<dyn Any + Send>,
}

impl fmt::Debug for StepNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepNetwork")
            .field("netns", &self.netns)
            .finish_non_exhaustive()
    }
}

/// A network could not be made: what and why, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StepNetworkError(pub String);

/// The container could not be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RunnerError {
    /// What and why, for people.
    pub message: String,
    /// 126 = found but not executable, 127 = program not found, 125 = anything else.
    pub code: i32,
}
