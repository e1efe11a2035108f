//! What of the host matters to planning and lowering.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::CdiRegistry;

/// The host, as far as plans depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// MTU of the default route's link: a larger one inside would hang transfers.
    pub uplink_mtu: u32,
    /// Number of CPUs: a higher limit has no effect.
    pub cpus: u32,
    /// The host's name, which containers on its network have; empty = they have their own.
    pub hostname: String,
    /// Ranges from which subnets of new networks are cut, in this order.
    pub pools: Vec<(Ipv4Addr, u8)>,
    /// Prefix length of new networks.
    pub subnet_prefix: u8,
    /// Devices that vendors describe.
    #[serde(default)]
    pub cdi: CdiRegistry,
    /// Ids of the host that containers may have as their own.
    #[serde(default)]
    pub users: UserRange,
}

/// A range of user ids, which is one of group ids too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRange {
    /// First id.
    pub first: u32,
    /// Number of ids.
    pub count: u32,
}

/// What systemd leaves unused between the ids of its containers and those of foreign images (UIDS-GIDS.md).
impl Default for UserRange {
    fn default() -> Self {
        Self {
            first: 1_879_048_192,
            count: 2_147_352_576 - 1_879_048_192,
        }
    }
}

impl Default for HostFacts {
    fn default() -> Self {
        Self {
            uplink_mtu: 1500,
            cpus: 1,
            hostname: String::new(),
            pools: vec![
                (Ipv4Addr::new(10, 201, 0, 0), 16),
                (Ipv4Addr::new(172, 16, 0, 0), 12),
            ],
            subnet_prefix: 24,
            cdi: CdiRegistry::default(),
            users: UserRange::default(),
        }
    }
}
