//! Turns decisions into steps and edges.
//!
//! Why the graph has no circle: stops and removes come before creations, starts and waits, and within each of the two halves steps
//! follow the dependencies of services in one direction. The only way back is a *gate* (a container that is replaced keeps running
//! until what the new one needs is there); a service gets none when something waits for its containers to be gone.

use std::collections::BTreeSet;

use compose_spec::model::ServiceName;

use super::{
    Action, ContainerRef, ImageInput, Inputs, Joins, Mode, NamespaceOwner, PlanError, RunSteps,
    StepId,
    create::Design,
    depends::{self, Final, Finals, check_health, is_ready},
    drift::namespace_owners,
    graph::{Draft, is_live},
    networks,
    services::{Member, Verdict, Work},
    up::Decisions,
    volumes,
};
use crate::model::{EndpointRecord, ObservedContainer, SubjectKind};

/// Makes all steps.
pub(super) fn all<'a>(
    inputs: &Inputs<'a>,
    decisions: &mut Decisions<'a>,
    draft: &mut Draft,
) -> Result<Finals<'a>, Vec<PlanError>> {
    let ungated = ungated(inputs, decisions);
    removals(inputs, decisions, draft);
    renewals(inputs, decisions, draft)?;
    let mut finals = Finals::new();
    let mut errors = Vec::new();
    let mut designs = std::mem::take(&mut decisions.designs);
    for name in &decisions.order {
        let designs = designs.remove(*name).unwrap_or_default();
        let service = Emission {
            inputs,
            works: &decisions.works,
            selected: &decisions.selected,
            work: &decisions.works[*name],
            gated: !ungated.contains(*name),
        };
        let made = service.emit(designs, &finals, draft, &mut errors);
        finals.insert((*name).clone(), made);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    if inputs.options.wait && inputs.options.mode == Mode::Up && !inputs.options.no_start {
        ready(&finals, &decisions.selected, draft);
    }
    Ok(finals)
}

/// Makes the steps of a one-off; its service must be allowed to start.
pub(super) fn one_off<'a>(
    inputs: &Inputs<'a>,
    (decisions, work): (&Decisions<'a>, &Work<'a>),
    design: Design<'a>,
    (finals, draft): (&Finals<'a>, &mut Draft),
) -> Result<RunSteps, Vec<PlanError>> {
    let mut errors = Vec::new();
    let emission = Emission {
        inputs,
        works: &decisions.works,
        selected: &decisions.selected,
        work,
        gated: false,
    };
    let made = emission.emit(vec![design], finals, draft, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let steps = made.first().and_then(|last| last.create.zip(last.start));
    let (create, start) = steps.expect("a one-off that may start is made and started");
    Ok(RunSteps { create, start })
}

/// Services whose containers something else waits to be gone.
fn ungated(inputs: &Inputs<'_>, decisions: &Decisions<'_>) -> BTreeSet<ServiceName> {
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
fn removals(inputs: &Inputs<'_>, decisions: &Decisions<'_>, draft: &mut Draft) {
    let grace = inputs.options.grace_ms;
    for (container, cause) in &decisions.orphans.removed {
        draft.remove(container, grace, anonymous_of_run(container), cause);
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
        let restarts = work.service.depends_on.iter().filter(|(_, d)| d.restart);
        let followed = restarts.map(|(name, _)| name);
        for other in followed.chain(namespace_owners(work.service).map(|(_, owner)| owner)) {
            let Some(other) = decisions.works.get(other) else {
                continue;
            };
            for (own, others) in work
                .members
                .iter()
                .flat_map(|own| other.members.iter().map(move |other| (own, other)))
            {
                let step = |member: &Member<'_>| draft.stops.get(&member.container.record.id);
                if let (Some(own), Some(other)) = (step(own).copied(), step(others).copied()) {
                    draft.after(other, own);
                }
            }
        }
    }
}

/// What `docker run --rm` removes with its container.
fn anonymous_of_run(container: &ObservedContainer) -> Vec<String> {
    match container.record.role {
        crate::model::ContainerRole::OneOff { remove: true, .. } => container
            .record
            .anonymous_volumes
            .values()
            .cloned()
            .collect(),
        _ => Vec::new(),
    }
}

/// A network or volume is removed once all containers on it are; one that stays makes that impossible.
fn renewals(
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

/// Waits until every container of the call is ready.
fn ready(finals: &Finals<'_>, selected: &BTreeSet<ServiceName>, draft: &mut Draft) {
    for (service, containers) in finals.iter().filter(|(name, _)| selected.contains(*name)) {
        for last in containers {
            if last.start.is_none() && last.observed.is_some_and(is_ready) {
                continue;
            }
            if last.start.is_none() && last.observed.is_none() {
                // Made but not yet started: a later plan starts it and waits.
                continue;
            }
            let step = draft.wait_ready((&last.name, service), last.container.clone());
            if let Some(start) = last.start {
                draft.needs(step, start);
            }
        }
    }
}

/// The steps of one service.
struct Emission<'c, 'a> {
    inputs: &'c Inputs<'a>,
    works: &'c std::collections::BTreeMap<ServiceName, Work<'a>>,
    selected: &'c BTreeSet<ServiceName>,
    work: &'c Work<'a>,
    gated: bool,
}

impl<'a> Emission<'_, 'a> {
    fn emit(
        &self,
        designs: Vec<Design<'a>>,
        finals: &Finals<'a>,
        draft: &mut Draft,
        errors: &mut Vec<PlanError>,
    ) -> Vec<Final<'a>> {
        let joins = if designs.is_empty() {
            Joins::default()
        } else {
            self.joins(finals, errors)
        };
        let mut result: Vec<Final<'a>> = Vec::new();
        for member in &self.work.members {
            if !matches!(member.verdict, Verdict::Recreate(_) | Verdict::Remove(_)) {
                result.push(self.existing(member, draft));
            }
        }
        for design in designs {
            result.push(self.create(design, &joins, finals, draft));
        }
        self.wait_for_dependencies(&result, finals, draft, errors);
        result
    }

    /// A container that stays.
    fn existing(&self, member: &Member<'a>, draft: &mut Draft) -> Final<'a> {
        let container = member.container;
        let id = container.record.id.clone();
        let subject = (SubjectKind::Container, container.record.name.as_str());
        let reference = ContainerRef::Existing(id.clone());
        let start = match &member.verdict {
            Verdict::Start(cause) | Verdict::Restart(cause) => {
                let action = Action::StartContainer {
                    container: reference.clone(),
                };
                let start = draft.step(subject, action, cause.clone());
                if let Some(stop) = draft.stops.get(&id).copied() {
                    draft.needs(start, stop);
                }
                self.connect(container, start, draft);
                Some(start)
            }
            Verdict::Unpause(cause) => {
                let action = Action::UnpauseContainer { id };
                Some(draft.step(subject, action, cause.clone()))
            }
            Verdict::Keep | Verdict::Recreate(_) | Verdict::Remove(_) => None,
        };
        Final {
            container: reference,
            name: container.record.name.clone(),
            observed: Some(container),
            create: None,
            start,
        }
    }

    /// A container is started on networks that are there: those whose state is in doubt are ensured first.
    fn connect(&self, container: &ObservedContainer, start: StepId, draft: &mut Draft) {
        for endpoint in &container.record.endpoints {
            let known = self.inputs.observed.networks.get(&endpoint.network);
            let step = match known {
                Some(record) if !container.network_intact => Some(networks::repair(draft, record)),
                _ => draft.networks.get(&endpoint.network).copied(),
            };
            if let Some(step) = step {
                draft.needs(start, step);
            }
        }
    }

    /// A container that is made.
    fn create(
        &self,
        design: Design<'a>,
        joins: &Joins,
        finals: &Finals<'a>,
        draft: &mut Draft,
    ) -> Final<'a> {
        let Design {
            mut new,
            replaces,
            before,
        } = design;
        new.joins = joins.clone();
        let name = new.name.clone();
        let image = match new.image {
            ImageInput::From(step) => Some(step),
            ImageInput::Known(_) => None,
        };
        let mut needs: Vec<StepId> = new
            .endpoints
            .iter()
            .filter_map(|endpoint| draft.networks.get(&endpoint.network).copied())
            .collect();
        let mounted = volumes::names(&self.inputs.project.volumes, &new.service);
        needs.extend(
            mounted
                .iter()
                .filter_map(|name| draft.volumes.get(name).copied()),
        );
        let (cause, starts) = self.reason(replaces, &name);
        let subject = (SubjectKind::Container, name.as_str());
        let create = draft.step(
            subject,
            Action::CreateContainer(Box::new(new)),
            cause.clone(),
        );
        let old = replaces.map(|container| container.record.id.clone());
        for id in before.iter().chain(&old) {
            if let Some(remove) = draft.removes.get(id).copied() {
                draft.needs(create, remove);
            }
        }
        for step in image.into_iter().chain(needs.iter().copied()) {
            draft.needs(create, step);
        }
        self.follow_owners(create, finals, draft);
        let start = starts.then(|| {
            let action = Action::StartContainer {
                container: ContainerRef::New(create),
            };
            let start = draft.step(subject, action, cause);
            draft.needs(start, create);
            start
        });
        if let Some(stop) = old.and_then(|id| draft.stops.get(&id).copied())
            && self.gated
        {
            for step in needs {
                draft.needs(stop, step);
            }
        }
        Final {
            container: ContainerRef::New(create),
            name,
            observed: None,
            create: Some(create),
            start,
        }
    }

    /// Why a container is made, and whether it is started too.
    fn reason(&self, replaces: Option<&ObservedContainer>, name: &str) -> (String, bool) {
        let work = self.work;
        let member = replaces.and_then(|old| {
            work.members
                .iter()
                .find(|member| member.container.record.id == old.record.id)
        });
        let cause = match member.map(|member| &member.verdict) {
            Some(Verdict::Recreate(cause)) => cause.clone(),
            _ => "not there".to_owned(),
        };
        let stopped = self.inputs.stopped.covers(&work.service.name, name);
        let wanted = work.selected || replaces.is_some_and(is_live);
        let starts = wanted && !stopped && work.may_start && !self.inputs.options.no_start;
        (cause, starts)
    }

    /// Whose namespaces new containers join: the first container that each owner will have.
    fn joins(&self, finals: &Finals<'a>, errors: &mut Vec<PlanError>) -> Joins {
        use compose_spec::model::{Namespace, NetworkMode};
        let service = self.work.service;
        let mut owner_of = |field: &'static str, owner: &ServiceName| {
            let first = finals.get(owner).and_then(|containers| containers.first());
            if first.is_none() {
                errors.push(PlanError::NamespaceOwnerMissing {
                    service: service.name.clone(),
                    field,
                    owner: owner.clone(),
                });
            }
            first.map(|first| NamespaceOwner::Container(first.container.clone()))
        };
        let network = match &service.network {
            NetworkMode::Service(owner) => owner_of("network_mode", owner),
            NetworkMode::Container(name) => Some(NamespaceOwner::Named(name.clone())),
            NetworkMode::Networks(_) | NetworkMode::Host | NetworkMode::None => None,
        };
        let mut other = |field, namespace: &Namespace| match namespace {
            Namespace::Service(owner) => owner_of(field, owner),
            Namespace::Container(name) => Some(NamespaceOwner::Named(name.clone())),
            Namespace::Private | Namespace::Shareable | Namespace::Host => None,
        };
        Joins {
            network,
            pid: other("pid", &service.pid),
            ipc: other("ipc", &service.ipc),
        }
    }

    /// A container is made after the one whose namespace it joins; namespaces of processes exist only while that runs.
    fn follow_owners(&self, create: StepId, finals: &Finals<'a>, draft: &mut Draft) {
        for (field, owner) in namespace_owners(self.work.service) {
            let Some(first) = finals.get(owner).and_then(|containers| containers.first()) else {
                continue;
            };
            let step = if field == "network_mode" {
                first.create
            } else {
                first.start
            };
            if let Some(step) = step {
                draft.needs(create, step);
            }
        }
    }

    /// Starts wait for dependencies, and so do the stops of containers that are replaced.
    fn wait_for_dependencies(
        &self,
        own: &[Final<'a>],
        finals: &Finals<'a>,
        draft: &mut Draft,
        errors: &mut Vec<PlanError>,
    ) {
        let starts: Vec<StepId> = own.iter().filter_map(|last| last.start).collect();
        if starts.is_empty() {
            return;
        }
        let members = self.work.members.iter();
        let stops: Vec<StepId> = members
            .filter(|member| !matches!(member.verdict, Verdict::Remove(_)))
            .filter_map(|member| draft.stops.get(&member.container.record.id).copied())
            .collect();
        for (name, dependency) in &self.work.service.depends_on {
            let left_alone = self.inputs.options.no_deps
                && self.inputs.options.mode == Mode::Up
                && !self.selected.contains(name);
            let Some(owner) = self.works.get(name).filter(|_| !left_alone) else {
                continue;
            };
            let waits = depends::waits((name, dependency), finals, draft);
            if !waits.is_empty()
                && let Err(error) = check_health(&self.work.service.name, (name, dependency), owner)
            {
                errors.push(error);
            }
            for wait in waits {
                for start in &starts {
                    draft.depends(*start, wait, dependency.required);
                }
                for stop in stops.iter().filter(|_| self.gated) {
                    draft.depends(*stop, wait, dependency.required);
                }
            }
        }
        // Whose network it joins must be wired first.
        for (_, owner) in namespace_owners(self.work.service) {
            let first = finals.get(owner).and_then(|containers| containers.first());
            if let Some(owner_start) = first.and_then(|first| first.start) {
                for start in &starts {
                    draft.needs(*start, owner_start);
                }
            }
        }
    }
}
