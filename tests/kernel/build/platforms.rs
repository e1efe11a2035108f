//! Images for several platforms under one name.

use super::made;
use crate::{
    registry::{ADDRESS, Registry},
    support::{World, run_tool},
};

const DOCKERFILE: &str = "FROM scratch\nARG TARGETARCH\nCOPY <<EOF /arch\n$TARGETARCH\nEOF\n";

fn compose(platforms: &str) -> String {
    super::compose(&[("web", DOCKERFILE)])
        .replace('$', "$$")
        .replace(
            "    build:\n",
            &format!("    image: {ADDRESS}/web:1\n    build:\n      platforms: [{platforms}]\n"),
        )
}

/// Asks the registry for a document.
fn fetch(path: &str) -> serde_json::Value {
    let accept = "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";
    let text = run_tool(
        "curl",
        &[
            "-sf",
            "-H",
            accept,
            &format!("http://{ADDRESS}/v2/web/{path}"),
        ],
    );
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_push_sends_the_images_of_all_platforms_under_one_name() {
    let world = World::new(&compose("linux/arm64, linux/amd64, linux/arm/v7"));
    let _registry = Registry::open(&world);
    world.stack(&["build", "--push"]).ok();
    // The one that runs here has the name.
    let image = format!("{ADDRESS}/web:1");
    let shown = world.stack(&["image", "inspect", "--format", "{{.Architecture}}", &image]);
    assert_eq!(shown.ok().stdout.trim(), "amd64");
    assert!(made(&world, "arch").exists());
    let index = fetch("manifests/1");
    let entries = index["manifests"].as_array().unwrap();
    let mut platforms = Vec::new();
    for entry in entries {
        let manifest = fetch(&format!("manifests/{}", entry["digest"].as_str().unwrap()));
        let config = fetch(&format!(
            "blobs/{}",
            manifest["config"]["digest"].as_str().unwrap()
        ));
        assert_eq!(config["architecture"], entry["platform"]["architecture"]);
        let variant = entry["platform"]["variant"].as_str().unwrap_or("-");
        platforms.push(format!(
            "{} {variant}",
            config["architecture"].as_str().unwrap()
        ));
    }
    platforms.sort();
    assert_eq!(platforms, ["amd64 -", "arm v7", "arm64 -"]);
    // Nothing is made or sent twice, and none of the three is dangling.
    let again = world
        .stack(&["--progress", "plain", "build", "--push"])
        .ok();
    assert!(!again.stderr.contains(" DONE"), "{}", again.stderr);
    assert_eq!(fetch("manifests/1"), index);
    assert_eq!(
        world
            .stack(&["image", "prune", "-f"])
            .ok()
            .stdout
            .matches("sha256:")
            .count(),
        0
    );
    // With the name all of them go.
    world.stack(&["image", "rm", &image]).ok();
    let left = world.stack(&["image", "ls", "-q"]).ok().stdout;
    assert_eq!(left.lines().count(), 1, "only the base is left: {left}");
    world.finish();
}

#[test]
fn programs_of_a_platform_that_does_not_run_here_are_refused_with_what_to_install() {
    let text = compose("linux/amd64, linux/s390x")
        .replace("FROM scratch", "FROM scratch\n        RUN [\"/x\"]");
    let world = World::new(&text.replace("linux/amd64, ", ""));
    let failed = world.stack(&["build"]).fails(4);
    assert!(
        failed.stderr.contains("qemu-user-static"),
        "{}",
        failed.stderr
    );
    world.finish();
}

#[test]
fn files_and_archives_hold_every_platform() {
    let world = World::new("services: {}");
    world.write("Dockerfile", DOCKERFILE);
    let build = |more: &[&str]| {
        let platforms = "linux/amd64,linux/arm64,linux/arm/v7";
        let arguments = ["image", "build", "--platform", platforms];
        world.stack(&[&arguments[..], more, &["."]].concat())
    };
    build(&["-t", "web:1", "-o", "files", "-o", "type=oci,dest=web.tar"]).ok();
    for (directory, architecture) in [
        ("linux_amd64", "amd64"),
        ("linux_arm64", "arm64"),
        ("linux_arm_v7", "arm"),
    ] {
        let path = world.project().join("files").join(directory).join("arch");
        let text = fs_err::read_to_string(path).unwrap();
        assert_eq!(text.trim(), architecture);
    }
    // Another program reads each of them from the archive.
    let archive = world.project().join("web.tar").display().to_string();
    for architecture in ["amd64", "arm64", "arm"] {
        let source = format!("oci-archive:{archive}");
        let arguments = [
            "--override-arch",
            architecture,
            "inspect",
            "--config",
            &source,
        ];
        let config: serde_json::Value =
            serde_json::from_str(&run_tool("skopeo", &arguments)).unwrap();
        assert_eq!(config["architecture"], architecture);
    }
    // And we read it again.
    world.stack(&["image", "rm", "web:1"]).ok();
    world.stack(&["image", "load", "-i", &archive]).ok();
    let shown = world.stack(&["image", "inspect", "--format", "{{.Architecture}}", "web:1"]);
    assert_eq!(shown.ok().stdout.trim(), "amd64");
    let unnamed = build(&["-o", "files"]).fails(2);
    assert!(unnamed.stderr.contains("`-t`"), "{unnamed:#?}");
    let one = build(&["-t", "web:1", "-o", "type=tar,dest=x.tar"]).fails(2);
    assert!(one.stderr.contains("type=oci"), "{one:#?}");
    world.finish();
}
