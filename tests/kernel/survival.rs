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

/// A supervisor of an older version: it has the lock and the socket, refuses every call as such a one does, and leaves on SIGTERM.
const OLD_SUPERVISOR: &str = r#"
import fcntl, os, signal, socket, sys
run = sys.argv[1]
lock = open(run + "/supervisor.lock", "a")
fcntl.flock(lock, fcntl.LOCK_EX)
path = run + "/supervisor.sock"
if os.path.exists(path):
    os.remove(path)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
def leave(*_):
    open(run + "/left", "w").close()
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
print("ready", flush=True)
while True:
    client, _ = listener.accept()
    client.recv(65536)
    client.sendall(b'HTTP/1.1 426 Upgrade Required\r\n\r\n{"error":"this supervisor speaks protocol VERSION"}')
    client.close()
"#;

#[test]
fn a_supervisor_of_an_older_version_is_replaced_and_a_newer_one_is_not() {
    use std::io::BufRead;
    let world = World::new(SLEEPER);
    world.stack(&["up", "-d"]).ok();
    let pids = world.pids("app");
    let run = world.root().join("run");
    let start = |version: &str| {
        let mut old = std::process::Command::new("python3")
            .args(["-c", &OLD_SUPERVISOR.replace("VERSION", version)])
            .arg(&run)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("python3; ./tests/run installs it");
        let mut line = String::new();
        std::io::BufReader::new(old.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        old
    };
    // The present one leaves as on an upgrade, so that no monitor starts the next one.
    let present = world.supervisors();
    kill(Pid::from_raw(present[0]), Signal::SIGTERM).unwrap();
    let mut old = start("2");
    world.stack(&["pause"]).ok();
    assert!(run.join("left").exists(), "it was asked to leave");
    assert!(old.wait().unwrap().success());
    assert_eq!(world.supervisors().len(), 1, "ours has taken over");
    assert_eq!(world.pids("app"), pids, "the container went on");
    world.stack(&["unpause"]).ok();

    let present = world.supervisors();
    kill(Pid::from_raw(present[0]), Signal::SIGTERM).unwrap();
    let mut newer = start("99");
    let refused = world.stack(&["pause"]).fails(1);
    assert!(
        refused.stderr.contains("newer than this program")
            && refused.stderr.contains("protocol 99"),
        "{refused:?}"
    );
    newer.kill().unwrap();
    newer.wait().unwrap();
    world.finish();
}
