//! Caches that go from one machine to another: through a registry, a directory, and the image itself.

use std::process::Stdio;

use crate::{
    registry::{ADDRESS, Registry},
    support::{Output, World, eventually},
};

use super::SOON;

const DOCKERFILE: &str = "FROM busybox AS make\nRUN echo made > /made\nFROM busybox\nWORKDIR /w\nCOPY --from=make /made /got\nRUN echo end > /end\nRUN true\n";

/// Runs `stack` with a state root of its own: another machine in the same network.
fn elsewhere(world: &World, name: &str, arguments: &[&str]) -> Output {
    let output = world
        .command(arguments)
        .env("STACK_ROOT", world.project().join(name))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Makes such a machine with the base image and nothing else.
fn machine(world: &World, name: &str) {
    let archive = world.project().join("../busybox.tar");
    elsewhere(
        world,
        name,
        &["image", "load", "-i", archive.to_str().unwrap()],
    )
    .ok();
}

/// Waits until nothing of a machine runs.
fn leave(world: &World, name: &str) {
    let socket = world.project().join(name).join("run/supervisor.sock");
    eventually("its supervisor leaves", SOON, || {
        if socket.exists() {
            Err(socket.display().to_string())
        } else {
            Ok(())
        }
    });
}

fn write(world: &World, keys: &str) {
    let text = super::compose(&[("web", DOCKERFILE)]);
    let text = text.replace(
        "    build:\n",
        &format!("    image: {ADDRESS}/web:1\n    build:\n{keys}"),
    );
    world.write("compose.yaml", &text);
}

/// Returns how many steps were found and made.
fn counts(output: &Output) -> (usize, usize) {
    let count = |word: &str| {
        output
            .stderr
            .lines()
            .filter(|line| line.contains(word))
            .count()
    };
    (count(" CACHED"), count(" DONE"))
}

fn build(world: &World, name: &str) -> Output {
    elsewhere(world, name, &["--progress", "plain", "build"]).ok()
}

/// Returns the id of the image that was built.
fn id(world: &World, name: &str) -> String {
    let image = format!("{ADDRESS}/web:1");
    let shown = elsewhere(
        world,
        name,
        &["image", "inspect", "--format", "{{.Id}}", &image],
    );
    shown.ok().stdout
}

#[test]
fn another_machine_finds_all_steps_in_a_registry_or_a_directory() {
    let world = World::new("services: {}");
    let _registry = Registry::open(&world);
    let cached = format!("{ADDRESS}/cache:web");
    write(
        &world,
        &format!(
            "      cache_to: ['type=registry,ref={cached},mode=max', 'type=local,dest=cache,mode=max']\n"
        ),
    );
    machine(&world, "one");
    let first = build(&world, "one");
    // FROM twice, and five steps.
    assert_eq!(counts(&first), (2, 5), "{}", first.stderr);
    for (name, from) in [
        ("two", format!("type=registry,ref={cached}")),
        ("three", cached.clone()),
        ("four", "type=local,src=cache".to_owned()),
    ] {
        write(&world, &format!("      cache_from: ['{from}']\n"));
        machine(&world, name);
        let built = build(&world, name);
        assert_eq!(counts(&built), (7, 0), "{}", built.stderr);
        assert_eq!(id(&world, name), id(&world, "one"));
        leave(&world, name);
    }
    // A cache in a directory keeps nothing that nobody needs any more.
    let blobs = || {
        fs_err::read_dir(world.project().join("cache/blobs/sha256"))
            .unwrap()
            .count()
    };
    let before = blobs();
    write(&world, "      cache_to: ['type=local,dest=cache']\n");
    build(&world, "one");
    assert!(blobs() < before, "{} of {before}", blobs());
    leave(&world, "one");
    world.finish();
}

#[test]
fn an_image_carries_the_cache_of_its_own_steps() {
    let world = World::new("services: {}");
    let _registry = Registry::open(&world);
    write(&world, "      cache_to: [type=inline]\n");
    machine(&world, "one");
    elsewhere(&world, "one", &["build", "--push"]).ok();
    write(&world, &format!("      cache_from: ['{ADDRESS}/web:1']\n"));
    machine(&world, "two");
    let built = build(&world, "two");
    // The stage that the image was copied from is made again.
    assert_eq!(counts(&built), (6, 1), "{}", built.stderr);
    // An image without a cache, and one that is not there, cost a warning each.
    write(
        &world,
        &format!("      cache_from: ['{ADDRESS}/web:none']\n      no_cache: true\n"),
    );
    let built = build(&world, "two");
    assert!(
        built
            .stderr
            .contains("cache `127.0.0.1:5000/web:none` is not used"),
        "{}",
        built.stderr
    );
    for name in ["one", "two"] {
        leave(&world, name);
    }
    world.finish();
}

#[test]
fn a_cache_that_cannot_be_written_fails_the_build_unless_told_otherwise() {
    let world = World::new("services: {}");
    world.write("taken", "a file");
    write(&world, "      cache_to: ['type=local,dest=taken/cache']\n");
    let failed = world.stack(&["build"]).fails(4);
    assert!(
        failed.stderr.contains("its cache was not written to"),
        "{}",
        failed.stderr
    );
    write(
        &world,
        "      cache_to: ['type=local,dest=taken/cache,ignore-error=true']\n",
    );
    let built = world.stack(&["build"]).ok();
    assert!(
        built.stderr.contains("the cache was not written to"),
        "{}",
        built.stderr
    );
    world.finish();
}
