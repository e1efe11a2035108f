//! A container's seats on its networks.

use std::{collections::BTreeSet, net::Ipv4Addr};

use compose_spec::model::{Attachment, NetworkMode, Service};
use indexmap::IndexMap;

use super::{Request, Supplies};
use crate::{
    model::{ContainerId, ContainerRole, EndpointRecord},
    plan::{
        PlanError,
        addresses::{AddressError, Addresses, derived_mac, parse_mac},
        lower::{LowerError, Refusal},
        networks::{self, Networks, Planned},
    },
};

/// Chooses interfaces, addresses and names, eth0 first.
pub(super) fn endpoints(
    request: &Request<'_, '_>,
    name: &str,
    supplies: &mut Supplies<'_>,
    (before, errors): (&mut BTreeSet<ContainerId>, &mut Vec<PlanError>),
) -> Vec<EndpointRecord> {
    let service = request.service;
    let NetworkMode::Networks(attachments) = &service.network else {
        return Vec::new();
    };
    let mut result: Vec<EndpointRecord> = Vec::new();
    for key in networks::keys(service) {
        let (Some(planned), attachment) = (supplies.networks.by_key(key), &attachments[key]) else {
            // Refused by the network pass.
            continue;
        };
        let record = &planned.record;
        check_attachment(request, (key, attachment), &result, errors);
        check_mac(request, (key, attachment), result.is_empty(), errors);
        let address = match address(
            request,
            (planned, attachment),
            name,
            &mut supplies.addresses,
        ) {
            Ok(address) => address,
            Err(error) => {
                errors.push(address_error(
                    service,
                    (key, record.name.as_str()),
                    error,
                    attachment,
                ));
                continue;
            }
        };
        before.extend(
            supplies
                .addresses
                .released_by(&record.name, address)
                .cloned(),
        );
        let wanted_mac = attachment
            .mac_address
            .as_deref()
            .or_else(|| service.mac_address.as_deref().filter(|_| result.is_empty()))
            .filter(|_| request.one_off.is_none());
        let interface = attachment
            .interface_name
            .clone()
            .unwrap_or_else(|| free_interface(&result, attachments));
        result.push(EndpointRecord {
            network: record.name.clone(),
            address,
            mac: wanted_mac
                .and_then(parse_mac)
                .unwrap_or_else(|| derived_mac(address)),
            interface,
            names: dns_names(request, attachment, name),
            default_route: false,
        });
    }
    choose_default_route(supplies.networks, attachments, &mut result);
    result
}

fn check_attachment(
    request: &Request<'_, '_>,
    (key, attachment): (&str, &Attachment),
    others: &[EndpointRecord],
    errors: &mut Vec<PlanError>,
) {
    let service = request.service;
    let mut refuse = |field, reason: String| {
        errors.push(PlanError::AttachmentRefused {
            service: service.name.clone(),
            network: key.to_owned(),
            field,
            reason,
        });
    };
    if attachment.ipv6_address.is_some() {
        refuse(
            "ipv6_address",
            "IPv6 addresses are not supported yet".to_owned(),
        );
    }
    if let Some(interface) = &attachment.interface_name {
        if !networks::is_interface_name(interface) || interface == "lo" {
            refuse(
                "interface_name",
                format!("`{interface}` is not the name of an interface"),
            );
        } else if others.iter().any(|other| other.interface == *interface) {
            refuse("interface_name", format!("`{interface}` is used twice"));
        }
    }
}

/// A MAC address is written on the network, or on the service for its first one.
fn check_mac(
    request: &Request<'_, '_>,
    (key, attachment): (&str, &Attachment),
    is_first: bool,
    errors: &mut Vec<PlanError>,
) {
    let service = request.service;
    let own = attachment.mac_address.as_deref();
    let Some(mac) = own.or_else(|| service.mac_address.as_deref().filter(|_| is_first)) else {
        return;
    };
    let reason = if parse_mac(mac).is_none() {
        "it must be the address of one host, as in 02:42:ac:11:00:02".to_owned()
    } else if request.count > 1 && request.one_off.is_none() {
        format!("{} replicas cannot share it", request.count)
    } else {
        return;
    };
    let below = match own {
        Some(_) => format!("networks.{key}.mac_address"),
        None => "mac_address".to_owned(),
    };
    errors.push(PlanError::Service(LowerError {
        service: service.name.clone(),
        path: format!("services.{}.{below}", service.name),
        refusal: Refusal::Invalid {
            kind: "MAC address",
            text: mac.to_owned(),
            reason,
        },
    }));
}

/// The number in the automatic name is the position; names that are asked for are skipped.
fn free_interface(others: &[EndpointRecord], attachments: &IndexMap<String, Attachment>) -> String {
    let asked = |name: &str| {
        attachments
            .values()
            .any(|attachment| attachment.interface_name.as_deref() == Some(name))
    };
    let used = |name: &str| others.iter().any(|other| other.interface == name);
    (0..=attachments.len() * 2)
        .map(|number| format!("eth{number}"))
        .find(|name| !asked(name) && !used(name))
        .expect("there are more candidates than names in use")
}

fn address(
    request: &Request<'_, '_>,
    (planned, attachment): (&Planned, &Attachment),
    name: &str,
    addresses: &mut Addresses,
) -> Result<Ipv4Addr, AddressError> {
    let network = &planned.record;
    let fixed = attachment.ipv4_address;
    if let Some(fixed) = fixed.filter(|_| request.one_off.is_none_or(|one_off| one_off.use_aliases))
    {
        if request.count > 1 && request.one_off.is_none() {
            let text = format!("cannot be given to {} replicas", request.count);
            return Err(AddressError::Refused(text));
        }
        addresses.give_fixed(network, fixed, name)?;
        return Ok(fixed);
    }
    let previous = request.replaces.and_then(|container| {
        let mut endpoints = container.record.endpoints.iter();
        endpoints
            .find(|e| e.network == network.name)
            .map(|e| e.address)
    });
    let number = match &request.role {
        ContainerRole::Replica(number) => number.to_string(),
        ContainerRole::OneOff { slug, .. } => slug.clone(),
        ContainerRole::Init { entry, replica } => format!("{replica}-{entry}"),
    };
    addresses.give(network, (&request.service.name, &number), previous, name)
}

fn address_error(
    service: &Service,
    (key, network): (&str, &str),
    error: AddressError,
    attachment: &Attachment,
) -> PlanError {
    match error {
        AddressError::Refused(reason) => PlanError::AddressRefused {
            service: service.name.clone(),
            network: key.to_owned(),
            address: attachment.ipv4_address.unwrap_or(Ipv4Addr::UNSPECIFIED),
            reason,
        },
        AddressError::Exhausted => PlanError::AddressesExhausted {
            service: service.name.clone(),
            network: network.to_owned(),
        },
    }
}

/// Service, aliases and container name; the short id follows when it is known.
fn dns_names(request: &Request<'_, '_>, attachment: &Attachment, name: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    if request.one_off.is_none_or(|one_off| one_off.use_aliases) {
        names.push(request.service.name.to_string());
        names.extend(attachment.aliases.iter().cloned());
    }
    names.push(name.to_owned());
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// The default route goes through the network with the highest `gw_priority`; among equals, and without any, the first by name.
/// An internal network has no way out.
fn choose_default_route(
    networks: &Networks,
    attachments: &IndexMap<String, Attachment>,
    endpoints: &mut [EndpointRecord],
) {
    let candidate = attachments
        .iter()
        .filter_map(|(key, attachment)| Some((networks.by_key(key)?, attachment)))
        .filter(|(planned, _)| !planned.record.wanted.internal)
        .min_by_key(|(planned, attachment)| {
            (
                std::cmp::Reverse(attachment.gw_priority),
                planned.record.name.clone(),
            )
        });
    if let Some((planned, _)) = candidate
        && let Some(endpoint) = endpoints
            .iter_mut()
            .find(|e| e.network == planned.record.name)
    {
        endpoint.default_route = true;
    }
}
