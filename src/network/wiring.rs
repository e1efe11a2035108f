//! What the kernel has of containers' networks: for observers, which own no fabric. Read only.

use std::path::PathBuf;

use crate::{
    model::{ContainerId, ContainerRecord, NetworkRecord},
    store::Root,
};

use super::{
    endpoint,
    error::NetworkError,
    names::Tag,
    netlink::{self, Link, Netlink},
};

/// Returns where a container's network namespace is pinned: what its spec joins.
pub fn netns_path(root: &Root, id: &ContainerId) -> PathBuf {
    root.netns().join(id.as_str())
}

/// The links of the host at one moment.
#[derive(Debug)]
pub struct Wiring {
    root: Root,
    tag: Tag,
    links: Vec<Link>,
}

impl Wiring {
    /// Reads the links, in the calling thread's network namespace.
    pub fn read(root: &Root) -> Result<Self, NetworkError> {
        let links = || {
            let mut netlink = Netlink::open(libc::NETLINK_ROUTE)?;
            netlink::links(&mut netlink)
        };
        Ok(Self {
            root: root.clone(),
            tag: Tag::of(root),
            links: links().map_err(|source| NetworkError::Host {
                what: "links",
                source,
            })?,
        })
    }

    /// Whether a container's namespace is pinned and every endpoint is plugged into its network's bridge.
    ///
    /// A container without endpoints has nothing that could be broken.
    pub fn is_intact<'a>(
        &self,
        record: &ContainerRecord,
        networks: impl IntoIterator<Item = &'a NetworkRecord>,
    ) -> bool {
        let networks: Vec<&NetworkRecord> = networks.into_iter().collect();
        let path = netns_path(&self.root, &record.id);
        record.endpoints.is_empty()
            || endpoint::is_wired(&self.links, &self.tag, record, &networks, &path)
    }

    /// Whether a network's bridge is there and ours.
    pub fn has_bridge(&self, network: &NetworkRecord) -> bool {
        self.links
            .iter()
            .any(|link| link.name == network.bridge && self.tag.owns(&link.alias))
    }
}
