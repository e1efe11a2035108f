//! `post_start` and `pre_stop`: run with every start and stop that a command makes, and with no other.

use std::time::Duration;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{World, eventually};

const SOON: Duration = Duration::from_secs(10);

fn hooked(more: &str) -> String {
    format!(
        r#"
services:
  app:
    image: busybox
    command: sh -c 'trap "echo signal >> /log/all; exit 0" TERM; while :; do sleep 0.05; done'
    environment: {{ MODE: own, GONE: x }}
    user: app
    restart: always
    volumes: [ "./log:/log" ]
    {more}
"#
    )
}

fn world(more: &str) -> World {
    let world = World::new(&hooked(more));
    world.make_log();
    world
}

#[test]
fn hooks_run_around_every_start_and_stop_of_a_command_and_no_other() {
    let world = world(
        r#"
    post_start:
      - command: sh -c 'echo up $$(id -u) $$(pwd) $$MODE $${GONE-none} $$MORE >> /log/all; echo to out; echo to err >&2'
        user: root
        working_dir: /tmp
        environment: { MORE: more, GONE: }
      - command: [ sh, -c, "echo second $$MODE >> /log/all; grep CapEff /proc/self/status >> /log/all" ]
        privileged: true
    pre_stop:
      - command: [ sh, -c, "echo drain >> /log/all" ]"#,
    );
    let up = world.stack(&["up", "-d"]).ok();
    let first = "up 0 /tmp own none more second own";
    assert!(world.log(" ").starts_with(first), "{}", world.log(" "));
    assert!(
        up.stderr.contains("app-1 -> | to out") && up.stderr.contains("app-1 -> | to err"),
        "{up:?}"
    );
    world.clear_log();

    // What is up is not started, and a restart by policy is none of a command.
    world.stack(&["up", "-d"]).ok();
    let (pid, _) = world.pids("app");
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    eventually("it runs again", SOON, || match world.pids("app").0 {
        again if again != pid && again != 0 => Ok(()),
        other => Err(other),
    });
    assert_eq!(world.log(" "), "");

    world.stack(&["restart"]).ok();
    assert!(
        world.log(" ").starts_with(&format!("drain signal {first}")),
        "{}",
        world.log(" ")
    );
    world.clear_log();
    world.stack(&["up", "-d", "--force-recreate"]).ok();
    assert!(
        world.log(" ").starts_with(&format!("drain signal {first}")),
        "{}",
        world.log(" ")
    );
    world.clear_log();
    world.stack(&["stop"]).ok();
    assert_eq!(world.log(" "), "drain signal");
    world.stack(&["start"]).ok();
    assert!(world.log(" ").starts_with(&format!("drain signal {first}")));
    world.clear_log();
    // A kill is no stop.
    world.stack(&["kill"]).ok();
    assert_eq!(world.log(" "), "");
    world.stack(&["up", "-d"]).ok();
    world.clear_log();
    world.stack(&["down"]).ok();
    assert_eq!(world.log(" "), "drain signal");
    world.finish();
}

#[test]
fn a_failing_post_start_fails_up_and_what_depends_on_it_does_not_start() {
    let world = World::new(
        r#"
services:
  app:
    image: busybox
    command: sleep 1000
    init: true
    post_start:
      - command: [ sh, -c, "echo the reason >&2; echo once >> /tmp/ran; exit 3" ]
      - command: [ touch, /tmp/never ]
  web:
    image: busybox
    command: sleep 1000
    init: true
    depends_on: [ app ]
"#,
    );
    let failed = world.stack(&["up", "-d"]).fails(1);
    for text in [
        "services.app.post_start[0]",
        "exited with status 3",
        "the reason",
        "compose.yaml:8",
    ] {
        assert!(failed.stderr.contains(text), "{text}: {failed:#?}");
    }
    assert_eq!(world.row("app").unwrap()["State"], "running");
    // Nor does the loop start it: it looks at the project as often as something happens to it.
    world.stack(&["pause", "app"]).ok();
    world.stack(&["unpause", "app"]).ok();
    assert_ne!(world.row("web").unwrap()["State"], "running");
    // Not run again behind the user's back, by the loop or by an `up` that starts nothing.
    world.stack(&["up", "-d"]).ok();
    let ran = world.stack(&["exec", "-T", "app", "cat", "/tmp/ran"]).ok();
    assert_eq!(ran.stdout, "once\n");
    let never = world.stack(&["exec", "-T", "app", "ls", "/tmp"]).ok();
    assert_eq!(never.stdout, "ran\n");
    world.finish();
}

#[test]
fn a_pre_stop_that_fails_or_takes_too_long_keeps_the_container_and_its_data() {
    let world = world(
        r#"
    stop_grace_period: 30s
    pre_stop:
      - command: [ sh, -c, "echo drain >> /log/all; test ! -e /log/broken || { echo no backup >&2; exit 9; }" ]
      - command: [ sh, -c, "test ! -e /log/slow || exec sleep 1000" ]"#,
    );
    world.stack(&["up", "-d"]).ok();
    let pids = world.pids("app");
    world.write("log/broken", "");
    for command in [&["stop"][..], &["down", "-v"], &["restart"]] {
        let failed = world.stack(command).fails(1);
        for text in [
            "pre_stop[0]",
            "exited with status 9",
            "no backup",
            "stack kill",
        ] {
            assert!(failed.stderr.contains(text), "{text}: {failed:#?}");
        }
        assert_eq!(world.pids("app"), pids);
    }
    assert_eq!(world.log(" "), "drain drain drain");
    fs_err::remove_file(world.project().join("log/broken")).unwrap();
    world.write("log/slow", "");
    let failed = world.stack(&["stop", "-t", "0"]).fails(1);
    assert!(
        failed.stderr.contains("pre_stop[1]") && failed.stderr.contains("the grace of 2 s is over"),
        "{failed:#?}"
    );
    assert_eq!(world.pids("app"), pids);
    fs_err::remove_file(world.project().join("log/slow")).unwrap();
    world.clear_log();
    // A hook that was killed begins anew, and so do those before it.
    world.stack(&["stop"]).ok();
    assert_eq!(world.log(" "), "drain signal");
    world.finish();
}

#[test]
fn a_kill_does_not_wait_for_the_hooks_of_a_stop() {
    let world = world(
        r#"
    stop_grace_period: 1h
    pre_stop: [ { command: [ sh, -c, "echo drain >> /log/all; exec sleep 1000" ] } ]"#,
    );
    world.stack(&["up", "-d"]).ok();
    let stop = world
        .command(&["stop"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    eventually("the hook runs", SOON, || match world.log(" ") {
        text if text == "drain" => Ok(()),
        other => Err(other),
    });
    world.stack(&["kill"]).ok();
    let stopped = stop.wait_with_output().unwrap();
    let said = String::from_utf8(stopped.stderr).unwrap();
    assert_eq!(stopped.status.code(), Some(1), "{said}");
    assert!(said.contains("the command was interrupted"), "{said}");
    world.finish();
}

#[test]
fn hooks_of_a_killed_supervisor_are_gone_on_with_and_none_is_run_twice() {
    let world = world(
        r#"
    post_start:
      - command: [ sh, -c, "echo one >> /log/all; while test ! -e /log/go; do sleep 0.02; done" ]
      - command: [ sh, -c, "echo two >> /log/all" ]"#,
    );
    let mut client = world.command(&["up", "-d"]).spawn().unwrap();
    eventually("the first hook runs", SOON, || match world.log(" ") {
        text if text == "one" => Ok(()),
        other => Err(other),
    });
    client.kill().unwrap();
    client.wait().unwrap();
    kill(Pid::from_raw(world.supervisors()[0]), Signal::SIGKILL).unwrap();
    eventually("the next supervisor goes on", SOON, || {
        match world.log(" ") {
            text if text == "one two" => Ok(()),
            other => Err(other),
        }
    });
    world.write("log/go", "");
    // Nothing is left to run, for this supervisor or the next one.
    let left = world.supervisors();
    kill(Pid::from_raw(left[0]), Signal::SIGKILL).unwrap();
    eventually("another supervisor", SOON, || match world.supervisors() {
        now if now.len() == 1 && now != left => Ok(()),
        now => Err(now),
    });
    world.stack(&["up", "-d"]).ok();
    assert_eq!(world.log(" "), "one two");
    world.finish();
}

#[test]
fn a_one_off_runs_its_post_start_too() {
    let world = World::new(
        r#"
services:
  app:
    image: busybox
    command: [ sh, -c, "until test -e /tmp/warm; do sleep 0.02; done; echo warm" ]
    init: true
    post_start: [ { command: [ touch, /tmp/warm ] } ]
"#,
    );
    let run = world.stack(&["run", "--rm", "-T", "app"]).ok();
    assert_eq!(run.stdout, "warm\n");
    world.finish();
}
