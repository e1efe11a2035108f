//! Makes, starts and stops containers.

use runtime::{monitor::protocol::Request, spec::ContainerState};

use super::{
    ApplyError, Context, Job,
    files::{self, Sources},
    hooks, mounts, places,
    queue::Done,
    remove::monitor_left,
    storage, users,
};
use crate::{
    container::{self, Start, read_record},
    model::{
        ContainerId, ContainerRecord, ContainerRole, HostFacts, ImageRecord, NetworkRecord, Subject,
    },
    network::HeldSocket,
    observe,
    plan::{
        ContainerRef, ImageInput, NewContainer,
        lower::{LowerInput, lower as plan_lower},
    },
    store,
};

/// Makes a container: volumes filled, files written, record and directories in place. `made` tells the containers that earlier steps made.
pub(super) async fn create(
    context: &Context,
    job: &Job,
    subject: &Subject,
    new: &NewContainer,
    resolve: impl Fn(&ContainerRef) -> ContainerId,
) -> Result<Done, ApplyError> {
    job.working(subject, "creating").await;
    let image = image_of(context, new)?;
    let mounted = places::mounted_images(context, new)?;
    let id = ContainerId::from_bytes(random_bytes());
    let joined = places::join(context, new, resolve)?;
    let places = places::places(context, job, new, &id, joined);
    let mut host = observe::host_facts();
    // Boxed: a whole description would be part of every future around this one.
    let lower = |host: &HostFacts| {
        let input = LowerInput {
            project: job.project(),
            new,
            id: &id,
            image: &image,
            mounted: &mounted,
            places: &places,
            host,
            now: super::now(),
        };
        plan_lower(&input)
            .map(Box::new)
            .map_err(|sources| ApplyError::Lower {
                service: new.service.name.clone(),
                sources,
            })
    };
    let mut lowered = lower(&host)?;
    if let Some(users) = &lowered.record.spec.users
        && users::settle(context, &job.project().name, users, &mut host)?
    {
        lowered = lower(&host)?;
    }
    for warning in &lowered.warnings {
        job.warn(format!("{}: {warning}", subject.name)).await;
    }
    files::read_profile(&mut lowered)?;
    let held = storage::hold_volumes(context, &new.name).await?;
    storage::prepare(context, &lowered, &image).await?;
    let networks = networks_of(context, &lowered.record)?;
    let written = files::write(
        context,
        &lowered,
        &Sources {
            networks: &networks,
        },
    )?;
    container::create(&context.root, &lowered.record, &written.path()).map_err(|source| {
        ApplyError::Container {
            name: new.name.clone(),
            source,
        }
    })?;
    drop(held);
    context.journal.did(&lowered.record, "create", &[]);
    Ok(Done {
        text: Some("created".to_owned()),
        container: Some(id),
        name: None,
    })
}

/// Wires a container's network, opens its ports, and starts its monitor.
pub(super) async fn start(
    context: &Context,
    job: &Job,
    subject: &Subject,
    id: &ContainerId,
) -> Result<Done, ApplyError> {
    let mut record = find(context, id)?;
    job.working(subject, "starting").await;
    let service = record.service.clone();
    let wire = |source| ApplyError::Wire {
        service: service.clone(),
        source,
    };
    if places::rejoin(context, &mut record)? {
        let directory = context.root.container(id);
        store::write_json(&directory.join("spec.json"), &record.spec).map_err(ApplyError::Store)?;
        store::write_json(&directory.join("record.json"), &record).map_err(ApplyError::Store)?;
    }
    hooks::begin(context, &record)?;
    // Until it is live: what it has is then not unmounted.
    let _held = storage::hold_volumes(context, &record.name).await?;
    let shared = record.shared_mounts.iter();
    for volume in record
        .volumes
        .iter()
        .chain(shared.flat_map(|mounts| &mounts.volumes))
    {
        mounts::ensure(context, volume).await?;
    }
    let networks = networks_of(context, &record)?;
    for network in &networks {
        context.fabric.ensure_network(network).await.map_err(wire)?;
    }
    files::write_links(context, &record, &networks)?;
    let mut sockets = Vec::new();
    if !record.endpoints.is_empty() {
        let attached = context.fabric.attach(&record).await.map_err(wire)?;
        if attached.published != record.published {
            record.published.clone_from(&attached.published);
            store::write_json(&context.root.container(id).join("record.json"), &record)
                .map_err(ApplyError::Store)?;
        }
        sockets = attached.sockets;
    }
    match start_monitor(context, job, &record, sockets).await {
        Ok(warnings) => {
            for warning in warnings {
                job.warn(format!("{}: {warning}", record.name)).await;
            }
            // With hooks it counts as started once they have been run.
            Ok(if record.wanted.post_start.is_empty() {
                Done::text("started")
            } else {
                Done::default()
            })
        }
        Err(error) => {
            if let Err(undo) = context.fabric.detach(id).await {
                job.warn(format!("{}: release its ports: {undo}", record.name))
                    .await;
            }
            Err(error)
        }
    }
}

async fn start_monitor(
    context: &Context,
    job: &Job,
    record: &ContainerRecord,
    sockets: Vec<HeldSocket>,
) -> Result<Vec<String>, ApplyError> {
    let start = Start {
        program: context.program.clone(),
        directory: context.root.container(&record.id),
        await_attach: match record.role {
            ContainerRole::Replica(_) => false,
            ContainerRole::OneOff { .. } => job.attach_one_offs,
            // Its output is what tells why it fails.
            ContainerRole::Init { .. } => true,
        },
        supervisor: context.supervisor.clone(),
    };
    let started = container::spawn_monitor(&start)
        .await
        .map_err(|source| ApplyError::Start {
            service: record.service.clone(),
            source,
        })?;
    let monitor = |source| ApplyError::Monitor {
        intent: format!("follow container `{}`", record.name),
        source,
    };
    match context.live.follow(&record.id).await {
        Ok(status) => {
            let state = status.borrow().state.clone();
            context.journal.look(record, &state);
        }
        // A process that ended at once took its monitor with it: that is a state, not a failure of the start.
        Err(_) if !is_live(context, &record.id)? => {
            context
                .journal
                .look(record, &read_state(context, &record.id)?);
            return Ok(started.warnings);
        }
        Err(source) => return Err(monitor(source)),
    }
    if !sockets.is_empty() {
        let (names, fds): (Vec<_>, Vec<_>) =
            sockets.into_iter().map(|held| (held.name, held.fd)).unzip();
        match context
            .live
            .call(&record.id, &Request::Hold { names }, &fds)
            .await
        {
            Ok(()) => {}
            Err(_) if !is_live(context, &record.id)? => return Ok(started.warnings),
            Err(source) => return Err(monitor(source)),
        }
    }
    if started.pid.is_some() {
        context
            .fabric
            .set_running(&record.id, true)
            .await
            .map_err(|source| ApplyError::Wire {
                service: record.service.clone(),
                source,
            })?;
    }
    Ok(started.warnings)
}

/// Stops a container by its policy, and returns once it has ended and its monitor has left.
pub(super) async fn stop(
    context: &Context,
    job: &Job,
    subject: &Subject,
    id: &ContainerId,
    grace_ms: Option<u64>,
) -> Result<Done, ApplyError> {
    let Some(record) = read(context, id)? else {
        return Ok(Done::default());
    };
    job.working(subject, "stopping").await;
    let name = record.name.clone();
    let state = read_state(context, id)?;
    if state.is_live() {
        let left = match hooks::pre_stop(context, job, &record, (&state, grace_ms)).await {
            Ok(left) => left,
            // It ended by itself in between, or is about to: there is nothing left to prepare for.
            Err(ApplyError::Hook { .. }) if hooks::has_ended(&state) || !is_live(context, id)? => {
                None
            }
            Err(error) => return Err(error),
        };
        let signal = ("signal", record.spec.stop.signal.to_string());
        context.journal.did(&record, "kill", &[signal]);
        let left = left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        let request = Request::Stop {
            signal: None,
            grace_ms: left.or(grace_ms),
        };
        match context.live.call(id, &request, &[]).await {
            Ok(()) => {}
            // It ended by itself in between.
            Err(_) if !is_live(context, id)? => {}
            Err(source) => {
                hooks::forget_pre_stop(context, &record)?;
                let intent = format!("stop container `{name}`");
                return Err(ApplyError::Monitor { intent, source });
            }
        }
    }
    monitor_left(context, &record).await?;
    if state.is_live() {
        // Its end may not have come through the monitor's connection yet.
        context.journal.look(&record, &read_state(context, id)?);
        context.journal.did(&record, "stop", &[]);
    }
    Ok(Done::text("stopped"))
}

/// Sends a signal to a container's first process. After SIGKILL it returns once the container has ended, which nothing restarts.
pub(super) async fn kill(
    context: &Context,
    id: &ContainerId,
    signal: i32,
) -> Result<Done, ApplyError> {
    let record = ask(context, id, Request::Kill { signal }, "kill").await?;
    let sent = ("signal", signal.to_string());
    context.journal.did(&record, "kill", &[sent]);
    if signal == libc::SIGKILL {
        monitor_left(context, &record).await?;
        context.journal.look(&record, &read_state(context, id)?);
    }
    Ok(Done::text("killed"))
}

/// Freezes a container.
pub(super) async fn pause(context: &Context, id: &ContainerId) -> Result<Done, ApplyError> {
    ask(context, id, Request::Pause, "pause").await?;
    Ok(Done::text("paused"))
}

/// Thaws a container.
pub(super) async fn unpause(context: &Context, id: &ContainerId) -> Result<Done, ApplyError> {
    ask(context, id, Request::Resume, "unpause").await?;
    Ok(Done::text("unpaused"))
}

async fn ask(
    context: &Context,
    id: &ContainerId,
    request: Request,
    verb: &str,
) -> Result<ContainerRecord, ApplyError> {
    let record = find(context, id)?;
    match context.live.call(id, &request, &[]).await {
        Ok(()) => Ok(record),
        Err(source) => Err(ApplyError::Monitor {
            intent: format!("{verb} container `{}`", record.name),
            source,
        }),
    }
}

pub(super) fn is_live(context: &Context, id: &ContainerId) -> Result<bool, ApplyError> {
    Ok(read_state(context, id)?.is_live())
}

fn read_state(context: &Context, id: &ContainerId) -> Result<ContainerState, ApplyError> {
    container::read_state(&context.root, id)
        .map(|(state, _)| state)
        .map_err(|source| ApplyError::Container {
            name: id.short().to_owned(),
            source,
        })
}

pub(super) fn read(
    context: &Context,
    id: &ContainerId,
) -> Result<Option<ContainerRecord>, ApplyError> {
    read_record(&context.root, id).map_err(|source| ApplyError::Container {
        name: id.short().to_owned(),
        source,
    })
}

pub(super) fn find(context: &Context, id: &ContainerId) -> Result<ContainerRecord, ApplyError> {
    read(context, id)?.ok_or_else(|| ApplyError::Vanished {
        id: id.short().to_owned(),
    })
}

fn image_of(context: &Context, new: &NewContainer) -> Result<ImageRecord, ApplyError> {
    match &new.image {
        ImageInput::Known(record) => Ok((**record).clone()),
        ImageInput::From(_) => context
            .images
            .find(&new.image_reference)
            .map_err(ApplyError::Image)?
            .ok_or_else(|| ApplyError::ImageMissing {
                reference: new.image_reference.clone(),
            }),
    }
}

/// Returns the records of the networks that a container is on, in the order of its endpoints.
fn networks_of(
    context: &Context,
    record: &ContainerRecord,
) -> Result<Vec<NetworkRecord>, ApplyError> {
    let all = store::read_networks(&context.root).map_err(ApplyError::Store)?;
    record
        .endpoints
        .iter()
        .map(|endpoint| {
            all.iter()
                .find(|network| network.name == endpoint.network)
                .cloned()
                .ok_or_else(|| ApplyError::NetworkMissing {
                    service: record.service.clone(),
                    network: endpoint.network.clone(),
                })
        })
        .collect()
}

pub(super) fn random_bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => unreachable!("getrandom(2) cannot fail after boot: {error}"),
        }
    }
    bytes
}
