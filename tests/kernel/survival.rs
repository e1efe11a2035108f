//! kill -9 of everything that can be killed: containers go on, are restarted by policy, and are never orphaned.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{World, eventually};

const SOON: Duration = Duration::from_secs(20);
const SLEEPER: &str =
    "services: { app: { image: busybox, command: sleep 1000, init: true, restart: always } }";

#[test]
fn a_killed_process_is_running_again_by_its_policy() {
    let world = World::new(SLEEPER);
    world.stack(&["up", "-d"]).ok();
    let (pid, monitor) = world.pids("app");
    kill_9(pid);
    eventually("it runs again", SOON, || {
        let (again, same_monitor) = world.pids("app");
        let row = world.row("app").unwrap();
        if again != pid && again != 0 && same_monitor == monitor && row["State"] == "running" {
            Ok(())
        } else {
            Err(row)
        }
    });
    world.finish();
}

#[test]
fn a_killed_supervisor_is_replaced_and_no_request_fails() {
    let world = World::new(
        r#"
services:
  web:
    image: busybox
    command: httpd -f -p 80 -h /data
    init: true
    ports: [ "18081:80" ]
  client: { image: busybox, command: sleep 1000, init: true }
"#,
    );
    world.stack(&["up", "-d"]).ok();
    eventually("the port answers", SOON, request);
    let pids = (world.pids("web"), world.pids("client"));
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicU64::new(0));
    let client = {
        let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
        // A new thread inherits the namespaces of this one.
        thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                request()?;
                served.fetch_add(1, Ordering::SeqCst);
            }
            Ok::<(), String>(())
        })
    };
    for _ in 0..3 {
        let old = world.supervisors();
        assert_eq!(old.len(), 1, "{old:?}");
        let before = served.load(Ordering::SeqCst);
        kill_9(old[0]);
        eventually("a monitor starts the next supervisor", SOON, || {
            let new = world.supervisors();
            if new.len() == 1 && new != old {
                Ok(())
            } else {
                Err(new)
            }
        });
        eventually("requests go on", SOON, || {
            let now = served.load(Ordering::SeqCst);
            if now > before + 50 { Ok(()) } else { Err(now) }
        });
    }
    stop.store(true, Ordering::SeqCst);
    client.join().unwrap().expect("no request fails");
    assert_eq!(
        (world.pids("web"), world.pids("client")),
        pids,
        "containers were not touched"
    );
    eventually("names are answered again", SOON, || {
        let answer = world.stack(&["exec", "-T", "client", "wget", "-qO-", "http://web/seed"]);
        if answer.stdout == "from the image\n" {
            Ok(())
        } else {
            Err(answer)
        }
    });
    world.finish();
}

#[test]
fn an_up_that_was_cut_off_is_brought_to_its_end() {
    let compose = |mark: &str| {
        format!(
            r#"
services:
  db:
    image: busybox
    command: sleep 1000
    init: true
    environment: {{ MARK: "{mark}" }}
    volumes: [ "./flag:/flag" ]
    healthcheck: {{ test: test -e /flag/up, interval: 100ms, retries: 1000 }}
  web:
    image: busybox
    command: sleep 1000
    init: true
    environment: {{ MARK: "{mark}" }}
    depends_on: {{ db: {{ condition: service_healthy }} }}
"#
        )
    };
    let world = World::new(&compose("old"));
    let flag = world.project().join("flag");
    std::fs::create_dir(&flag).unwrap();
    std::fs::write(flag.join("up"), "").unwrap();
    world.stack(&["up", "-d"]).ok();
    let mark = |service: &str| {
        let answer = world.stack(&["exec", "-T", service, "sh", "-c", "echo $MARK"]);
        answer.stdout.trim().to_owned()
    };
    std::fs::remove_file(flag.join("up")).unwrap();
    world.write("compose.yaml", &compose("new"));
    let mut client = world.command(&["up", "-d"]).spawn().unwrap();
    eventually("db is the new one", SOON, || match mark("db") {
        new if new == "new" => Ok(()),
        other => Err(other),
    });
    client.kill().unwrap();
    client.wait().unwrap();
    kill_9(world.supervisors()[0]);
    std::fs::write(flag.join("up"), "").unwrap();
    eventually("web is the new one too", SOON, || match mark("web") {
        new if new == "new" => Ok(()),
        other => Err(other),
    });
    world.finish();
}

#[test]
fn a_killed_monitor_leaves_no_orphan() {
    let world = World::new(SLEEPER);
    world.stack(&["up", "-d"]).ok();
    let (_, monitor) = world.pids("app");
    kill_9(monitor);
    eventually("a new monitor runs the container", SOON, || {
        let (pid, new_monitor) = world.pids("app");
        let row = world.row("app").unwrap();
        let runs = row["State"] == "running" && pid != 0 && alive(pid);
        if runs && new_monitor != monitor && alive(new_monitor) {
            Ok(())
        } else {
            Err(row)
        }
    });
    world.finish();
}

#[test]
fn everything_killed_at_once_comes_back_with_the_next_command() {
    let world = World::new(SLEEPER);
    world.stack(&["up", "-d"]).ok();
    let (pid, monitor) = world.pids("app");
    kill_9(world.supervisors()[0]);
    kill_9(monitor);
    kill_9(pid);
    world.stack(&["up", "-d"]).ok();
    eventually("it runs again", SOON, || {
        let row = world.row("app").unwrap();
        if row["State"] == "running" {
            Ok(())
        } else {
            Err(row)
        }
    });
    world.finish();
}

fn request() -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect("127.0.0.1:18081").map_err(text)?;
    stream
        .write_all(b"GET /seed HTTP/1.0\r\n\r\n")
        .map_err(text)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(text)?;
    if answer.contains("from the image") {
        Ok(())
    } else {
        Err(answer)
    }
}

fn kill_9(pid: i32) {
    assert!(pid > 1);
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

fn alive(pid: i32) -> bool {
    pid > 1 && kill(Pid::from_raw(pid), None).is_ok()
}
