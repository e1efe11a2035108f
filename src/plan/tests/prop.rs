//! Properties of plans of random projects on a random host, over random histories.

use compose_spec::model::{
    Attachment, Condition, Dependency, NetworkMode, Project, RestartPolicy, Service,
};
use indexmap::IndexMap;
use proptest::prelude::*;
use runtime::spec::ContainerState as State;

use super::{
    fixture::{With, name, project, scale, service},
    world::{World, order},
};
use crate::plan::{
    DownInputs, DownOptions, Mode, Recreate, UpOptions, display, down, graph::is_live, plan,
};

const SERVICES: [&str; 5] = ["a", "b", "c", "d", "anon"];

/// One service of a random project; indexes are taken modulo what there is.
#[derive(Debug, Clone)]
struct Part {
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
}

fn part() -> impl Strategy<Value = Part> {
    (
        prop::collection::vec((0..4_usize, 0..3_u8, any::<bool>(), any::<bool>()), 0..3),
        prop::collection::vec(any::<bool>(), 3),
        (any::<bool>(), 0..3_u32, any::<bool>(), any::<bool>()),
        (any::<bool>(), 0..3_u8, any::<bool>(), 0..3_u8),
        prop::option::weighted(0.15, (0..4_usize, any::<bool>())),
    )
        .prop_map(
            |(depends, networks, (port, replicas, volume, built), rest, joins)| Part {
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
            },
        )
}

fn build(parts: &[Part]) -> Project {
    let mut services: Vec<Service> = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let mut made = service(SERVICES[at]).env("LEVEL", &part.level.to_string());
        if part.built {
            made = made.built();
        }
        if part.probed {
            made = made.probed();
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
                1 if matches!(other.health, compose_spec::model::Health::Check(_)) => {
                    Condition::ServiceHealthy
                }
                // One that others need healthy must not end before they have seen it so.
                2 if other.restart == RestartPolicy::No
                    && other.health == compose_spec::model::Health::Inherit =>
                {
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
                made.pid = compose_spec::model::Namespace::Service(owner.clone());
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
        services.push(made);
    }
    let mut project = project(services);
    if parts[0].fixed_address {
        let network = project.networks.get_mut("x");
        if let Some(network) = network {
            network.subnets = vec![compose_spec::model::IpamSubnet {
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
enum Event {
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

fn event() -> impl Strategy<Value = Event> {
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

fn parts() -> impl Strategy<Value = Vec<Part>> {
    prop::collection::vec(part(), 1..=5)
}

/// Changes the world; returns the project wanted from now on.
fn happen(world: &mut World, wanted: Project, event: &Event) -> Project {
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
            world.stopped = crate::plan::Stopped::default();
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
            world.stopped = crate::plan::Stopped::default();
            world.call(UpOptions {
                services: vec![service],
                ..UpOptions::default()
            });
        }
        Event::Scale(at, count) => {
            let service = service_at(&wanted, *at);
            let fixed = !wanted.services[&service].ports.is_empty();
            let count = if fixed { (*count).min(1) } else { *count };
            world.stopped = crate::plan::Stopped::default();
            // A namespace owner without containers is refused, as it should be.
            let owned = wanted.services.values().any(|other| {
                crate::plan::drift::namespace_owners(other).any(|(_, owner)| *owner == service)
            });
            world.call(UpOptions {
                scale: scale(service.as_str(), count.max(u32::from(owned))),
                ..UpOptions::default()
            });
        }
        Event::Exit(at, code) => {
            if let Some(id) = nth(world, *at)
                && is_live(world.container(&id))
                && world.container(&id).record.wanted.restart == RestartPolicy::No
            {
                world.exit(&id, *code, false);
            }
        }
        Event::Reboot => {
            for container in &mut world.observed.containers {
                container.network_intact = false;
                if is_live(container) {
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
            let reference = crate::plan::image_reference(&wanted.name, service);
            *world.revisions.entry(reference).or_default() += 1;
        }
        Event::UserStops(at) => {
            let service = service_at(&wanted, *at);
            let ids: Vec<_> = world
                .observed
                .containers
                .iter()
                .filter(|c| c.record.service == service && is_live(c))
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
            let reference = crate::plan::image_reference(&wanted.name, service);
            world.observed.images.remove(&reference);
        }
    }
    wanted
}

/// A loop that a failed required dependency blocks cannot settle, and must not: skip those histories.
fn is_stuck(world: &World, project: &Project) -> bool {
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_leaves_nothing_to_do(first in parts(), events in prop::collection::vec(event(), 0..6)) {
        let mut world = World::new();
        let mut wanted = build(&first);
        world.up(&wanted, UpOptions::default());
        for event in &events {
            wanted = happen(&mut world, wanted, event);
            if world.options.mode == Mode::Enforce && is_stuck(&world, &wanted) {
                return Ok(());
            }
            if world.options.mode == Mode::Up {
                world.settle(&wanted);
            }
            world.enforce(&wanted);
            let plan = world.plan(&wanted);
            prop_assert_eq!(plan.graph.node_count(), 0, "{}", display(&plan));
        }
    }

    #[test]
    fn a_plan_that_was_cut_off_anywhere_is_made_good(
        first in parts(),
        event in event(),
        choices in prop::collection::vec(any::<u16>(), 40),
        cuts in prop::collection::vec(any::<u16>(), 3),
    ) {
        let mut world = World::new();
        let wanted = build(&first);
        world.up(&wanted, UpOptions::default());
        let wanted = happen(&mut world, wanted, &event);
        if world.options.mode == Mode::Enforce && is_stuck(&world, &wanted) {
            return Ok(());
        }
        for cut in cuts {
            let plan = world.plan(&wanted);
            let mut choice = choices.iter().cycle();
            let steps = order(&plan, &mut |count| usize::from(*choice.next().unwrap()) % count);
            let length = usize::from(cut) % (steps.len() + 1);
            world.apply_steps(&wanted, &plan, &steps[..length]);
        }
        world.settle(&wanted);
        world.enforce(&wanted);
        for service in wanted.services.values() {
            if world.stopped.services.contains(&service.name) || !world.options.services.is_empty() {
                continue;
            }
            let count = world.options.scale.get(&service.name).copied().unwrap_or(service.replicas);
            let there = world.observed.containers.iter().filter(|c| c.record.service == service.name);
            prop_assert_eq!(there.count(), count as usize, "{}", service.name);
        }
    }

    #[test]
    fn unchanged_services_are_not_touched(first in parts(), at in 0..5_usize) {
        let mut world = World::new();
        let wanted = build(&first);
        world.up(&wanted, UpOptions::default());
        let before = world.observed.containers.clone();
        let mut changed = wanted.clone();
        let at = at % changed.services.len();
        changed.services[at].environment.insert("NEW".to_owned(), Some("1".to_owned()));
        world.call(UpOptions::default());
        world.settle(&changed);
        // A service follows when it says so, or when it lives in a namespace of one that is replaced.
        let mut touched = vec![changed.services[at].name.clone()];
        loop {
            let more: Vec<_> = changed
                .services
                .values()
                .filter(|service| !touched.contains(&service.name))
                .filter(|service| {
                    let mut restarts = service.depends_on.iter().filter(|(_, d)| d.restart);
                    let mut owners = crate::plan::drift::namespace_owners(service);
                    restarts.any(|(name, _)| touched.contains(name))
                        || owners.any(|(_, owner)| touched.contains(owner))
                })
                .map(|service| service.name.clone())
                .collect();
            if more.is_empty() {
                break;
            }
            touched.extend(more);
        }
        for container in before.iter().filter(|c| !touched.contains(&c.record.service)) {
            // One that ended by itself runs again at every `up`.
            let was_done = matches!(container.state, State::Exited { .. });
            let now = world.observed.containers.iter().find(|c| c.record.id == container.record.id);
            prop_assert!(now.is_some_and(|now| was_done || now.state == container.state));
        }
    }

    #[test]
    fn down_leaves_nothing(first in parts(), events in prop::collection::vec(event(), 0..3)) {
        let mut world = World::new();
        let mut wanted = build(&first);
        world.up(&wanted, UpOptions::default());
        for event in &events {
            wanted = happen(&mut world, wanted, event);
            if world.options.mode == Mode::Up {
                world.settle(&wanted);
            }
        }
        let options = DownOptions {
            volumes: true,
            remove_orphans: true,
            images: crate::plan::RemoveImages::All,
            ..DownOptions::default()
        };
        let plan = down(&DownInputs {
            project: &wanted.name,
            observed: &world.observed,
            options: &options,
        })
        .unwrap();
        world.apply(&wanted, &plan);
        prop_assert!(world.observed.containers.is_empty());
        prop_assert!(world.observed.networks.is_empty());
        prop_assert!(world.observed.volumes.is_empty());
        prop_assert!(world.observed.images.is_empty());
    }
}

#[test]
fn plans_are_deterministic() {
    let mut world = World::new();
    world.call(UpOptions::default());
    let project = project([
        service("b").needs("a", Condition::ServiceStarted),
        service("a"),
    ]);
    let texts: Vec<String> = (0..3)
        .map(|_| display(&plan(&world.inputs(&project)).unwrap()))
        .collect();
    assert!(texts.iter().all(|text| *text == texts[0]));
    assert_eq!(name("a").as_str(), "a");
}
