//! Leaving a command that goes on.

use std::{process::Stdio, time::Duration};

use crate::support::{World, eventually};

const SOON: Duration = Duration::from_secs(10);

/// Runs a program on a terminal of its own, and leaves it with ctrl-p, ctrl-q once it has printed `ready`.
const LEAVE: &str = r#"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
output = b""
while b"ready" not in output:
    output += os.read(terminal, 1024)
os.write(terminal, b"\x10\x11")
try:
    while os.read(terminal, 1024):
        pass
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

#[test]
fn exec_is_left_by_its_detach_keys_and_the_command_goes_on() {
    let world =
        World::new("services: { app: { image: busybox, command: sleep 1000, init: true } }");
    world.stack(&["up", "-d"]).ok();
    // More than a terminal holds without a reader.
    let script =
        "echo ready; until test -e /tmp/go; do sleep 0.02; done; seq 20000; echo $? > /tmp/ended";
    let exec = world.command(&["exec", "app", "sh", "-c", script]);
    let mut python = std::process::Command::new("python3");
    python
        .args(["-c", LEAVE])
        .arg(exec.get_program())
        .args(exec.get_args())
        .current_dir(world.project())
        .env_clear();
    for (name, value) in exec.get_envs() {
        python.env(name, value.unwrap());
    }
    let left = python.stdin(Stdio::null()).output().unwrap();
    assert_eq!(left.status.code(), Some(0), "{left:?}");
    let go = world.stack(&["exec", "-T", "app", "touch", "/tmp/go"]);
    go.ok();
    eventually("the command went on", SOON, || {
        let ended = world.stack(&["exec", "-T", "app", "cat", "/tmp/ended"]);
        if ended.stdout == "0\n" {
            Ok(())
        } else {
            Err(ended)
        }
    });
    world.finish();
}
