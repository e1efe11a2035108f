//! The record of a network: everything about it that can be chosen.

use std::net::{IpAddr, Ipv4Addr};

use compose_spec::model::{Network, ProjectName};

use super::{Networks, is_interface_name};
use crate::{
    model::{HostFacts, NetworkRecord, Timestamp, VolumeRecord},
    plan::{
        Inputs, PlanError,
        addresses::{Subnet, choose_subnet, stable_hash},
    },
};

pub(super) const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
pub(super) const MTU: &str = "com.docker.network.driver.mtu";

/// Where a new network is to be: what it must fit into.
pub(super) struct Ground<'a> {
    /// The project that it will belong to.
    pub(super) project: Option<&'a ProjectName>,
    pub(super) host: &'a HostFacts,
    /// Subnets that it must avoid, and whose they are.
    pub(super) taken: Vec<(Subnet, String)>,
    pub(super) now: Timestamp,
}

impl<'a> Ground<'a> {
    /// That of a network of the project that is planned; not in the way is the subnet of the network that it replaces.
    pub(super) fn of_plan(
        inputs: &Inputs<'a>,
        others: &Networks,
        previous: Option<&NetworkRecord>,
    ) -> Self {
        let known = inputs.observed.networks.values();
        let planned = others.0.values().map(|planned| &planned.record);
        Self {
            project: Some(&inputs.project.name),
            host: inputs.host,
            taken: taken_subnets(
                known.chain(planned),
                &inputs.observed.taken.subnets,
                previous,
            ),
            now: inputs.now,
        }
    }
}

/// Makes the record of a network that belongs to no project. `known` are those there are, `subnets` what the host uses.
pub fn standalone_network(
    network: &Network,
    host: &HostFacts,
    (known, subnets): (&[NetworkRecord], &[(Ipv4Addr, u8)]),
    now: Timestamp,
) -> Result<NetworkRecord, PlanError> {
    let key = &network.name;
    let is_ipv6 = |text: &String| text.contains(':');
    let mut subnets_wanted = network
        .subnets
        .iter()
        .filter_map(|config| config.subnet.as_ref());
    if network.enable_ipv6 || subnets_wanted.any(is_ipv6) {
        return Err(PlanError::NetworkUnsupported {
            key: key.clone(),
            field: "enable_ipv6",
            what: "IPv6".to_owned(),
        });
    }
    let ground = Ground {
        project: None,
        host,
        taken: taken_subnets(known.iter(), subnets, None),
        now,
    };
    new_record(&ground, key, network, None)
}

/// Makes the record of a network. What the file leaves open stays as `previous` has it.
pub(super) fn new_record(
    ground: &Ground<'_>,
    key: &str,
    network: &Network,
    previous: Option<&NetworkRecord>,
) -> Result<NetworkRecord, PlanError> {
    check_driver(key, network)?;
    // It is also the name of a file.
    if !VolumeRecord::is_name(&network.name) {
        return Err(PlanError::NetworkUnsupported {
            key: key.to_owned(),
            field: "name",
            what: format!("the name `{}`", network.name),
        });
    }
    let taken = &ground.taken;
    let wanted = wanted_subnet(key, network)?;
    let subnet = match (wanted, previous) {
        (Some(subnet), _) => {
            if let Some((other, owner)) = taken.iter().find(|(other, _)| other.overlaps(subnet)) {
                return Err(PlanError::SubnetTaken {
                    key: key.to_owned(),
                    wanted: subnet.to_string(),
                    taken: other.to_string(),
                    owner: owner.clone(),
                });
            }
            subnet
        }
        (None, Some(previous)) => Subnet::of(previous.subnet, previous.prefix),
        (None, None) => {
            let pools = (&*ground.host.pools, ground.host.subnet_prefix);
            let taken: Vec<Subnet> = taken.iter().map(|(subnet, _)| *subnet).collect();
            let project = ground.project.map_or("", ProjectName::as_str);
            choose_subnet(pools, &taken, (project, key)).ok_or_else(|| {
                PlanError::PoolsExhausted {
                    key: key.to_owned(),
                }
            })?
        }
    };
    Ok(NetworkRecord {
        version: NetworkRecord::VERSION,
        name: network.name.clone(),
        project: ground.project.cloned(),
        key: key.to_owned(),
        bridge: bridge(key, network)?,
        subnet: subnet.base(),
        prefix: subnet.prefix(),
        gateway: gateway(key, network, subnet)?,
        mtu: mtu(ground.host, key, network, previous)?,
        wanted: network.clone(),
        created: ground.now,
    })
}

/// Every subnet that a new network must avoid, and whose it is; but not that of the network it replaces. Our own come first, because
/// the host's list holds their bridges too.
fn taken_subnets<'a>(
    known: impl Iterator<Item = &'a NetworkRecord>,
    host: &[(Ipv4Addr, u8)],
    previous: Option<&NetworkRecord>,
) -> Vec<(Subnet, String)> {
    let old = previous.map(|record| Subnet::of(record.subnet, record.prefix));
    let ours = known.map(|record| {
        let subnet = Subnet::of(record.subnet, record.prefix);
        (subnet, format!("network `{}`", record.name))
    });
    let host = host.iter().map(|(base, prefix)| {
        let subnet = Subnet::of(*base, (*prefix).min(32));
        (subnet, "this host".to_owned())
    });
    ours.chain(host)
        .filter(|(subnet, _)| Some(*subnet) != old)
        .collect()
}

fn check_driver(key: &str, network: &Network) -> Result<(), PlanError> {
    match network.driver.as_deref() {
        None | Some("" | "bridge") => Ok(()),
        Some(other) => Err(PlanError::NetworkUnsupported {
            key: key.to_owned(),
            field: "driver",
            what: format!("driver `{other}`"),
        }),
    }
}

/// The first IPv4 subnet of the file. Small ones have no room for a gateway and a container.
fn wanted_subnet(key: &str, network: &Network) -> Result<Option<Subnet>, PlanError> {
    let invalid = |reason: String| PlanError::NetworkInvalid {
        key: key.to_owned(),
        reason,
    };
    let mut found = None;
    for config in &network.subnets {
        match config.subnet.as_deref() {
            Some(text) if text.contains(':') => {}
            Some(text) => {
                let subnet: Subnet = text.parse().map_err(invalid)?;
                if !(8..=30).contains(&subnet.prefix()) {
                    return Err(invalid(format!(
                        "subnet {subnet} must have a prefix of 8 to 30"
                    )));
                }
                if let Some(range) = &config.ip_range {
                    let range: Subnet = range.parse().map_err(invalid)?;
                    if !subnet.contains(range.base()) || range.prefix() < subnet.prefix() {
                        return Err(invalid(format!("ip_range {range} is not in {subnet}")));
                    }
                }
                if found.replace(subnet).is_some() {
                    return Err(invalid("more than one IPv4 subnet".to_owned()));
                }
            }
            None if config.gateway.is_some() || config.ip_range.is_some() => {
                return Err(invalid(
                    "`gateway` and `ip_range` need a `subnet`".to_owned(),
                ));
            }
            None => {}
        }
    }
    Ok(found)
}

fn gateway(key: &str, network: &Network, subnet: Subnet) -> Result<Ipv4Addr, PlanError> {
    let wanted = network
        .subnets
        .iter()
        .find_map(|config| match config.gateway {
            Some(IpAddr::V4(address)) => Some(address),
            _ => None,
        });
    let gateway = wanted.unwrap_or_else(|| subnet.first_host());
    let is_host =
        subnet.contains(gateway) && gateway != subnet.base() && u32::from(gateway) != subnet.last();
    if is_host {
        Ok(gateway)
    } else {
        Err(PlanError::NetworkInvalid {
            key: key.to_owned(),
            reason: format!("gateway {gateway} is not a host of {subnet}"),
        })
    }
}

/// `st-` and a hash: unique, short enough for an interface, and never a prefix that systemd-networkd matches.
fn bridge(key: &str, network: &Network) -> Result<String, PlanError> {
    let Some(name) = network.driver_opts.get(BRIDGE_NAME) else {
        return Ok(format!("st-{:08x}", stable_hash(&[&network.name])));
    };
    if is_interface_name(name) {
        Ok(name.clone())
    } else {
        Err(PlanError::NetworkInvalid {
            key: key.to_owned(),
            reason: format!("`{name}` is not the name of an interface"),
        })
    }
}

/// The uplink's, so that nothing is too large on the way out. A network keeps its own until it is made anew.
fn mtu(
    host: &HostFacts,
    key: &str,
    network: &Network,
    previous: Option<&NetworkRecord>,
) -> Result<u32, PlanError> {
    let Some(text) = network.driver_opts.get(MTU) else {
        let had_option = |record: &&NetworkRecord| record.wanted.driver_opts.contains_key(MTU);
        let kept = previous
            .filter(|record| !had_option(record))
            .map(|record| record.mtu);
        return Ok(kept.unwrap_or(host.uplink_mtu));
    };
    match text.parse::<u32>() {
        Ok(mtu @ 68..=65535) => Ok(mtu),
        _ => Err(PlanError::NetworkInvalid {
            key: key.to_owned(),
            reason: format!("MTU `{text}` is not a number from 68 to 65535"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use compose_spec::model::IpamSubnet;
    use indexmap::IndexMap;

    use super::*;

    fn wanted(subnet: Option<&str>) -> Network {
        let config = subnet.map(|subnet| IpamSubnet {
            subnet: Some(subnet.to_owned()),
            ip_range: None,
            gateway: None,
            aux_addresses: IndexMap::new(),
        });
        Network {
            name: "shared".to_owned(),
            external: false,
            driver: Some("bridge".to_owned()),
            driver_opts: IndexMap::new(),
            internal: false,
            enable_ipv4: true,
            enable_ipv6: false,
            subnets: config.into_iter().collect(),
            labels: IndexMap::new(),
        }
    }

    fn make(
        network: &Network,
        known: &[NetworkRecord],
        host: &[(Ipv4Addr, u8)],
    ) -> Result<NetworkRecord, String> {
        let facts = HostFacts::default();
        standalone_network(network, &facts, (known, host), Timestamp(7))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_network_of_no_project_fits_beside_what_is_there() {
        let first = make(&wanted(None), &[], &[]).unwrap();
        assert_eq!((first.project.as_ref(), &*first.key), (None, "shared"));
        let known = std::slice::from_ref(&first);
        let second = make(&wanted(None), known, &[]).unwrap();
        assert_ne!(first.subnet, second.subnet);
        let host = [(second.subnet, 16)];
        let third = make(&wanted(None), known, &host).unwrap();
        assert!(![first.subnet, second.subnet].contains(&third.subnet));
        let own = make(&wanted(Some("10.1.2.0/24")), &[], &[]).unwrap();
        assert_eq!(own.gateway, Ipv4Addr::new(10, 1, 2, 1));
        let text = Subnet::of(first.subnet, first.prefix).to_string();
        let error = make(&wanted(Some(&text)), known, &[]).unwrap_err();
        assert!(error.contains("network `shared`"), "{error}");
    }

    #[test]
    fn what_a_network_cannot_have_is_named() {
        let mut driver = wanted(None);
        driver.driver = Some("macvlan".to_owned());
        let mut ipv6 = wanted(None);
        ipv6.enable_ipv6 = true;
        let mut name = wanted(None);
        name.name = "../x".to_owned();
        for (network, what) in [
            (driver, "driver `macvlan` is not supported"),
            (ipv6, "IPv6 is not supported"),
            (wanted(Some("fd00::/64")), "IPv6 is not supported"),
            (name, "the name `../x` is not supported"),
            (wanted(Some("10.0.0.0/31")), "prefix of 8 to 30"),
        ] {
            let error = make(&network, &[], &[]).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }
}
