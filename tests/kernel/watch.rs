//! `stack watch`: containers follow the files of the project.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{World, eventually};

const SOON: Duration = Duration::from_secs(30);

const COMPOSE: &str = r#"
services:
  web:
    build:
      context: .
      dockerfile_inline: |
        FROM busybox
        COPY src /app
        COPY recipe /recipe
        CMD ["sh", "-c", "cat /app/conf > /started; exec sleep 1000"]
    init: true
    scale: 2
    develop:
      watch:
        - { path: ./src, target: /app, action: sync, ignore: [ cache ] }
        - { path: ./src/conf, target: /app/conf, action: sync+restart }
        - { path: ./recipe, action: rebuild }
  job:
    image: busybox
    command: sleep 1000
    init: true
    develop:
      watch:
        - path: ./src
          target: /code
          action: sync+exec
          initial_sync: true
          include: [ "*.py" ]
          exec: { command: [ sh, -c, "cat /code/*.py > $$OUT" ], environment: { OUT: /result } }
"#;

/// A command that watches, and what it says.
struct Watcher {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Watcher {
    fn start(world: &World, arguments: &[&str]) -> Self {
        let mut child = world
            .command(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (lines, told) = (child.stderr.take().unwrap(), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                told.lock().unwrap().push(line);
            }
        });
        let watcher = Self { child, said };
        watcher.says("watching ");
        watcher
    }

    fn says(&self, text: &str) {
        eventually(text, SOON, || {
            let said = self.said.lock().unwrap();
            if said.iter().any(|line| line.contains(text)) {
                return Ok(());
            }
            Err(said.clone())
        });
    }

    /// Ends it as a user does.
    fn interrupt(mut self) {
        kill(
            Pid::from_raw(i32::try_from(self.child.id()).unwrap()),
            Signal::SIGINT,
        )
        .unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Watcher {
    /// A test that fails leaves nothing running; one that has ended needs no killing.
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// What a command prints in one container of a service.
fn prints(world: &World, service: &str, index: &str, line: &str) -> String {
    let command = ["exec", "-T", "--index", index, service, "sh", "-c", line];
    let output = world.stack(&command);
    format!("{}{}", output.stdout, output.stderr)
        .trim()
        .to_owned()
}

fn becomes(world: &World, service: &str, line: &str, text: &str) {
    let replicas: &[&str] = if service == "web" {
        &["1", "2"]
    } else {
        &["1"]
    };
    for index in replicas {
        eventually(text, SOON, || match prints(world, service, index, line) {
            found if found == text => Ok(()),
            other => Err(other),
        });
    }
}

/// Numbers of the first processes of the containers of `web`.
fn processes(world: &World) -> Vec<String> {
    let containers = fs_err::read_dir(world.root().join("containers")).unwrap();
    let mut found = Vec::new();
    for container in containers {
        let read = |name: &str| {
            let text = fs_err::read_to_string(container.as_ref().unwrap().path().join(name));
            serde_json::from_str::<serde_json::Value>(&text.unwrap()).unwrap()
        };
        if read("record.json")["service"] == "web" {
            found.push(read("state.json")["pid"].to_string());
        }
    }
    found.sort();
    assert_eq!(found.len(), 2);
    found
}

fn project() -> World {
    let world = World::new(COMPOSE);
    for (name, text) in [
        ("src/main.py", "one"),
        ("src/conf", "first"),
        ("src/cache/x", "x"),
        ("recipe", "1"),
    ] {
        world.write(name, text);
    }
    world
}

#[test]
fn files_are_copied_and_what_follows_from_it_is_done() {
    let world = project();
    let watcher = Watcher::start(&world, &["watch"]);
    // What was there before is copied where that is asked for, and with it its command runs.
    becomes(&world, "job", "cat /result; ls /code", "onemain.py");
    let before = processes(&world);
    world.write("src/main.py", "two");
    world.write("src/new/part.py", "part");
    world.write("src/cache/x", "y");
    becomes(
        &world,
        "web",
        "cat /app/main.py /app/new/part.py",
        "twopart",
    );
    becomes(&world, "web", "cat /app/cache/x", "x");
    becomes(&world, "job", "cat /result; ls /code", "twomain.py");
    fs_err::remove_dir_all(world.project().join("src/new")).unwrap();
    becomes(&world, "web", "ls /app", "cache\nconf\nmain.py");
    assert_eq!(processes(&world), before, "nothing was restarted for it");

    world.write("src/conf", "second");
    becomes(&world, "web", "cat /started", "second");
    assert_ne!(processes(&world), before);
    becomes(&world, "web", "cat /app/main.py", "two");

    // A new image has the files of now, and the old one goes.
    let images = || {
        world
            .stack(&["image", "ls", "-q", "--no-trunc"])
            .ok()
            .stdout
    };
    let old = images();
    world.write("recipe", "2");
    becomes(&world, "web", "cat /recipe /app/main.py", "2two");
    watcher.says("web: rebuilding, recipe");
    eventually("one image for another", SOON, || match images() {
        new if new != old && new.lines().count() == old.lines().count() => Ok(()),
        other => Err(other),
    });
    // What cannot be copied is told, and the watch goes on.
    world
        .stack(&[
            "exec",
            "-T",
            "--index",
            "2",
            "web",
            "sh",
            "-c",
            "mkdir /app/taken; echo > /app/taken/file",
        ])
        .ok();
    world.write("src/taken", "file");
    watcher.says("replace /app/taken");
    world.write("src/main.py", "three");
    becomes(&world, "web", "cat /app/main.py", "three");
    watcher.interrupt();
    world.finish();
}

#[test]
fn an_attached_up_watches_too_and_stopped_containers_are_kept_equal() {
    let world = project();
    let watcher = Watcher::start(&world, &["up", "--watch"]);
    world.write("src/main.py", "two");
    becomes(&world, "web", "cat /app/main.py", "two");
    watcher.interrupt();
    assert_eq!(world.row("web").unwrap()["State"], "exited");
    let watcher = Watcher::start(&world, &["watch", "--no-up", "web"]);
    world.write("src/main.py", "three");
    watcher.says("/app/main.py updated");
    watcher.interrupt();
    world.stack(&["start"]).ok();
    becomes(&world, "web", "cat /app/main.py", "three");
    world.finish();
}

#[test]
fn what_cannot_be_watched_is_refused_before_anything_is_made() {
    let world = World::new("services: { web: { image: busybox } }");
    let refused = |text: &str| {
        let output = world.stack(&["watch"]).fails(1);
        assert!(output.stderr.contains(text), "{}", output.stderr);
        assert!(world.row("web").is_none());
    };
    refused("no service has anything to watch");
    let rules = |rules: &str| {
        let text = format!(
            "services: {{ web: {{ image: busybox, volumes: [ ./src:/app ], develop: {{ watch: {rules} }} }} }}"
        );
        world.write("compose.yaml", &text);
    };
    rules("[ { path: ., action: rebuild } ]");
    refused("service `web` has no `build`");
    rules("[ { path: ., action: sync, target: /x, ignore: [ '[' ] } ]");
    refused("`[` in `develop.watch` is not a pattern");
    // Containers see it without a copy.
    rules("[ { path: ./src/deep, action: sync, target: /app/deep } ]");
    refused("mounted");
    world.finish();
}
