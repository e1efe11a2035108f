//! The loop between calls in chosen situations.

use compose_spec::model::{Condition, Project, PullPolicy, RestartPolicy};
use runtime::spec::ContainerState as State;

use super::{
    fixture::{With, name, project, service},
    scene::{settled, web_and_db},
    world::World,
};
use crate::plan::{Mode, UpOptions, display};

fn enforced(world: &mut World, project: &Project) -> String {
    world.options = UpOptions {
        mode: Mode::Enforce,
        services: project.services.keys().cloned().collect(),
        ..UpOptions::default()
    };
    display(&world.plan(project))
}

#[test]
fn a_reboot_starts_everything_in_order() {
    let project = project(web_and_db());
    let mut world = settled(&project);
    for container in &mut world.observed.containers {
        container.state = State::Lost {
            reason: "reboot".to_owned(),
        };
        container.network_intact = false;
    }
    insta::assert_snapshot!(enforced(&mut world, &project), @r"
    1 ensure network shop_default 10.201.137.0/24 (a container on it is not connected)
    2 start container shop-db-1 (lost: reboot) needs 1
    3 await shop-db-1 healthy (others need it healthy) needs 2
    4 start container shop-web-1 (lost: reboot) needs 1,3
    ");
}

#[test]
fn what_ended_by_itself_stays_as_its_policy_says() {
    for (policy, requested, starts) in [
        (RestartPolicy::No, false, false),
        (
            RestartPolicy::OnFailure {
                attempts_max: Some(1),
            },
            false,
            false,
        ),
        (RestartPolicy::Always, false, true),
        (RestartPolicy::UnlessStopped, true, true),
        (RestartPolicy::No, true, true),
    ] {
        let project = project([service("web").with(|service| service.restart = policy)]);
        let mut world = settled(&project);
        let id = world.by_name("shop-web-1").record.id.clone();
        world.exit(&id, 1, requested);
        let text = enforced(&mut world, &project);
        assert_eq!(
            text.contains("start container"),
            starts,
            "{policy:?} {text}"
        );
        world.stopped.services.insert(name("web"));
        assert_eq!(enforced(&mut world, &project), "");
    }
}

#[test]
fn nothing_is_recreated_fetched_or_removed_because_it_differs() {
    let [web, db] = web_and_db();
    let mut world = settled(&project([web.clone(), db, service("old")]));
    world.revisions.insert("web:1".to_owned(), 7);
    world.files.insert(name("web"), "other".to_owned());
    let changed = project([web
        .env("A", "1")
        .with(|service| service.pull_policy = PullPolicy::Always)
        .with(|service| service.depends_on.clear())]);
    assert_eq!(enforced(&mut world, &changed), "");
}

#[test]
fn missing_containers_are_made_unless_the_user_stopped_the_service() {
    let project = project(web_and_db());
    let mut world = settled(&project);
    world.observed.containers.clear();
    assert!(enforced(&mut world, &project).contains("create container shop-web-1"));
    world.stopped.services.insert(name("db"));
    // What requires it does not start either.
    insta::assert_snapshot!(enforced(&mut world, &project), @"1 create container shop-web-1 shop_default=10.201.137.68 8080:80 (not there)");
}

#[test]
fn what_waits_for_something_stopped_waits_down_the_line_but_not_for_done_jobs() {
    let project = project([
        service("front").needs("web", Condition::ServiceStarted),
        service("web").needs("db", Condition::ServiceStarted),
        service("db"),
        service("report").needs("job", Condition::ServiceCompletedSuccessfully),
        service("job"),
    ]);
    let mut world = settled(&project);
    for text in ["shop-front-1", "shop-web-1", "shop-db-1", "shop-report-1"] {
        world.by_name(text).state = State::Lost {
            reason: "reboot".to_owned(),
        };
    }
    world.stopped.services.extend([name("db"), name("job")]);
    insta::assert_snapshot!(enforced(&mut world, &project), @"1 start container shop-report-1 (lost: reboot)");
}

#[test]
fn a_missing_bridge_is_repaired_before_containers_are_restarted() {
    let project = project(web_and_db());
    let mut world = settled(&project);
    world
        .observed
        .networks_down
        .insert("shop_default".to_owned());
    world.by_name("shop-web-1").network_intact = false;
    insta::assert_snapshot!(enforced(&mut world, &project), @"1 ensure network shop_default 10.201.137.0/24 (its bridge is gone)");
    world.observed.networks_down.clear();
    insta::assert_snapshot!(enforced(&mut world, &project), @r"
    1 stop container shop-web-1 (its network is not intact)
    2 ensure network shop_default 10.201.137.0/24 (a container on it is not connected)
    3 start container shop-web-1 (its network is not intact) needs 1,2
    ");
}

#[test]
fn what_cannot_be_planned_does_not_keep_the_rest() {
    let project = project([
        service("web").publishes(80, 80),
        service("front").needs("web", Condition::ServiceStarted),
        service("db"),
    ]);
    let mut world = settled(&project);
    world.observed.containers.clear();
    world.observed.taken.ports.push(crate::model::PortUse {
        host_ip: "0.0.0.0".parse().unwrap(),
        host_port: 80,
        protocol: compose_spec::model::PortProtocol::Tcp,
        container: "other-web-1".to_owned(),
    });
    insta::assert_snapshot!(enforced(&mut world, &project), @r"
    1 create container shop-db-1 shop_default=10.201.137.24 (not there)
    2 start container shop-db-1 (not there) needs 1
    ");
    let problems = world.plan(&project).problems;
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].config_path().unwrap(), "services.web.ports[0]");
}

#[test]
fn always_comes_back_after_a_reboot_and_unless_stopped_does_not() {
    let project = project([
        service("a").with(|service| service.restart = RestartPolicy::Always),
        service("b").with(|service| service.restart = RestartPolicy::UnlessStopped),
    ]);
    let mut world = settled(&project);
    world.stopped.services.extend([name("a"), name("b")]);
    world.stopped.forget_after_reboot(&project);
    assert_eq!(
        world.stopped.services.iter().collect::<Vec<_>>(),
        [&name("b")]
    );
}
