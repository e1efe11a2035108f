//! Networks: the record of a bridge that stack made.

use std::net::Ipv4Addr;

use compose_spec::model::{Network, ProjectName};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Digest, Timestamp};

/// `networks/<name>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// Schema version.
    pub version: u32,
    /// Full name: `shop_default`.
    pub name: String,
    /// The project it belongs to; `None` = `stack network create` made it.
    pub project: Option<ProjectName>,
    /// Its key in the Compose file; of one without a project its name.
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

/// A text names no network, or more than one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkNotFound {
    /// There is none of that name or id.
    #[error("no such network: {0}")]
    Missing(String),
    /// The start of several ids.
    #[error("`{0}` is the start of several networks' ids")]
    Ambiguous(String),
}

impl NetworkRecord {
    /// The schema version that this build writes.
    pub const VERSION: u32 = 1;

    /// Returns what tells it from others that had its name: 64 hexadecimal digits, as Docker's ids have.
    pub fn id(&self) -> String {
        let sum = Sha256::digest(format!("{}\0{}", self.name, self.created.0));
        Digest::from_sha256(&sum.into()).hex().to_owned()
    }

    /// Finds a network by its name or the start of its id.
    pub fn find<'a, T>(
        networks: &'a [T],
        text: &str,
        record: impl Fn(&T) -> &Self,
    ) -> Result<&'a T, NetworkNotFound> {
        if let Some(found) = networks.iter().find(|known| record(known).name == text) {
            return Ok(found);
        }
        let mut found = networks
            .iter()
            .filter(|known| !text.is_empty() && record(known).id().starts_with(text));
        match (found.next(), found.next()) {
            (Some(found), None) => Ok(found),
            (None, _) => Err(NetworkNotFound::Missing(text.to_owned())),
            (Some(_), Some(_)) => Err(NetworkNotFound::Ambiguous(text.to_owned())),
        }
    }

    /// Returns its labels as others see them: the user's own, and Compose's.
    pub fn all_labels(&self) -> IndexMap<String, String> {
        let mut labels = self.wanted.labels.clone();
        if let Some(project) = &self.project {
            let own = [
                ("project", project.to_string()),
                ("network", self.key.clone()),
            ];
            labels.extend(own.map(|(name, value)| (format!("com.docker.compose.{name}"), value)));
        }
        labels
    }
}
