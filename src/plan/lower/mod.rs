//! Lowers a service to what the runtime runs: the last decisions, made once the image is known.
//!
//! It follows Docker wherever Docker decides (entrypoint and command, environment, user, health, capabilities, mounts). It touches
//! nothing: what must exist before the container can run (volumes, bind sources, files) is returned as data.

mod error;

use std::path::PathBuf;

use compose_spec::model::{FileSource, Project};

use super::{HostFacts, NewContainer};
use crate::model::{ContainerId, ContainerRecord, ImageRecord, Timestamp, VolumeRecord};

pub use error::{LowerError, Refusal};

/// Everything that [`lower`] looks at.
#[derive(Debug, Clone, Copy)]
pub struct LowerInput<'a> {
    /// The project: its volumes, secrets and configs, and what the labels say of it.
    pub project: &'a Project,
    /// The container to make.
    pub new: &'a NewContainer,
    /// Its id.
    pub id: &'a ContainerId,
    /// Its image.
    pub image: &'a ImageRecord,
    /// Where its things lie on the host.
    pub places: &'a Places,
    /// What of the host matters.
    pub host: &'a HostFacts,
    /// The time of its making.
    pub now: Timestamp,
}

/// Where a container's things lie on the host. Absolute paths; none needs to exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Its directory, with `rootfs` (mount point), `upper` and `work` below it.
    pub container: PathBuf,
    /// The directory of all volumes; data is in `<volumes>/<name>/_data`.
    pub volumes: PathBuf,
    /// The directory of its generated files: `hosts`, `resolv.conf`, `hostname`, `secrets/…`, `configs/…`.
    pub files: PathBuf,
    /// Its pinned network namespace; used when the container has endpoints.
    pub netns: PathBuf,
    /// Directory of its log files.
    pub log: PathBuf,
    /// Control group below which `<project>/<id>` lies: `stack`.
    pub cgroup_parent: String,
    /// The namespaces that [`super::Joins`] asks for.
    pub joined: JoinedPlaces,
}

/// Namespaces of other containers, and the files that go with their network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JoinedPlaces {
    /// Pinned network namespace of the owner.
    pub network: Option<PathBuf>,
    /// Directory of the network owner's `hosts`, `resolv.conf` and `hostname`, which are shared with it.
    pub network_files: Option<PathBuf>,
    /// `/proc/<pid>/ns/pid` of the owner.
    pub pid: Option<PathBuf>,
    /// `/proc/<pid>/ns/ipc` of the owner.
    pub ipc: Option<PathBuf>,
}

/// A container ready to be made, and what must be there before it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Lowered {
    /// Its whole record; `record.spec` is what the runtime runs.
    pub record: ContainerRecord,
    /// Volumes it mounts, in mount order.
    pub volumes: Vec<VolumeUse>,
    /// Host paths it mounts.
    pub binds: Vec<BindUse>,
    /// Files to write below `Places::files`.
    pub files: Vec<GeneratedFile>,
    /// Things that work less well than asked for.
    pub warnings: Vec<String>,
}

/// A volume that a container mounts.
#[derive(Debug, Clone, PartialEq)]
pub struct VolumeUse {
    /// Full name.
    pub name: String,
    /// The record to make it from when it is an anonymous one that does not exist yet; named ones have their own step.
    pub anonymous: Option<VolumeRecord>,
    /// Path in the image whose content goes into the volume when it is empty; `None` = `nocopy`.
    pub copy_up: Option<String>,
    /// Directory inside the volume that is mounted, made when missing; `None` = the volume itself.
    pub subpath: Option<String>,
}

/// A host path that a container mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindUse {
    /// The path.
    pub source: PathBuf,
    /// Make a missing directory; otherwise a missing path is an error.
    pub create: bool,
    /// Where it is written: `services.web.volumes[0]`.
    pub path: String,
}

/// A file that is written for a container and bound into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedFile {
    /// Path below `Places::files`.
    pub name: String,
    /// What is in it.
    pub content: FileContent,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Mode.
    pub mode: u32,
}

/// What is in a generated file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// `/etc/hosts`: the network area knows the text.
    Hosts,
    /// `/etc/resolv.conf`: the network area knows the text.
    ResolvConf,
    /// `/etc/hostname`: this text.
    Hostname(String),
    /// A secret or config.
    Object(FileSource),
}

/// Lowers a container to what the runtime runs, or says everything that is wrong with its service.
pub fn lower(input: &LowerInput<'_>) -> Result<Lowered, Vec<LowerError>> {
    let place = error::Place {
        service: &input.new.service.name,
    };
    Err(vec![
        place.unsupported("", "lowering in this build"),
        place.invalid("", "service", "", ""),
    ])
}
