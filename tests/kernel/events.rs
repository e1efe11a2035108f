//! `stack events`: told as they happen, kept for later, and not lost with a supervisor.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::support::{World, eventually};

/// Far more than it takes on a busy machine.
const SOON: Duration = Duration::from_secs(60);

const COMPOSE: &str = r"
services:
  app:
    image: busybox
    command: sleep 1000
    init: true
    restart: on-failure
    labels: { tier: front }
    healthcheck: { test: test ! -e /tmp/sick, interval: 50ms, retries: 1, start_interval: 50ms }
  job: { image: busybox, command: 'false' }
";

/// What was told so far of services, `service action code`.
fn told(world: &World, services: &[&str]) -> Vec<String> {
    let mut arguments = vec!["events", "--json", "--since", "1h", "--until", "0s"];
    arguments.extend(services);
    let output = world.stack(&arguments).ok();
    let word = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let code = text(&event["attributes"]["exitCode"]);
        let words = [text(&event["service"]), text(&event["action"]), code];
        words.join(" ").trim().to_owned()
    };
    output.stdout.lines().map(word).collect()
}

fn wait_for(world: &World, services: &[&str], last: &str) {
    eventually(last, SOON, || match told(world, services) {
        all if all.last().is_some_and(|event| event == last) => Ok(()),
        all => Err(all),
    });
}

#[test]
fn everything_that_happens_is_told_in_order_and_later_again() {
    let world = World::new(COMPOSE);
    let mut live = world
        .command(&["events", "app"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(live.stdout.take().unwrap()).lines();
    world.stack(&["up", "-d", "--wait", "app"]).ok();
    let first = lines.next().unwrap().unwrap();
    assert!(
        first.contains(" container create ")
            && first.contains("tier=front")
            && first.contains("image=busybox")
            && !first.contains("com.docker"),
        "{first}"
    );
    wait_for(&world, &["app"], "app health_status: healthy");
    world
        .stack(&["exec", "-T", "app", "touch", "/tmp/sick"])
        .ok();
    wait_for(&world, &["app"], "app health_status: unhealthy");
    world.stack(&["pause"]).ok();
    world.stack(&["unpause"]).ok();
    wait_for(&world, &["app"], "app unpause");
    let (pid, _) = world.pids("app");
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    eventually("it ran again", SOON, || match told(&world, &["app"]) {
        all if all.iter().filter(|event| *event == "app start").count() == 2 => Ok(()),
        all => Err(all),
    });
    world.stack(&["stop", "-t", "0"]).ok();
    world.stack(&["rm", "-f"]).ok();
    let all: Vec<String> = told(&world, &["app"])
        .into_iter()
        .filter(|event| !event.contains("health"))
        // A stop without grace asks and kills at once: which of the two ends it is a race.
        .map(|event| event.replace("die 143", "die 137"))
        .collect();
    assert_eq!(
        all,
        [
            "app create",
            "app start",
            "app pause",
            "app unpause",
            "app die 137",
            "app start",
            "app kill",
            "app die 137",
            "app stop",
            "app destroy",
        ]
    );
    let read = lines
        .map(Result::unwrap)
        .take_while(|line| !line.contains("container destroy"));
    assert_eq!(
        read.filter(|line| line.contains(" container start "))
            .count(),
        2
    );
    live.kill().unwrap();
    live.wait().unwrap();

    // A run too short to be seen, and one-offs, which are nobody's business.
    world.stack(&["up", "-d", "job"]).ok();
    world.stack(&["run", "--rm", "-T", "app", "true"]).ok();
    wait_for(&world, &["job"], "job die 1");
    assert_eq!(
        told(&world, &["job"]),
        ["job create", "job start", "job die 1"]
    );
    assert_eq!(
        told(&world, &[])
            .iter()
            .filter(|event| *event == "app create")
            .count(),
        1
    );
    world.finish();
}

#[test]
fn events_go_on_over_a_killed_supervisor() {
    let world = World::new(COMPOSE);
    world.stack(&["up", "-d", "--wait", "app"]).ok();
    // The client and the journal hear of it at the same time, in either order.
    wait_for(&world, &["app"], "app health_status: healthy");
    let before = told(&world, &["app"]);
    let (supervisor, app) = (world.supervisors(), world.pids("app"));
    kill(Pid::from_raw(supervisor[0]), Signal::SIGKILL).unwrap();
    kill(Pid::from_raw(app.0), Signal::SIGKILL).unwrap();
    eventually("both are back", SOON, || {
        let now = world.supervisors();
        let runs = told(&world, &["app"])
            .iter()
            .filter(|event| *event == "app start")
            .count();
        if now.len() == 1 && now != supervisor && runs == 2 {
            Ok(())
        } else {
            Err((now, runs))
        }
    });
    let after = told(&world, &["app"]);
    assert_eq!(after[..before.len()], before, "nothing is told twice");
    assert!(after[before.len()].starts_with("app die"), "{after:?}");
    world.finish();
}
