//! Hooks in plans: a step of their own between a start and what waits for it.

use compose_spec::model::Condition;

use super::{
    fixture::{With, project, service},
    scene::{planned, settled},
    world::World,
};
use crate::{
    model::PostStart,
    plan::{LifecycleAction, LifecycleInputs, Mode, UpOptions, display, lifecycle},
};

fn hooked_db() -> compose_spec::model::Project {
    project([
        service("web").needs("db", Condition::ServiceStarted),
        service("db").hooked(),
    ])
}

#[test]
fn dependents_wait_for_the_hooks_of_what_they_need() {
    let project = hooked_db();
    insta::assert_snapshot!(planned(&mut World::new(), &project, UpOptions::default()), @r"
    1 ensure network shop_default 10.201.137.0/24 (not there)
    2 pull image db:1 (not in the store)
    3 pull image web:1 (not in the store)
    4 create container shop-db-1 shop_default=10.201.137.24 (not there) needs 1,2
    5 start container shop-db-1 (not there) needs 4
    6 run the post_start hooks of container shop-db-1 needs 5
    7 create container shop-web-1 shop_default=10.201.137.68 (not there) needs 1,3
    8 await shop-db-1 started (others need it started) needs 6
    9 start container shop-web-1 (not there) needs 7,8
    ");
}

#[test]
fn hooks_that_a_killed_supervisor_did_not_run_are_run_by_the_next_one() {
    let project = hooked_db();
    let mut world = settled(&project);
    world.by_name("shop-db-1").post_start = PostStart::Pending;
    for mode in [Mode::Up, Mode::Enforce] {
        world.options.mode = mode;
        insta::allow_duplicates! {
            insta::assert_snapshot!(display(&world.plan(&project)), @"1 run the post_start hooks of container shop-db-1 (its start was cut off)");
        }
    }
    // One that has ended runs nothing.
    let id = world.by_name("shop-db-1").record.id.clone();
    world.exit(&id, 1, false);
    assert!(!display(&world.plan(&project)).contains("its start was cut off"));
}

#[test]
fn a_restart_runs_the_hooks_again() {
    let project = hooked_db();
    let world = settled(&project);
    let inputs = LifecycleInputs {
        observed: &world.observed,
        services: &[],
        action: &LifecycleAction::Restart { grace_ms: None },
    };
    insta::assert_snapshot!(display(&lifecycle(&inputs).unwrap()), @r"
    1 stop container shop-web-1 (restart)
    2 stop container shop-db-1 (restart) after 1
    3 start container shop-db-1 (restart) needs 2
    4 run the post_start hooks of container shop-db-1 needs 3
    5 await shop-db-1 started (others need it started) needs 4
    6 start container shop-web-1 (restart) needs 1,5
    ");
}

#[test]
fn init_containers_run_one_after_the_other_before_the_first_replica() {
    let web = || {
        service("web")
            .needs("db", Condition::ServiceHealthy)
            .with(|web| web.replicas = 2)
            .inits(&[false, true])
    };
    let project = project([web(), service("db").probed()]);
    let mut world = World::new();
    insta::assert_snapshot!(planned(&mut world, &project, UpOptions::default()), @r"
    1 ensure network shop_default 10.201.137.0/24 (not there)
    2 pull image db:1 (not in the store)
    3 pull image web:1 (not in the store)
    4 create container shop-db-1 shop_default=10.201.137.24 (not there) needs 1,2
    5 start container shop-db-1 (not there) needs 4
    6 create container shop-web-1 shop_default=10.201.137.68 (not there) needs 1,3
    7 create container shop-web-2 shop_default=10.201.137.164 (not there) needs 1,3
    8 await shop-db-1 healthy (others need it healthy) needs 5
    9 run init container shop-web-1-pre-start-0 (pre_start) needs 1,3,6,7,8
    10 run init container shop-web-1-pre-start-1 (pre_start) needs 1,3,6,7,8,9
    11 start container shop-web-1 (not there) needs 6,8,10
    12 run init container shop-web-2-pre-start-1 (pre_start) needs 1,3,6,7,8,10
    13 start container shop-web-2 (not there) needs 7,8,10,12
    ");
    world.up(&project, UpOptions::default());
    // Beside a replica that runs, only what each replica needs.
    let id = world.by_name("shop-web-2").record.id.clone();
    world.exit(&id, 1, false);
    insta::assert_snapshot!(planned(&mut world, &project, UpOptions::default()), @r"
    1 run init container shop-web-2-pre-start-1 (pre_start)
    2 start container shop-web-2 (exited (1)) needs 1
    ");
}

#[test]
fn an_init_container_that_failed_stays_until_the_next_up_and_one_that_runs_is_awaited() {
    let project = project([service("web").inits(&[false, false])]);
    let mut world = settled(&project);
    let web = world.by_name("shop-web-1").record.id.clone();
    world.exit(&web, 1, true);
    let first = world.init(&project, "web", 0);
    insta::assert_snapshot!(display(&world.plan(&project)), @r"
    1 await init container shop-web-1-pre-start-0 (it runs already)
    2 run init container shop-web-1-pre-start-1 (pre_start) needs 1
    3 start container shop-web-1 (stopped by a change that was not finished) needs 2
    ");
    world.exit(&first, 1, false);
    insta::assert_snapshot!(display(&world.plan(&project)), @"");
    insta::assert_snapshot!(planned(&mut world, &project, UpOptions::default()), @r"
    1 remove container shop-web-1-pre-start-0 (it was left by an earlier start)
    2 run init container shop-web-1-pre-start-0 (pre_start) needs 1
    3 run init container shop-web-1-pre-start-1 (pre_start) needs 2
    4 start container shop-web-1 (exited (1)) needs 3
    ");
    world.exit(&first, 0, false);
    insta::assert_snapshot!(planned(&mut world, &project, UpOptions::default()), @r"
    1 remove container shop-web-1-pre-start-0 (it was left by an earlier start)
    2 run init container shop-web-1-pre-start-1 (pre_start)
    3 start container shop-web-1 (exited (1)) needs 2
    ");
}

#[test]
fn what_needs_a_container_whose_hooks_failed_is_for_the_next_up_to_start() {
    let project = hooked_db();
    let mut world = settled(&project);
    world.by_name("shop-db-1").post_start = PostStart::Failed;
    let web = world.by_name("shop-web-1").record.id.clone();
    world.exit(&web, 1, true);
    insta::assert_snapshot!(display(&world.plan(&project)), @"");
    insta::assert_snapshot!(planned(&mut world, &project, UpOptions::default()), @"1 start container shop-web-1 (exited (1))");
}
