//! What follows from the registered networks and containers: names, and the packet filter. Pure.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use crate::model::{ContainerRecord, NetworkRecord, PublishedAddress};

use super::{
    dns::{View, Way, Zone},
    endpoint,
    firewall::{InputPolicy, Wanted, WantedNetwork, WantedPort},
};

/// Networks by full name.
pub(crate) type Networks = BTreeMap<String, NetworkRecord>;

/// A running container, and its published ports as they are bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Running<'a> {
    /// Its record.
    pub(crate) record: &'a ContainerRecord,
    /// Its ports.
    pub(crate) published: &'a [PublishedAddress],
}

/// Returns all names that lead to running containers.
pub(crate) fn zone<'a>(running: impl Iterator<Item = Running<'a>>) -> Zone {
    let mut zone = Zone::default();
    for Running { record, .. } in running {
        for endpoint in &record.endpoints {
            let own = [record.name.clone()];
            let short = [record.id.short().to_owned()];
            let names = [&own[..], &endpoint.names, &short].concat();
            zone.add(&endpoint.network, &names, endpoint.address);
        }
    }
    zone
}

/// Returns what a container may see of the names, and where the rest of its questions goes.
pub(crate) fn view(record: &ContainerRecord, networks: &Networks, pin: PathBuf) -> (View, Way) {
    let network = |name: &str| networks.get(name);
    let servers: Vec<IpAddr> = record
        .wanted
        .dns
        .iter()
        .filter_map(|server| server.parse().ok())
        .collect();
    let way = if servers.is_empty() {
        Way::Host
    } else {
        Way::Inside {
            netns: pin,
            servers: servers.clone(),
        }
    };
    let view = View {
        networks: record
            .endpoints
            .iter()
            .map(|endpoint| endpoint.network.clone())
            .collect(),
        gateway: endpoint::publishing(record)
            .and_then(|(endpoint, _)| network(&endpoint.network))
            .map(|network| network.gateway),
        leads_out: record.endpoints.iter().any(|endpoint| {
            network(&endpoint.network).is_some_and(|network| !network.wanted.internal)
        }),
        servers,
    };
    (view, way)
}

/// Returns what the packet filter shall do.
pub(crate) fn filter<'a>(
    networks: &Networks,
    running: impl Iterator<Item = Running<'a>>,
    policy: InputPolicy,
    guard_forwarding: bool,
) -> Wanted {
    let wanted = networks.values().map(|network| WantedNetwork {
        bridge: network.bridge.clone(),
        subnet: network.subnet,
        prefix: network.prefix,
        internal: network.wanted.internal,
    });
    Wanted {
        networks: wanted.collect(),
        ports: running
            .flat_map(|container| translated(networks, container, policy))
            .collect(),
        guard_forwarding,
    }
}

/// Lists the ports of a container that go straight to it. The rest goes through its listening sockets: everything on an internal network,
/// and what is not loopback where the host's firewall guards its input, so that it guards these ports too.
fn translated(networks: &Networks, container: Running<'_>, policy: InputPolicy) -> Vec<WantedPort> {
    let Some((endpoint, target)) = endpoint::publishing(container.record) else {
        return Vec::new();
    };
    let network = networks.get(&endpoint.network);
    if network.is_none_or(|network| network.wanted.internal) {
        return Vec::new();
    }
    let ports = container.published.iter().filter_map(|port| {
        let host_ip = match (policy, port.host_ip) {
            (InputPolicy::Guarded, ip) if ip.is_unspecified() && ip.is_ipv4() => {
                IpAddr::V4(Ipv4Addr::LOCALHOST)
            }
            (InputPolicy::Guarded, ip) if !ip.is_loopback() => return None,
            (_, ip) => ip,
        };
        Some(WantedPort {
            host_ip,
            host_port: port.host_port,
            protocol: port.protocol,
            target,
            target_port: port.target,
            container: container.record.name.clone(),
        })
    });
    ports.collect()
}
