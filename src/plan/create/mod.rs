//! Containers to make: their names, addresses, ports and inherited volumes, checked against everything that stays.

mod endpoints;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use compose_spec::model::{NetworkMode, Project, Service};
use indexmap::IndexMap;

use self::endpoints::endpoints;
use super::{
    ImageInput, Inputs, Joins, NewContainer, PlanError,
    addresses::Addresses,
    images::{Supplied, image_reference},
    lower,
    networks::Networks,
    ports::Ports,
};
use crate::model::{ContainerId, ContainerRole, ObservedContainer};

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
        (None, ContainerRole::Init { .. }) => unreachable!("an init container has its own name"),
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
