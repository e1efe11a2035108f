//! Builds that are interrupted, killed, starved and repeated at the same time: the cache stays right, and nothing is left behind.

mod caches;
mod contexts;
mod full_disk;
mod hostile;
mod killed;
mod network;
mod platforms;
mod ssh;

use std::{
    path::PathBuf,
    process::{Child, Stdio},
    time::Duration,
};

use crate::support::{World, eventually};

const SOON: Duration = Duration::from_secs(20);

/// A service whose image is made of one Dockerfile.
fn compose(services: &[(&str, &str)]) -> String {
    let mut text = "services:\n".to_owned();
    for (name, dockerfile) in services {
        text += &format!("  {name}:\n    build:\n      context: .\n      dockerfile_inline: |\n");
        for line in dockerfile.lines() {
            text += &format!("        {line}\n");
        }
    }
    text
}

/// Returns a duration for `sleep` that nobody else on this machine uses.
fn marker() -> String {
    format!("9{:09}", std::process::id())
}

/// Returns the pids of processes whose command line holds a text.
fn processes(text: &str) -> Vec<String> {
    fs_err::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let pid = entry.unwrap().file_name().into_string().unwrap();
            let line = fs_err::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
            (pid.parse::<u32>().is_ok() && line.contains(text)).then_some(pid)
        })
        .collect()
}

fn is_running(marker: &str) -> Result<(), &'static str> {
    if processes(marker).is_empty() {
        return Err("no such process");
    }
    Ok(())
}

fn has_ended(marker: &str) -> Result<(), Vec<String>> {
    match processes(marker) {
        none if none.is_empty() => Ok(()),
        left => Err(left),
    }
}

/// Returns where a file lies that a step made at the root of its image.
fn made(world: &World, name: &str) -> PathBuf {
    let layers = fs_err::read_dir(world.root().join("layers")).unwrap();
    let mut places = layers.map(|entry| entry.unwrap().path().join("fs").join(name));
    let found = places.find(|path| path.exists());
    found.unwrap_or_else(|| panic!("no layer has {name}"))
}

/// Nothing unfinished may be in `tmp/`.
fn no_litter(world: &World) -> Result<(), Vec<String>> {
    let names: Vec<String> = fs_err::read_dir(world.root().join("tmp"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    if names.is_empty() { Ok(()) } else { Err(names) }
}

/// Starts a build, and returns once its step with the marker runs.
fn building(world: &World, marker: &str) -> Child {
    let client = world
        .command(&["build"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the step runs", SOON, || is_running(marker));
    client
}

#[test]
fn an_interrupted_client_stops_its_build_and_the_next_goes_on() {
    let marker = marker();
    let dockerfile = format!("FROM busybox\nRUN echo first > /first\nRUN sleep {marker} || true");
    let world = World::new(&compose(&[("web", &dockerfile)]));
    let mut client = building(&world, &marker);
    let pid = nix::unistd::Pid::from_raw(i32::try_from(client.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    client.wait().unwrap();
    eventually("the step is killed", SOON, || has_ended(&marker));
    eventually("its scratch is gone", SOON, || no_litter(&world));
    world.write(
        "compose.yaml",
        &compose(&[(
            "web",
            &dockerfile.replace(&format!("sleep {marker}"), "true"),
        )]),
    );
    let again = world.stack(&["--progress", "plain", "build"]).ok();
    assert!(
        again.stderr.contains("RUN echo first > /first\n#2 CACHED"),
        "{}",
        again.stderr
    );
    world.finish();
}

#[test]
fn a_killed_supervisor_leaves_a_cache_that_the_next_build_uses() {
    let marker = marker();
    let dockerfile = format!("FROM busybox\nRUN echo first > /first\nRUN sleep {marker}");
    let world = World::new(&compose(&[("web", &dockerfile)]));
    let mut client = building(&world, &marker);
    for pid in world.supervisors() {
        let pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    assert!(!client.wait().unwrap().success());
    world.write(
        "compose.yaml",
        &compose(&[(
            "web",
            &dockerfile.replace(&format!("sleep {marker}"), "echo done"),
        )]),
    );
    let again = world.stack(&["--progress", "plain", "build"]).ok();
    assert!(again.stderr.contains("#2 CACHED"), "{}", again.stderr);
    eventually("the orphaned step is killed", SOON, || has_ended(&marker));
    eventually("nothing is left of it", SOON, || no_litter(&world));
    world.finish();
}

#[test]
fn clients_at_the_same_time_make_a_step_once() {
    let dockerfile = "FROM busybox\nRUN echo once >> /tmp/x; sleep 0.3";
    let world = World::new(&compose(&[("web", dockerfile), ("worker", dockerfile)]));
    let clients: Vec<_> = ["one", "two", "three"]
        .into_iter()
        .map(|project| {
            world
                .command(&["-p", project, "--progress", "json", "build"])
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut made = 0;
    for client in clients {
        let output = client.wait_with_output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{text}");
        made += text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter(|event| event["kind"] == "build" && event["text"] == "done")
            .count();
    }
    assert_eq!(made, 1);
    world.finish();
}

#[test]
fn steps_get_standard_streams_only() {
    let dockerfile = "FROM busybox\nRUN ls -l /proc/self/fd > /fds";
    let world = World::new(&compose(&[("web", dockerfile)]));
    world.stack(&["build"]).ok();
    // `ls` itself had the directory open as 3 and has closed it when it looks.
    let lines = fs_err::read_to_string(made(&world, "fds")).unwrap();
    assert_eq!(
        lines.lines().filter(|line| line.contains(" -> ")).count(),
        3,
        "{lines}"
    );
    world.finish();
}

#[test]
fn du_shows_the_cache_and_prune_removes_it() {
    let dockerfile = "FROM busybox AS make\nRUN --mount=type=cache,target=/c echo kept > /c/f; busybox dd if=/dev/zero of=/big bs=1M count=3\nFROM busybox\nCOPY --from=make /big /part\nRUN echo small > /small";
    let world = World::new(&compose(&[("web", dockerfile)]));
    world.stack(&["build"]).ok();
    let entries = || -> Vec<serde_json::Value> {
        let text = world
            .stack(&["builder", "du", "--format", "json"])
            .ok()
            .stdout;
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let of = |kind: &str| {
        entries()
            .into_iter()
            .filter(|entry| entry["Type"] == kind)
            .count()
    };
    assert!(
        of("regular") >= 3 && of("exec.cachemount") == 1,
        "{:?}",
        entries()
    );
    let refused = world.stack(&["builder", "prune"]).fails(1);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    let kept = world
        .stack(&["builder", "prune", "-f", "--filter", "until=1h"])
        .ok();
    assert_eq!(kept.stdout, "Total:  0B\n");
    let kept = world
        .stack(&["builder", "prune", "-f", "--keep-storage", "1g"])
        .ok();
    assert_eq!(kept.stdout, "Total:  0B\n");
    world.stack(&["builder", "prune", "-f"]).ok();
    assert_eq!(of("exec.cachemount"), 0);
    // What the image shares stays: only the stage that is not in it is made again.
    let again = world.stack(&["--progress", "plain", "build"]).ok();
    assert!(again.stderr.contains("#2 DONE"), "{}", again.stderr);
    assert!(
        again.stderr.contains("RUN echo small > /small\n#5 CACHED"),
        "{}",
        again.stderr
    );
    world.stack(&["builder", "prune", "-af"]).ok();
    assert!(entries().is_empty(), "{:?}", entries());
    world.stack(&["build"]).ok();
    world.finish();
}
