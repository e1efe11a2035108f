//! `up` in chosen situations: what is made, started, fetched and told.

use compose_spec::model::{Condition, ImageSource, Mount, MountSource, PublishedPort, PullPolicy};
use runtime::spec::ContainerState as State;

use super::{
    fixture::{With, build, name, project, scale, service},
    scene::{planned, settled, web_and_db},
    world::World,
};
use crate::{
    model::Timestamp,
    plan::{UpOptions, display},
};

#[test]
fn a_new_project_is_made_in_the_order_of_its_dependencies() {
    let [web, db] = web_and_db();
    let project = project([web.built(), db]);
    insta::assert_snapshot!(planned(&mut World::new(), &project, UpOptions::default()), @r"
    1 ensure network shop_default 10.201.137.0/24 (not there)
    2 ensure volume shop_data (not there)
    3 pull image db:1 (not in the store)
    4 build image shop-web (not in the store)
    5 create container shop-db-1 shop_default=10.201.137.24 (not there) needs 1,2,3
    6 start container shop-db-1 (not there) needs 5
    7 create container shop-web-1 shop_default=10.201.137.68 8080:80 (not there) needs 1,4
    8 await shop-db-1 healthy (others need it healthy) needs 6
    9 start container shop-web-1 (not there) needs 7,8
    ");
}

#[test]
fn an_image_that_is_mounted_comes_before_its_container() {
    let mount = |image: &str| Mount {
        target: format!("/{image}"),
        read_only: false,
        source: MountSource::Image {
            image: image.to_owned(),
            subpath: None,
        },
    };
    let project = project([
        service("web").with(|web| web.mounts = vec![mount("tools"), mount("shop-db")]),
        service("db").built(),
    ]);
    let options = UpOptions {
        services: vec![name("web")],
        ..UpOptions::default()
    };
    insta::assert_snapshot!(planned(&mut World::new(), &project, options), @r"
    1 ensure network shop_default 10.201.137.0/24 (not there)
    2 pull image web:1 (not in the store)
    3 build image shop-db (not in the store)
    4 pull image tools (not in the store)
    5 create container shop-web-1 shop_default=10.201.137.68 (not there) needs 1,2,3,4
    6 start container shop-web-1 (not there) needs 5
    ");
}

#[test]
fn an_unchanged_project_needs_nothing_even_without_its_images() {
    let project = project(web_and_db());
    let mut world = settled(&project);
    world.observed.images.clear();
    assert_eq!(planned(&mut world, &project, UpOptions::default()), "");
}

#[test]
fn replicas_are_numbered_on_and_removed_outdated_and_highest_first() {
    let of =
        |text: &str, count| project([service("web").env("A", text).with(|s| s.replicas = count)]);
    let mut world = settled(&of("1", 3));
    world
        .observed
        .containers
        .retain(|c| c.record.name != "shop-web-1");
    insta::assert_snapshot!(planned(&mut world, &of("1", 3), UpOptions::default()), @r"
    1 create container shop-web-4 shop_default=10.201.137.250 (not there)
    2 start container shop-web-4 (not there) needs 1
    ");
    let options = UpOptions {
        scale: scale("web", 1),
        ..UpOptions::default()
    };
    insta::assert_snapshot!(planned(&mut world, &of("1", 3), options), @r"
    1 stop container shop-web-3 (scaled to 1)
    2 remove container shop-web-3 (scaled to 1) needs 1
    ");
    world.by_name("shop-web-2").record.wanted = of("old", 1).services[0].clone();
    insta::assert_snapshot!(planned(&mut world, &of("1", 1), UpOptions::default()), @r"
    1 stop container shop-web-2 (scaled to 1)
    2 remove container shop-web-2 (scaled to 1) needs 1
    ");
}

#[test]
fn a_range_gives_each_replica_a_port_that_stays() {
    let of = |text: &str| {
        project([service("web").env("A", text).with(|service| {
            service.replicas = 3;
            service.ports.push(compose_spec::model::Port {
                target: 80,
                published: PublishedPort::Range(9000, 9002),
                host_ip: None,
                protocol: compose_spec::model::PortProtocol::Tcp,
            });
        })])
    };
    let ports = |world: &World| {
        let containers = world.observed.containers.iter();
        let mut ports: Vec<_> = containers
            .map(|c| (c.record.name.clone(), c.record.published[0].host_port))
            .collect();
        ports.sort();
        ports
    };
    let mut world = settled(&of("1"));
    let before = ports(&world);
    assert_eq!(
        before.iter().map(|(_, port)| *port).collect::<Vec<_>>(),
        [9000, 9001, 9002]
    );
    world.up(&of("2"), UpOptions::default());
    assert_eq!(ports(&world), before);
}

#[test]
fn jobs_run_again_at_each_up_but_once() {
    let project = project([
        service("web").needs("migrate", Condition::ServiceCompletedSuccessfully),
        service("migrate"),
    ]);
    let mut world = settled(&project);
    assert!(matches!(
        world.by_name("shop-migrate-1").state,
        State::Exited { .. }
    ));
    insta::assert_snapshot!(planned(&mut world, &project, UpOptions::default()), @"1 start container shop-migrate-1 (exited (0))");
    assert_eq!(world.settle(&project), 1);
}

#[test]
fn waiting_ends_with_every_service_ready() {
    let project = project(web_and_db());
    let wait = || UpOptions {
        wait: true,
        ..UpOptions::default()
    };
    let mut world = World::new();
    insta::assert_snapshot!(planned(&mut world, &project, wait()), @r"
    1 ensure network shop_default 10.201.137.0/24 (not there)
    2 ensure volume shop_data (not there)
    3 pull image db:1 (not in the store)
    4 pull image web:1 (not in the store)
    5 create container shop-db-1 shop_default=10.201.137.24 (not there) needs 1,2,3
    6 start container shop-db-1 (not there) needs 5
    7 create container shop-web-1 shop_default=10.201.137.68 8080:80 (not there) needs 1,4
    8 await shop-db-1 healthy (others need it healthy) needs 6
    9 start container shop-web-1 (not there) needs 7,8
    10 await shop-db-1 ready (--wait) needs 6
    11 await shop-web-1 ready (--wait) needs 9
    ");
    world.settle(&project);
    assert_eq!(planned(&mut world, &project, wait()), "");
}

#[test]
fn orphans_are_told_or_removed_but_not_those_of_profiles() {
    let [web, db] = web_and_db();
    let mut world = settled(&project([web, db.clone()]));
    let project = project([db]);
    insta::assert_snapshot!(planned(&mut world, &project, UpOptions::default()), @"notice: found orphan containers (shop-web-1): the Compose file has no such services; `--remove-orphans` removes them");
    let options = UpOptions {
        remove_orphans: true,
        ..UpOptions::default()
    };
    insta::assert_snapshot!(planned(&mut world, &project, options.clone()), @r"
    1 stop container shop-web-1 (its service is no longer in the Compose file)
    2 remove container shop-web-1 (its service is no longer in the Compose file) needs 1
    ");
    let options = UpOptions {
        inactive_services: vec![name("web")],
        ..options
    };
    assert_eq!(planned(&mut world, &project, options), "");
}

#[test]
fn pull_policies_say_when_the_registry_is_asked() {
    let day = 86_400;
    for (policy, age, asked) in [
        (PullPolicy::Missing, day * 9, false),
        (PullPolicy::Never, day * 9, false),
        (PullPolicy::Always, 0, true),
        (PullPolicy::Every { seconds: day }, 3600, false),
        (PullPolicy::Every { seconds: day }, day, true),
    ] {
        let mut project = project([service("web")]);
        let mut world = settled(&project);
        project.services["web"].pull_policy = policy;
        world.now += 10 * day * 1000;
        world
            .observed
            .images_fetched
            .insert("web:1".to_owned(), Timestamp(world.now + 1000 - age * 1000));
        let text = planned(&mut world, &project, UpOptions::default());
        assert_eq!(
            text.starts_with("1 pull image web:1"),
            asked,
            "{policy:?} {text}"
        );
        assert_eq!(text.contains("deferred"), asked);
        // Once it was asked, it is not asked again for the same call.
        world.settle(&project);
        assert_eq!(display(&world.plan(&project)), "");
    }
}

#[test]
fn an_image_that_another_service_builds_is_not_pulled() {
    let project = project([
        service("worker").with(|service| {
            service.image = ImageSource::Pull {
                image: "app".to_owned(),
            }
        }),
        service("web").with(|service| {
            service.image = ImageSource::Build {
                image: Some("app".to_owned()),
                build: Box::new(build("/src")),
            };
        }),
    ]);
    let options = UpOptions {
        services: vec![name("worker")],
        ..UpOptions::default()
    };
    insta::assert_snapshot!(planned(&mut World::new(), &project, options), @r"
    1 ensure network shop_default 10.201.137.0/24 (not there)
    2 build image app (not in the store)
    3 create container shop-worker-1 shop_default=10.201.137.18 (not there) needs 1,2
    4 start container shop-worker-1 (not there) needs 3
    ");
}

#[test]
fn creating_without_starting_and_leaving_dependencies_alone() {
    let project = project(web_and_db());
    let options = UpOptions {
        services: vec![name("web")],
        no_deps: true,
        no_start: true,
        ..UpOptions::default()
    };
    let mut world = World::new();
    insta::assert_snapshot!(planned(&mut world, &project, options), @r"
    1 ensure network shop_default 10.201.137.0/24 (not there)
    2 pull image web:1 (not in the store)
    3 create container shop-web-1 shop_default=10.201.137.68 8080:80 (not there) needs 1,2
    ");
    world.settle(&project);
    insta::assert_snapshot!(planned(&mut world, &project, UpOptions::default()), @r"
    1 ensure volume shop_data (not there)
    2 pull image db:1 (not in the store)
    3 create container shop-db-1 shop_default=10.201.137.24 (not there) needs 1,2
    4 start container shop-db-1 (not there) needs 3
    5 await shop-db-1 healthy (others need it healthy) needs 4
    6 start container shop-web-1 (created but not started) needs 5
    ");
}
