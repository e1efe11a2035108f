//! Properties of plans of random projects on a random host, over random histories. `PROPTEST_CASES` sets how many.

use compose_spec::model::Condition;
use proptest::prelude::*;
use runtime::spec::ContainerState as State;

use super::{
    fixture::{With, project, service},
    history::{build, event, happen, is_stuck, parts},
    world::{World, order},
};
use crate::plan::{
    DownInputs, DownOptions, Mode, RemoveImages, UpOptions, display, down, drift::namespace_owners,
    plan,
};

proptest! {
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
                    let mut owners = namespace_owners(service);
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
            images: RemoveImages::All,
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
}
