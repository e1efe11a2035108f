//! Plain data shared by planning, the protocol and the effects.
//!
//! Values only: no files, no clock, no tokio. Everything is serialisable, so that a bug report (an `Observed` and a
//! `Project`) replays in a test. On-disk records carry a schema version and are read for ever.

mod chain;
mod container;
mod id;
mod image;
mod intent;
mod network;
mod observed;
mod subject;
mod time;
mod volume;

pub use chain::chain;
pub use container::{ContainerRecord, ContainerRole, EndpointRecord, PublishedAddress};
pub use id::{ContainerId, Digest, ImageId, InvalidId};
pub use image::{
    ImageConfig, ImageDetails, ImageDisk, ImageHealth, ImageRecord, ImageSummary, PruneFilter,
    StoreDisk,
};
pub use intent::{LifecycleAction, Recreate, RemoveImages};
pub use network::NetworkRecord;
pub use observed::{HostUse, Observed, ObservedContainer, PortUse};
pub use subject::{Subject, SubjectKind};
pub use time::Timestamp;
pub use volume::{Backing, UnsupportedBacking, VolumeRecord};
