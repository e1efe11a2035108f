//! What goes: stops and removes, and what must wait for them.

use std::collections::BTreeSet;

use compose_spec::model::ServiceName;

use crate::{
    model::{ContainerRole, EndpointRecord, ObservedContainer},
    plan::{
        Inputs, PlanError, StepId,
        drift::namespace_owners,
        graph::Draft,
        services::{Member, Verdict},
        up::Decisions,
        volumes,
    },
};

/// Services whose containers something else waits to be gone.
pub(super) fn ungated(inputs: &Inputs<'_>, decisions: &Decisions<'_>) -> BTreeSet<ServiceName> {
    let mut ungated = BTreeSet::new();
    let stops = |member: &Member<'_>| {
        matches!(
            member.verdict,
            Verdict::Recreate(_) | Verdict::Restart(_) | Verdict::Remove(_)
        )
    };
    let is_stopped = |name: &ServiceName| {
        let work = decisions.works.get(name);
        work.is_some_and(|work| work.members.iter().any(stops))
    };
    let is_renewed = |endpoints: &[EndpointRecord], volumes: &[String]| {
        endpoints
            .iter()
            .any(|e| decisions.networks.is_renewed(&e.network))
            || volumes
                .iter()
                .any(|v| decisions.renewed_volumes.contains_key(v))
    };
    for (name, work) in &decisions.works {
        let mut restarts = work.service.depends_on.iter().filter(|(_, d)| d.restart);
        let mut owners = namespace_owners(work.service);
        let before = work.members.iter().any(|member| {
            let record = &member.container.record;
            is_renewed(&record.endpoints, &record.volumes)
        });
        let designs = decisions.designs.get(name).into_iter().flatten();
        let mounted = volumes::names(&inputs.project.volumes, work.service);
        let after = designs
            .into_iter()
            .any(|d| is_renewed(&d.new.endpoints, &mounted));
        if restarts.any(|(name, _)| is_stopped(name))
            || owners.any(|(_, owner)| is_stopped(owner))
            || before
            || after
        {
            ungated.insert(name.clone());
        }
    }
    for (name, designs) in &decisions.designs {
        for id in designs.iter().flat_map(|design| &design.before) {
            let holder = decisions.works.values().find(|work| {
                work.members
                    .iter()
                    .any(|member| member.container.record.id == *id)
            });
            ungated.extend(
                holder
                    .map(|work| work.service.name.clone())
                    .filter(|h| h != name),
            );
        }
    }
    ungated
}

/// Stops and removes, dependents before what they follow.
pub(super) fn removals(
    inputs: &Inputs<'_>,
    (decisions, ungated): (&Decisions<'_>, &BTreeSet<ServiceName>),
    draft: &mut Draft,
) {
    let grace = inputs.options.grace_ms;
    for (container, cause) in &decisions.orphans.removed {
        let volumes = anonymous_of_run(inputs, container);
        draft.remove(container, grace, volumes, cause);
    }
    for work in decisions.works.values() {
        for member in &work.members {
            match &member.verdict {
                // Anonymous volumes go on to the replacement, or stay until `down -v`: they hold data.
                Verdict::Recreate(cause) | Verdict::Remove(cause) => {
                    draft.remove(member.container, grace, Vec::new(), cause);
                }
                Verdict::Restart(cause) => {
                    draft.stop(member.container, grace, cause);
                }
                Verdict::Keep | Verdict::Start(_) | Verdict::Unpause(_) => {}
            }
        }
    }
    for work in decisions.works.values() {
        // One without a gate stops before all that it depends on; with one, it runs until they are there again.
        let free = ungated.contains(&work.service.name);
        let dependencies = work.service.depends_on.iter();
        let first = dependencies
            .filter(|(_, d)| d.restart || free)
            .map(|(name, _)| name);
        for other in first.chain(namespace_owners(work.service).map(|(_, owner)| owner)) {
            if let Some(other) = decisions.works.get(other) {
                stop_before(&work.members, &other.members, draft);
            }
        }
    }
}

fn stop_before(first: &[Member<'_>], then: &[Member<'_>], draft: &mut Draft) {
    let stops = |members: &[Member<'_>]| -> Vec<StepId> {
        let ids = members.iter().map(|member| &member.container.record.id);
        ids.filter_map(|id| draft.stops.get(id).copied()).collect()
    };
    let (first, then) = (stops(first), stops(then));
    for (first, then) in first
        .iter()
        .flat_map(|a| then.iter().map(move |b| (*a, *b)))
    {
        draft.after(then, first);
    }
}

/// What `docker run --rm` removes with its container; of an init container what its replica does not have.
fn anonymous_of_run(inputs: &Inputs<'_>, container: &ObservedContainer) -> Vec<String> {
    match container.record.role {
        ContainerRole::Init { .. } => {
            let has = |volume: &&String| {
                let mut others = inputs.observed.containers.iter();
                others.any(|other| {
                    other.record.id != container.record.id
                        && other.record.used_volumes().any(|used| used == *volume)
                })
            };
            let own = container.record.anonymous_volumes.values();
            own.filter(|volume| !has(volume)).cloned().collect()
        }
        ContainerRole::OneOff { remove: true, .. } => container
            .record
            .anonymous_volumes
            .values()
            .cloned()
            .collect(),
        _ => Vec::new(),
    }
}

/// A network or volume is removed once all containers on it are; one that stays makes that impossible.
pub(super) fn renewals(
    inputs: &Inputs<'_>,
    decisions: &Decisions<'_>,
    draft: &mut Draft,
) -> Result<(), Vec<PlanError>> {
    let mut errors = Vec::new();
    for container in &inputs.observed.containers {
        let record = &container.record;
        let remove = draft.removes.get(&record.id).copied();
        for endpoint in &record.endpoints {
            let Some((key, step)) = decisions.networks.renewal(&endpoint.network) else {
                continue;
            };
            match remove {
                Some(remove) => draft.needs(step, remove),
                None => errors.push(PlanError::NetworkInUse {
                    key: key.to_owned(),
                    name: endpoint.network.clone(),
                }),
            }
        }
        for name in &record.volumes {
            let Some((_, step)) = decisions.renewed_volumes.get(name) else {
                continue;
            };
            match remove {
                Some(remove) => draft.needs(*step, remove),
                None => errors.push(PlanError::VolumeInUse {
                    name: name.clone(),
                    container: record.name.clone(),
                }),
            }
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}
