//! Messages of rtnetlink(7): links, addresses, routes.

use std::{net::Ipv4Addr, os::fd::RawFd};

use super::{
    message::{Attributes, Batch, CREATE, EXCLUSIVE, REPLACE, attribute, attributes, text, u32_at},
    socket::{Netlink, NetlinkError},
};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BR_FORWARD_DELAY: u16 = 1;
const IFLA_BR_STP_STATE: u16 = 5;
const IFLA_BR_MCAST_SNOOPING: u16 = 23;
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_BRPORT_ISOLATED: u16 = 33;
const VETH_INFO_PEER: u16 = 1;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_TABLE: u16 = 15;

const AF_INET: u8 = 2;
const IFF_UP: u32 = 1;
const RT_TABLE_MAIN: u32 = 254;
const RTPROT_STATIC: u8 = 4;
const RTN_UNICAST: u8 = 1;

/// A link as the kernel lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// `ifindex`.
    pub(crate) index: u32,
    /// Name.
    pub(crate) name: String,
    /// `ip link set … alias`.
    pub(crate) alias: String,
    /// `bridge`, `veth`, `tun`, …; empty for hardware.
    pub(crate) kind: String,
    /// Index of the bridge it is a port of; 0 = none.
    pub(crate) master: u32,
    /// MTU.
    pub(crate) mtu: u32,
    /// Whether it is administratively up.
    pub(crate) up: bool,
}

/// An address as the kernel lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    /// Index of its link.
    pub(crate) link: u32,
    /// The address.
    pub(crate) ip: Ipv4Addr,
    /// Prefix length.
    pub(crate) prefix: u8,
}

/// A unicast route of the main table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    /// Destination; 0.0.0.0 with prefix 0 is the default route.
    pub(crate) destination: Ipv4Addr,
    /// Prefix length.
    pub(crate) prefix: u8,
    /// Index of the link it leaves by; 0 = none (blackhole, multipath).
    pub(crate) link: u32,
    /// Lower wins.
    pub(crate) metric: u32,
}

/// A bridge to make.
#[derive(Debug)]
pub(crate) struct BridgeLink<'a> {
    /// Name.
    pub(crate) name: &'a str,
    /// Says whose it is.
    pub(crate) alias: &'a str,
    /// Given, so that it does not follow the lowest port's (trap T23).
    pub(crate) mac: [u8; 6],
    /// MTU.
    pub(crate) mtu: u32,
}

/// A veth pair to make, wired on both sides in one message.
#[derive(Debug)]
pub(crate) struct VethLink<'a> {
    /// Name of the host's end.
    pub(crate) name: &'a str,
    /// Says whose it is.
    pub(crate) alias: &'a str,
    /// Index of the bridge.
    pub(crate) bridge: u32,
    /// MTU of both ends.
    pub(crate) mtu: u32,
    /// The container's namespace.
    pub(crate) netns: RawFd,
    /// Name in the container.
    pub(crate) inner_name: &'a str,
    /// MAC in the container.
    pub(crate) inner_mac: [u8; 6],
}

/// Appends: make a bridge without spanning tree, forwarding delay and multicast snooping.
pub(crate) fn add_bridge(batch: &mut Batch, bridge: &BridgeLink<'_>) {
    batch.message(
        format!("add bridge {}", bridge.name),
        RTM_NEWLINK,
        CREATE | EXCLUSIVE,
        &link_header(0, 0, 0),
        |a| {
            a.text(IFLA_IFNAME, bridge.name)
                .bytes(IFLA_ADDRESS, &bridge.mac)
                .u32(IFLA_MTU, bridge.mtu)
                .nest(IFLA_LINKINFO, |a| {
                    a.text(IFLA_INFO_KIND, "bridge").nest(IFLA_INFO_DATA, |a| {
                        a.u32(IFLA_BR_FORWARD_DELAY, 0)
                            .u32(IFLA_BR_STP_STATE, 0)
                            .u8(IFLA_BR_MCAST_SNOOPING, 0);
                    });
                });
        },
    );
    set_alias(batch, bridge.name, bridge.alias);
}

/// Appends: name the owner of a link. The kernel ignores the alias in the message that makes a link.
fn set_alias(batch: &mut Batch, name: &str, alias: &str) {
    batch.message(
        format!("set alias of {name}"),
        RTM_NEWLINK,
        0,
        &link_header(0, 0, 0),
        |a| {
            a.text(IFLA_IFNAME, name).text(IFLA_IFALIAS, alias);
        },
    );
}

/// Appends: make a veth pair whose host end is an active port of the bridge and whose other end lies in the container.
pub(crate) fn add_veth(batch: &mut Batch, veth: &VethLink<'_>) {
    batch.message(
        format!("add veth {} for {}", veth.name, veth.inner_name),
        RTM_NEWLINK,
        CREATE | EXCLUSIVE,
        &link_header(0, IFF_UP, IFF_UP),
        |a| {
            a.text(IFLA_IFNAME, veth.name)
                .u32(IFLA_MASTER, veth.bridge)
                .u32(IFLA_MTU, veth.mtu)
                .nest(IFLA_LINKINFO, |a| {
                    a.text(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, |a| {
                        let header = link_header(0, 0, 0);
                        a.nest_after(VETH_INFO_PEER, &header, |a| peer(a, veth));
                    });
                });
        },
    );
    set_alias(batch, veth.name, veth.alias);
}

fn peer(a: &mut Attributes<'_>, veth: &VethLink<'_>) {
    a.text(IFLA_IFNAME, veth.inner_name)
        .u32(IFLA_MTU, veth.mtu)
        .bytes(IFLA_ADDRESS, &veth.inner_mac)
        .u32(IFLA_NET_NS_FD, veth.netns.cast_unsigned());
}

/// Appends: let a bridge port send frames back to where they came from (a container that calls its own published port, trap T2),
/// and keep it from other ports when `isolated`.
pub(crate) fn set_port(batch: &mut Batch, name: &str, isolated: bool) {
    batch.message(
        format!("set bridge port {name}"),
        RTM_NEWLINK,
        0,
        &link_header(0, 0, 0),
        |a| {
            a.text(IFLA_IFNAME, name).nest(IFLA_LINKINFO, |a| {
                a.text(IFLA_INFO_SLAVE_KIND, "bridge")
                    .nest(IFLA_INFO_SLAVE_DATA, |a| {
                        a.u8(IFLA_BRPORT_MODE, 1)
                            .u8(IFLA_BRPORT_ISOLATED, u8::from(isolated));
                    });
            });
        },
    );
}

/// Appends: set a link up.
pub(crate) fn set_up(batch: &mut Batch, index: u32) {
    batch.message(
        format!("set link {index} up"),
        RTM_NEWLINK,
        0,
        &link_header(index, IFF_UP, IFF_UP),
        |_| {},
    );
}

/// Appends: remove a link.
pub(crate) fn delete_link(batch: &mut Batch, index: u32, name: &str) {
    batch.message(
        format!("remove link {name}"),
        RTM_DELLINK,
        0,
        &link_header(index, 0, 0),
        |_| {},
    );
}

/// Appends: give a link an address; one that it has already stays.
pub(crate) fn add_address(batch: &mut Batch, link: u32, address: Ipv4Addr, prefix: u8) {
    let mut header = [AF_INET, prefix, 0, 0, 0, 0, 0, 0];
    header[4..8].copy_from_slice(&link.to_ne_bytes());
    let host_bits = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    let broadcast = (u32::from(address) | host_bits).to_be_bytes();
    batch.message(
        format!("add address {address}/{prefix}"),
        RTM_NEWADDR,
        CREATE | REPLACE,
        &header,
        |a| {
            a.bytes(IFA_LOCAL, &address.octets())
                .bytes(IFA_ADDRESS, &address.octets());
            if prefix < 31 {
                a.bytes(IFA_BROADCAST, &broadcast);
            }
        },
    );
}

/// Appends: the default route.
pub(crate) fn add_default_route(batch: &mut Batch, link: u32, gateway: Ipv4Addr) {
    let main = u8::try_from(RT_TABLE_MAIN).expect("254 fits");
    let header = [
        AF_INET,
        0,
        0,
        0,
        main,
        RTPROT_STATIC,
        0,
        RTN_UNICAST,
        0,
        0,
        0,
        0,
    ];
    batch.message(
        format!("add default route via {gateway}"),
        RTM_NEWROUTE,
        CREATE | REPLACE,
        &header,
        |a| {
            a.bytes(RTA_GATEWAY, &gateway.octets()).u32(RTA_OIF, link);
        },
    );
}

/// Lists the links of the socket's namespace.
pub(crate) fn links(netlink: &mut Netlink) -> Result<Vec<Link>, NetlinkError> {
    let mut links = Vec::new();
    netlink.dump("list links", RTM_GETLINK, &link_header(0, 0, 0), |bytes| {
        links.extend(parse_link(bytes));
    })?;
    Ok(links)
}

/// Lists the IPv4 addresses of the socket's namespace.
pub(crate) fn addresses(netlink: &mut Netlink) -> Result<Vec<Address>, NetlinkError> {
    let mut addresses = Vec::new();
    let header = [AF_INET, 0, 0, 0, 0, 0, 0, 0];
    netlink.dump("list addresses", RTM_GETADDR, &header, |bytes| {
        addresses.extend(parse_address(bytes));
    })?;
    Ok(addresses)
}

/// Lists the IPv4 unicast routes of the main table of the socket's namespace.
pub(crate) fn routes(netlink: &mut Netlink) -> Result<Vec<Route>, NetlinkError> {
    let mut routes = Vec::new();
    let header = [AF_INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    netlink.dump("list routes", RTM_GETROUTE, &header, |bytes| {
        routes.extend(parse_route(bytes));
    })?;
    Ok(routes)
}

/// `struct ifinfomsg`.
fn link_header(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

fn parse_link(bytes: &[u8]) -> Option<Link> {
    let mut link = Link {
        index: u32_at(bytes, 4)?,
        up: u32_at(bytes, 8)? & IFF_UP != 0,
        ..Link::default()
    };
    for (kind, payload) in attributes(bytes.get(16..)?) {
        match kind {
            IFLA_IFNAME => link.name = text(payload),
            IFLA_IFALIAS => link.alias = text(payload),
            IFLA_MTU => link.mtu = u32_at(payload, 0).unwrap_or(0),
            IFLA_MASTER => link.master = u32_at(payload, 0).unwrap_or(0),
            IFLA_LINKINFO => {
                link.kind = attribute(payload, IFLA_INFO_KIND)
                    .map(text)
                    .unwrap_or_default();
            }
            _ => {}
        }
    }
    Some(link)
}

fn parse_address(bytes: &[u8]) -> Option<Address> {
    let attributes = bytes.get(8..)?;
    // Point-to-point links name the other side in IFA_ADDRESS.
    let address =
        attribute(attributes, IFA_LOCAL).or_else(|| attribute(attributes, IFA_ADDRESS))?;
    Some(Address {
        link: u32_at(bytes, 4)?,
        ip: <[u8; 4]>::try_from(address).ok()?.into(),
        prefix: *bytes.get(1)?,
    })
}

fn parse_route(bytes: &[u8]) -> Option<Route> {
    let attributes = bytes.get(12..)?;
    let table = attribute(attributes, RTA_TABLE)
        .and_then(|payload| u32_at(payload, 0))
        .or_else(|| bytes.get(4).copied().map(u32::from))?;
    if table != RT_TABLE_MAIN || *bytes.get(7)? != RTN_UNICAST {
        return None;
    }
    let destination = match attribute(attributes, RTA_DST) {
        Some(payload) => <[u8; 4]>::try_from(payload).ok()?.into(),
        None => Ipv4Addr::UNSPECIFIED,
    };
    let number = |kind| attribute(attributes, kind).and_then(|payload| u32_at(payload, 0));
    Some(Route {
        destination,
        prefix: *bytes.get(1)?,
        link: number(RTA_OIF).unwrap_or(0),
        metric: number(RTA_PRIORITY).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_route_has_no_destination_and_other_tables_are_left_out() {
        let mut batch = Batch::default();
        add_default_route(&mut batch, 7, Ipv4Addr::new(10, 1, 0, 1));
        let mut bytes = batch.finish(1, 0)[16..].to_vec();
        assert_eq!(
            parse_route(&bytes),
            Some(Route {
                destination: Ipv4Addr::UNSPECIFIED,
                prefix: 0,
                link: 7,
                metric: 0
            })
        );
        bytes[4] = 255;
        assert_eq!(parse_route(&bytes), None);
    }

    #[test]
    fn an_address_has_its_broadcast_and_reads_back() {
        let mut batch = Batch::default();
        add_address(&mut batch, 3, Ipv4Addr::new(10, 201, 7, 2), 24);
        let bytes = batch.finish(1, 0)[16..].to_vec();
        assert_eq!(
            attribute(&bytes[8..], IFA_BROADCAST),
            Some(&[10, 201, 7, 255][..])
        );
        assert_eq!(
            parse_address(&bytes),
            Some(Address {
                link: 3,
                ip: Ipv4Addr::new(10, 201, 7, 2),
                prefix: 24
            })
        );
    }
}
