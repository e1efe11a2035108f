//! `stack network create|rm|prune`.

use compose_spec::model::{IpamSubnet, Network};
use indexmap::IndexMap;

use super::{CreateArguments, unused};
use crate::{
    cli::{
        failure::Failure,
        filter::{self, Filter},
        removal,
        session::Session,
    },
    protocol::{NetworkRequest, Request},
    ui::{lines, progress::ProgressOptions},
};

pub(super) fn create(session: &Session<'_>, arguments: &CreateArguments) -> Result<(), Failure> {
    let mut aux_addresses = IndexMap::new();
    for (name, text) in &arguments.aux_addresses {
        let address = text.parse().map_err(|_malformed| {
            Failure::Usage(format!("--aux-address {name}: `{text}` is no address"))
        })?;
        aux_addresses.insert(name.clone(), address);
    }
    let subnet = arguments.subnet.as_ref().map(|subnet| IpamSubnet {
        subnet: Some(subnet.clone()),
        ip_range: arguments.ip_range.clone(),
        gateway: arguments.gateway,
        aux_addresses,
    });
    let network = Network {
        name: arguments.name.clone(),
        external: false,
        driver: Some(arguments.driver.clone()),
        driver_opts: arguments.options.iter().cloned().collect(),
        internal: arguments.internal,
        enable_ipv4: true,
        enable_ipv6: arguments.ipv6,
        subnets: subnet.into_iter().collect(),
        labels: arguments.labels.iter().cloned().collect(),
    };
    let network = Box::new(network);
    call(session, "create", NetworkRequest::Create { network })
}

pub(super) fn remove(session: &Session<'_>, names: &[String], force: bool) -> Result<(), Failure> {
    removal::each(names, |name| {
        let names = vec![name];
        call(session, "rm", NetworkRequest::Remove { names, force })
    })
}

pub(super) fn prune(session: &Session<'_>, filters: &[Filter], force: bool) -> Result<(), Failure> {
    let mut unused = unused(session)?;
    filter::keep(&mut unused, filters);
    let names: Vec<String> = unused
        .into_iter()
        .map(|network| network.record.name)
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    if session.settings.flags.dry_run {
        return Ok(session
            .ui
            .data(format!("Would delete networks:\n{}", lines(names)))?);
    }
    let mut told = vec!["This removes networks:".to_owned()];
    told.extend(names.iter().map(|name| format!("  {name}")));
    removal::confirm(session, &told, ("--force", force))?;
    let request = Request::Network(NetworkRequest::Prune { names });
    let outcome = session.call(&request, ProgressOptions::default(), None)?;
    if outcome.names.is_empty() {
        return Ok(());
    }
    Ok(session
        .ui
        .data(format!("Deleted Networks:\n{}", lines(outcome.names)))?)
}

/// Sends a call and prints the names that it was done to.
fn call(session: &Session<'_>, verb: &str, request: NetworkRequest) -> Result<(), Failure> {
    session.refuse_dry_run(&format!("network {verb}"))?;
    let request = Request::Network(request);
    let outcome = session.call(&request, ProgressOptions::default(), None)?;
    Ok(session.ui.data(lines(outcome.names))?)
}
