//! The packet filter as a function of what is wanted. Pure.
//!
//! ```text
//! map port4    { address . protocol . port : container address . port }      127.0.0.1:8080
//! map portany4 {           protocol . port : container address . port }      0.0.0.0:8080
//! raw   prerouting -300   127.0.0.0/8 coming in by a bridge: drop            (route_localnet would let containers in, trap T1)
//! pre   prerouting nat    to an address of this host: jump dnat
//! out   output nat        to an address of this host: jump dnat
//! dnat                    by port4, then by portany4
//! post  postrouting nat   leaving a network: masquerade; from 127.0.0.1 to a bridge: masquerade; back to where it came from: masquerade
//! fwd   forward filter    established, published: accept; into a bridge from elsewhere: drop; internal: drop both ways
//! ```
//! The number of rules depends on the number of networks only; a published port is one map element.

use std::net::{IpAddr, Ipv4Addr};

use compose_spec::model::PortProtocol;

use super::super::{names::BRIDGE_PREFIX, netlink::Batch};
use super::{
    expression::{Expression as E, Match, Verdict},
    table::{Element, Hook, INET, Table, transaction},
};

/// `NFT_TABLE_F_OWNER | NFT_TABLE_F_PERSIST`: nobody else changes the table while we live, and it stays when we die.
pub(crate) const OWNED: u32 = 6;

const PORT4: &str = "port4";
const PORT4_ID: u32 = 1;
const PORTANY4: &str = "portany4";
const PORTANY4_ID: u32 = 2;
const LOOPBACK: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 0);

/// What the table shall do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Networks; none = no table.
    pub(crate) networks: Vec<WantedNetwork>,
    /// Ports that go straight to containers.
    pub(crate) ports: Vec<WantedPort>,
    /// We made this host a router, and nobody else wants it to be one: forward nothing but our own traffic.
    pub(crate) guard_forwarding: bool,
}

/// A network to filter for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WantedNetwork {
    /// Name of the bridge.
    pub(crate) bridge: String,
    /// Base address.
    pub(crate) subnet: Ipv4Addr,
    /// Prefix length.
    pub(crate) prefix: u8,
    /// No way out.
    pub(crate) internal: bool,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WantedPort {
    /// Host address; unspecified = all.
    pub(crate) host_ip: IpAddr,
    /// Port on the host.
    pub(crate) host_port: u16,
    /// Transport.
    pub(crate) protocol: PortProtocol,
    /// Address of the container.
    pub(crate) target: Ipv4Addr,
    /// Port in the container.
    pub(crate) target_port: u16,
    /// Name of the container, for `nft list`.
    pub(crate) container: String,
}

/// Returns the transaction that replaces the table by what is wanted.
pub(crate) fn replace(name: &str, exists: bool, flags: u32, wanted: &Wanted) -> Batch {
    let table = Table { family: INET, name };
    let mut batch = Batch::default();
    transaction(&mut batch, |batch| {
        if exists {
            table.delete(batch);
        }
        if !wanted.networks.is_empty() {
            table.create(batch, flags, "made by stack; changes are overwritten");
            fill(table, batch, wanted);
        }
    });
    batch
}

fn fill(table: Table<'_>, batch: &mut Batch, wanted: &Wanted) {
    let hook = |kind, number, priority| {
        Some(Hook {
            kind,
            number,
            priority,
        })
    };
    table.port_map(batch, PORT4, PORT4_ID, true);
    table.port_map(batch, PORTANY4, PORTANY4_ID, false);
    table.chain(batch, "raw", hook("filter", 0, -300));
    table.chain(batch, "loopback", None);
    table.chain(batch, "dnat", None);
    table.chain(batch, "pre", hook("nat", 0, -100));
    table.chain(batch, "out", hook("nat", 3, -100));
    table.chain(batch, "post", hook("nat", 4, 100));
    table.chain(batch, "fwd", hook("filter", 2, 0));
    elements(table, batch, &wanted.ports);
    let jump_loopback = [
        E::IsIpv4,
        E::Destination(LOOPBACK, 8),
        E::Verdict(Verdict::Jump("loopback")),
    ];
    table.rule(batch, "raw", &jump_loopback);
    for chain in ["pre", "out"] {
        let jump_dnat = [E::DestinationIsLocal, E::Verdict(Verdict::Jump("dnat"))];
        table.rule(batch, chain, &jump_dnat);
    }
    for (map, id, keyed_by_address) in [(PORT4, PORT4_ID, true), (PORTANY4, PORTANY4_ID, false)] {
        let dnat = E::DnatByMap {
            map,
            id,
            keyed_by_address,
        };
        table.rule(batch, "dnat", &[E::IsIpv4, dnat]);
    }
    for network in &wanted.networks {
        network_rules(table, batch, network);
    }
    forward_rules(table, batch, wanted);
}

fn elements(table: Table<'_>, batch: &mut Batch, ports: &[WantedPort]) {
    let mut by_address = Vec::new();
    let mut any_address = Vec::new();
    for port in ports {
        let IpAddr::V4(host_ip) = port.host_ip else {
            continue;
        };
        let element = Element {
            address: Some(host_ip).filter(|address| !address.is_unspecified()),
            protocol: match port.protocol {
                PortProtocol::Tcp => 6,
                PortProtocol::Udp => 17,
                PortProtocol::Sctp => continue,
            },
            port: port.host_port,
            target: port.target,
            target_port: port.target_port,
            comment: port.container.clone(),
        };
        if element.address.is_some() {
            by_address.push(element);
        } else {
            any_address.push(element);
        }
    }
    for (map, id, mut elements) in [
        (PORT4, PORT4_ID, by_address),
        (PORTANY4, PORTANY4_ID, any_address),
    ] {
        elements.sort();
        // Two containers never have the same port; a second element of a key would void the whole transaction.
        elements.dedup_by_key(|element| (element.address, element.protocol, element.port));
        table.elements(batch, map, id, &elements);
    }
}

fn network_rules(table: Table<'_>, batch: &mut Batch, network: &WantedNetwork) {
    let bridge = || network.bridge.clone();
    let to_bridge = || E::OutputName(Match::Is, bridge());
    let subnet = || E::Source(network.subnet, network.prefix);
    table.rule(
        batch,
        "loopback",
        &[E::InputName(Match::Is, bridge()), E::Verdict(Verdict::Drop)],
    );
    if !network.internal {
        let leaving = E::OutputName(Match::IsNot, bridge());
        table.rule(
            batch,
            "post",
            &[E::IsIpv4, leaving, subnet(), E::Masquerade],
        );
    }
    let from_host = E::Source(LOOPBACK, 8);
    table.rule(
        batch,
        "post",
        &[E::IsIpv4, to_bridge(), from_host, E::Masquerade],
    );
    // The input name is empty for bridged packets, so the subnet stands for it (trap T2).
    let hairpin = [
        E::IsIpv4,
        to_bridge(),
        subnet(),
        E::Translated,
        E::Masquerade,
    ];
    table.rule(batch, "post", &hairpin);
}

fn forward_rules(table: Table<'_>, batch: &mut Batch, wanted: &Wanted) {
    let drop = || E::Verdict(Verdict::Drop);
    let accept = || E::Verdict(Verdict::Accept);
    table.rule(batch, "fwd", &[E::Established, accept()]);
    for network in wanted.networks.iter().filter(|network| network.internal) {
        let is = || network.bridge.clone();
        let out = [
            E::InputName(Match::Is, is()),
            E::OutputName(Match::IsNot, is()),
            drop(),
        ];
        table.rule(batch, "fwd", &out);
        let into = [
            E::OutputName(Match::Is, is()),
            E::InputName(Match::IsNot, is()),
            drop(),
        ];
        table.rule(batch, "fwd", &into);
    }
    for network in wanted.networks.iter().filter(|network| !network.internal) {
        let is = || network.bridge.clone();
        let to = || E::OutputName(Match::Is, is());
        table.rule(batch, "fwd", &[to(), E::Translated, accept()]);
        table.rule(
            batch,
            "fwd",
            &[to(), E::InputName(Match::IsNot, is()), drop()],
        );
    }
    if wanted.guard_forwarding {
        table.rule(batch, "fwd", &guard(&wanted.networks));
    }
}

/// Drops what neither enters nor leaves a bridge of any state root.
fn guard(networks: &[WantedNetwork]) -> Vec<E> {
    let any = format!("{BRIDGE_PREFIX}*");
    let own_names = networks
        .iter()
        .map(|network| &network.bridge)
        .filter(|bridge| !bridge.starts_with(BRIDGE_PREFIX));
    let mut rule = Vec::new();
    for name in std::iter::once(&any).chain(own_names) {
        rule.push(E::InputName(Match::IsNot, name.clone()));
        rule.push(E::OutputName(Match::IsNot, name.clone()));
    }
    rule.push(E::Verdict(Verdict::Drop));
    rule
}
