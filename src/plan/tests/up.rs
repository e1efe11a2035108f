//! `up` in chosen situations.

use compose_spec::model::{
    Condition, ImageSource, NetworkMode, PublishedPort, PullPolicy, RestartPolicy,
};
use runtime::spec::ContainerState as State;

use super::{
    fixture::{With, build, name, project, scale, service},
    world::World,
};
use crate::{
    model::Timestamp,
    plan::{ChangedVolumes, Mode, Recreate, UpOptions, display},
};

fn web_and_db() -> [compose_spec::model::Service; 2] {
    [
        service("web")
            .publishes(8080, 80)
            .needs("db", Condition::ServiceHealthy),
        service("db").probed().mounts("data", "/data"),
    ]
}

/// A world where the project is up already.
fn settled(project: &compose_spec::model::Project) -> World {
    let mut world = World::new();
    world.up(project, UpOptions::default());
    world
}

fn planned(
    world: &mut World,
    project: &compose_spec::model::Project,
    options: UpOptions,
) -> String {
    world.call(options);
    display(&world.plan(project))
}

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
fn an_unchanged_project_needs_nothing_even_without_its_images() {
    let project = project(web_and_db());
    let mut world = settled(&project);
    world.observed.images.clear();
    assert_eq!(planned(&mut world, &project, UpOptions::default()), "");
}

#[test]
fn a_changed_service_is_replaced_and_nothing_else() {
    let [web, db] = web_and_db();
    let mut world = settled(&project([web.clone(), db.clone()]));
    let project = project([web.env("LEVEL", "debug"), db]);
    insta::assert_snapshot!(planned(&mut world, &project, UpOptions::default()), @r#"
    1 stop container shop-web-1 (environment.LEVEL (none) -> "debug")
    2 remove container shop-web-1 (environment.LEVEL (none) -> "debug") needs 1
    3 create container shop-web-1 shop_default=10.201.137.68 8080:80 (environment.LEVEL (none) -> "debug") needs 2
    4 start container shop-web-1 (environment.LEVEL (none) -> "debug") needs 3
    "#);
}

#[test]
fn what_is_replaced_runs_until_what_the_new_one_needs_is_there() {
    let [web, db] = web_and_db();
    let mut world = settled(&project([web.clone(), db.clone()]));
    let project = project([
        web.env("A", "1").on(&["default", "extra"]),
        db.env("A", "1"),
    ]);
    insta::assert_snapshot!(planned(&mut world, &project, UpOptions::default()), @r#"
    1 ensure network shop_extra 10.201.65.0/24 (not there)
    2 stop container shop-db-1 (environment.A (none) -> "1")
    3 remove container shop-db-1 (environment.A (none) -> "1") needs 2
    4 create container shop-db-1 shop_default=10.201.137.24 (environment.A (none) -> "1") needs 3
    5 start container shop-db-1 (environment.A (none) -> "1") needs 4
    6 await shop-db-1 healthy (others need it healthy) needs 5
    7 stop container shop-web-1 (environment.A (none) -> "1"; network.networks.extra changed) needs 1,6
    8 remove container shop-web-1 (environment.A (none) -> "1"; network.networks.extra changed) needs 7
    9 create container shop-web-1 shop_default=10.201.137.68 shop_extra=10.201.65.68 8080:80 (environment.A (none) -> "1"; network.networks.extra changed) needs 1,8
    10 start container shop-web-1 (environment.A (none) -> "1"; network.networks.extra changed) needs 6,9
    "#);
}

#[test]
fn dependents_that_restart_with_it_stop_first_and_start_last() {
    let db = || service("db").probed();
    let [web, front] = [
        service("web").restarts_with("db"),
        service("front").restarts_with("web"),
    ];
    let mut world = settled(&project([web.clone(), front.clone(), db()]));
    let project = project([web, front, db().env("A", "1")]);
    insta::assert_snapshot!(planned(&mut world, &project, UpOptions::default()), @r#"
    1 stop container shop-front-1 (depends_on.web.restart: web is replaced or restarted)
    2 stop container shop-web-1 (depends_on.db.restart: db is replaced or restarted) after 1
    3 stop container shop-db-1 (environment.A (none) -> "1") after 2
    4 remove container shop-db-1 (environment.A (none) -> "1") needs 3
    5 create container shop-db-1 shop_default=10.201.137.24 (environment.A (none) -> "1") needs 4
    6 start container shop-db-1 (environment.A (none) -> "1") needs 5
    7 await shop-db-1 started (others need it started) needs 6
    8 start container shop-web-1 (depends_on.db.restart: db is replaced or restarted) needs 2,7
    9 await shop-web-1 started (others need it started) needs 8
    10 start container shop-front-1 (depends_on.web.restart: web is replaced or restarted) needs 1,9
    "#);
}

#[test]
fn an_existing_container_waits_for_its_image_and_a_new_one_does_not() {
    let [web, db] = web_and_db();
    let mut world = settled(&project([web.clone().built()]));
    let project = project([web.built(), db]);
    let options = UpOptions {
        build: true,
        ..UpOptions::default()
    };
    insta::assert_snapshot!(planned(&mut world, &project, options), @r"
    1 ensure volume shop_data (not there)
    2 pull image db:1 (not in the store)
    3 build image shop-web (a build is asked for)
    4 create container shop-db-1 shop_default=10.201.137.24 (not there) needs 1,2
    5 start container shop-db-1 (not there) needs 4
    deferred
    ");
}

#[test]
fn a_rebuilt_image_replaces_containers_only_when_it_differs() {
    let project = project([service("web").built()]);
    let options = || UpOptions {
        build: true,
        ..UpOptions::default()
    };
    let mut world = settled(&project);
    let before = world.observed.containers.clone();
    world.call(options());
    world.settle(&project);
    assert_eq!(world.observed.containers, before);
    world.revisions.insert("shop-web".to_owned(), 1);
    world.call(options());
    world.settle(&project);
    assert_ne!(
        world.observed.containers[0].record.image,
        before[0].record.image
    );
    assert_eq!(
        world.observed.containers[0].record.name,
        before[0].record.name
    );
    assert_eq!(
        world.observed.containers[0].record.endpoints[0].address,
        before[0].record.endpoints[0].address
    );
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
fn anonymous_volumes_go_on_unless_they_are_renewed() {
    let of = |text: &str| project([service("anon").env("A", text)]);
    let mut world = settled(&of("1"));
    let volume = world.by_name("shop-anon-1").record.anonymous_volumes["/var/lib/anon"].clone();
    world.up(&of("2"), UpOptions::default());
    assert_eq!(
        world.by_name("shop-anon-1").record.anonymous_volumes["/var/lib/anon"],
        volume
    );
    world.up(
        &of("2"),
        UpOptions {
            renew_anonymous_volumes: true,
            ..UpOptions::default()
        },
    );
    assert_ne!(
        world.by_name("shop-anon-1").record.anonymous_volumes["/var/lib/anon"],
        volume
    );
    // Data is not thrown away unasked.
    assert!(world.observed.volumes.contains_key(&volume));
}

#[test]
fn ports_that_change_hands_are_free_before_they_are_taken() {
    let of = |a, b| {
        project([
            service("a").publishes(a, 80),
            service("b")
                .publishes(b, 80)
                .needs("a", Condition::ServiceStarted),
        ])
    };
    let mut world = settled(&of(8001, 8002));
    insta::assert_snapshot!(planned(&mut world, &of(8002, 8001), UpOptions::default()), @r"
    1 stop container shop-b-1 (ports[0].published.fixed 8002 -> 8001)
    2 stop container shop-a-1 (ports[0].published.fixed 8001 -> 8002) after 1
    3 remove container shop-a-1 (ports[0].published.fixed 8001 -> 8002) needs 2
    4 remove container shop-b-1 (ports[0].published.fixed 8002 -> 8001) needs 1
    5 create container shop-a-1 shop_default=10.201.137.200 8002:80 (ports[0].published.fixed 8001 -> 8002) needs 3,4
    6 start container shop-a-1 (ports[0].published.fixed 8001 -> 8002) needs 5
    7 create container shop-b-1 shop_default=10.201.137.194 8001:80 (ports[0].published.fixed 8002 -> 8001) needs 3,4
    8 await shop-a-1 started (others need it started) needs 6
    9 start container shop-b-1 (ports[0].published.fixed 8002 -> 8001) needs 7,8
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
fn a_changed_network_is_made_anew_with_all_of_its_containers() {
    let mut project = project(web_and_db());
    let mut world = settled(&project);
    project.networks["default"].internal = true;
    insta::assert_snapshot!(planned(&mut world, &project, UpOptions::default()), @r"
    1 stop container shop-web-1 (network shop_default is made anew (internal false -> true))
    2 stop container shop-db-1 (network shop_default is made anew (internal false -> true)) after 1
    3 remove container shop-db-1 (network shop_default is made anew (internal false -> true)) needs 2
    4 remove container shop-web-1 (network shop_default is made anew (internal false -> true)) needs 1
    5 remove network shop_default (internal false -> true) needs 3,4
    6 ensure network shop_default 10.201.137.0/24 (internal false -> true) needs 5
    7 create container shop-db-1 shop_default=10.201.137.24 (network shop_default is made anew (internal false -> true)) needs 3,6
    8 start container shop-db-1 (network shop_default is made anew (internal false -> true)) needs 7
    9 create container shop-web-1 shop_default=10.201.137.68 8080:80 (network shop_default is made anew (internal false -> true)) needs 4,6
    10 await shop-db-1 healthy (others need it healthy) needs 8
    11 start container shop-web-1 (network shop_default is made anew (internal false -> true)) needs 9,10
    ");
    world.settle(&project);
    project.networks["default"]
        .labels
        .insert("a".to_owned(), "b".to_owned());
    insta::assert_snapshot!(planned(&mut world, &project, UpOptions::default()), @"1 ensure network shop_default 10.201.137.0/24 (its labels or address settings changed)");
}

#[test]
fn a_changed_volume_is_kept_or_asked_about() {
    let mut project = project(web_and_db());
    let mut world = settled(&project);
    let options = [("type", "none"), ("o", "bind"), ("device", "/srv/data")];
    project.volumes["data"].driver_opts = options
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    insta::assert_snapshot!(planned(&mut world, &project, UpOptions::default()), @"notice: volume `shop_data` differs from the Compose file (driver_opts.type changed) and is kept as it is");
    let options = UpOptions {
        changed_volumes: ChangedVolumes::Recreate,
        ..UpOptions::default()
    };
    insta::assert_snapshot!(planned(&mut world, &project, options), @r"
    1 stop container shop-db-1 (volume shop_data is made anew (driver_opts.type changed))
    2 remove container shop-db-1 (volume shop_data is made anew (driver_opts.type changed)) needs 1
    3 remove volume shop_data (driver_opts.type changed) needs 2
    4 ensure volume shop_data (driver_opts.type changed) needs 3
    5 create container shop-db-1 shop_default=10.201.137.24 (volume shop_data is made anew (driver_opts.type changed)) needs 2,4
    6 start container shop-db-1 (volume shop_data is made anew (driver_opts.type changed)) needs 5
    confirm: volume `shop_data` differs from the Compose file (driver_opts.type changed). Make it anew? Its data will be lost
    ");
}

#[test]
fn forcing_reaches_named_services_once_and_never_means_never() {
    let project = project(web_and_db());
    let mut world = settled(&project);
    let force = || UpOptions {
        recreate: Recreate::Force,
        services: vec![name("web")],
        ..UpOptions::default()
    };
    insta::assert_snapshot!(planned(&mut world, &project, force()), @r"
    1 stop container shop-web-1 (forced)
    2 remove container shop-web-1 (forced) needs 1
    3 create container shop-web-1 shop_default=10.201.137.68 8080:80 (forced) needs 2
    4 start container shop-web-1 (forced) needs 3
    ");
    world.call(force());
    assert_eq!(world.settle(&project), 1);
    let all = UpOptions {
        always_recreate_deps: true,
        ..force()
    };
    assert!(planned(&mut world, &project, all).contains("create container shop-db-1"));
    let mut changed = project.clone();
    changed.services["web"]
        .environment
        .insert("A".to_owned(), Some("1".to_owned()));
    let never = UpOptions {
        recreate: Recreate::Never,
        ..UpOptions::default()
    };
    assert_eq!(planned(&mut world, &changed, never), "");
}

#[test]
fn one_that_joins_a_network_follows_its_owner() {
    let of = |text: &str| {
        project([
            service("side").with(|service| service.network = NetworkMode::Service(name("app"))),
            service("app").env("A", text),
        ])
    };
    let mut world = settled(&of("1"));
    insta::assert_snapshot!(planned(&mut world, &of("2"), UpOptions::default()), @r#"
    1 stop container shop-side-1 (network_mode: service app is replaced)
    2 stop container shop-app-1 (environment.A "1" -> "2") after 1
    3 remove container shop-app-1 (environment.A "1" -> "2") needs 2
    4 remove container shop-side-1 (network_mode: service app is replaced) needs 1
    5 create container shop-app-1 shop_default=10.201.137.15 (environment.A "1" -> "2") needs 3
    6 start container shop-app-1 (environment.A "1" -> "2") needs 5
    7 create container shop-side-1 (network_mode: service app is replaced) needs 4,5
    8 start container shop-side-1 (network_mode: service app is replaced) needs 6,7
    "#);
    // Also when the plan was cut off after the owner was replaced.
    let mut replaced = world.clone();
    replaced.options.services = vec![name("app")];
    let owner = replaced.by_name("shop-app-1").record.id.clone();
    replaced.container(&owner).record.id = crate::model::ContainerId::from_bytes([9; 32]);
    assert!(display(&replaced.plan(&of("1"))).contains("create container shop-side-1"));
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

mod enforce {
    use super::*;

    fn enforced(world: &mut World, project: &compose_spec::model::Project) -> String {
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
}
