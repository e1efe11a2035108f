//! The bridge of a network.

use crate::model::NetworkRecord;

use super::{
    error::NetworkError,
    host,
    names::Tag,
    netlink::{self, Batch, BridgeLink, Link, Netlink, NetlinkError},
    sysctl,
};

/// Makes the bridge, or completes one that is half there. It carries nothing of 127.0.0.0/8 yet: see [`open_loopback`].
pub(crate) fn ensure(
    netlink: &mut Netlink,
    tag: &Tag,
    network: &NetworkRecord,
) -> Result<(), NetworkError> {
    let index = match find(netlink, network)? {
        Some(link) if tag.owns(&link.alias) => link.index,
        Some(link) => {
            let owner = if link.alias.is_empty() {
                format!(
                    "somebody else ({})",
                    if link.kind.is_empty() {
                        "hardware"
                    } else {
                        &link.kind
                    }
                )
            } else {
                link.alias
            };
            return Err(NetworkError::BridgeTaken {
                network: network.name.clone(),
                bridge: network.bridge.clone(),
                owner,
            });
        }
        None => create(netlink, tag, network)?,
    };
    set_parameters(&network.bridge)?;
    let mut batch = Batch::default();
    netlink::add_address(&mut batch, index, network.gateway, network.prefix);
    netlink::set_up(&mut batch, index);
    netlink
        .execute(batch)
        .map_err(|source| wire(network, source))
}

/// Removes the bridge; one that does not exist counts as removed, one that is not ours is left.
pub(crate) fn remove(
    netlink: &mut Netlink,
    tag: &Tag,
    network: &NetworkRecord,
) -> Result<(), NetworkError> {
    match find(netlink, network)? {
        Some(link) if tag.owns(&link.alias) => {
            delete(netlink, &link).map_err(|source| wire(network, source))
        }
        _ => Ok(()),
    }
}

/// Removes a bridge by its link.
pub(crate) fn delete(netlink: &mut Netlink, link: &Link) -> Result<(), NetlinkError> {
    let mut batch = Batch::default();
    netlink::delete_link(&mut batch, link.index, &link.name);
    match netlink.execute(batch) {
        Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
        result => result,
    }
}

/// Lets connections from 127.0.0.1 of the host reach containers. Only after the packet filter keeps containers from doing the same
/// in the other direction (trap T1).
pub(crate) fn open_loopback(network: &NetworkRecord) -> Result<(), NetworkError> {
    sysctl::set(
        &format!("net/ipv4/conf/{}/route_localnet", network.bridge),
        "1",
    )
}

fn find(netlink: &mut Netlink, network: &NetworkRecord) -> Result<Option<Link>, NetworkError> {
    netlink::link(netlink, &network.bridge).map_err(|source| wire(network, source))
}

fn create(netlink: &mut Netlink, tag: &Tag, network: &NetworkRecord) -> Result<u32, NetworkError> {
    check_subnet(network, &host::host_facts()?)?;
    let [a, b, c, d] = network.gateway.octets();
    let mut batch = Batch::default();
    netlink::add_bridge(
        &mut batch,
        &BridgeLink {
            name: &network.bridge,
            alias: &tag.bridge_alias(&network.name),
            mac: [0x02, 0x42, a, b, c, d],
            mtu: network.mtu,
        },
    );
    netlink
        .execute(batch)
        .map_err(|source| wire(network, source))?;
    find(netlink, network)?
        .map(|link| link.index)
        .ok_or_else(|| NetworkError::BridgeTaken {
            network: network.name.clone(),
            bridge: network.bridge.clone(),
            owner: "somebody who removed it at once".to_owned(),
        })
}

/// Refuses a subnet that a route of the host would take traffic from.
///
/// A subnet that the user wrote may lie inside a larger route (the more specific one wins); an allocated one never does.
fn check_subnet(network: &NetworkRecord, facts: &host::HostFacts) -> Result<(), NetworkError> {
    let written = network
        .wanted
        .subnets
        .iter()
        .any(|subnet| subnet.subnet.is_some());
    let taken = facts.subnets.iter().find(|used| {
        used.overlaps(network.subnet, network.prefix)
            && (!written || used.prefix >= network.prefix)
            && used.interface != network.bridge
    });
    match taken {
        None => Ok(()),
        Some(used) => Err(NetworkError::SubnetTaken {
            network: network.name.clone(),
            subnet: network.subnet,
            prefix: network.prefix,
            route: format!("{}/{}", used.subnet, used.prefix),
            interface: used.interface.clone(),
        }),
    }
}

/// IPv4 only: no IPv6 address on the bridge, loose reverse path check because replies of published ports come in by other ways.
fn set_parameters(bridge: &str) -> Result<(), NetworkError> {
    sysctl::set(&format!("net/ipv6/conf/{bridge}/accept_ra"), "0")?;
    sysctl::set(&format!("net/ipv6/conf/{bridge}/disable_ipv6"), "1")?;
    sysctl::set(&format!("net/ipv4/conf/{bridge}/rp_filter"), "2")
}

fn wire(network: &NetworkRecord, source: NetlinkError) -> NetworkError {
    NetworkError::Wire {
        subject: format!("network {}", network.name),
        source,
    }
}
