//! Volumes: the record of a directory that holds data.

use compose_spec::model::{ProjectName, Volume};
use serde::{Deserialize, Serialize};

use super::Timestamp;

/// `volumes/<name>/volume.json`; the data is in `volumes/<name>/_data`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// Schema version.
    pub version: u32,
    /// Full name: `shop_data`; 64 hexadecimal digits for an anonymous one.
    pub name: String,
    /// The project it belongs to; `None` = made by hand.
    pub project: Option<ProjectName>,
    /// Its key in the Compose file; `None` = anonymous.
    pub key: Option<String>,
    /// The volume as it was wanted when it was made; `None` = anonymous.
    pub wanted: Option<Volume>,
    /// When it was made.
    pub created: Timestamp,
}

impl VolumeRecord {
    /// The schema version that this build writes.
    pub const VERSION: u32 = 1;
}
