//! The network of build steps: a bridge of its own beside those of projects, and a seat on it for each step that runs. Nothing of it is
//! ever written down: it exists while steps use it.

use std::{collections::BTreeSet, net::Ipv4Addr};

use compose_spec::model::{ImageSource, Network, ProjectName, Service};
use indexmap::IndexMap;
use runtime::spec::{ContainerSpec, Process, Rootfs};

use crate::{
    model::{
        ContainerId, ContainerRecord, ContainerRole, Digest, EndpointRecord, HostFacts,
        NetworkRecord, Timestamp,
    },
    plan::addresses::{Subnet, choose_subnet, derived_mac, stable_hash},
};

/// No project's network is called so: a slash is in no name.
const NAME: &str = "stack/build";
/// The project that the network would belong to, for people who look at links.
const PROJECT: &str = "stack";
/// Room for a thousand steps at the same time.
const PREFIX: u8 = 22;
/// Steps of different builds do not reach each other.
const OPTION_ICC: &str = "com.docker.network.bridge.enable_icc";

/// Chooses the network of build steps of one state root; `None` = the pools have no room.
///
/// `taken` are subnets in use. `root` tells state roots apart that build at the same time on one host.
pub fn build_network(
    host: &HostFacts,
    taken: &[(Ipv4Addr, u8)],
    root: &str,
) -> Option<NetworkRecord> {
    let taken: Vec<Subnet> = taken
        .iter()
        .map(|(base, prefix)| Subnet::of(*base, (*prefix).min(32)))
        .collect();
    let prefix = host.subnet_prefix.min(PREFIX);
    let subnet = choose_subnet((&host.pools, prefix), &taken, (PROJECT, root))?;
    Some(NetworkRecord {
        version: NetworkRecord::VERSION,
        name: NAME.to_owned(),
        key: NAME.to_owned(),
        project: Some(project()),
        wanted: Network {
            name: NAME.to_owned(),
            external: false,
            driver: None,
            driver_opts: IndexMap::from([(OPTION_ICC.to_owned(), "false".to_owned())]),
            internal: false,
            enable_ipv4: true,
            enable_ipv6: false,
            subnets: Vec::new(),
            labels: IndexMap::new(),
        },
        bridge: format!("st-{:08x}", stable_hash(&[NAME, root])),
        subnet: subnet.base(),
        prefix: subnet.prefix(),
        gateway: subnet.first_host(),
        mtu: host.uplink_mtu,
        created: Timestamp(0),
    })
}

/// Makes a seat on the network: a container as networks know it, which nothing runs. `None` = every address is `taken`.
pub fn build_seat(
    network: &NetworkRecord,
    taken: &BTreeSet<Ipv4Addr>,
    id: ContainerId,
) -> Option<ContainerRecord> {
    let subnet = Subnet::of(network.subnet, network.prefix);
    let mut hosts = (u32::from(subnet.base()) + 1..subnet.last()).map(Ipv4Addr::from);
    let address = hosts.find(|address| *address != network.gateway && !taken.contains(address))?;
    let name = "build step";
    let process = Process {
        argv: Vec::new(),
        env: Vec::new(),
        cwd: "/".to_owned(),
        user: String::new(),
        groups: Vec::new(),
    };
    let service = "build".parse().expect("it is a valid name");
    let image = String::new();
    let wanted = Service::new(service, ImageSource::Pull { image });
    Some(ContainerRecord {
        version: ContainerRecord::VERSION,
        name: name.to_owned(),
        project: project(),
        service: wanted.name.clone(),
        role: ContainerRole::Replica(1),
        files_digest: String::new(),
        image: Digest::from_sha256(&[0; 32]),
        image_reference: String::new(),
        spec: ContainerSpec::new(id.as_str(), Rootfs::Directory("/".into()), process),
        endpoints: vec![EndpointRecord {
            network: network.name.clone(),
            address,
            mac: derived_mac(address),
            interface: "eth0".to_owned(),
            names: Vec::new(),
            default_route: true,
        }],
        published: Vec::new(),
        anonymous_volumes: IndexMap::new(),
        volumes: Vec::new(),
        shared_mounts: Vec::new(),
        mounted_images: Vec::new(),
        labels: IndexMap::new(),
        created: Timestamp(0),
        wanted,
        id,
    })
}

fn project() -> ProjectName {
    PROJECT.parse().expect("it is a valid name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_roots_have_networks_of_their_own_beside_what_is_taken() {
        let host = HostFacts::default();
        let one = build_network(&host, &[], "/a").unwrap();
        let taken = [(one.subnet, one.prefix)];
        let other = build_network(&host, &taken, "/a").unwrap();
        assert_ne!(one.subnet, other.subnet);
        assert_ne!(build_network(&host, &[], "/b").unwrap().bridge, one.bridge);
        assert!(build_network(&host, &[(Ipv4Addr::UNSPECIFIED, 0)], "/a").is_none());
    }

    #[test]
    fn seats_have_an_address_each_until_none_is_left() {
        let host = HostFacts {
            subnet_prefix: 30,
            ..HostFacts::default()
        };
        let mut network = build_network(&host, &[], "/a").unwrap();
        network.prefix = 29;
        let mut taken = BTreeSet::new();
        while let Some(seat) = build_seat(&network, &taken, ContainerId::from_bytes([7; 32])) {
            assert!(taken.insert(seat.endpoints[0].address));
        }
        // Eight addresses without base, broadcast and gateway.
        assert_eq!(taken.len(), 5);
        assert!(!taken.contains(&network.gateway));
    }
}
