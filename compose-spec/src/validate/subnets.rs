//! Addresses of networks and of services in them.

use std::{collections::HashMap, net::IpAddr};

use crate::{
    diagnostic::{Code, Diagnostic, Sink, Span},
    yaml::Node,
};

/// A subnet that a network asks for.
struct Subnet<'t> {
    network: &'t str,
    text: &'t str,
    span: Span,
    base: u128,
    prefix: u32,
    v6: bool,
}

impl Subnet<'_> {
    fn bits(&self) -> u32 {
        if self.v6 { 128 } else { 32 }
    }

    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv6() == self.v6 && self.start(number(address)) == self.start(self.base)
    }

    /// Returns the first address of the subnet of this size that an address lies in.
    fn start(&self, address: u128) -> u128 {
        let host_bits = self.bits() - self.prefix;
        address
            .checked_shr(host_bits)
            .and_then(|high| high.checked_shl(host_bits))
            .unwrap_or_default()
    }

    fn overlaps(&self, other: &Self) -> bool {
        let wider = if self.prefix <= other.prefix {
            self
        } else {
            other
        };
        self.v6 == other.v6 && wider.start(self.base) == wider.start(other.base)
    }
}

/// Reports subnets that overlap, and addresses outside of the subnet that they belong to.
pub(super) fn check(tree: &Node, sink: &mut Sink) {
    let mut all: Vec<Subnet<'_>> = Vec::new();
    for (name, entry) in tree.entries_at("networks") {
        if entry.value.get("external").is_some_and(Node::is_true) {
            continue;
        }
        let configs = entry
            .value
            .get("ipam")
            .map_or(&[][..], |ipam| ipam.items_at("config"));
        for config in configs {
            let subnet = config
                .get("subnet")
                .and_then(|node| parse(name, node.as_text()?, node.span));
            let Some(subnet) = subnet else {
                continue;
            };
            check_config(config, &subnet, sink);
            all.push(subnet);
        }
    }
    check_overlaps(&all, sink);
    check_services(tree, &all, sink);
}

fn parse<'t>(network: &'t str, text: &'t str, span: Span) -> Option<Subnet<'t>> {
    let (address, prefix) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let prefix: u32 = prefix.parse().ok()?;
    let subnet = Subnet {
        network,
        text,
        span,
        base: number(address),
        prefix,
        v6: address.is_ipv6(),
    };
    (prefix <= subnet.bits()).then_some(subnet)
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// Sorted by their first address, a subnet can only overlap the one before it that reaches furthest.
fn check_overlaps(all: &[Subnet<'_>], sink: &mut Sink) {
    let mut sorted: Vec<&Subnet<'_>> = all.iter().collect();
    sorted.sort_by_key(|subnet| (subnet.v6, subnet.start(subnet.base), subnet.prefix));
    let mut furthest: Option<&Subnet<'_>> = None;
    for subnet in sorted {
        match furthest {
            Some(before) if before.overlaps(subnet) => {
                // The one that is written later is the one to change.
                let (first, second) = if before.span < subnet.span {
                    (before, subnet)
                } else {
                    (subnet, before)
                };
                overlap(first, second, sink);
            }
            _ => furthest = Some(subnet),
        }
    }
}

fn check_config(config: &Node, subnet: &Subnet<'_>, sink: &mut Sink) {
    let network = subnet.network;
    let mut inside = |what: String, text: Option<&str>, span: Span| {
        let address: Option<IpAddr> = text
            .and_then(|text| text.split('/').next())
            .and_then(|text| text.parse().ok());
        if let Some(address) = address.filter(|address| !subnet.contains(*address)) {
            let message = format!("network `{network}`: {what} {address} is not in the subnet");
            sink.push(
                Diagnostic::error(Code::BadAddress, message)
                    .at(span, format!("not in {}", subnet.text))
                    .and(subnet.span, "the subnet"),
            );
        }
    };
    for (key, what) in [("gateway", "the gateway"), ("ip_range", "the range")] {
        if let Some(node) = config.get(key) {
            inside(what.to_owned(), node.as_text(), node.span);
        }
    }
    for (name, entry) in config.entries_at("aux_addresses") {
        let what = format!("the address of `{name}`");
        inside(what, entry.value.as_text(), entry.value.span);
    }
}

fn overlap(first: &Subnet<'_>, second: &Subnet<'_>, sink: &mut Sink) {
    let message = if first.network == second.network {
        format!("network `{}` has overlapping subnets", first.network)
    } else {
        format!(
            "networks `{}` and `{}` have overlapping subnets",
            first.network, second.network
        )
    };
    sink.push(
        Diagnostic::error(Code::BadAddress, message)
            .at(second.span, format!("overlaps {}", first.text))
            .and(first.span, "the other subnet"),
    );
}

/// Reports fixed addresses that are outside of their network, of its gateway, or of two services.
fn check_services(tree: &Node, subnets: &[Subnet<'_>], sink: &mut Sink) {
    let mut seen: HashMap<(&str, IpAddr), (&str, Span)> = HashMap::new();
    let mut by_network: HashMap<&str, Vec<&Subnet<'_>>> = HashMap::new();
    for subnet in subnets {
        by_network.entry(subnet.network).or_default().push(subnet);
    }
    for (service, entry) in tree.entries_at("services") {
        let many = super::replicas(&entry.value).filter(|(count, _)| *count > 1);
        for (network, attachment) in entry.value.entries_at("networks") {
            for key in ["ipv4_address", "ipv6_address"] {
                let Some(node) = attachment.value.get(key) else {
                    continue;
                };
                let Some(address) = node.as_text().and_then(|text| text.parse::<IpAddr>().ok())
                else {
                    continue;
                };
                let mine: Vec<&Subnet<'_>> = by_network
                    .get(&**network)
                    .into_iter()
                    .flatten()
                    .copied()
                    .filter(|subnet| subnet.v6 == address.is_ipv6())
                    .collect();
                if let (Some(subnet), true) = (
                    mine.first(),
                    mine.iter().all(|subnet| !subnet.contains(address)),
                ) {
                    let message =
                        format!("service `{service}`: its address is not in network `{network}`");
                    sink.push(
                        Diagnostic::error(Code::BadAddress, message)
                            .at(node.span, format!("not in {}", subnet.text))
                            .and(subnet.span, "the subnet"),
                    );
                }
                if let Some((count, place)) = many {
                    let message = format!(
                        "service `{service}` has {count} replicas, and only one can have a fixed address"
                    );
                    sink.push(
                        Diagnostic::error(Code::OneReplicaOnly, message)
                            .at(node.span, "one address")
                            .and(place, format!("{count} replicas")),
                    );
                }
                let first = seen.insert((network, address), (service, node.span));
                if let Some((other, place)) = first {
                    let message = format!(
                        "services `{other}` and `{service}` have one address in `{network}`"
                    );
                    sink.push(
                        Diagnostic::error(Code::DuplicateName, message)
                            .at(node.span, "here again")
                            .and(place, "first here"),
                    );
                }
            }
        }
    }
}
