//! `up` in chosen situations: what is replaced, with whom, and in which order.

use compose_spec::model::{Condition, Namespace, NetworkMode};

use super::{
    fixture::{With, name, project, service},
    scene::{planned, settled, web_and_db},
};
use crate::plan::{ChangedVolumes, Recreate, UpOptions, display};

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
fn a_volume_that_the_file_protects_is_marked_and_never_made_anew() {
    let mut project = project(web_and_db());
    let mut world = settled(&project);
    let section = serde_json::json!({ "protect": true });
    let extensions = &mut project.volumes["data"].extensions;
    extensions.insert("x-stack".to_owned(), section);
    let marked = planned(&mut world, &project, UpOptions::default());
    assert_eq!(marked.trim(), "1 ensure volume shop_data (x-stack.protect)");
    let options = &mut project.volumes["data"].driver_opts;
    options.insert("type".to_owned(), "tmpfs".to_owned());
    let recreate = UpOptions {
        changed_volumes: ChangedVolumes::Recreate,
        ..UpOptions::default()
    };
    let kept = planned(&mut world, &project, recreate);
    assert!(
        kept.contains("is kept as it is") && !kept.contains("remove"),
        "{kept}"
    );
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
fn one_that_joins_processes_is_made_once_its_owner_runs() {
    let side = service("side").with(|service| service.pid = Namespace::Service(name("app")));
    let third = service("third").with(|s| s.network = NetworkMode::Service(name("side")));
    let app = || service("app").built();
    let mut world = settled(&project([app()]));
    let options = UpOptions {
        build: true,
        ..UpOptions::default()
    };
    let project = project([third, side, app()]);
    let id = world.by_name("shop-app-1").record.id.clone();
    world.exit(&id, 0, false);
    // The image of `app` may be another one, so it is neither started nor replaced yet.
    insta::assert_snapshot!(planned(&mut world, &project, options), @r"
    1 build image shop-app (a build is asked for)
    2 pull image side:1 (not in the store)
    3 pull image third:1 (not in the store)
    deferred
    ");
    world.settle(&project);
    assert_eq!(world.observed.containers.len(), 3);
}
