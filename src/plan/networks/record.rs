//! The record of a network: everything about it that can be chosen.

use std::net::{IpAddr, Ipv4Addr};

use compose_spec::model::Network;

use super::{Networks, is_interface_name};
use crate::{
    model::{NetworkRecord, VolumeRecord},
    plan::{
        Inputs, PlanError,
        addresses::{Subnet, choose_subnet, stable_hash},
    },
};

pub(super) const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
pub(super) const MTU: &str = "com.docker.network.driver.mtu";

/// Makes the record of a network. What the file leaves open stays as `previous` has it.
pub(super) fn new_record(
    inputs: &Inputs<'_>,
    key: &str,
    network: &Network,
    (others, previous): (&Networks, Option<&NetworkRecord>),
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
    let taken = taken_subnets(inputs, others, previous);
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
            let pools = (&*inputs.host.pools, inputs.host.subnet_prefix);
            choose_subnet(pools, &only_subnets(&taken), (&inputs.project.name, key)).ok_or_else(
                || PlanError::PoolsExhausted {
                    key: key.to_owned(),
                },
            )?
        }
    };
    Ok(NetworkRecord {
        version: NetworkRecord::VERSION,
        name: network.name.clone(),
        project: inputs.project.name.clone(),
        key: key.to_owned(),
        bridge: bridge(key, network)?,
        subnet: subnet.base(),
        prefix: subnet.prefix(),
        gateway: gateway(key, network, subnet)?,
        mtu: mtu(inputs, key, network, previous)?,
        wanted: network.clone(),
        created: inputs.now,
    })
}

fn only_subnets(taken: &[(Subnet, String)]) -> Vec<Subnet> {
    taken.iter().map(|(subnet, _)| *subnet).collect()
}

/// Every subnet that a new network must avoid, and whose it is; but not that of the network it replaces. Our own come first, because
/// the host's list holds their bridges too.
fn taken_subnets(
    inputs: &Inputs<'_>,
    others: &Networks,
    previous: Option<&NetworkRecord>,
) -> Vec<(Subnet, String)> {
    let old = previous.map(|record| Subnet::of(record.subnet, record.prefix));
    let known = inputs.observed.networks.values();
    let planned = others.0.values().map(|planned| &planned.record);
    let ours = known.chain(planned).map(|record| {
        let subnet = Subnet::of(record.subnet, record.prefix);
        (subnet, format!("network `{}`", record.name))
    });
    let host = inputs.observed.taken.subnets.iter().map(|(base, prefix)| {
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
    inputs: &Inputs<'_>,
    key: &str,
    network: &Network,
    previous: Option<&NetworkRecord>,
) -> Result<u32, PlanError> {
    let Some(text) = network.driver_opts.get(MTU) else {
        let had_option = |record: &&NetworkRecord| record.wanted.driver_opts.contains_key(MTU);
        let kept = previous
            .filter(|record| !had_option(record))
            .map(|record| record.mtu);
        return Ok(kept.unwrap_or(inputs.host.uplink_mtu));
    };
    match text.parse::<u32>() {
        Ok(mtu @ 68..=65535) => Ok(mtu),
        _ => Err(PlanError::NetworkInvalid {
            key: key.to_owned(),
            reason: format!("MTU `{text}` is not a number from 68 to 65535"),
        }),
    }
}
