//! The supervisor killed, or the user pressing Ctrl-C, at every moment of a build: what the next build makes is what an undisturbed one makes.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use super::{SOON, compose, no_litter};
use crate::support::{World, eventually};

/// Moments, counted in lines of progress.
const MOMENTS: usize = 8;

/// `number` makes every step another one.
fn dockerfile(number: usize) -> String {
    format!(
        "FROM busybox AS make\nENV N={number}\nWORKDIR /w{number}\nCOPY files /files\nRUN busybox dd if=/dev/zero of=/big bs=64k count=16 2>/dev/null; echo $N >/made\nFROM busybox\nENV N={number}\nCOPY --from=make /made /big /files /got/\nRUN busybox rm /got/big; echo $N >/last\n"
    )
}

fn write(world: &World, number: usize) {
    let text = compose(&[("web", &dockerfile(number).replace('$', "$$"))]);
    let keys = "context: .\n      args: { SOURCE_DATE_EPOCH: '1700000000' }\n      cache_to: ['type=local,dest=cache,mode=max']";
    world.write("compose.yaml", &text.replace("context: .", keys));
}

fn id(world: &World, arguments: &[&str]) -> String {
    world
        .stack(&[&["build", "-q"], arguments].concat())
        .ok()
        .stdout
}

/// What happens to a build in the middle.
#[derive(Clone, Copy)]
enum Disturbance {
    /// The supervisor is killed.
    Kill,
    /// The user presses Ctrl-C.
    Interrupt,
}

/// Disturbs builds at several moments, and returns how many did not end well; what the next one makes is looked at each time.
fn disturb(world: &World, how: Disturbance) -> usize {
    use nix::{sys::signal::Signal, unistd::Pid};
    for number in 0..200 {
        world.write(&format!("files/{number}"), &number.to_string());
    }
    let mut early = 0;
    for moment in 0..MOMENTS {
        write(world, moment);
        let mut client = world
            .command(&["--progress", "json", "build"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(client.stderr.take().unwrap()).lines();
        let seen = lines.by_ref().take(2 * moment + 1).count();
        let (pids, signal) = match how {
            Disturbance::Kill => (world.supervisors(), Signal::SIGKILL),
            Disturbance::Interrupt => (vec![client.id().cast_signed()], Signal::SIGINT),
        };
        for pid in pids {
            // It may have ended by itself.
            let _gone = nix::sys::signal::kill(Pid::from_raw(pid), signal);
        }
        // One that still says something must not die of a closed pipe instead.
        let _rest = lines.count();
        early += usize::from(!client.wait().unwrap().success());
        let first = id(world, &[]);
        assert_eq!(id(world, &[]), first, "after {seen} lines");
        assert_eq!(id(world, &["--no-cache"]), first, "after {seen} lines");
        eventually("nothing is left of it", SOON, || no_litter(world));
    }
    early
}

#[test]
fn a_build_that_is_interrupted_at_any_moment_leaves_what_the_next_can_use() {
    let world = World::new("services: {}");
    let early = disturb(&world, Disturbance::Interrupt);
    assert!(early > 0, "none was interrupted in time");
    world.finish();
}

#[test]
fn a_build_that_is_killed_at_any_moment_leaves_what_the_next_can_use() {
    let world = World::new("services: {}");
    let killed_early = disturb(&world, Disturbance::Kill);
    assert!(
        killed_early > MOMENTS / 2,
        "only {killed_early} were killed in time"
    );
    // The cache that was written along is whole.
    let elsewhere = world.project().join("elsewhere");
    let archive = world.project().join("../busybox.tar");
    let run = |arguments: &[&str]| {
        let mut command = world.command(arguments);
        let output = command
            .env("STACK_ROOT", &elsewhere)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    run(&["image", "load", "-i", archive.to_str().unwrap()]);
    let text = fs_err::read_to_string(world.project().join("compose.yaml")).unwrap();
    world.write(
        "compose.yaml",
        &text.replace(
            "cache_to: ['type=local,dest=cache,mode=max']",
            "cache_from: ['type=local,src=cache']",
        ),
    );
    let built = run(&["--progress", "plain", "build"]);
    assert!(!built.contains(" DONE"), "{built}");
    let socket = elsewhere.join("run/supervisor.sock");
    eventually("its supervisor leaves", SOON, || {
        if socket.exists() {
            Err("it runs")
        } else {
            Ok(())
        }
    });
    world.finish();
}
