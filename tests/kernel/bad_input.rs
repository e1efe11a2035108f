//! Bad input: one clear error, a documented exit code, nothing half-made.

use crate::support::World;

const SLEEPER: &str = "services: { app: { image: busybox, command: sleep 1000, init: true } }";

#[test]
fn broken_files_are_refused_with_their_place() {
    let world = World::new(SLEEPER);
    for (text, place, words) in [
        ("services:\n  app: [\n", "compose.yaml:", "error"),
        (
            "services:\n  app:\n    image: busybox\n    enviroment: {}\n",
            "compose.yaml:4:5",
            "environment",
        ),
        (
            "services:\n  a: { image: busybox, depends_on: [b] }\n  b: { image: busybox, depends_on: [a] }\n",
            "compose.yaml:",
            "wait for each other",
        ),
        (
            "services:\n  a: { image: busybox, depends_on: [nosuch] }\n",
            "compose.yaml:2",
            "nosuch",
        ),
    ] {
        world.write("compose.yaml", text);
        let output = world.stack(&["up", "-d"]).fails(3);
        assert!(output.stderr.contains(place), "{place}: {}", output.stderr);
        assert!(output.stderr.contains(words), "{words}: {}", output.stderr);
    }
    world.write("compose.yaml", SLEEPER);
    world.finish();
}

#[test]
fn a_missing_image_ends_with_code_4_and_makes_nothing() {
    let world =
        World::new("services: { app: { image: 127.0.0.1:1/nosuch/image, command: sleep 1000 } }");
    let output = world.stack(&["up", "-d"]).fails(4);
    assert!(
        output.stderr.contains("127.0.0.1:1/nosuch/image"),
        "{}",
        output.stderr
    );
    assert!(world.row("app").is_none());
    world.finish();
}

#[test]
fn a_taken_port_ends_with_code_7_and_names_its_owner() {
    let world = World::new(
        r#"
services:
  web: { image: busybox, command: sleep 1000, init: true, ports: [ "127.0.0.1:18082:80" ] }
"#,
    );
    let holder = std::net::TcpListener::bind("127.0.0.1:18082").unwrap();
    let output = world.stack(&["up", "-d"]).fails(7);
    assert!(output.stderr.contains("18082"), "{}", output.stderr);
    drop(holder);
    world.stack(&["up", "-d"]).ok();
    world.finish();
}

#[test]
fn a_missing_bind_source_is_refused_in_the_long_form_and_made_in_the_short_one() {
    let world = World::new(
        r"
services:
  app:
    image: busybox
    command: sleep 1000
    init: true
    volumes: [ { type: bind, source: ./nosuch, target: /mnt } ]
",
    );
    let output = world.stack(&["up", "-d"]).fails(1);
    assert!(output.stderr.contains("nosuch"), "{}", output.stderr);
    assert!(!world.project().join("nosuch").exists());
    world.write(
        "compose.yaml",
        r#"
services:
  app: { image: busybox, command: sleep 1000, init: true, volumes: [ "./made:/mnt" ] }
"#,
    );
    world.stack(&["up", "-d"]).ok();
    assert!(world.project().join("made").is_dir());
    world.finish();
}

#[test]
fn an_unhealthy_dependency_ends_with_code_5_and_its_dependents_do_not_start() {
    let world = World::new(
        r#"
services:
  web:
    image: busybox
    command: sleep 1000
    init: true
    depends_on: { db: { condition: service_healthy } }
  db:
    image: busybox
    command: sh -c 'echo no space; exec sleep 1000'
    init: true
    healthcheck: { test: [ "CMD", "false" ], interval: 50ms, retries: 2 }
"#,
    );
    let output = world.stack(&["up", "-d"]).fails(5);
    assert!(output.stderr.contains("db"), "{}", output.stderr);
    assert!(output.stderr.contains("unhealthy"), "{}", output.stderr);
    assert_ne!(
        world.row("web").map(|row| row["State"].clone()),
        Some("running".into())
    );
    world.finish();
}

#[test]
fn a_program_that_does_not_exist_is_named() {
    let world = World::new("services: { app: { image: busybox, command: /nosuch } }");
    let output = world.stack(&["up", "-d"]);
    assert_ne!(output.code, 0);
    assert!(output.stderr.contains("/nosuch"), "{}", output.stderr);
    world.finish();
}
