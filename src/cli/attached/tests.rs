//! An attached `up` against a fake supervisor and a state root that changes under it.

use std::io::Write;

use super::*;
use crate::{
    cli::{
        testing::{Handler, World, container, exited, finished, load, running},
        up,
    },
    protocol::{ErrorReport, FailureKind},
};

const FILE: &str = "services: {web: {image: a, depends_on: [db]}, db: {image: a}}";

fn up(world: &World, arguments: &str) -> Result<(), Failure> {
    let line = format!("stack up {arguments}");
    up::run(&world.session(), &up::testing_arguments(&line))
}

#[test]
fn it_shows_logs_and_ends_when_everything_has_ended() {
    let world = World::new(FILE);
    let loaded = load(FILE).unwrap();
    let host = world.host();
    // The log and the end of an earlier run are not shown.
    host.log("web", 1, "yesterday");
    host.set(&container(&loaded, "db", 1, exited(7)));
    let server = world.serve(vec![Box::new(move |answer| {
        host.set(&container(&loaded, "db", 1, running(1)));
        host.log("db", 1, "ready");
        host.set(&container(&loaded, "web", 1, running(1)));
        answer(&finished());
        host.log("web", 1, "hello");
        host.set(&container(&loaded, "web", 1, exited(3)));
        host.log("db", 1, "bye");
        host.set(&container(&loaded, "db", 1, exited(0)));
    })]);
    up(&world, "").unwrap();
    let calls = server.join().unwrap();
    assert!(calls[0].starts_with("up {\"project\":"), "{calls:?}");
    // A log that appears while others are read comes a moment later than its time.
    let out = world.out.text();
    let (db, web): (Vec<&str>, Vec<&str>) = out.lines().partition(|line| line.starts_with("db"));
    assert_eq!(db, ["db-1   | ready", "db-1   | bye"]);
    assert_eq!(web, ["web-1  | hello"]);
    // Ends that are seen in one look come in the order of the containers.
    let err = world.err.text();
    let mut ends: Vec<&str> = err.lines().collect();
    ends.sort_unstable();
    assert_eq!(
        ends,
        ["db-1 exited with code 0", "web-1 exited with code 3"]
    );
}

#[test]
fn services_named_decide_what_is_shown_and_waited_for() {
    let world = World::new(FILE);
    let loaded = load(FILE).unwrap();
    let host = world.host();
    let server = world.serve(vec![Box::new(move |answer| {
        host.set(&container(&loaded, "db", 1, running(1)));
        host.log("db", 1, "ready");
        host.log("web", 1, "hello");
        host.set(&container(&loaded, "web", 1, exited(0)));
        answer(&finished());
    })]);
    up(&world, "--no-log-prefix web").unwrap();
    server.join().unwrap();
    assert_eq!(world.out.text(), "hello\n");
}

#[test]
fn the_first_exit_stops_the_others_and_gives_its_code() {
    for (flags, code) in [
        ("--abort-on-container-exit", 3),
        ("--abort-on-container-failure", 3),
        ("--exit-code-from db", 143),
    ] {
        let world = World::new(FILE);
        let loaded = load(FILE).unwrap();
        let host = world.host();
        let begin: Handler = {
            let (host, loaded) = (host.clone(), load(FILE).unwrap());
            Box::new(move |answer| {
                host.set(&container(&loaded, "db", 1, running(1)));
                host.set(&container(&loaded, "web", 1, running(1)));
                answer(&finished());
                host.set(&container(&loaded, "web", 1, exited(3)));
            })
        };
        let stop: Handler = Box::new(move |answer| {
            host.log("db", 1, "stopping");
            host.set(&container(&loaded, "db", 1, exited(143)));
            answer(&finished());
        });
        let server = world.serve(vec![begin, stop]);
        let result = up(&world, flags);
        let calls = server.join().unwrap();
        assert!(
            matches!(result, Err(Failure::Status(status)) if status == code),
            "{flags} {result:?}"
        );
        assert!(
            calls[1].contains(r#""action":{"stop":{"grace_ms":null}}"#),
            "{calls:?}"
        );
        assert_eq!(world.out.text(), "db-1   | stopping\n");
    }
}

#[test]
fn ctrl_c_stops_and_a_second_one_kills() {
    let world = World::new(FILE);
    let loaded = load(FILE).unwrap();
    let host = world.host();
    let (signals, first) = io::pipe().unwrap();
    let (second, _open) = (first.try_clone().unwrap(), first.try_clone().unwrap());
    let interrupt = |mut sender: io::PipeWriter| {
        sender.write_all(&[Signal::SIGINT as u8]).unwrap();
        sender
    };
    let begin: Handler = {
        let (host, loaded) = (host.clone(), load(FILE).unwrap());
        Box::new(move |answer| {
            host.set(&container(&loaded, "web", 1, running(1)));
            answer(&finished());
            drop(interrupt(first));
        })
    };
    let stop: Handler = Box::new(move |_answer| drop(interrupt(second)));
    let kill: Handler = {
        let loaded = load(FILE).unwrap();
        Box::new(move |answer| {
            host.set(&container(&loaded, "web", 1, exited(137)));
            answer(&finished());
        })
    };
    let server = world.serve(vec![begin, stop, kill]);
    let arguments = up::testing_arguments("stack up -t 5");
    let session = world.session();
    let request = arguments.request(&session, &loaded).unwrap();
    let attached = arguments.attached(&loaded.project, &request).unwrap();
    let result = run_until(&session, &loaded, request, (attached, None), || {
        Ok(Signals::Sent(signals))
    });
    let calls = server.join().unwrap();
    assert!(matches!(result, Err(Failure::Status(130))), "{result:?}");
    assert!(
        calls[1].contains(r#""action":{"stop":{"grace_ms":5000}}"#),
        "{calls:?}"
    );
    assert!(
        calls[2].contains(r#""action":{"kill":{"signal":"SIGKILL"}}"#),
        "{calls:?}"
    );
    assert!(world.err.text().contains("press Ctrl+C again to force"));
}

#[test]
fn a_failed_start_is_reported_with_its_place_and_code() {
    let world = World::new("services:\n  web:\n    image: a\n    ports: ['80:80']\n");
    let report = ErrorReport {
        kind: FailureKind::Conflict,
        chain: vec!["start service `web`".into(), "port 80 is taken".into()],
        hints: Vec::new(),
        log: Vec::new(),
        excerpt: Vec::new(),
        config_path: Some("services.web.ports[0]".into()),
    };
    let server = world.serve(vec![Box::new(move |answer| {
        answer(&Event::Finished(Outcome {
            errors: vec![report],
            ..Outcome::default()
        }));
    })]);
    let failure = up(&world, "-d").unwrap_err();
    server.join().unwrap();
    assert_eq!(failure.report(&world.ui), 7);
    assert_eq!(
        world.err.text(),
        "error: start service `web`: port 80 is taken\n  --> compose.yaml:4:13\n"
    );
}
