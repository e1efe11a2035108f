//! Carries out plans. Decides nothing: each step does what it says, or reports why it could not.
//!
//! A ready queue over the plan's graph: a step starts once everything before it has ended, and is skipped when something it needs has failed.
//! A step that makes kernel objects always runs to its end; only waiting is cancelled.

mod backup;
mod build;
mod build_cache;
mod build_network;
mod build_rows;
mod builder;
mod container;
mod context;
mod error;
mod files;
mod freeze;
mod hooks;
mod image;
mod init;
mod mounts;
mod networks;
mod places;
mod queue;
mod remove;
mod restore;
mod storage;
mod users;
mod volumes;
mod wait;

pub use crate::build::Engine;
pub use backup::{
    BackupError, Source as VolumeSource, backup as backup_volumes, copy as copy_volume,
};
pub use build::check;
pub use build_network::BuildNetwork;
pub use context::{Context, Job};
pub use error::{ApplyError, Failure};
pub use freeze::FreezeError;
pub use image::{pinned, registries};
pub use mounts::settle_mounts;
pub use networks::{NetworkChangeError, NetworkChanges, change_networks};
pub use queue::{Report, apply};
pub use restore::{Restore as VolumeRestore, restore as restore_volumes};
pub use volumes::{VolumeChangeError, VolumeChanges, change_volumes};

pub use crate::store::now;

/// Returns 12 random hexadecimal digits, for the name of a one-off container.
pub fn random_slug() -> String {
    crate::model::ContainerId::from_bytes(container::random_bytes())
        .short()
        .to_owned()
}
