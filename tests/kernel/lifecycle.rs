//! `up`, `ps`, `exec`, `logs`, `stop`, `down`: what everybody does every day.

use std::{process::Stdio, time::Duration};

use crate::support::{World, eventually, run_tool};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn up_starts_services_in_order_and_down_leaves_nothing() {
    let world = World::new(
        r"
services:
  web:
    image: busybox
    command: sh -c 'wget -qO- http://db:8000/seed && echo got it && exec sleep 1000'
    init: true
    depends_on:
      db: { condition: service_healthy }
  db:
    image: busybox
    command: sh -c 'sleep 0.3 && exec httpd -f -p 8000 -h /data'
    init: true
    volumes: [ data:/data ]
    healthcheck:
      test: wget -qO /dev/null http://127.0.0.1:8000/seed
      interval: 100ms
      start_period: 5s
      start_interval: 100ms
volumes:
  data:
",
    );
    world.stack(&["up", "-d", "--wait"]).ok();
    assert_eq!(world.row("db").unwrap()["Health"], "healthy");
    assert_eq!(world.row("web").unwrap()["State"], "running");
    eventually("web fetched from db by name", SOON, || {
        let logs = world.stack(&["logs", "--no-log-prefix", "web"]).ok().stdout;
        if logs == "from the image\ngot it\n" {
            Ok(())
        } else {
            Err(logs)
        }
    });
    world.finish();
}

#[test]
fn a_second_up_touches_nothing_and_a_changed_variable_recreates_one_service() {
    let compose = |level: &str| {
        format!(
            r"
services:
  a:
    image: busybox
    command: sleep 1000
    init: true
    environment: {{ LEVEL: {level} }}
  b:
    image: busybox
    command: sleep 1000
    init: true
"
        )
    };
    let world = World::new(&compose("info"));
    world.stack(&["up", "-d"]).ok();
    let (a, b) = (world.pids("a"), world.pids("b"));
    world.stack(&["up", "-d"]).ok();
    assert_eq!((world.pids("a"), world.pids("b")), (a, b));
    world.write("compose.yaml", &compose("debug"));
    let plan = world.stack(&["--dry-run", "up", "-d"]).ok();
    assert!(plan.stdout.contains("environment.LEVEL"), "{plan:?}");
    assert_eq!(world.pids("a"), a, "a dry run changes nothing");
    world.stack(&["up", "-d"]).ok();
    assert_ne!(world.pids("a"), a);
    assert_eq!(world.pids("b"), b);
    let level = world
        .stack(&["exec", "-T", "a", "sh", "-c", "echo $LEVEL"])
        .ok();
    assert_eq!(level.stdout, "debug\n");
    world.finish();
}

#[test]
fn a_dry_run_asks_no_supervisor_and_leaves_no_trace() {
    let world = World::new(
        "services: { app: { image: busybox, command: sleep 1000, volumes: [ data:/data ] } }\nvolumes: { data: }",
    );
    eventually("the supervisor leaves", SOON, || {
        let left = world.supervisors();
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    let tree = || {
        run_tool(
            "find",
            &[world.root().to_str().unwrap(), "-printf", "%p %y %s %T@\n"],
        )
    };
    let before = (tree(), run_tool("ip", &["-o", "link"]));
    let plan = world.stack(&["--dry-run", "up"]).ok();
    for word in ["app", "data", "create", "start"] {
        assert!(plan.stdout.contains(word), "{word}: {plan:#?}");
    }
    world.stack(&["--dry-run", "down", "-v"]).ok();
    assert_eq!((tree(), run_tool("ip", &["-o", "link"])), before);
    assert_eq!(world.supervisors(), Vec::<i32>::new());
    world.finish();
}

#[test]
fn exec_runs_in_the_container_and_reports_exit_codes() {
    let world = World::new(
        "services: { app: { image: busybox, command: sleep 1000, init: true, hostname: box } }",
    );
    world.stack(&["up", "-d"]).ok();
    assert_eq!(
        world.stack(&["exec", "-T", "app", "hostname"]).ok().stdout,
        "box\n"
    );
    let user = world
        .stack(&["exec", "-T", "-u", "app", "app", "id", "-u"])
        .ok();
    assert_eq!(user.stdout, "1000\n");
    let place = world.stack(&[
        "exec",
        "-T",
        "-w",
        "/data",
        "-e",
        "X=1",
        "app",
        "sh",
        "-c",
        "pwd; echo $X",
    ]);
    assert_eq!(place.ok().stdout, "/data\n1\n");
    world
        .stack(&["exec", "-T", "app", "sh", "-c", "exit 42"])
        .fails(42);
    world
        .stack(&["exec", "-T", "app", "nosuchprogram"])
        .fails(127);
    world
        .stack(&["exec", "-T", "app", "/etc/passwd"])
        .fails(126);
    let input = world
        .command(&["exec", "-T", "app", "cat"])
        .stdin(
            fs_err::File::open(world.project().join("compose.yaml"))
                .unwrap()
                .into_file(),
        )
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    assert!(
        String::from_utf8(input.stdout)
            .unwrap()
            .contains("hostname: box")
    );
    world.finish();
}

#[test]
fn run_makes_a_one_off_container_with_its_exit_code_and_removes_it() {
    let world = World::new("services: { job: { image: busybox, command: echo default } }");
    assert_eq!(
        world.stack(&["run", "--rm", "-T", "job"]).ok().stdout,
        "default\n"
    );
    world
        .stack(&[
            "run",
            "--rm",
            "-T",
            "job",
            "sh",
            "-c",
            "echo out; echo err >&2; exit 7",
        ])
        .fails(7);
    let count = 20_000;
    let many = world
        .stack(&["run", "--rm", "-T", "job", "seq", &count.to_string()])
        .ok();
    assert_eq!(many.stdout.lines().count(), count, "no line is lost");
    eventually("one-offs are removed", SOON, || {
        let left = world.stack(&["ps", "-a", "-q"]).ok().stdout;
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    world.finish();
}

#[test]
fn stop_start_restart_and_kill_do_as_they_say() {
    let world = World::new(
        "services: { app: { image: busybox, command: sleep 1000, init: true, restart: always } }",
    );
    world.stack(&["up", "-d"]).ok();
    let first = world.pids("app").0;
    world.stack(&["stop"]).ok();
    assert_eq!(world.row("app").unwrap()["State"], "exited");
    world.stack(&["start"]).ok();
    let second = world.pids("app").0;
    assert_ne!(first, second);
    world.stack(&["restart"]).ok();
    let third = world.pids("app").0;
    assert_ne!(second, third);
    world.stack(&["kill", "-s", "KILL"]).ok();
    eventually("killed by the user: not restarted", SOON, || {
        let row = world.row("app").unwrap();
        if row["State"] == "exited" {
            Ok(())
        } else {
            Err(row)
        }
    });
    world.finish();
}

#[test]
fn scale_changes_the_number_of_containers_and_dns_answers_all() {
    let world = World::new(
        r"
services:
  web: { image: busybox, command: sleep 1000, init: true }
  client: { image: busybox, command: sleep 1000, init: true }
",
    );
    world.stack(&["up", "-d", "--scale", "web=3"]).ok();
    let addresses = |count: usize| {
        eventually("as many addresses as replicas", SOON, || {
            let answer = world.stack(&["exec", "-T", "client", "nslookup", "-type=a", "web"]);
            let found = answer.stdout.matches("Address: 10.").count()
                + answer.stdout.matches("Address: 172.").count();
            if found == count { Ok(()) } else { Err(answer) }
        });
    };
    addresses(3);
    world.stack(&["up", "-d", "--scale", "web=1"]).ok();
    addresses(1);
    world.finish();
}

#[test]
fn a_named_volume_is_filled_from_the_image_and_survives_down() {
    let world = World::new(
        r#"
services:
  app: { image: busybox, command: sleep 1000, init: true, volumes: [ "kept:/data" ] }
volumes: { kept: {} }
"#,
    );
    world.stack(&["up", "-d"]).ok();
    let seed = world
        .stack(&["exec", "-T", "app", "stat", "-c", "%a", "/data/seed"])
        .ok();
    assert_eq!(seed.stdout, "640\n");
    world
        .stack(&[
            "exec",
            "-T",
            "app",
            "sh",
            "-c",
            "echo row > /data/row; rm /data/seed",
        ])
        .ok();
    world.stack(&["down"]).ok();
    world.stack(&["up", "-d"]).ok();
    assert_eq!(
        world
            .stack(&["exec", "-T", "app", "ls", "/data"])
            .ok()
            .stdout,
        "row\n"
    );
    world.finish();
}

#[test]
fn a_published_port_is_served_and_a_second_owner_is_refused() {
    let world = World::new(
        r#"
services:
  web:
    image: busybox
    command: httpd -f -p 80 -h /data
    init: true
    ports: [ "127.0.0.1:18080:80" ]
"#,
    );
    world.stack(&["up", "-d"]).ok();
    eventually("the port answers", SOON, || fetch(18080));
    assert_eq!(
        world.stack(&["port", "web", "80"]).ok().stdout,
        "127.0.0.1:18080\n"
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:18080");
    assert!(taken.is_err(), "the port is held");
    world.finish();
}

/// Fetches `/seed` from a port of this host.
fn fetch(port: u16) -> Result<(), String> {
    use std::io::{Read, Write};
    let mut stream =
        std::net::TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    stream
        .write_all(b"GET /seed HTTP/1.0\r\n\r\n")
        .map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .map_err(|error| error.to_string())?;
    if answer.contains("from the image") {
        Ok(())
    } else {
        Err(answer)
    }
}

#[test]
fn run_works_for_a_service_that_the_user_stopped() {
    let world =
        World::new("services: { app: { image: busybox, command: sleep 1000, init: true } }");
    world.stack(&["up", "-d"]).ok();
    world.stack(&["stop"]).ok();
    let output = world
        .stack(&["run", "--rm", "-T", "app", "echo", "hello"])
        .ok();
    assert_eq!(output.stdout, "hello\n");
    assert_eq!(world.row("app").unwrap()["State"], "exited");
    world.finish();
}

#[test]
fn network_modes_host_and_none_are_what_they_say() {
    let world = World::new(
        r"
services:
  host: { image: busybox, command: sleep 1000, init: true, network_mode: host }
  none: { image: busybox, command: sleep 1000, init: true, network_mode: none }
",
    );
    world.stack(&["up", "-d"]).ok();
    let namespace = |service: &str| {
        let link = world
            .stack(&["exec", "-T", service, "ls", "-l", "/proc/self/ns/net"])
            .ok();
        link.stdout.rsplit("-> ").next().unwrap().trim().to_owned()
    };
    let own = fs_err::read_link("/proc/thread-self/ns/net").unwrap();
    assert_eq!(namespace("host"), own.to_str().unwrap());
    assert_ne!(namespace("none"), own.to_str().unwrap());
    let links = world
        .stack(&["exec", "-T", "none", "ip", "-o", "link"])
        .ok();
    assert_eq!(links.stdout.lines().count(), 1, "only lo: {}", links.stdout);
    world.finish();
}
