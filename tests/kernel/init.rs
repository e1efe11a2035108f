//! `pre_start`: containers that run to their end before those of their service start.

use std::time::Duration;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{World, eventually};

const SOON: Duration = Duration::from_secs(15);

/// Names of all containers, those that are no replicas too.
fn names(world: &World) -> Vec<String> {
    let listed = world.stack(&["ps", "-a", "--format", "{{.Name}}"]).ok();
    let mut names: Vec<String> = listed.stdout.lines().map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn init_containers_share_volumes_and_networks_and_run_once_before_the_service() {
    let world = World::new(
        r#"
services:
  app:
    image: busybox
    command: sh -c 'echo start >> /log/all; exec sleep 1000'
    init: true
    restart: always
    environment: { MODE: service }
    volumes: [ "./log:/log", "/cache" ]
    deploy: { replicas: 2 }
    depends_on: { db: { condition: service_healthy } }
    pre_start:
      - command: sh -c 'echo first $$MODE $$MORE $$(wget -qO- http://db/seed) >> /log/all; echo hello; touch /cache/made'
        environment: { MORE: more }
      - command: [ sh, -c, "echo second >> /log/all; test -e /cache/made" ]
        user: app
      - command: [ sh, -c, "echo each >> /log/all" ]
        per_replica: true
  db:
    image: busybox
    command: sh -c 'sleep 0.2; exec httpd -f -p 80 -h /data'
    init: true
    healthcheck: { test: wget -qO /dev/null http://127.0.0.1/seed, interval: 50ms, start_period: 5s, start_interval: 50ms }
"#,
    );
    world.make_log();
    let up = world.stack(&["up", "-d"]).ok();
    let all = world.log(", ");
    assert!(
        all.starts_with("first service more from the image, second, each"),
        "{all}"
    );
    assert_eq!(all.matches("each").count(), 2, "{all}");
    eventually("both replicas run", SOON, || match world.log(", ") {
        all if all.matches("start").count() == 2 => Ok(()),
        all => Err(all),
    });
    assert!(up.stderr.contains("app-1-pre-start-0 -> | hello"), "{up:?}");
    assert_eq!(names(&world).len(), 3, "{:?}", names(&world));
    let made = world.stack(&["exec", "-T", "--index", "1", "app", "ls", "/cache"]);
    assert_eq!(
        made.ok().stdout,
        "made\n",
        "the replica's own anonymous volume"
    );

    // With a replica that runs it is the service's no more.
    world.clear_log();
    world.stack(&["up", "-d", "--scale", "app=3"]).ok();
    eventually("the third runs", SOON, || match world.log(", ") {
        all if all == "each, start" => Ok(()),
        all => Err(all),
    });
    world.clear_log();
    world.stack(&["stop", "-t", "0", "app"]).ok();
    assert_eq!(world.log(", "), "");
    world.stack(&["start", "app"]).ok();
    let all = world.log(", ");
    assert!(
        all.starts_with("first") && all.matches("each").count() == 3,
        "{all}"
    );
    // A restart is none of them.
    eventually("all run", SOON, || match world.log(", ") {
        all if all.matches("start").count() == 3 => Ok(()),
        all => Err(all),
    });
    world.clear_log();
    world.stack(&["restart", "-t", "0", "app"]).ok();
    eventually("all run again", SOON, || match world.log(", ") {
        all if all == "start, start, start" => Ok(()),
        all => Err(all),
    });
    world.finish();
}

#[test]
fn an_init_container_that_fails_is_kept_and_nothing_starts() {
    let world = World::new(
        r#"
services:
  app:
    image: busybox
    command: sleep 1000
    init: true
    volumes: [ "./log:/log" ]
    pre_start:
      - command: [ sh, -c, "echo tried >> /log/all; echo the reason >&2; test -e /log/good || exit 4" ]
      - command: [ sh, -c, "echo second >> /log/all" ]
"#,
    );
    world.write("log/all", "");
    let failed = world.stack(&["up", "-d"]).fails(1);
    for text in [
        "pre_start[0]",
        "exited with status 4",
        "the reason",
        "compose.yaml:9",
        "kept for inspection",
    ] {
        assert!(failed.stderr.contains(text), "{text}: {failed:#?}");
    }
    assert_ne!(world.row("app").unwrap()["State"], "running");
    let all = names(&world);
    assert!(
        all.len() == 2 && all[1].ends_with("app-1-pre-start-0"),
        "{all:?}"
    );
    // The loop leaves it alone, also that of the next supervisor.
    if let Some(supervisor) = world.supervisors().first() {
        kill(Pid::from_raw(*supervisor), Signal::SIGKILL).unwrap();
    }
    world.stack(&["pull", "--policy", "missing"]).ok();
    assert_eq!(world.log(", "), "tried");
    world.write("log/good", "");
    world.stack(&["up", "-d"]).ok();
    assert_eq!(world.log(", "), "tried, tried, second");
    assert_eq!(world.row("app").unwrap()["State"], "running");
    assert_eq!(names(&world).len(), 1);
    world.finish();
}

#[test]
fn an_init_container_outlives_its_supervisor_and_is_not_run_twice() {
    let world = World::new(
        r#"
services:
  app:
    image: busybox
    command: sh -c 'echo start >> /log/all; exec sleep 1000'
    init: true
    volumes: [ "./log:/log" ]
    pre_start:
      - command: [ sh, -c, "echo first >> /log/all; until test -e /log/go; do sleep 0.02; done" ]
      - command: [ sh, -c, "echo second >> /log/all" ]
"#,
    );
    world.write("log/all", "");
    let mut client = world.command(&["up", "-d"]).spawn().unwrap();
    eventually("the first one runs", SOON, || match world.log(", ") {
        all if all == "first" => Ok(()),
        all => Err(all),
    });
    client.kill().unwrap();
    client.wait().unwrap();
    let killed = world.supervisors();
    kill(Pid::from_raw(killed[0]), Signal::SIGKILL).unwrap();
    eventually("another supervisor", SOON, || match world.supervisors() {
        now if now.len() == 1 && now != killed => Ok(()),
        now => Err(now),
    });
    world.write("log/go", "");
    eventually("the next supervisor goes on", SOON, || {
        match world.log(", ") {
            all if all == "first, second, start" => Ok(()),
            all => Err(all),
        }
    });
    eventually("they are removed", SOON, || match names(&world) {
        all if all.len() == 1 => Ok(()),
        all => Err(all),
    });
    world.finish();
}
