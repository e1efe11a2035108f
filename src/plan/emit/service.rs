//! What comes: the steps of one service's containers, and what they wait for.

use std::collections::{BTreeMap, BTreeSet};

use compose_spec::model::{Service, ServiceName};

use crate::{
    model::{ContainerRole, ObservedContainer, SubjectKind},
    plan::{
        Action, ContainerRef, ImageInput, Inputs, Joins, Mode, NamespaceOwner, NewContainer,
        PlanError, StepId,
        create::Design,
        depends::{self, Final, Finals, check_health},
        drift::{self, namespace_owners},
        graph::Draft,
        init::Prepared,
        networks,
        services::{Member, Verdict, Work, mount_owners},
        volumes,
    },
};

/// The steps of one service.
pub(super) struct Emission<'c, 'a> {
    pub(super) inputs: &'c Inputs<'a>,
    pub(super) works: &'c BTreeMap<ServiceName, Work<'a>>,
    pub(super) selected: &'c BTreeSet<ServiceName>,
    pub(super) work: &'c Work<'a>,
    /// Containers that are replaced keep running until what the new ones need is there.
    pub(super) gated: bool,
}

impl<'a> Emission<'_, 'a> {
    /// Makes the steps; `finals` are those of all services that it needs.
    pub(super) fn emit(
        &self,
        (designs, inits): (Vec<Design<'a>>, Vec<Prepared<'a>>),
        finals: &Finals<'a>,
        draft: &mut Draft,
        errors: &mut Vec<PlanError>,
    ) -> Vec<Final<'a>> {
        let joins = if designs.is_empty() {
            Joins::default()
        } else {
            joins(self.work.service, finals, errors)
        };
        let mut result: Vec<Final<'a>> = Vec::new();
        let mut numbers = Vec::new();
        for member in &self.work.members {
            if !matches!(member.verdict, Verdict::Recreate(_) | Verdict::Remove(_)) {
                numbers.push(member.number);
                result.push(self.existing(member, draft));
            }
        }
        for design in designs {
            numbers.push(match design.new.role {
                ContainerRole::Replica(number) => number,
                ContainerRole::OneOff { .. } | ContainerRole::Init { .. } => 0,
            });
            result.push(self.create(design, &joins, finals, draft));
        }
        let numbered: Vec<_> = numbers.into_iter().zip(&result).collect();
        let first = self.prepare(inits, &numbered, finals, (draft, errors));
        self.wait_for_dependencies(&result, first, finals, (draft, errors));
        result
    }

    /// A container that stays.
    fn existing(&self, member: &Member<'a>, draft: &mut Draft) -> Final<'a> {
        let container = member.container;
        let id = container.record.id.clone();
        let subject = (SubjectKind::Container, container.record.name.as_str());
        let reference = ContainerRef::Existing(id.clone());
        let has_hooks = !container.record.wanted.post_start.is_empty();
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
        let started = match (start, &member.verdict) {
            (Some(start), Verdict::Start(_) | Verdict::Restart(_)) => {
                let name = &container.record.name;
                Some(draft.started(name, reference.clone(), (start, has_hooks)))
            }
            (Some(thaw), _) => Some(thaw),
            (None, _) => draft.post_start(container),
        };
        Final {
            container: reference,
            name: container.record.name.clone(),
            observed: Some(container),
            create: None,
            start,
            started,
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
        let mut needs = self.supplies(&new, draft);
        needs.extend(&self.work.mounted);
        // A one-off's process begins when its client attaches: its hooks are run by the loop, which sees that.
        let has_hooks =
            !new.service.post_start.is_empty() && matches!(new.role, ContainerRole::Replica(_));
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
        follow_owners(self.work.service, create, finals, draft);
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
        let started =
            start.map(|start| draft.started(&name, ContainerRef::New(create), (start, has_hooks)));
        Final {
            container: ContainerRef::New(create),
            name,
            observed: None,
            create: Some(create),
            start,
            started,
        }
    }

    /// The steps that make the networks and volumes of a new container.
    pub(super) fn supplies(&self, new: &NewContainer, draft: &Draft) -> Vec<StepId> {
        let endpoints = new.endpoints.iter();
        let networks = endpoints.filter_map(|endpoint| draft.networks.get(&endpoint.network));
        let mounted = volumes::names(&self.inputs.project.volumes, &new.service);
        let volumes = mounted.iter().filter_map(|name| draft.volumes.get(name));
        networks.chain(volumes).copied().collect()
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
        let wanted = work.selected || replaces.is_some_and(|container| container.state.is_live());
        let starts = wanted && !stopped && work.may_start && !self.inputs.options.no_start;
        (cause, starts)
    }

    /// Starts wait for dependencies, and so do the stops of containers that are replaced.
    fn wait_for_dependencies(
        &self,
        own: &[Final<'a>],
        inits: Vec<StepId>,
        finals: &Finals<'a>,
        (draft, errors): (&mut Draft, &mut Vec<PlanError>),
    ) {
        let starts = own.iter().filter_map(|last| last.start);
        let starts: Vec<StepId> = starts.chain(inits).collect();
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

/// Whose namespaces new containers join: the first container that each owner will have.
pub(super) fn joins(service: &Service, finals: &Finals<'_>, errors: &mut Vec<PlanError>) -> Joins {
    use compose_spec::model::{Namespace, NetworkMode};
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
    let (pid, ipc) = (other("pid", &service.pid), other("ipc", &service.ipc));
    Joins {
        network,
        pid,
        ipc,
        mounts: mount_owners(service, |owner| owner_of("volumes_from", owner)),
    }
}

/// A container is made after the one whose namespace it joins; namespaces of processes exist only while that runs.
pub(super) fn follow_owners(
    service: &Service,
    create: StepId,
    finals: &Finals<'_>,
    draft: &mut Draft,
) {
    for (field, owner) in namespace_owners(service) {
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
    for owner in drift::mount_owners(service) {
        let first = finals.get(owner).and_then(|containers| containers.first());
        if let Some(step) = first.and_then(|first| first.create) {
            draft.needs(create, step);
        }
    }
}
