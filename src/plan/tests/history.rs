//! Random projects, and what may happen to them.

use compose_spec::model::{
    Attachment, Condition, Dependency, Health, IpamSubnet, Namespace, NetworkMode, Project,
    RestartPolicy, Service,
};
use indexmap::IndexMap;
use proptest::prelude::*;
use runtime::spec::ContainerState as State;

use super::{
    fixture::{With, project, scale, service},
    world::World,
};
use crate::plan::{Recreate, Stopped, UpOptions, drift::namespace_owners, image_reference};

const SERVICES: [&str; 5] = ["a", "b", "c", "d", "anon"];

/// One service of a random project; indexes are taken modulo what there is.
#[derive(Debug, Clone)]
pub(super) struct Part {
    depends: Vec<(usize, u8, bool, bool)>,
    networks: Vec<bool>,
    port: bool,
    replicas: u32,
    volume: bool,
    built: bool,
    probed: bool,
    restart: u8,
    joins: Option<(usize, bool)>,
    fixed_address: bool,
    level: u8,
    hooked: bool,
    inits: Vec<bool>,
}

fn part() -> impl Strategy<Value = Part> {
    (
        prop::collection::vec((0..4_usize, 0..3_u8, any::<bool>(), any::<bool>()), 0..3),
        prop::collection::vec(any::<bool>(), 3),
        (any::<bool>(), 0..3_u32, any::<bool>(), any::<bool>()),
        (any::<bool>(), 0..3_u8, any::<bool>(), 0..3_u8),
        prop::option::weighted(0.15, (0..4_usize, any::<bool>())),
        (
            prop::bool::weighted(0.3),
            prop::collection::vec(any::<bool>(), 0..3),
        ),
    )
        .prop_map(
            |(depends, networks, (port, replicas, volume, built), rest, joins, (hooked, inits))| {
                Part {
                    depends,
                    networks,
                    port,
                    replicas,
                    volume,
                    built,
                    probed: rest.0,
                    restart: rest.1,
                    fixed_address: rest.2,
                    level: rest.3,
                    joins,
                    hooked,
                    inits,
                }
            },
        )
}

pub(super) fn build(parts: &[Part]) -> Project {
    let mut services: Vec<Service> = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let mut made = service(SERVICES[at]).env("LEVEL", &part.level.to_string());
        if part.built {
            made = made.built();
        }
        if part.probed {
            made = made.probed();
        }
        if part.hooked {
            made = made.hooked();
        }
        if part.volume {
            made = made.mounts(&format!("v{}", at % 2), "/data");
        }
        made.restart = [
            RestartPolicy::No,
            RestartPolicy::UnlessStopped,
            RestartPolicy::OnFailure { attempts_max: None },
        ][usize::from(part.restart)];
        made.replicas = part.replicas;
        let networks: IndexMap<String, Attachment> = ["x", "y", "z"]
            .iter()
            .zip(&part.networks)
            .filter(|(_, on)| **on)
            .map(|(key, _)| ((*key).to_owned(), Attachment::default()))
            .collect();
        made.network = NetworkMode::Networks(networks);
        if part.port && part.replicas < 2 {
            made = made.publishes(8000 + u16::try_from(at).unwrap(), 80);
        }
        for (other, condition, restart, required) in &part.depends {
            if at == 0 {
                break;
            }
            let other = &services[other % at];
            let condition = match condition {
                1 if matches!(other.health, Health::Check(_)) => Condition::ServiceHealthy,
                // One that others need healthy must not end before they have seen it so.
                2 if other.restart == RestartPolicy::No && other.health == Health::Inherit => {
                    Condition::ServiceCompletedSuccessfully
                }
                _ => Condition::ServiceStarted,
            };
            let dependency = Dependency {
                condition,
                restart: *restart,
                required: *required,
            };
            made.depends_on.insert(other.name.clone(), dependency);
        }
        if let Some((other, pid)) = part.joins
            && at > 0
            && services[other % at].replicas > 0
        {
            let owner = services[other % at].name.clone();
            let runs = services[other % at].restart != RestartPolicy::No;
            if pid && runs {
                made.pid = Namespace::Service(owner.clone());
            } else {
                made.network = NetworkMode::Service(owner.clone());
                made.ports.clear();
            }
            made.depends_on.entry(owner).or_insert(Dependency {
                condition: Condition::ServiceStarted,
                restart: false,
                required: true,
            });
        }
        if !part.inits.is_empty() {
            made = made.inits(&part.inits);
        }
        services.push(made);
    }
    let mut project = project(services);
    if parts[0].fixed_address {
        let network = project.networks.get_mut("x");
        if let Some(network) = network {
            network.subnets = vec![IpamSubnet {
                subnet: Some("10.77.0.0/24".to_owned()),
                ip_range: None,
                gateway: None,
                aux_addresses: IndexMap::new(),
            }];
        }
    }
    project
}

/// What happens between calls.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Up {
        project: Vec<Part>,
        force: bool,
        build: bool,
        renew: bool,
    },
    UpSome(usize),
    Scale(usize, u32),
    Exit(usize, i32),
    Reboot,
    Vanish(usize),
    Disconnect(usize),
    BridgesGone,
    ImageMoves(usize),
    UserStops(usize),
    SecretChanges(usize),
    Pause(usize),
    RemoveImage(usize),
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (parts(), any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(project, force, build, renew)| Event::Up { project, force, build, renew }),
        1 => (0..5_usize).prop_map(Event::UpSome),
        1 => (0..5_usize, 0..4_u32).prop_map(|(at, count)| Event::Scale(at, count)),
        1 => (0..8_usize, 0..2_i32).prop_map(|(at, code)| Event::Exit(at, code)),
        1 => Just(Event::Reboot),
        1 => (0..8_usize).prop_map(Event::Vanish),
        1 => (0..8_usize).prop_map(Event::Disconnect),
        1 => Just(Event::BridgesGone),
        1 => (0..5_usize).prop_map(Event::ImageMoves),
        1 => (0..5_usize).prop_map(Event::UserStops),
        1 => (0..5_usize).prop_map(Event::SecretChanges),
        1 => (0..8_usize).prop_map(Event::Pause),
        1 => (0..5_usize).prop_map(Event::RemoveImage),
    ]
}

pub(super) fn parts() -> impl Strategy<Value = Vec<Part>> {
    prop::collection::vec(part(), 1..=5)
}

/// Changes the world; returns the project wanted from now on.
pub(super) fn happen(world: &mut World, wanted: Project, event: &Event) -> Project {
    let nth = |world: &World, at: usize| {
        let containers = &world.observed.containers;
        (!containers.is_empty()).then(|| containers[at % containers.len()].record.id.clone())
    };
    let service_at = |project: &Project, at: usize| {
        project
            .services
            .keys()
            .nth(at % project.services.len())
            .unwrap()
            .clone()
    };
    match event {
        Event::Up {
            project,
            force,
            build: rebuild,
            renew,
        } => {
            let project = build(project);
            world.stopped = Stopped::default();
            world.call(UpOptions {
                recreate: if *force {
                    Recreate::Force
                } else {
                    Recreate::Diverged
                },
                build: *rebuild,
                renew_anonymous_volumes: *renew,
                remove_orphans: true,
                ..UpOptions::default()
            });
            return project;
        }
        Event::UpSome(at) => {
            let service = service_at(&wanted, *at);
            world.stopped = Stopped::default();
            world.call(UpOptions {
                services: vec![service],
                ..UpOptions::default()
            });
        }
        Event::Scale(at, count) => {
            let service = service_at(&wanted, *at);
            let fixed = !wanted.services[&service].ports.is_empty();
            let count = if fixed { (*count).min(1) } else { *count };
            world.stopped = Stopped::default();
            // A namespace owner without containers is refused, as it should be.
            let owned = wanted
                .services
                .values()
                .any(|other| namespace_owners(other).any(|(_, owner)| *owner == service));
            world.call(UpOptions {
                scale: scale(service.as_str(), count.max(u32::from(owned))),
                ..UpOptions::default()
            });
        }
        Event::Exit(at, code) => {
            if let Some(id) = nth(world, *at)
                && world.container(&id).state.is_live()
                && world.container(&id).record.wanted.restart == RestartPolicy::No
            {
                world.exit(&id, *code, false);
            }
        }
        Event::Reboot => {
            for container in &mut world.observed.containers {
                container.network_intact = false;
                if container.state.is_live() {
                    container.state = State::Lost {
                        reason: "the machine was restarted".to_owned(),
                    };
                }
            }
            world.observed.networks_down = world.observed.networks.keys().cloned().collect();
        }
        Event::Vanish(at) => {
            if let Some(id) = nth(world, *at) {
                world.observed.containers.retain(|c| c.record.id != id);
            }
        }
        Event::Disconnect(at) => {
            if let Some(id) = nth(world, *at) {
                world.container(&id).network_intact = false;
            }
        }
        Event::BridgesGone => {
            world.observed.networks_down = world.observed.networks.keys().cloned().collect();
        }
        Event::ImageMoves(at) => {
            let service = &wanted.services[*at % wanted.services.len()];
            let reference = image_reference(&wanted.name, service);
            *world.revisions.entry(reference).or_default() += 1;
        }
        Event::UserStops(at) => {
            let service = service_at(&wanted, *at);
            let ids: Vec<_> = world
                .observed
                .containers
                .iter()
                .filter(|c| c.record.service == service && c.state.is_live())
                .map(|c| c.record.id.clone())
                .collect();
            for id in ids {
                world.exit(&id, 137, true);
            }
            world.stopped.services.insert(service);
        }
        Event::SecretChanges(at) => {
            let service = service_at(&wanted, *at);
            let now = world.now.to_string();
            world.files.insert(service, now);
        }
        Event::Pause(at) => {
            if let Some(id) = nth(world, *at)
                && let State::Running {
                    pid,
                    since_ms,
                    health,
                } = world.container(&id).state.clone()
            {
                world.container(&id).state = State::Paused {
                    pid,
                    since_ms,
                    health,
                };
            }
        }
        Event::RemoveImage(at) => {
            let service = &wanted.services[*at % wanted.services.len()];
            let reference = image_reference(&wanted.name, service);
            world.observed.images.remove(&reference);
        }
    }
    wanted
}

/// A loop that a failed required dependency blocks cannot settle, and must not: skip those histories.
pub(super) fn is_stuck(world: &World, project: &Project) -> bool {
    world.observed.containers.iter().any(|c| match &c.state {
        State::Exited { status, .. } => project.services.values().any(|service| {
            service
                .depends_on
                .get(&c.record.service)
                .is_some_and(|dependency| match dependency.condition {
                    Condition::ServiceStarted => status.requested,
                    Condition::ServiceHealthy => true,
                    Condition::ServiceCompletedSuccessfully => status.code != 0,
                })
        }),
        State::Paused { .. } => project.services.values().any(|service| {
            let dependency = service.depends_on.get(&c.record.service);
            dependency.is_some_and(|d| d.condition != Condition::ServiceStarted)
        }),
        _ => false,
    })
}
