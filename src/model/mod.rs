//! Plain data shared by planning, the protocol and the effects.
//!
//! Values only: no files, no clock, no tokio. Everything is serialisable, so that a bug report (an `Observed` and a
//! `Project`) replays in a test. On-disk records carry a schema version and are read for ever.

mod container;
mod failure;
mod host;
mod id;
mod image;
mod intent;
mod network;
mod observed;
mod subject;
mod time;
mod volume;

pub use container::{ContainerRecord, ContainerRole, EndpointRecord, PublishedAddress};
pub use failure::{FailureKind, chain};
pub use host::HostFacts;
pub use id::{ContainerId, Digest, ImageId, InvalidId};
pub use image::{ImageConfig, ImageHealth, ImageRecord, ImageSummary};
pub use intent::{
    ChangedVolumes, DownOptions, LifecycleAction, Mode, Recreate, RemoveImages, UpOptions,
};
pub use network::NetworkRecord;
pub use observed::{HostUse, Observed, ObservedContainer, PortUse};
pub use subject::{Subject, SubjectKind};
pub use time::Timestamp;
pub use volume::{Backing, UnsupportedBacking, VolumeRecord};
