//! Networks of the model, and how services sit on them.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::{Builder, flag, int, pairs, text, texts};
use crate::{
    canonical::ports::Range,
    diagnostic::{Code, Diagnostic},
    model::{
        Attachment, IpamSubnet, Network, NetworkMode, Port, PortProtocol, PublishedPort,
        ServiceName,
    },
    yaml::Node,
};

impl Builder<'_> {
    pub(super) fn networks(&mut self) -> IndexMap<String, Network> {
        let tree = self.tree;
        let mut networks: IndexMap<String, Network> = tree
            .entries_at("networks")
            .map(|(key, entry)| (key.to_string(), network(&entry.value)))
            .collect();
        let on_default = |node: &Node| node.text_at("network_mode").is_some_and(is_bridge);
        if tree
            .entries_at("services")
            .any(|(_, entry)| on_default(&entry.value))
        {
            let name = format!("{}_default", self.project);
            networks
                .entry("default".to_owned())
                .or_insert_with(|| empty_network(name));
        }
        networks
    }

    pub(super) fn network_mode(&mut self, service: &ServiceName, node: &Node) -> NetworkMode {
        let Some(mode) = node.get("network_mode") else {
            return NetworkMode::Networks(self.attachments(service, node));
        };
        let text = mode.as_text().unwrap_or_default();
        match text {
            "host" => NetworkMode::Host,
            "none" => NetworkMode::None,
            text if is_bridge(text) => {
                let message = format!("service `{service}`: `network_mode: bridge` has no effect");
                self.sink.push(
                    Diagnostic::warning(Code::NoEffect, message)
                        .at(mode.span, "the project's default network is used"),
                );
                let seat = Attachment {
                    aliases: self
                        .aliases
                        .get(service.as_str())
                        .cloned()
                        .unwrap_or_default(),
                    ..Attachment::default()
                };
                NetworkMode::Networks(IndexMap::from([("default".to_owned(), seat)]))
            }
            text => match text.split_once(':') {
                Some(("service", name)) => match name.parse() {
                    Ok(name) => NetworkMode::Service(name),
                    Err(_) => NetworkMode::None,
                },
                Some((_, name)) => NetworkMode::Container(name.to_owned()),
                None => NetworkMode::None,
            },
        }
    }

    /// Seats by priority, the highest first; equal ones in the order of the file.
    pub(super) fn attachments(
        &self,
        service: &ServiceName,
        node: &Node,
    ) -> IndexMap<String, Attachment> {
        let linked = self
            .aliases
            .get(service.as_str())
            .cloned()
            .unwrap_or_default();
        let mut seats: Vec<(String, Attachment)> = node
            .entries_at("networks")
            .map(|(key, entry)| {
                let node = &entry.value;
                let mut aliases = texts(node, "aliases");
                for alias in &linked {
                    if !aliases.contains(alias) {
                        aliases.push(alias.clone());
                    }
                }
                let seat = Attachment {
                    aliases,
                    ipv4_address: node.text_at("ipv4_address").and_then(|t| t.parse().ok()),
                    ipv6_address: node.text_at("ipv6_address").and_then(|t| t.parse().ok()),
                    mac_address: text(node, "mac_address"),
                    priority: int(node, "priority").unwrap_or_default(),
                    gw_priority: int(node, "gw_priority").unwrap_or_default(),
                    link_local_ips: texts(node, "link_local_ips")
                        .iter()
                        .filter_map(|address| address.parse().ok())
                        .collect(),
                    interface_name: text(node, "interface_name"),
                    driver_opts: pairs(node, "driver_opts"),
                };
                (key.to_string(), seat)
            })
            .collect();
        seats.sort_by_key(|(_, seat)| std::cmp::Reverse(seat.priority));
        seats.into_iter().collect()
    }
}

/// Returns the names that `links: [service:alias]` give to services, by service.
pub(super) fn aliases(tree: &Node) -> HashMap<&str, Vec<String>> {
    let mut out: HashMap<&str, Vec<String>> = HashMap::new();
    for (_, entry) in tree.entries_at("services") {
        for link in entry.value.items_at("links") {
            if let Some((name, alias)) = link.as_text().and_then(|text| text.split_once(':')) {
                let aliases = out.entry(name).or_default();
                if !aliases.iter().any(|known| known == alias) {
                    aliases.push(alias.to_owned());
                }
            }
        }
    }
    out
}

fn is_bridge(mode: &str) -> bool {
    matches!(mode, "bridge" | "default")
}

/// Returns one published port.
pub(super) fn port(node: &Node) -> Option<Port> {
    let published = match text(node, "published").as_deref().map(Range::parse) {
        None | Some(None | Some(Range { first: 0, last: 0 })) => PublishedPort::Ephemeral,
        Some(Some(Range { first, last })) if first == last => PublishedPort::Fixed(first),
        Some(Some(Range { first, last })) => PublishedPort::Range(first, last),
    };
    let protocol = match node.text_at("protocol") {
        Some("udp") => PortProtocol::Udp,
        Some("sctp") => PortProtocol::Sctp,
        _ => PortProtocol::Tcp,
    };
    Some(Port {
        target: u16::try_from(int(node, "target")?).ok()?,
        published,
        host_ip: text(node, "host_ip").and_then(|address| address.parse().ok()),
        protocol,
    })
}

fn network(node: &Node) -> Network {
    let subnets = node
        .get("ipam")
        .map_or(&[][..], |ipam| ipam.items_at("config"));
    Network {
        external: flag(node, "external"),
        driver: text(node, "driver").filter(|driver| driver != "default"),
        driver_opts: pairs(node, "driver_opts"),
        internal: flag(node, "internal"),
        enable_ipv4: node.get("enable_ipv4").is_none_or(Node::is_true),
        enable_ipv6: flag(node, "enable_ipv6"),
        subnets: subnets.iter().map(subnet).collect(),
        labels: pairs(node, "labels"),
        ..empty_network(text(node, "name").unwrap_or_default())
    }
}

fn subnet(node: &Node) -> IpamSubnet {
    IpamSubnet {
        subnet: text(node, "subnet"),
        ip_range: text(node, "ip_range"),
        gateway: node
            .text_at("gateway")
            .and_then(|address| address.parse().ok()),
        aux_addresses: node
            .entries_at("aux_addresses")
            .filter_map(|(key, entry)| {
                Some((key.to_string(), entry.value.as_text()?.parse().ok()?))
            })
            .collect(),
    }
}

fn empty_network(name: String) -> Network {
    Network {
        name,
        external: false,
        driver: None,
        driver_opts: IndexMap::new(),
        internal: false,
        enable_ipv4: true,
        enable_ipv6: false,
        subnets: Vec::new(),
        labels: IndexMap::new(),
    }
}
