//! Containers to make: their names, addresses, ports and inherited volumes, checked against everything that stays.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use compose_spec::model::{Attachment, NetworkMode, Project, Service};
use indexmap::IndexMap;

use super::{
    ImageInput, Inputs, Joins, NewContainer, PlanError,
    addresses::{AddressError, Addresses, derived_mac, parse_mac},
    images::{Supplied, image_reference},
    lower,
    networks::{self, Networks, Planned},
    ports::Ports,
};
use crate::model::{ContainerId, ContainerRole, EndpointRecord, ObservedContainer};

/// What is handed out while containers are designed.
#[derive(Debug)]
pub(super) struct Supplies<'c> {
    pub(super) networks: &'c Networks,
    pub(super) addresses: Addresses,
    pub(super) ports: Ports,
    /// Names in use -> who has it.
    pub(super) names: BTreeMap<String, String>,
    /// Names of containers that the plan removes.
    pub(super) released_names: BTreeMap<String, ContainerId>,
}

/// One container to make.
#[derive(Debug)]
pub(super) struct Request<'c, 'a> {
    pub(super) service: &'a Service,
    pub(super) role: ContainerRole,
    pub(super) image: &'c Supplied,
    /// How many replicas there will be.
    pub(super) count: u32,
    /// The container that it replaces.
    pub(super) replaces: Option<&'a ObservedContainer>,
    /// A one-off has its own name, and no names and fixed addresses of the service.
    pub(super) one_off: Option<OneOff<'c>>,
}

/// What is special about a one-off.
#[derive(Debug, Clone, Copy)]
pub(super) struct OneOff<'c> {
    pub(super) name: &'c str,
    pub(super) use_aliases: bool,
}

/// A container that will be made.
#[derive(Debug)]
pub(super) struct Design<'a> {
    pub(super) new: NewContainer,
    pub(super) replaces: Option<&'a ObservedContainer>,
    /// Containers that must be gone before: they have its name, an address or a port.
    pub(super) before: BTreeSet<ContainerId>,
}

/// Returns addresses that services ask for, by full network name: nobody else gets them.
pub(super) fn reserved(project: &Project) -> BTreeMap<String, BTreeSet<Ipv4Addr>> {
    let mut reserved: BTreeMap<String, BTreeSet<Ipv4Addr>> = BTreeMap::new();
    for service in project.services.values() {
        let NetworkMode::Networks(attachments) = &service.network else {
            continue;
        };
        for (key, attachment) in attachments {
            if let (Some(network), Some(address)) =
                (project.networks.get(key), attachment.ipv4_address)
            {
                reserved
                    .entry(network.name.clone())
                    .or_default()
                    .insert(address);
            }
        }
    }
    reserved
}

/// Designs one container; what is wrong with it goes to `errors`.
pub(super) fn design<'a>(
    inputs: &Inputs<'a>,
    request: &Request<'_, 'a>,
    supplies: &mut Supplies<'_>,
    errors: &mut Vec<PlanError>,
) -> Design<'a> {
    let service = request.service;
    let project = &inputs.project.name;
    let name = name(inputs, request);
    let mut before = BTreeSet::new();
    take_name(service, &name, supplies, (&mut before, errors));
    let endpoints = endpoints(request, &name, supplies, (&mut before, errors));
    let (published, freed) =
        supplies
            .ports
            .give(service, (request.count, request.replaces), errors);
    before.extend(freed);
    let image = match request.image {
        Supplied::Known(image) => ImageInput::Known(image.clone()),
        Supplied::From(step) => ImageInput::From(*step),
        // Refused by the image pass; the plan is never used.
        Supplied::Absent => ImageInput::From(super::StepId::end()),
    };
    let inherits = |container: &&ObservedContainer| {
        // A container that is newer than the call was made by it: its volumes are the renewed ones.
        !inputs.options.renew_anonymous_volumes || container.record.created >= inputs.options.since
    };
    let inherited_volumes = request
        .replaces
        .filter(inherits)
        .map_or_else(IndexMap::new, |container| {
            container.record.anonymous_volumes.clone()
        });
    let new = NewContainer {
        name,
        role: request.role.clone(),
        service: service.clone(),
        image,
        image_reference: image_reference(project, service),
        endpoints,
        published,
        inherited_volumes,
        joins: Joins::default(),
        files_digest: inputs.files.get(&service.name).cloned().unwrap_or_default(),
    };
    if let Err(found) = lower::check(inputs.project, &new, inputs.host) {
        for error in found.into_iter().map(PlanError::Service) {
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
    }
    Design {
        new,
        replaces: request.replaces,
        before,
    }
}

fn name(inputs: &Inputs<'_>, request: &Request<'_, '_>) -> String {
    if let Some(one_off) = request.one_off {
        return one_off.name.to_owned();
    }
    match (&request.service.container_name, &request.role) {
        (Some(name), _) => name.clone(),
        (None, ContainerRole::Replica(number)) => {
            format!("{}-{}-{number}", inputs.project.name, request.service.name)
        }
        (None, ContainerRole::OneOff { slug, .. }) => {
            format!(
                "{}-{}-run-{slug}",
                inputs.project.name, request.service.name
            )
        }
    }
}

fn take_name(
    service: &Service,
    name: &str,
    supplies: &mut Supplies<'_>,
    (before, errors): (&mut BTreeSet<ContainerId>, &mut Vec<PlanError>),
) {
    before.extend(supplies.released_names.get(name).cloned());
    let owner = format!("service `{}`", service.name);
    if let Some(owner) = supplies.names.insert(name.to_owned(), owner) {
        errors.push(PlanError::NameTaken {
            service: service.name.clone(),
            name: name.to_owned(),
            owner,
        });
    }
}

/// Chooses interfaces, addresses and names, eth0 first.
fn endpoints(
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
    let first = others.is_empty();
    let mac = attachment
        .mac_address
        .as_deref()
        .or_else(|| service.mac_address.as_deref().filter(|_| first));
    if let Some(mac) = mac {
        if parse_mac(mac).is_none() {
            refuse(
                "mac_address",
                format!("`{mac}` is not the MAC address of a host"),
            );
        } else if request.count > 1 && request.one_off.is_none() {
            refuse(
                "mac_address",
                format!("{} replicas cannot share one", request.count),
            );
        }
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
