//! The canonical project: what a Compose file means once every short form, default and variable is resolved.
//!
//! Plain data, serialisable, so that a project can be sent to the supervisor and stored as desired state. It holds no
//! spans: where a value came from is kept beside it in [`crate::Locations`], keyed by path, so that two projects compare
//! equal when they mean the same.

mod build;
mod device;
mod health;
mod lifecycle;
mod name;
mod network;
mod resources;
mod service;
mod storage;

use std::path::PathBuf;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

pub use build::{Attestation, Build, BuildSecret, CacheEntry, SshKey};
pub use device::{
    Blkio, Device, DeviceAccess, DeviceChoice, DeviceKind, DeviceRate, DeviceRequest, DeviceRule,
    DeviceWeight,
};
pub use health::{Health, HealthCheck, HealthTest};
pub use lifecycle::{
    FailureAction, Hook, InitHook, Model, ModelBinding, Provider, Rollout, RolloutOrder,
    WatchAction, WatchRule,
};
pub use name::{InvalidName, ProjectName, ServiceName};
pub use network::{
    Attachment, ExtraHost, IpamSubnet, Network, NetworkMode, Port, PortProtocol, PublishedPort,
};
pub use resources::{Namespace, Resources, Ulimit, UserNamespace};
pub use service::{
    Condition, Dependency, ExternalLink, ImageSource, Logging, MountOwner, PullPolicy,
    RestartPolicy, Service, VolumesFrom,
};
pub use storage::{
    BindOptions, FileGrant, FileObject, FileSource, Mount, MountSource, SelinuxLabel, TmpfsOptions,
    Volume,
};

/// A Compose project in canonical form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// Identifies the project on this host; prefixes the names of its objects.
    pub name: ProjectName,
    /// Directory of the first Compose file (or `--project-directory`): base of relative paths.
    pub working_dir: PathBuf,
    /// The Compose files that were read, in merge order.
    pub files: Vec<PathBuf>,
    /// Active services by name, in the order of the file.
    pub services: IndexMap<ServiceName, Service>,
    /// Networks by key; unused ones are pruned.
    pub networks: IndexMap<String, Network>,
    /// Volumes by key; unused ones are pruned.
    pub volumes: IndexMap<String, Volume>,
    /// Secrets by key; unused ones are pruned.
    pub secrets: IndexMap<String, FileObject>,
    /// Configs by key; unused ones are pruned.
    pub configs: IndexMap<String, FileObject>,
    /// Models by key; unused ones are pruned.
    #[serde(default)]
    pub models: IndexMap<String, Model>,
    /// Top-level `x-*` values as given.
    pub extensions: IndexMap<String, serde_json::Value>,
}
