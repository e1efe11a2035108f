//! Messages of rtnetlink(7) that list links, addresses and routes.

use std::net::Ipv4Addr;

use super::{
    message::{attribute, attributes, text, u32_at},
    route::{
        AF_INET, IFA_ADDRESS, IFA_LOCAL, IFF_UP, IFLA_IFALIAS, IFLA_IFNAME, IFLA_INFO_KIND,
        IFLA_LINKINFO, IFLA_MASTER, IFLA_MTU, RT_TABLE_MAIN, RTA_OIF, RTM_GETLINK, RTN_UNICAST,
        link_header,
    },
    socket::{Netlink, NetlinkError},
};

const RTM_GETADDR: u16 = 22;
const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
const RTA_PRIORITY: u16 = 6;
const RTA_TABLE: u16 = 15;

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

/// Lists the links of the socket's namespace.
pub(crate) fn links(netlink: &mut Netlink) -> Result<Vec<Link>, NetlinkError> {
    let mut links = Vec::new();
    netlink.dump("list links", RTM_GETLINK, &link_header(0, 0, 0), |bytes| {
        links.extend(parse_link(bytes));
    })?;
    Ok(links)
}

/// Finds a link of the socket's namespace by its name: one message, however many links there are.
pub(crate) fn link(netlink: &mut Netlink, name: &str) -> Result<Option<Link>, NetlinkError> {
    let header = link_header(0, 0, 0);
    let found = netlink.get("find a link", RTM_GETLINK, &header, |a| {
        a.text(IFLA_IFNAME, name);
    })?;
    // The kernel finds links by their other names too.
    Ok(found
        .as_deref()
        .and_then(parse_link)
        .filter(|link| link.name == name))
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
    use super::{
        super::{
            message::Batch,
            route::{add_address, add_default_route},
        },
        *,
    };

    const IFA_BROADCAST: u16 = 4;

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
