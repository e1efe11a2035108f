//! Choosing among the containers of a project.

use compose_spec::model::ServiceName;

use super::{failure::Failure, session::no_container};
use crate::model::{ContainerRole, ObservedContainer};

/// Returns the replica number; `None` for a one-off or an init container.
pub(super) fn replica(container: &ObservedContainer) -> Option<u32> {
    match container.record.role {
        ContainerRole::Replica(number) => Some(number),
        ContainerRole::OneOff { .. } | ContainerRole::Init { .. } => None,
    }
}

/// Sorts by service, then replica; one-offs come last.
pub(super) fn sort(containers: &mut [ObservedContainer]) {
    containers.sort_by(|a, b| {
        let key = |container: &ObservedContainer| {
            (
                container.record.service.clone(),
                replica(container).unwrap_or(u32::MAX),
                container.record.name.clone(),
            )
        };
        key(a).cmp(&key(b))
    });
}

/// Keeps containers of the services named; all when none are.
pub(super) fn of_services(
    containers: Vec<ObservedContainer>,
    services: &[ServiceName],
) -> Vec<ObservedContainer> {
    containers
        .into_iter()
        .filter(|container| services.is_empty() || services.contains(&container.record.service))
        .collect()
}

/// Returns the running replica of a service that `--index` means; the first one without.
pub(super) fn running_replica(
    mut containers: Vec<ObservedContainer>,
    service: &ServiceName,
    index: Option<u32>,
) -> Result<ObservedContainer, Failure> {
    sort(&mut containers);
    containers
        .into_iter()
        .filter(|container| container.record.service == *service && container.state.pid().is_some())
        .find(|container| match (index, replica(container)) {
            (Some(index), number) => number == Some(index),
            (None, number) => number.is_some(),
        })
        .ok_or_else(|| match index {
            Some(index) => Failure::message(format!(
                "service `{service}` has no running container number {index}"
            )),
            None => no_container(service),
        })
}
