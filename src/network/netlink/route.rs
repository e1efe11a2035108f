//! Messages of rtnetlink(7) that change links, addresses and routes.

use std::{net::Ipv4Addr, os::fd::RawFd};

use super::message::{Attributes, Batch, CREATE, EXCLUSIVE, REPLACE};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
pub(super) const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;

const IFLA_ADDRESS: u16 = 1;
pub(super) const IFLA_IFNAME: u16 = 3;
pub(super) const IFLA_MTU: u16 = 4;
pub(super) const IFLA_MASTER: u16 = 10;
pub(super) const IFLA_LINKINFO: u16 = 18;
pub(super) const IFLA_IFALIAS: u16 = 20;
const IFLA_NET_NS_FD: u16 = 28;
pub(super) const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BR_FORWARD_DELAY: u16 = 1;
const IFLA_BR_STP_STATE: u16 = 5;
const IFLA_BR_MCAST_SNOOPING: u16 = 23;
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_BRPORT_ISOLATED: u16 = 33;
const VETH_INFO_PEER: u16 = 1;

pub(super) const IFA_ADDRESS: u16 = 1;
pub(super) const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;

pub(super) const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

pub(super) const AF_INET: u8 = 2;
pub(super) const IFF_UP: u32 = 1;
pub(super) const RT_TABLE_MAIN: u32 = 254;
const RTPROT_STATIC: u8 = 4;
pub(super) const RTN_UNICAST: u8 = 1;

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

/// Appends: ask for a link. Since Linux 6.8 this finishes what a change of its carrier set off: until then it drops what it shall send,
/// and a first connection would wait a second for its second SYN.
pub(crate) fn settle_link(batch: &mut Batch, name: &str) {
    batch.message(
        format!("read link {name}"),
        RTM_GETLINK,
        0,
        &link_header(0, 0, 0),
        |a| {
            a.text(IFLA_IFNAME, name);
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

/// `struct ifinfomsg`.
pub(super) fn link_header(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}
