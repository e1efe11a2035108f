//! What happens to one container that exists.

use compose_spec::model::{Dependency, RestartPolicy, Service, ServiceName};
use runtime::spec::ContainerState as State;

use super::{Context, Member, Verdict, Work, joins};
use crate::{
    model::{ObservedContainer, PostStart},
    plan::{
        Inputs, Mode, Recreate, depends,
        drift::{self, Drift},
        images::{self, Supplied},
        networks, volumes,
    },
};

/// Decides about one container, the strongest reason first.
pub(super) fn judge(
    context: &Context<'_, '_>,
    work: &Work<'_>,
    container: &ObservedContainer,
) -> Verdict {
    let inputs = context.inputs;
    let live = container.state.is_live();
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
    if work.blocked {
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
    for owner in drift::mount_owners(work.service) {
        let is_replaced = |owner: &Work<'_>| {
            let first = owner.members.first();
            first.is_some_and(|first| {
                matches!(first.verdict, Verdict::Recreate(_) | Verdict::Remove(_))
            })
        };
        if context.works.get(owner).is_some_and(is_replaced) {
            return Some(format!("volumes_from: service {owner} is replaced"));
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
    let mounted: Vec<_> = images::mounted_references(work.service)
        .into_iter()
        .filter_map(|reference| {
            let image = context.inputs.observed.images.get(reference)?;
            Some((reference, &image.id))
        })
        .collect();
    let wanted = drift::Wanted {
        service: work.service,
        image: match &work.image {
            Supplied::Known(image) => Some(&image.id),
            Supplied::From(_) | Supplied::Absent => None,
        },
        image_reference: &reference,
        mounted: &mounted,
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
fn follows_restart(context: &Context<'_, '_>, service: &Service) -> Option<String> {
    service
        .depends_on
        .iter()
        .filter(|(_, dependency)| dependency.restart)
        .find(|(name, _)| context.works.get(*name).is_some_and(Work::is_changing))
        .map(|(name, _)| format!("depends_on.{name}.restart: {name} is replaced or restarted"))
}

/// In the loop a service does not start while something that it requires was stopped by the user, or cannot start for that reason;
/// unless that is as far as it must be already.
pub(super) fn blocked(context: &Context<'_, '_>, service: &Service) -> bool {
    let stays = |name: &ServiceName| {
        let work = context.works.get(name);
        let has_failed = |work: &Work<'_>| {
            work.blocked
                || work
                    .members
                    .iter()
                    .any(|member| member.container.post_start == PostStart::Failed)
        };
        context.inputs.stopped.services.contains(name) || work.is_some_and(has_failed)
    };
    let is_reached = |(name, dependency): (&ServiceName, &Dependency)| {
        let Some(work) = context.works.get(name) else {
            return false;
        };
        let state = |member: &Member<'_>| {
            depends::is_reached(&member.container.state, dependency.condition)
                && member.container.post_start != PostStart::Failed
        };
        !work.members.is_empty() && work.members.iter().all(state)
    };
    context.inputs.options.mode == Mode::Enforce
        && service
            .depends_on
            .iter()
            .any(|entry| entry.1.required && stays(entry.0) && !is_reached(entry))
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
