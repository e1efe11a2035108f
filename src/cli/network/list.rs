//! Showing networks: `ls` and `inspect`.

use serde_json::{Map, Value, json};

use super::networks;
use crate::{
    cli::{
        clock::iso,
        failure::Failure,
        filter::{self, Filter, Filtered},
        session::Session,
    },
    model::{NetworkRecord, NetworkUser, ObservedNetwork},
    ui::{lines, table::Table, template::Format},
};

/// Digits of an id that people see.
const SHORT: usize = 12;

pub(super) fn all(
    session: &Session<'_>,
    filters: &[Filter],
    format: &Format,
    (whole_ids, quiet): (bool, bool),
) -> Result<(), Failure> {
    let mut networks = networks(session)?;
    filter::keep(&mut networks, filters);
    let id = |network: &ObservedNetwork| {
        let mut id = network.record.id();
        id.truncate(if whole_ids { id.len() } else { SHORT });
        id
    };
    if quiet {
        return Ok(session.ui.data(lines(networks.iter().map(id)))?);
    }
    let objects: Vec<Value> = networks
        .iter()
        .map(|network| row(network, &id(network)))
        .collect();
    let table = || {
        let mut table = Table::new(["NETWORK ID", "NAME", "DRIVER", "SCOPE"]);
        for network in &networks {
            let name = network.record.name.clone();
            table.row([id(network), name, "bridge".to_owned(), "local".to_owned()]);
        }
        table
    };
    let text = format
        .render(&objects, table)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(session.ui.data(text)?)
}

pub(super) fn inspect(
    session: &Session<'_>,
    names: &[String],
    format: Option<&Format>,
) -> Result<(), Failure> {
    let known = networks(session)?;
    let mut objects = Vec::new();
    let mut missing = None;
    for name in names {
        match NetworkRecord::find(&known, name, |network| &network.record) {
            Ok(network) => objects.push(object(network)),
            Err(error) => missing = missing.or(Some(error)),
        }
    }
    let text = Format::of_inspect(format)
        .render(&objects, || Table::new(["NAME"]))
        .map_err(|error| Failure::Usage(error.to_string()))?;
    session.ui.data(text)?;
    match missing {
        None => Ok(()),
        Some(error) => Err(Failure::error(&error).hint("`stack network ls` lists those there are")),
    }
}

/// One line of `ls --format json`: the fields of docker.
fn row(network: &ObservedNetwork, id: &str) -> Value {
    let record = &network.record;
    json!({
        "CreatedAt": iso(record.created),
        "Driver": "bridge",
        "ID": id,
        "IPv4": "true",
        "IPv6": "false",
        "Internal": record.wanted.internal.to_string(),
        "Labels": network.labels_text(),
        "Name": record.name,
        "Scope": "local",
    })
}

/// What docker shows, and the bridge.
fn object(network: &ObservedNetwork) -> Value {
    let record = &network.record;
    let mut pool = Map::new();
    let subnet = format!("{}/{}", record.subnet, record.prefix);
    pool.insert("Subnet".to_owned(), json!(subnet));
    for config in &record.wanted.subnets {
        if let Some(range) = &config.ip_range {
            pool.insert("IPRange".to_owned(), json!(range));
        }
        if !config.aux_addresses.is_empty() {
            pool.insert("AuxiliaryAddresses".to_owned(), json!(config.aux_addresses));
        }
    }
    pool.insert("Gateway".to_owned(), json!(record.gateway));
    let users: Map<String, Value> = network
        .users
        .iter()
        .map(|user| (user.id.to_string(), user_object(user, record.prefix)))
        .collect();
    json!({
        "Attachable": true,
        "Bridge": record.bridge,
        "Containers": users,
        "Created": iso(record.created),
        "Driver": "bridge",
        "EnableIPv4": true,
        "EnableIPv6": false,
        "IPAM": {"Config": [pool], "Driver": "default", "Options": null},
        "Id": record.id(),
        "Ingress": false,
        "Internal": record.wanted.internal,
        "Labels": record.all_labels(),
        "Mtu": record.mtu,
        "Name": record.name,
        "Options": record.wanted.driver_opts,
        "Project": record.project,
        "Scope": "local",
    })
}

fn user_object(user: &NetworkUser, prefix: u8) -> Value {
    let mac: Vec<String> = user.mac.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "IPv4Address": format!("{}/{prefix}", user.address),
        "IPv6Address": "",
        "MacAddress": mac.join(":"),
        "Name": user.name,
        "Project": user.project,
    })
}
