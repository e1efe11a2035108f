//! Networks: the record of a bridge that stack made.

use std::net::Ipv4Addr;

use compose_spec::model::{Network, ProjectName};
use serde::{Deserialize, Serialize};

use super::Timestamp;

/// `networks/<name>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// Schema version.
    pub version: u32,
    /// Full name: `shop_default`.
    pub name: String,
    /// The project it belongs to.
    pub project: ProjectName,
    /// Its key in the Compose file.
    pub key: String,
    /// The network as it was wanted when it was made.
    pub wanted: Network,
    /// Name of the bridge interface: `st-` and 8 hexadecimal digits (a hash of the name), or the `driver_opts` one.
    pub bridge: String,
    /// The subnet's base address.
    pub subnet: Ipv4Addr,
    /// Prefix length.
    pub prefix: u8,
    /// Address of the bridge.
    pub gateway: Ipv4Addr,
    /// MTU of bridge and endpoints.
    pub mtu: u32,
    /// When it was made.
    pub created: Timestamp,
}

impl NetworkRecord {
    /// The schema version that this build writes.
    pub const VERSION: u32 = 1;
}
