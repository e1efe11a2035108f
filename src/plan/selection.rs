//! Which services a call is about, and in which order they depend on each other.

use std::collections::BTreeSet;

use compose_spec::model::{Project, ServiceName};
use petgraph::{algo::tarjan_scc, graphmap::DiGraphMap};

use super::{PlanError, drift::namespace_owners};

/// Returns the services that a call is about: the named ones (all when none is named) and, unless `no_deps`, what they depend on.
pub fn selected_services(
    project: &Project,
    named: &[ServiceName],
    no_deps: bool,
) -> Result<BTreeSet<ServiceName>, Vec<PlanError>> {
    let unknown: Vec<PlanError> = named
        .iter()
        .filter(|name| !project.services.contains_key(*name))
        .map(|service| PlanError::UnknownService {
            service: service.clone(),
        })
        .collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    if named.is_empty() {
        return Ok(project.services.keys().cloned().collect());
    }
    let mut selected = BTreeSet::new();
    let mut open: Vec<&ServiceName> = named.iter().collect();
    while let Some(name) = open.pop() {
        if selected.insert(name.clone()) && !no_deps {
            open.extend(needed(project, name));
        }
    }
    Ok(selected)
}

/// Returns everything that a service needs, without itself.
pub(super) fn dependencies(
    project: &Project,
    name: &ServiceName,
) -> Result<BTreeSet<ServiceName>, Vec<PlanError>> {
    let mut all = selected_services(project, std::slice::from_ref(name), false)?;
    all.remove(name);
    Ok(all)
}

/// Returns the services that one needs first: its dependencies, and those whose namespaces it joins.
pub(super) fn needed<'a>(
    project: &'a Project,
    name: &ServiceName,
) -> impl Iterator<Item = &'a ServiceName> {
    let service = project.services.get(name);
    service
        .into_iter()
        .flat_map(|service| {
            let owners = namespace_owners(service).map(|(_, owner)| owner);
            service.depends_on.keys().chain(owners)
        })
        .filter(|name| project.services.contains_key(*name))
}

/// Returns all services, each after those that it needs; among equals the order of the file.
pub(super) fn in_order(project: &Project) -> Result<Vec<&ServiceName>, PlanError> {
    let mut graph = DiGraphMap::<usize, ()>::new();
    let index = |name: &ServiceName| {
        project
            .services
            .get_index_of(name)
            .expect("needed services are of the project")
    };
    for (at, name) in project.services.keys().enumerate() {
        graph.add_node(at);
        for other in needed(project, name) {
            graph.add_edge(at, index(other), ());
        }
    }
    let name = |at: &usize| {
        project
            .services
            .get_index(*at)
            .expect("an index of a service")
            .0
    };
    let mut order = Vec::new();
    // Components come in reverse topological order: what is needed first.
    for component in tarjan_scc(&graph) {
        let circular = component.len() > 1 || graph.contains_edge(component[0], component[0]);
        if circular {
            let services = component.iter().map(|at| name(at).clone()).collect();
            return Err(PlanError::DependencyCycle { services });
        }
        order.push(name(&component[0]));
    }
    Ok(order)
}
