//! Services: what happens to each container that exists, and which are missing.

use std::collections::{BTreeMap, BTreeSet};

use compose_spec::model::{RestartPolicy, Service, ServiceName};
use runtime::spec::ContainerState as State;

use super::{
    ContainerRef, Inputs, Joins, Mode, NamespaceOwner, PlanError, Recreate,
    drift::{self, Drift},
    graph::{Draft, is_live},
    images::{self, Supplied},
    networks::{self, Networks},
    scale, volumes,
};
use crate::model::{ContainerRole, ObservedContainer};

/// What happens to one service.
#[derive(Debug)]
pub(super) struct Work<'a> {
    pub(super) service: &'a Service,
    /// The call is about it; otherwise it only follows others.
    pub(super) selected: bool,
    pub(super) image: Supplied,
    /// Its replicas that exist, by number.
    pub(super) members: Vec<Member<'a>>,
    /// Numbers of replicas to make.
    pub(super) missing: Vec<u32>,
    /// How many replicas there will be.
    pub(super) count: u32,
    /// Nothing that it requires was stopped by the user, and it is not held.
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
}

/// Everything that deciding about one service needs.
pub(super) struct Context<'c, 'a> {
    pub(super) inputs: &'c Inputs<'a>,
    pub(super) selected: &'c BTreeSet<ServiceName>,
    pub(super) networks: &'c Networks,
    pub(super) renewed_volumes: &'c volumes::Renewed,
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
    let mut work = Work {
        service,
        // The loop cares for everything that exists, whatever the last call was about.
        selected: named || (enforce && !members.is_empty()),
        image: Supplied::Absent,
        count: u32::try_from(members.len()).unwrap_or(u32::MAX),
        members,
        missing: Vec::new(),
        may_start: !blocked(inputs, service),
        held: false,
    };
    if work.selected {
        let must_have = draft.images_first && !work.members.is_empty();
        work.image = images::supply(inputs, service, must_have, draft)?;
    }
    let depends_on_held = super::selection::needed(inputs.project, &service.name)
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
    if !owners_run(context, service) {
        // A namespace of processes cannot be joined before there are any; the container is made once its owner runs.
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
    Ok(work)
}

/// Tells whether every service whose process or IPC namespace is joined runs, or will by this plan.
fn owners_run(context: &Context<'_, '_>, service: &Service) -> bool {
    drift::namespace_owners(service)
        .filter(|(field, _)| *field != "network_mode")
        .filter_map(|(_, owner)| context.works.get(owner))
        .all(|owner| {
            let name = &owner.service.name;
            let stopped = context.inputs.stopped.services.contains(name);
            let starts = owner.may_start && !stopped && !context.inputs.options.no_start;
            match owner
                .members
                .first()
                .map(|first| (first.container, &first.verdict))
            {
                Some((container, Verdict::Keep | Verdict::Unpause(_))) => is_live(container),
                Some((_, Verdict::Remove(_))) | None => starts && owner.count > 0,
                Some((_, Verdict::Start(_) | Verdict::Restart(_) | Verdict::Recreate(_))) => starts,
            }
        })
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
            ContainerRole::OneOff { .. } => None,
        })
        .collect();
    members.sort_by_key(|member| (member.number, member.container.record.created));
    members
}

/// Decides about one container, the strongest reason first.
fn judge(context: &Context<'_, '_>, work: &Work<'_>, container: &ObservedContainer) -> Verdict {
    let inputs = context.inputs;
    let live = is_live(container);
    let stopped = inputs
        .stopped
        .covers(&work.service.name, &container.record.name);
    if let Some(cause) = renewed(context, container) {
        return Verdict::Recreate(cause);
    }
    if (live || (work.selected && !stopped))
        && let Some(cause) = must_recreate(context, work, container)
    {
        return Verdict::Recreate(cause);
    }
    if live && let Some(cause) = follows_restart(context, work.service) {
        return Verdict::Restart(cause);
    }
    if !work.selected || stopped {
        return Verdict::Keep;
    }
    // A missing bridge is repaired by its own step first; whether the container is connected again is seen then.
    let repairing = container
        .record
        .endpoints
        .iter()
        .any(|endpoint| inputs.observed.networks_down.contains(&endpoint.network));
    if live && !container.network_intact && !repairing {
        return Verdict::Restart("its network is not intact".to_owned());
    }
    if blocked(inputs, work.service) {
        return Verdict::Keep;
    }
    by_state(inputs, work.service, container)
}

/// Says which network or volume of a container is made anew: it goes with that, whatever the call is about.
fn renewed(context: &Context<'_, '_>, container: &ObservedContainer) -> Option<String> {
    let record = &container.record;
    for endpoint in &record.endpoints {
        let planned = context.networks.by_name(&endpoint.network);
        if let Some((cause, _)) = planned.and_then(|planned| planned.renewed.as_ref()) {
            return Some(format!(
                "network {} is made anew ({cause})",
                endpoint.network
            ));
        }
    }
    for name in &record.volumes {
        if let Some((cause, _)) = context.renewed_volumes.get(name) {
            return Some(format!("volume {name} is made anew ({cause})"));
        }
    }
    None
}

/// Says why a container must be made anew.
fn must_recreate(
    context: &Context<'_, '_>,
    work: &Work<'_>,
    container: &ObservedContainer,
) -> Option<String> {
    let record = &container.record;
    for (field, owner) in drift::namespace_owners(work.service) {
        let owner_changes = |owner: &Work<'_>| {
            let first = owner.members.first();
            first.is_some_and(|first| match first.verdict {
                Verdict::Recreate(_) | Verdict::Remove(_) => true,
                // A network namespace survives a restart of its owner, those of processes do not.
                Verdict::Restart(_) | Verdict::Start(_) => field != "network_mode",
                Verdict::Keep | Verdict::Unpause(_) => false,
            })
        };
        if context.works.get(owner).is_some_and(owner_changes) {
            return Some(format!("{field}: service {owner} is replaced"));
        }
    }
    let joins = joins(context, work.service);
    if let Some(change) = drift::stale_join(record, &joins, &context.inputs.observed.containers) {
        return Some(change.text);
    }
    if work.selected && context.inputs.options.mode == Mode::Up {
        return drifted(context, work, container);
    }
    None
}

fn drifted(
    context: &Context<'_, '_>,
    work: &Work<'_>,
    container: &ObservedContainer,
) -> Option<String> {
    let Inputs {
        project, options, ..
    } = *context.inputs;
    let record = &container.record;
    // Named services are forced; their dependencies only when that is asked for.
    let reached = options.services.is_empty()
        || options.always_recreate_deps
        || options.services.contains(&work.service.name);
    let older = record.created < options.since;
    match options.recreate {
        Recreate::Never => return None,
        Recreate::Force if reached && older => return Some("forced".to_owned()),
        Recreate::Force | Recreate::Diverged => {}
    }
    if options.renew_anonymous_volumes && reached && older && !record.anonymous_volumes.is_empty() {
        return Some("its anonymous volumes are renewed".to_owned());
    }
    let networks: Vec<String> = networks::keys(work.service)
        .into_iter()
        .filter_map(|key| project.networks.get(key))
        .map(|network| network.name.clone())
        .collect();
    let volumes = volumes::names(&project.volumes, work.service);
    let reference = images::image_reference(&project.name, work.service);
    let wanted = drift::Wanted {
        service: work.service,
        image: match &work.image {
            Supplied::Known(image) => Some(&image.id),
            Supplied::From(_) | Supplied::Absent => None,
        },
        image_reference: &reference,
        files_digest: context
            .inputs
            .files
            .get(&work.service.name)
            .map(String::as_str),
        networks: &networks,
        volumes: &volumes,
    };
    match drift::drift(record, &wanted) {
        Drift::Keep => None,
        Drift::Recreate(changes) => {
            let texts: Vec<&str> = changes.iter().map(|change| change.text.as_str()).collect();
            Some(texts.join("; "))
        }
    }
}

/// Says which dependency with `restart: true` is replaced or restarted.
pub(super) fn follows_restart(context: &Context<'_, '_>, service: &Service) -> Option<String> {
    service
        .depends_on
        .iter()
        .filter(|(_, dependency)| dependency.restart)
        .find(|(name, _)| context.works.get(*name).is_some_and(Work::is_changing))
        .map(|(name, _)| format!("depends_on.{name}.restart: {name} is replaced or restarted"))
}

/// In the loop a service does not start while something that it requires was stopped by the user.
fn blocked(inputs: &Inputs<'_>, service: &Service) -> bool {
    inputs.options.mode == Mode::Enforce
        && service
            .depends_on
            .iter()
            .any(|(name, dependency)| dependency.required && inputs.stopped.services.contains(name))
}

/// Decides by what a container does now.
fn by_state(inputs: &Inputs<'_>, service: &Service, container: &ObservedContainer) -> Verdict {
    if inputs.options.no_start {
        return Verdict::Keep;
    }
    let up = inputs.options.mode == Mode::Up;
    match &container.state {
        State::Created => Verdict::Start("created but not started".to_owned()),
        State::Lost { reason } => Verdict::Start(format!("lost: {reason}")),
        State::Running { .. } | State::Restarting { .. } => Verdict::Keep,
        State::Paused { .. } if up => Verdict::Unpause("paused".to_owned()),
        State::Paused { .. } => Verdict::Keep,
        State::Exited { status, at_ms } => {
            let always = matches!(
                service.restart,
                RestartPolicy::Always | RestartPolicy::UnlessStopped
            );
            if up && *at_ms < inputs.options.since.0 {
                Verdict::Start(format!("exited ({})", status.code))
            } else if always {
                Verdict::Start(format!("exited ({}), restart policy", status.code))
            } else if status.requested {
                // Not by the user, or it would be among the stopped: by a plan that did not get further.
                Verdict::Start("stopped by a change that was not finished".to_owned())
            } else {
                Verdict::Keep
            }
        }
    }
}

/// Returns whose namespaces a service joins: the first replica that exists of each.
pub(super) fn joins(context: &Context<'_, '_>, service: &Service) -> Joins {
    use compose_spec::model::{Namespace, NetworkMode};
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
    }
}
