//! Services: what happens to each container that exists, and which are missing.

mod judge;

use std::collections::{BTreeMap, BTreeSet};

use compose_spec::model::{MountOwner, Namespace, NetworkMode, Service, ServiceName, VolumesFrom};

use self::judge::{blocked, judge};
use super::{
    ContainerRef, Inputs, Joins, Mode, NamespaceOwner, PlanError, StepId, drift,
    graph::Draft,
    images::{self, Supplied},
    init,
    networks::Networks,
    scale, selection, volumes,
};
use crate::model::{ContainerRole, ObservedContainer};

/// What happens to one service.
#[derive(Debug)]
pub(super) struct Work<'a> {
    pub(super) service: &'a Service,
    /// The call is about it; otherwise it only follows others.
    pub(super) selected: bool,
    pub(super) image: Supplied,
    /// The steps that bring the images that it mounts.
    pub(super) mounted: Vec<StepId>,
    /// Its replicas that exist, by number.
    pub(super) members: Vec<Member<'a>>,
    /// What its init containers are made of, when it starts.
    pub(super) inits: Vec<init::Supply>,
    /// Numbers of replicas to make.
    pub(super) missing: Vec<u32>,
    /// How many replicas there will be.
    pub(super) count: u32,
    /// It, or something that it needs, cannot be planned: it is left alone.
    pub(super) skipped: bool,
    /// Something that it requires was stopped by the user: it does not start.
    pub(super) blocked: bool,
    /// It is neither blocked nor held nor skipped.
    pub(super) may_start: bool,
    /// Its image, or what it depends on, must be there first: what exists is left alone until then, and nothing is started.
    pub(super) held: bool,
}

/// A replica that exists.
#[derive(Debug)]
pub(super) struct Member<'a> {
    pub(super) container: &'a ObservedContainer,
    pub(super) number: u32,
    pub(super) verdict: Verdict,
}

/// What happens to a replica that exists, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    Start(String),
    Unpause(String),
    Restart(String),
    Recreate(String),
    Remove(String),
}

impl Work<'_> {
    /// Tells whether a container of it is replaced or restarted: services that depend on it with `restart: true` follow.
    pub(super) fn is_changing(&self) -> bool {
        let changes = |member: &Member<'_>| {
            matches!(member.verdict, Verdict::Recreate(_) | Verdict::Restart(_))
        };
        self.members.iter().any(changes)
    }

    /// Tells whether it will have a container.
    fn will_exist(&self) -> bool {
        let stays = |member: &Member<'_>| !matches!(member.verdict, Verdict::Remove(_));
        !self.missing.is_empty() || self.members.iter().any(stays)
    }
}

/// Everything that deciding about one service needs.
pub(super) struct Context<'c, 'a> {
    pub(super) inputs: &'c Inputs<'a>,
    pub(super) selected: &'c BTreeSet<ServiceName>,
    pub(super) networks: &'c Networks,
    pub(super) renewed_volumes: &'c volumes::Renewed,
    /// Services that are left alone, because they cannot be planned.
    pub(super) skipped: &'c BTreeSet<ServiceName>,
    /// Services decided so far: all that this one needs.
    pub(super) works: &'c BTreeMap<ServiceName, Work<'a>>,
}

/// Decides about one service.
pub(super) fn decide<'a>(
    context: &Context<'_, 'a>,
    service: &'a Service,
    draft: &mut Draft,
) -> Result<Work<'a>, PlanError> {
    let inputs = context.inputs;
    let enforce = inputs.options.mode == Mode::Enforce;
    let named = context.selected.contains(&service.name);
    let members = replicas(inputs, &service.name);
    let needs_skipped = selection::needed(inputs.project, &service.name)
        .any(|needed| context.works.get(needed).is_some_and(|work| work.skipped));
    let skipped = context.skipped.contains(&service.name) || needs_skipped;
    let blocked = blocked(context, service) || init::has_failed(inputs, service);
    let mut work = Work {
        service,
        // The loop cares for everything that exists, whatever the last call was about.
        selected: named || (enforce && !members.is_empty()),
        image: Supplied::Absent,
        mounted: Vec::new(),
        inits: Vec::new(),
        count: u32::try_from(members.len()).unwrap_or(u32::MAX),
        members,
        missing: Vec::new(),
        may_start: !skipped && !blocked,
        blocked,
        skipped,
        held: false,
    };
    if skipped {
        return Ok(work);
    }
    if work.selected {
        let must_have = draft.images_first && !work.members.is_empty();
        work.image = images::supply(inputs, service, must_have, draft)?;
    }
    let depends_on_held = selection::needed(inputs.project, &service.name)
        .filter_map(|name| context.works.get(name))
        .any(|needed| needed.held);
    work.held = depends_on_held || is_coming(&work);
    for at in 0..work.members.len() {
        work.members[at].verdict = judge(context, &work, work.members[at].container);
    }
    if named {
        scale::apply(inputs, &mut work)?;
    }
    settle_image(inputs, &mut work, draft)?;
    if !owners_ready(context, service) {
        // The container is made by a later plan.
        work.missing.clear();
        work.may_start = false;
        for member in &mut work.members {
            if matches!(member.verdict, Verdict::Recreate(_)) {
                member.verdict = Verdict::Keep;
            }
        }
    }
    if work.held {
        work.may_start = false;
        for member in &mut work.members {
            if member.verdict != Verdict::Keep {
                member.verdict = Verdict::Keep;
                draft.plan.deferred = true;
            }
        }
        let waits = !work.members.is_empty() && is_coming(&work);
        let unstarted = !work.missing.is_empty() && depends_on_held;
        draft.plan.deferred |= waits || unstarted;
    }
    work.inits = init::supply(inputs, &work, draft)?;
    Ok(work)
}

/// Tells whether every container whose namespaces are joined will be there: for a network it must exist, for processes and IPC it must
/// run. An owner that is to have no container at all is not waited for: that is an error.
fn owners_ready(context: &Context<'_, '_>, service: &Service) -> bool {
    drift::namespace_owners(service)
        .filter_map(|(field, owner)| Some((field, context.works.get(owner)?)))
        .filter(|(_, owner)| scale::wanted(context.inputs, owner) > 0)
        .all(|(field, owner)| match field {
            "network_mode" => owner.will_exist(),
            _ => will_run(context.inputs, owner),
        })
        && drift::mount_owners(service)
            .filter_map(|owner| context.works.get(owner))
            .filter(|owner| scale::wanted(context.inputs, owner) > 0)
            .all(Work::will_exist)
}

fn will_run(inputs: &Inputs<'_>, owner: &Work<'_>) -> bool {
    let stopped = inputs.stopped.services.contains(&owner.service.name);
    let starts = owner.may_start && !stopped && !inputs.options.no_start;
    match owner
        .members
        .first()
        .map(|first| (first.container, &first.verdict))
    {
        Some((container, Verdict::Keep | Verdict::Unpause(_))) => container.state.is_live(),
        Some((_, Verdict::Remove(_))) | None => starts && owner.will_exist(),
        Some((_, Verdict::Start(_) | Verdict::Restart(_) | Verdict::Recreate(_))) => starts,
    }
}

fn is_coming(work: &Work<'_>) -> bool {
    matches!(work.image, Supplied::From(_)) && !work.members.is_empty()
}

/// Containers that will be made need the image. One that exists is not touched before the image is known: it may be the same.
fn settle_image(
    inputs: &Inputs<'_>,
    work: &mut Work<'_>,
    draft: &mut Draft,
) -> Result<(), PlanError> {
    let recreates = |member: &Member<'_>| matches!(member.verdict, Verdict::Recreate(_));
    let needs_image = !work.missing.is_empty() || work.members.iter().any(recreates);
    if needs_image && !matches!(work.image, Supplied::Known(_) | Supplied::From(_)) {
        work.image = images::supply(inputs, work.service, true, draft)?;
        work.held |= is_coming(work);
    }
    if needs_image {
        work.mounted = images::supply_mounted(inputs, work.service, draft)?;
    }
    Ok(())
}

fn replicas<'a>(inputs: &Inputs<'a>, service: &ServiceName) -> Vec<Member<'a>> {
    let mut members: Vec<Member<'a>> = inputs
        .observed
        .containers
        .iter()
        .filter(|container| container.record.service == *service)
        .filter_map(|container| match container.record.role {
            ContainerRole::Replica(number) => Some(Member {
                container,
                number,
                verdict: Verdict::Keep,
            }),
            ContainerRole::OneOff { .. } | ContainerRole::Init { .. } => None,
        })
        .collect();
    members.sort_by_key(|member| (member.number, member.container.record.created));
    members
}

/// Returns whose namespaces a service joins: the first replica that exists of each.
pub(super) fn joins(context: &Context<'_, '_>, service: &Service) -> Joins {
    let existing = |owner: &ServiceName| {
        let first = context.works.get(owner)?.members.first()?;
        Some(NamespaceOwner::Container(ContainerRef::Existing(
            first.container.record.id.clone(),
        )))
    };
    let other = |namespace: &Namespace| match namespace {
        Namespace::Service(owner) => existing(owner),
        Namespace::Container(name) => Some(NamespaceOwner::Named(name.clone())),
        Namespace::Private | Namespace::Shareable | Namespace::Host => None,
    };
    Joins {
        network: match &service.network {
            NetworkMode::Service(owner) => existing(owner),
            NetworkMode::Container(name) => Some(NamespaceOwner::Named(name.clone())),
            NetworkMode::Networks(_) | NetworkMode::Host | NetworkMode::None => None,
        },
        pid: other(&service.pid),
        ipc: other(&service.ipc),
        mounts: mount_owners(service, existing),
    }
}

/// Returns whose mounts a service takes over, as far as they can be found.
pub(super) fn mount_owners(
    service: &Service,
    mut owner_of: impl FnMut(&ServiceName) -> Option<NamespaceOwner>,
) -> Vec<(NamespaceOwner, bool)> {
    let owner = |entry: &VolumesFrom| {
        let owner = match &entry.from {
            MountOwner::Service(owner) => owner_of(owner)?,
            MountOwner::Container(name) => NamespaceOwner::Named(name.clone()),
        };
        Some((owner, entry.read_only))
    };
    service.volumes_from.iter().filter_map(owner).collect()
}
