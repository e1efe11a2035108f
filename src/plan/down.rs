//! `down`: stop and remove containers, dependents first, then networks, and on request volumes and images.

use std::collections::{BTreeMap, BTreeSet};

use compose_spec::model::{ImageSource, ServiceName};

use super::{
    Action, DownInputs, Plan, PlanError, RemoveImages, StepId, drift::namespace_owners,
    graph::Draft,
};
use crate::model::{ContainerRole, ObservedContainer, SubjectKind};

/// Plans `down`. It needs no Compose file: everything is known from records.
pub(super) fn plan(inputs: &DownInputs<'_>) -> Result<Plan, Vec<PlanError>> {
    let options = inputs.options;
    let (removed, kept): (Vec<_>, Vec<_>) = inputs
        .observed
        .containers
        .iter()
        .partition(|container| is_removed(inputs, container));
    check_services(inputs)?;
    let mut draft = Draft::default();
    containers(inputs, &removed, &mut draft);
    let whole = options.services.is_empty();
    if whole {
        networks(inputs, &kept, &mut draft);
    }
    if options.volumes {
        volumes(inputs, &removed, &kept, &mut draft);
    }
    if whole {
        images(inputs, (&removed, &kept), &mut draft);
    }
    if draft.plan.graph.node_count() == 0 {
        let text = format!(
            "no resource found to remove for project `{}`",
            inputs.project
        );
        draft.plan.notices.push(text);
    }
    Ok(draft.plan)
}

fn is_removed(inputs: &DownInputs<'_>, container: &ObservedContainer) -> bool {
    let options = inputs.options;
    let service = &container.record.service;
    if !options.services.is_empty() {
        return options.services.contains(service);
    }
    let orphan = match container.record.role {
        ContainerRole::OneOff { .. } => true,
        ContainerRole::Replica(_) | ContainerRole::Init { .. } => {
            !options.known_services.is_empty() && !options.known_services.contains(service)
        }
    };
    !orphan || options.remove_orphans
}

/// A service is known from the file or from its containers.
fn check_services(inputs: &DownInputs<'_>) -> Result<(), Vec<PlanError>> {
    let known = |service: &ServiceName| {
        inputs.options.known_services.contains(service)
            || inputs
                .observed
                .containers
                .iter()
                .any(|c| c.record.service == *service)
    };
    let unknown: Vec<PlanError> = inputs
        .options
        .services
        .iter()
        .filter(|service| !known(service))
        .map(|service| PlanError::UnknownService {
            service: service.clone(),
        })
        .collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(unknown)
    }
}

fn containers(inputs: &DownInputs<'_>, removed: &[&ObservedContainer], draft: &mut Draft) {
    for container in removed {
        let volumes = if inputs.options.volumes {
            container
                .record
                .anonymous_volumes
                .values()
                .cloned()
                .collect()
        } else {
            Vec::new()
        };
        draft.remove(container, inputs.options.grace_ms, volumes, "down");
    }
    stop_dependents_first(removed, draft);
}

/// Stops each container after those that depend on it.
pub(super) fn stop_dependents_first(containers: &[&ObservedContainer], draft: &mut Draft) {
    let mut by_service: BTreeMap<&ServiceName, Vec<StepId>> = BTreeMap::new();
    for container in containers {
        if let Some(stop) = draft.stops.get(&container.record.id) {
            by_service
                .entry(&container.record.service)
                .or_default()
                .push(*stop);
        }
    }
    for (service, needed) in edges(containers) {
        let (Some(dependents), Some(stops)) = (by_service.get(service), by_service.get(needed))
        else {
            continue;
        };
        for (first, then) in dependents
            .iter()
            .flat_map(|first| stops.iter().map(move |then| (*first, *then)))
        {
            draft.after(then, first);
        }
    }
}

/// Who depends on whom, from the records. Records of different times may contradict each other: an edge that would close a circle
/// is left out.
pub(super) fn edges<'a>(
    containers: &[&'a ObservedContainer],
) -> Vec<(&'a ServiceName, &'a ServiceName)> {
    let mut graph = petgraph::graphmap::DiGraphMap::<&ServiceName, ()>::new();
    let mut result = Vec::new();
    for container in containers {
        let wanted = &container.record.wanted;
        let own = &container.record.service;
        let owners = namespace_owners(wanted).map(|(_, owner)| owner);
        for needed in wanted.depends_on.keys().chain(owners) {
            let (from, to) = (graph.add_node(needed), graph.add_node(own));
            let closes = petgraph::algo::has_path_connecting(&graph, from, to, None);
            if needed != own && !closes && graph.add_edge(own, needed, ()).is_none() {
                result.push((own, needed));
            }
        }
    }
    result
}

fn networks(inputs: &DownInputs<'_>, kept: &[&ObservedContainer], draft: &mut Draft) {
    for record in inputs.observed.networks.values() {
        if record.wanted.external || record.project.as_ref() != Some(inputs.project) {
            continue;
        }
        let own = |address| {
            let mut endpoints = inputs
                .observed
                .containers
                .iter()
                .flat_map(|c| &c.record.endpoints);
            endpoints.any(|e| e.network == record.name && e.address == address)
        };
        let foreign = inputs.observed.taken.addresses.get(&record.name);
        let used = kept
            .iter()
            .any(|c| c.record.endpoints.iter().any(|e| e.network == record.name))
            || foreign.is_some_and(|addresses| addresses.iter().any(|address| !own(*address)));
        if used {
            let text = format!("network `{}` is still in use and is kept", record.name);
            draft.plan.notices.push(text);
            continue;
        }
        let action = Action::RemoveNetwork(Box::new(record.clone()));
        let step = draft.step((SubjectKind::Network, &record.name), action, "down");
        let on_it =
            |c: &&ObservedContainer| c.record.endpoints.iter().any(|e| e.network == record.name);
        for container in inputs.observed.containers.iter().filter(on_it) {
            if let Some(remove) = draft.removes.get(&container.record.id).copied() {
                draft.needs(step, remove);
            }
        }
    }
}

/// Volumes of the project: with services named only those that nobody else mounts. Anonymous ones go with their container, or here
/// when their container is gone already.
fn volumes(
    inputs: &DownInputs<'_>,
    removed: &[&ObservedContainer],
    kept: &[&ObservedContainer],
    draft: &mut Draft,
) {
    let whole = inputs.options.services.is_empty();
    let uses = |container: &ObservedContainer, name: &String| {
        container.record.used_volumes().any(|used| used == name)
    };
    let mut names = Vec::new();
    for record in inputs.observed.volumes.values() {
        let external = record.wanted.as_ref().is_some_and(|wanted| wanted.external);
        if external || record.project.as_ref() != Some(inputs.project) {
            continue;
        }
        let name = &record.name;
        let with_container = removed.iter().any(|container| {
            container
                .record
                .anonymous_volumes
                .values()
                .any(|v| v == name)
        });
        if with_container || (!whole && !removed.iter().any(|container| uses(container, name))) {
            continue;
        }
        if kept.iter().any(|container| uses(container, name)) {
            let text = format!("volume `{name}` is still in use and is kept");
            draft.plan.notices.push(text);
            continue;
        }
        if let Some(users) = inputs.observed.taken.volumes.get(name) {
            let users = users.join(", ");
            let text = format!("volume `{name}` is still in use by {users} and is kept");
            draft.plan.notices.push(text);
            continue;
        }
        if record.protected {
            draft.plan.notices.push(format!(
                "volume `{name}` is protected and is kept; `stack volume unprotect {name}` allows its removal"
            ));
            continue;
        }
        let action = Action::RemoveVolume { name: name.clone() };
        let step = draft.step((SubjectKind::Volume, name), action, "down --volumes");
        for container in removed.iter().filter(|container| uses(container, name)) {
            if let Some(remove) = draft.removes.get(&container.record.id).copied() {
                draft.needs(step, remove);
            }
        }
        names.push(format!("`{name}`"));
    }
    let anonymous = removed
        .iter()
        .map(|c| c.record.anonymous_volumes.len())
        .sum::<usize>();
    if anonymous > 0 {
        names.push(format!("{anonymous} anonymous"));
    }
    if !names.is_empty() {
        draft.plan.confirmations.push(format!(
            "remove volumes {}? Their data will be lost",
            names.join(", ")
        ));
    }
}

/// Images that the project's containers were made from, and on `local` those that it builds without naming them.
fn images(
    inputs: &DownInputs<'_>,
    (removed, kept): (&[&ObservedContainer], &[&ObservedContainer]),
    draft: &mut Draft,
) {
    let choice = inputs.options.images;
    if choice == RemoveImages::None {
        return;
    }
    let built: BTreeSet<String> = inputs
        .options
        .known_services
        .iter()
        .map(|service| format!("{}-{service}", inputs.project))
        .collect();
    let mut references: BTreeSet<String> = inputs
        .observed
        .images
        .keys()
        .filter(|reference| choice == RemoveImages::All || built.contains(*reference))
        .cloned()
        .collect();
    for container in removed {
        let local = matches!(
            container.record.wanted.image,
            ImageSource::Build { image: None, .. }
        );
        if local || choice == RemoveImages::All {
            references.insert(container.record.image_reference.clone());
        }
    }
    for reference in references {
        if kept
            .iter()
            .any(|container| container.record.image_reference == reference)
        {
            let text = format!("image `{reference}` is still in use and is kept");
            draft.plan.notices.push(text);
            continue;
        }
        let action = Action::RemoveImage {
            reference: reference.clone(),
        };
        let step = draft.step((SubjectKind::Image, &reference), action, "down --rmi");
        let users = removed
            .iter()
            .filter(|c| c.record.image_reference == reference);
        for container in users {
            if let Some(remove) = draft.removes.get(&container.record.id).copied() {
                draft.needs(step, remove);
            }
        }
    }
}
