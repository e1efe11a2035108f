//! The disk full at each kind of step: the build says so, nothing is left behind, and the next one goes on with what was made before.

use std::process::Stdio;

use super::{SOON, compose, no_litter};
use crate::{
    registry::{ADDRESS, Registry},
    support::{World, eventually},
};

/// The state root's own disk; what is too large for it has [`LARGE_BYTES`].
const DISK: &str = "32m";
const LARGE_BYTES: usize = 40 << 20;
const FIRST: &str = "FROM busybox\nRUN echo first > /first\n";

/// Builds on a small disk with a step that needs too much, then with one that does not.
///
/// What `prepare` returns is kept until then.
fn fills_the_disk<T>(step: &str, smaller: &str, prepare: impl FnOnce(&World) -> T) {
    let dockerfile = |step: &str| compose(&[("web", &format!("{FIRST}{step}"))]);
    let world = World::on_small_disk(&dockerfile(""), DISK);
    let kept = prepare(&world);
    world.stack(&["build"]).ok();
    world.write("compose.yaml", &dockerfile(step));
    let failed = world.stack(&["--progress", "plain", "build"]).fails(4);
    let text = failed.stderr.to_lowercase();
    assert!(text.contains("no space left"), "{text}");
    eventually("nothing is left", SOON, || no_litter(&world));
    world.write("compose.yaml", &dockerfile(smaller));
    let again = world.stack(&["--progress", "plain", "build"]).ok();
    assert!(again.stderr.contains("#2 CACHED"), "{}", again.stderr);
    let again = world.stack(&["--progress", "plain", "build"]).ok();
    assert!(!again.stderr.contains(" DONE"), "{}", again.stderr);
    drop(kept);
    world.finish();
}

/// Writes a file that no filesystem keeps smaller than it is.
fn large(world: &World, name: &str) {
    let bytes: Vec<u8> = (0..=250_u8).cycle().take(LARGE_BYTES).collect();
    fs_err::write(world.project().join(name), bytes).unwrap();
    world.write("small", "small");
}

#[test]
fn at_a_command() {
    let step = "RUN busybox dd if=/dev/zero of=/big bs=1M count=64";
    fills_the_disk(step, &step.replace("64", "2"), |_| {});
}

#[test]
fn at_a_copy() {
    fills_the_disk("COPY large /x", "COPY small /x", |world| {
        large(world, "large");
    });
}

#[test]
fn at_an_archive() {
    fills_the_disk("ADD large.tar /x/", "ADD small /x/", |world| {
        large(world, "large");
        let mut archive =
            tar::Builder::new(fs_err::File::create(world.project().join("large.tar")).unwrap());
        archive
            .append_path_with_name(world.project().join("large"), "large")
            .unwrap();
        archive.finish().unwrap();
    });
}

#[test]
fn in_a_cache_mount() {
    let step = |command: &str| format!("RUN --mount=type=cache,target=/c {command}");
    fills_the_disk(
        &step("busybox dd if=/dev/zero of=/c/big bs=1M count=64"),
        &step("rm -f /c/big; echo made > /made"),
        |_| {},
    );
}

#[test]
fn at_a_base_that_is_unpacked() {
    let base = format!("FROM {ADDRESS}/large:1\nRUN echo second > /second");
    let smaller = "RUN echo second > /second";
    fills_the_disk(&base, smaller, |world| {
        large(world, "large");
        let registry = Registry::open(world);
        let other = world.project().join("other");
        let elsewhere = |arguments: &[&str]| {
            let mut command = world.command(arguments);
            let output = command
                .env("STACK_ROOT", &other)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
        };
        world.write("base/Dockerfile", "FROM scratch\nCOPY large /large\n");
        let name = format!("{ADDRESS}/large:1");
        fs_err::rename(
            world.project().join("large"),
            world.project().join("base/large"),
        )
        .unwrap();
        elsewhere(&["image", "build", "--push", "-t", &name, "base"]);
        let socket = other.join("run/supervisor.sock");
        eventually("its supervisor leaves", SOON, || {
            if socket.exists() {
                Err("it runs")
            } else {
                Ok(())
            }
        });
        registry
    });
}

#[test]
fn at_the_export_of_a_cache() {
    let dockerfile = format!("{FIRST}RUN busybox dd if=/dev/urandom of=/big bs=1M count=4");
    let keys = "context: .\n      cache_to: ['type=local,dest=out/cache']";
    let text = compose(&[("web", &dockerfile)]).replace("context: .", keys);
    let world = World::new(&text);
    let out = world.project().join("out");
    fs_err::create_dir(&out).unwrap();
    let mount = |size: &str, flags| {
        let options = format!("size={size}");
        nix::mount::mount(
            Some("tmpfs"),
            &out,
            Some("tmpfs"),
            flags,
            Some(options.as_str()),
        )
        .unwrap();
    };
    mount("1m", nix::mount::MsFlags::empty());
    let failed = world.stack(&["--progress", "plain", "build"]).fails(4);
    let said = failed.stderr.to_lowercase();
    assert!(said.contains("no space left"), "{said}");
    eventually("nothing is left", SOON, || no_litter(&world));
    mount("64m", nix::mount::MsFlags::MS_REMOUNT);
    // The steps are there; only the cache is written.
    let again = world.stack(&["--progress", "plain", "build"]).ok();
    assert!(!again.stderr.contains(" DONE"), "{}", again.stderr);
    assert!(out.join("cache/index.json").exists());
    world.stack(&["builder", "prune", "-af"]).ok();
    world.stack(&["image", "prune", "-af"]).ok();
    nix::mount::umount(&out).unwrap();
    world.finish();
}
