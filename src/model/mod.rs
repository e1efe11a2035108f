//! Plain data shared by planning, the protocol and the effects.
//!
//! Values only: no files, no clock, no tokio. Everything is serialisable, so that a bug report (an `Observed` and a
//! `Project`) replays in a test. On-disk records carry a schema version and are read for ever.

mod access;
mod backup;
pub mod base64;
mod build_cache;
mod cdi;
mod container;
pub mod docker_config;
mod failure;
mod hooks;
mod host;
mod id;
mod image;
mod intent;
mod network;
mod observed;
mod secret;
mod subject;
mod time;
mod volume;

pub use access::{
    Credential, DEFAULT_REGISTRY, RegistryAccess, SettingsText, normal_registry, registry_of,
};
pub use backup::{BackedUpVolume, BackupCount, BackupHead, BackupSummary};
pub use build_cache::{BuildCacheEntry, BuildCacheKind, BuildCachePrune};
pub use cdi::{CdiDevice, CdiEdits, CdiHook, CdiMount, CdiNode, CdiRegistry, CdiSpec};
pub use container::{
    ContainerRecord, ContainerRole, EndpointRecord, PublishedAddress, SharedMounts,
};
pub use failure::{FailureKind, chain};
pub use hooks::{HookRecord, PostStart};
pub use host::{HostFacts, UserRange};
pub use id::{ContainerId, Digest, ImageId, InvalidId};
pub use image::{
    ImageConfig, ImageDetails, ImageDisk, ImageHealth, ImageRecord, ImageSummary, PruneFilter,
    StoreDisk,
};
pub use intent::{
    ChangedVolumes, DownOptions, LifecycleAction, Mode, Recreate, RemoveImages, UpOptions,
};
pub use network::{NetworkNotFound, NetworkRecord};
pub use observed::{
    HostUse, NetworkUser, Observed, ObservedContainer, ObservedNetwork, ObservedVolume, PortUse,
};
pub use secret::Secret;
pub use subject::{Subject, SubjectKind};
pub use time::Timestamp;
pub use volume::{
    ANONYMOUS_LABEL, BIND_OPTIONS, Backing, IDLE_OPTIONS, UnsupportedBacking, VolumeMount,
    VolumeRecord,
};
