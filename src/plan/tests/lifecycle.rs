//! `down`, `stop`, `start`, `restart`, `rm`, `run` in chosen situations.

use compose_spec::model::{Condition, Project};
use runtime::spec::ContainerState as State;

use super::{
    fixture::{With, name, project, service},
    world::World,
};
use crate::plan::{
    DownInputs, DownOptions, LifecycleAction, LifecycleInputs, PlanError, RemoveImages, RunInputs,
    UpOptions, display, down, lifecycle, run, start_scope,
};

fn shop() -> Project {
    project([
        service("front").restarts_with("web"),
        service("web")
            .needs("db", Condition::ServiceHealthy)
            .built(),
        service("db").probed().mounts("data", "/data"),
        service("anon"),
    ])
}

fn settled() -> World {
    let mut world = World::new();
    world.up(&shop(), UpOptions::default());
    world
}

fn down_text(world: &World, options: &DownOptions) -> String {
    let project = shop().name;
    display(
        &down(&DownInputs {
            project: &project,
            observed: &world.observed,
            options,
        })
        .unwrap(),
    )
}

fn call(world: &World, services: &[&str], action: &LifecycleAction) -> String {
    let mut services: Vec<_> = services.iter().map(|text| name(text)).collect();
    if *action == LifecycleAction::Start {
        services = start_scope(&world.observed, &services);
    }
    let inputs = LifecycleInputs {
        observed: &world.observed,
        services: &services,
        action,
    };
    match lifecycle(&inputs) {
        Ok(plan) => display(&plan),
        Err(errors) => errors
            .iter()
            .map(PlanError::to_string)
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

#[test]
fn down_stops_dependents_first_and_keeps_data() {
    insta::assert_snapshot!(down_text(&settled(), &DownOptions::default()), @r"
    1 stop container shop-front-1 (down)
    2 stop container shop-web-1 (down) after 1
    3 stop container shop-db-1 (down) after 2
    4 remove container shop-db-1 (down) needs 3
    5 remove container shop-web-1 (down) needs 2
    6 remove container shop-front-1 (down) needs 1
    7 stop container shop-anon-1 (down)
    8 remove container shop-anon-1 (down) needs 7
    9 remove network shop_default (down) needs 4,5,6,8
    ");
}

#[test]
fn down_with_everything_asks_for_the_data() {
    let mut world = settled();
    // Left behind by a container that is gone.
    let volume = world.by_name("shop-anon-1").record.anonymous_volumes[0].clone();
    world
        .observed
        .containers
        .retain(|c| c.record.name == "shop-web-1");
    assert!(world.observed.volumes.contains_key(&volume));
    let options = DownOptions {
        volumes: true,
        images: RemoveImages::Local,
        ..DownOptions::default()
    };
    let text = down_text(&world, &options).replace(&volume, "<anonymous>");
    insta::assert_snapshot!(text, @r"
    1 stop container shop-web-1 (down)
    2 remove container shop-web-1 (down) needs 1
    3 remove network shop_default (down) needs 2
    4 remove volume <anonymous> (down --volumes)
    5 remove volume shop_data (down --volumes)
    6 remove image shop-web (down --rmi) needs 2
    confirm: remove volumes `<anonymous>`, `shop_data`? Their data will be lost
    ");
}

#[test]
fn down_leaves_volumes_that_are_protected_or_that_other_projects_have() {
    let mut world = settled();
    let options = DownOptions {
        volumes: true,
        ..DownOptions::default()
    };
    let known = world.observed.volumes.get_mut("shop_data").unwrap();
    known.protected = true;
    let text = down_text(&world, &options);
    assert!(!text.contains("remove volume shop_data"), "{text}");
    assert!(text.contains("volume `shop_data` is protected and is kept; `stack volume unprotect shop_data` allows its removal"), "{text}");
    world
        .observed
        .volumes
        .get_mut("shop_data")
        .unwrap()
        .protected = false;
    let users = vec!["other-db-1".to_owned()];
    world.observed.taken.volumes = [("shop_data".to_owned(), users)].into();
    let text = down_text(&world, &options);
    assert!(!text.contains("remove volume shop_data"), "{text}");
    assert!(
        text.contains("volume `shop_data` is still in use by other-db-1 and is kept"),
        "{text}"
    );
}

#[test]
fn down_of_one_service_leaves_the_network() {
    let options = DownOptions {
        services: vec![name("web")],
        ..DownOptions::default()
    };
    insta::assert_snapshot!(down_text(&settled(), &options), @r"
    1 stop container shop-web-1 (down)
    2 remove container shop-web-1 (down) needs 1
    ");
    let unknown = DownOptions {
        services: vec![name("zzz")],
        ..DownOptions::default()
    };
    let inputs = DownInputs {
        project: &shop().name,
        observed: &settled().observed,
        options: &unknown,
    };
    assert_eq!(
        down(&inputs).unwrap_err()[0].to_string(),
        "no such service: zzz"
    );
}

#[test]
fn down_keeps_orphans_and_what_they_use_unless_asked() {
    let options = DownOptions {
        known_services: ["web", "db", "anon"].map(name).to_vec(),
        volumes: true,
        ..DownOptions::default()
    };
    let text = down_text(&settled(), &options);
    assert!(!text.contains("shop-front-1"), "{text}");
    assert!(
        text.contains("notice: network `shop_default` is still in use and is kept"),
        "{text}"
    );
    let options = DownOptions {
        remove_orphans: true,
        ..options
    };
    assert!(down_text(&settled(), &options).contains("remove network shop_default"));
    let text = down_text(&World::new(), &DownOptions::default());
    assert_eq!(
        text,
        "notice: no resource found to remove for project `shop`\n"
    );
}

#[test]
fn down_keeps_a_network_that_another_project_uses() {
    let mut world = settled();
    let addresses = vec!["10.201.0.9".parse().unwrap()];
    world
        .observed
        .taken
        .addresses
        .insert("shop_default".to_owned(), addresses);
    assert!(!down_text(&world, &DownOptions::default()).contains("remove network"));
}

#[test]
fn stop_start_and_restart_follow_the_dependencies() {
    let mut world = settled();
    insta::assert_snapshot!(call(&world, &[], &LifecycleAction::Stop { grace_ms: Some(5) }), @r"
    1 stop container shop-front-1 (stop)
    2 stop container shop-web-1 (stop) after 1
    3 stop container shop-db-1 (stop) after 2
    4 stop container shop-anon-1 (stop)
    ");
    insta::assert_snapshot!(call(&world, &["web"], &LifecycleAction::Restart { grace_ms: None }), @r"
    1 stop container shop-front-1 (restart)
    2 stop container shop-web-1 (restart) after 1
    3 start container shop-web-1 (restart) needs 2
    4 await shop-web-1 started (others need it started) needs 3
    5 start container shop-front-1 (restart) needs 1,4
    ");
    assert_eq!(call(&world, &[], &LifecycleAction::Start), "");
    for container in world.observed.containers.clone() {
        world.exit(&container.record.id, 0, true);
    }
    // What it waits for is started with it, and a restart leaves alone what was stopped.
    insta::assert_snapshot!(call(&world, &["web"], &LifecycleAction::Start), @r"
    1 start container shop-db-1 (start)
    2 await shop-db-1 healthy (others need it healthy) needs 1
    3 start container shop-web-1 (start) needs 2
    ");
    insta::assert_snapshot!(call(&world, &["front"], &LifecycleAction::Restart { grace_ms: None }), @"1 start container shop-front-1 (restart)");
    insta::assert_snapshot!(call(&world, &["web", "db"], &LifecycleAction::Start), @r"
    1 start container shop-db-1 (start)
    2 await shop-db-1 healthy (others need it healthy) needs 1
    3 start container shop-web-1 (start) needs 2
    ");
    assert_eq!(
        call(&world, &["zzz"], &LifecycleAction::Start),
        "service `zzz` has no container to start"
    );
}

#[test]
fn signals_pauses_and_removals_reach_what_they_can() {
    let mut world = settled();
    let kill = |signal: &str| LifecycleAction::Kill {
        signal: signal.to_owned(),
    };
    insta::assert_snapshot!(call(&world, &["db"], &kill("HUP")), @"1 kill container shop-db-1 with 1 (kill)");
    assert_eq!(
        call(&world, &["db"], &kill("NOPE")),
        "unknown signal `NOPE`"
    );
    insta::assert_snapshot!(call(&world, &["db"], &LifecycleAction::Pause), @"1 pause container shop-db-1 (pause)");
    assert_eq!(call(&world, &["db"], &LifecycleAction::Unpause), "");
    let remove = |stop, volumes| LifecycleAction::Remove { stop, volumes };
    assert_eq!(
        call(&world, &["db"], &remove(false, false)),
        "notice: no stopped containers\n"
    );
    insta::assert_snapshot!(call(&world, &["anon"], &remove(true, true)), @r"
    1 stop container shop-anon-1 (rm)
    2 remove container shop-anon-1 and 1 volumes (rm) needs 1
    confirm: remove shop-anon-1 with the data of their anonymous volumes?
    ");
    let id = world.by_name("shop-db-1").record.id.clone();
    world.container(&id).state = State::Paused {
        pid: 1,
        since_ms: 1,
        health: runtime::spec::Health::None,
    };
    insta::assert_snapshot!(call(&world, &["db"], &LifecycleAction::Unpause), @"1 unpause container shop-db-1 (unpause)");
}

fn run_text(world: &mut World, project: &Project, options: UpOptions) -> (String, bool) {
    world.call(options);
    let planned = run(&RunInputs {
        up: world.inputs(project),
        service: &name("web"),
        slug: "0123456789ab",
        name: None,
        remove: true,
        use_aliases: false,
    })
    .unwrap();
    (display(&planned.plan), planned.container.is_some())
}

#[test]
fn a_one_off_brings_up_what_it_needs_and_leaves_its_service_alone() {
    let mut world = World::new();
    let (text, made) = run_text(&mut world, &shop(), UpOptions::default());
    assert!(made);
    insta::assert_snapshot!(text, @r"
    1 ensure network shop_default 10.201.137.0/24 (not there)
    2 ensure volume shop_data (not there)
    3 pull image db:1 (not in the store)
    4 create container shop-db-1 shop_default=10.201.137.24 (not there) needs 1,2,3
    5 start container shop-db-1 (not there) needs 4
    6 build image shop-web (not in the store)
    7 create container shop-web-run-0123456789ab shop_default=10.201.137.223 (not there) needs 1,6
    8 await shop-db-1 healthy (others need it healthy) needs 5
    9 start container shop-web-run-0123456789ab (not there) needs 7,8
    ");
    let mut world = settled();
    let (text, _) = run_text(&mut world, &shop(), UpOptions::default());
    insta::assert_snapshot!(text, @r"
    1 create container shop-web-run-0123456789ab shop_default=10.201.137.223 (not there)
    2 start container shop-web-run-0123456789ab (not there) needs 1
    ");
    let options = UpOptions {
        no_deps: true,
        ..UpOptions::default()
    };
    let (text, _) = run_text(&mut World::new(), &shop(), options);
    assert!(!text.contains("shop-db-1"), "{text}");
}

#[test]
fn a_one_off_waits_for_dependencies_that_wait_for_images() {
    let mut world = settled();
    let mut project = shop();
    project.services["db"].pull_policy = compose_spec::model::PullPolicy::Always;
    let (text, made) = run_text(&mut world, &project, UpOptions::default());
    assert!(!made);
    insta::assert_snapshot!(text, @r"
    1 pull image db:1 (its pull policy asks for it)
    deferred
    ");
}

#[test]
fn a_one_off_that_has_ended_is_removed_by_the_loop() {
    let mut world = settled();
    let project = shop();
    world.call(UpOptions::default());
    let planned = run(&RunInputs {
        up: world.inputs(&project),
        service: &name("anon"),
        slug: "0123456789ab",
        name: Some("mine"),
        remove: true,
        use_aliases: true,
    })
    .unwrap();
    world.apply(&project, &planned.plan);
    let one_off = world.by_name("mine");
    assert_eq!(
        one_off.record.endpoints[0].names[..2],
        ["anon".to_owned(), "mine".to_owned()]
    );
    let id = one_off.record.id.clone();
    assert_eq!(world.enforce(&project), 0);
    world.exit(&id, 0, false);
    let volumes = world.observed.volumes.len();
    assert_eq!(world.enforce(&project), 1);
    assert_eq!(world.observed.volumes.len(), volumes - 1);
    assert!(!world.names().iter().any(|(name, _)| name == "mine"));
}
