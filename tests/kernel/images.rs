//! Images as people use them: made of containers and archives, counted, and removed when nothing uses them.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::support::{World, eventually, run_tool};

const SOON: Duration = Duration::from_secs(20);
const COMPOSE: &str = r"
services:
  app:
    image: busybox
    command: sh -c 'echo changed > /data/seed; rm /etc/group; mkdir /made; echo x > /made/file; echo ready; exec sleep 1000'
    init: true
    environment: { COLOUR: green }
";

/// Waits until the service has changed its files.
fn await_ready(world: &World) {
    eventually("the service is ready", SOON, || {
        let logs = world.stack(&["logs", "--no-log-prefix", "app"]);
        if logs.stdout.contains("ready") {
            Ok(())
        } else {
            Err(logs)
        }
    });
}

fn inspect(world: &World, image: &str) -> Value {
    let output = world.stack(&["image", "inspect", image]).ok();
    serde_json::from_str::<Value>(&output.stdout).unwrap()[0].clone()
}

/// Runs a command in a container of an image and returns what it prints.
fn run_in(world: &World, image: &str, command: &[&str]) -> String {
    let file = format!("services:\n  once:\n    image: {image}\n");
    world.write("once.yaml", &file);
    let arguments = [
        &["-f", "once.yaml", "run", "--rm", "-T", "once"][..],
        command,
    ];
    world.stack(&arguments.concat()).ok().stdout
}

#[test]
fn commit_makes_an_image_of_a_running_container() {
    let world = World::new(COMPOSE);
    world.stack(&["up", "-d"]).ok();
    await_ready(&world);
    let arguments = [
        "commit",
        "-a",
        "me",
        "-m",
        "as it is",
        "-c",
        "CMD [\"cat\", \"/made/file\"]",
        "-c",
        "LABEL kind=made",
        "app",
        "app:made",
    ];
    let id = world.stack(&arguments).ok().stdout;
    let image = inspect(&world, "app:made");
    assert_eq!(image["Id"], id.trim());
    assert_eq!(image["Author"], "me");
    assert_eq!(image["Config"]["Labels"]["kind"], "made");
    let environment = image["Config"]["Env"].to_string();
    assert!(environment.contains("COLOUR=green"), "{environment}");
    let history = world.stack(&["image", "history", "app:made"]).ok().stdout;
    assert!(history.contains("as it is"), "{history}");
    // What the container wrote, removed and left alone.
    assert_eq!(run_in(&world, "app:made", &[]), "x\n");
    let script = "cat /data/seed; ls /etc/passwd /made; test -e /etc/group || echo gone";
    let seen = run_in(&world, "app:made", &["sh", "-c", script]);
    assert_eq!(seen, "changed\n/etc/passwd\n\n/made:\nfile\ngone\n");
    // It is thawed, and its own image stays what it was.
    assert_eq!(world.row("app").unwrap()["State"], "running");
    let answer = world.stack(&["exec", "-T", "app", "echo", "thawed"]).ok();
    assert_eq!(answer.stdout, "thawed\n");
    assert_eq!(
        run_in(&world, "busybox", &["cat", "/data/seed"]),
        "from the image\n"
    );
    // Refused names and instructions change nothing and leave nothing frozen.
    world.stack(&["commit", "app", "Upper:1"]).fails(4);
    world.stack(&["commit", "-c", "RUN x", "app"]).fails(4);
    world.stack(&["commit", "nobody"]).fails(1);
    assert_eq!(world.row("app").unwrap()["State"], "running");
    // `run --rm` is over, so its image is free at once.
    world.stack(&["image", "rm", "app:made"]).ok();
    world.finish();
}

/// A supervisor that is killed while a container is frozen for it leaves nobody frozen.
#[test]
fn a_commit_whose_supervisor_is_killed_leaves_the_container_running() {
    let world = World::new(COMPOSE);
    world.stack(&["up", "-d"]).ok();
    await_ready(&world);
    // Some megabytes, so that the commit takes a while.
    let script = "i=0; while [ $i -lt 60 ]; do cat /bin/busybox; i=$((i+1)); done > /big";
    world.stack(&["exec", "-T", "app", "sh", "-c", script]).ok();
    let mut commit = world
        .command(&["commit", "app", "app:big"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let project = world.row("app").unwrap()["Project"].clone();
    let logs = world.root().join("logs").join(project.as_str().unwrap());
    let log = logs.join("app-1/current.log");
    eventually("the container is frozen", SOON, || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let is_frozen = text.contains("frozen while its files are read");
        if is_frozen { Ok(()) } else { Err(text) }
    });
    for pid in world.supervisors() {
        let pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    commit.wait().unwrap();
    let answer = eventually("the container runs", SOON, || {
        let answer = world.stack(&["exec", "-T", "app", "echo", "thawed"]);
        if answer.code == 0 {
            Ok(answer)
        } else {
            Err(answer)
        }
    });
    assert_eq!(answer.stdout, "thawed\n");
    // And the next one succeeds.
    world.stack(&["commit", "app", "app:big"]).ok();
    let kept = run_in(
        &world,
        "app:big",
        &["sh", "-c", "stat -c %s /big /bin/busybox"],
    );
    let sizes: Vec<u64> = kept.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(sizes[0], 60 * sizes[1]);
    world.finish();
}

#[test]
fn export_and_import_carry_the_files_and_nothing_else() {
    let world = World::new(COMPOSE);
    world.stack(&["up", "-d"]).ok();
    await_ready(&world);
    world.stack(&["export", "app", "-o", "files.tar"]).ok();
    let archive = world.project().join("files.tar");
    let listing = run_tool("tar", &["-tf", archive.to_str().unwrap()]);
    assert!(listing.lines().any(|line| line == "made/file"), "{listing}");
    assert!(
        !listing
            .lines()
            .any(|line| line == "etc/group" || line.contains(".wh.")),
        "{listing}"
    );
    // Standard output is the same archive; from a stopped container too.
    world.stack(&["stop", "-t", "0"]).ok();
    let piped = world.command(&["export", "app"]).output().unwrap();
    assert!(piped.status.success());
    assert_eq!(piped.stdout, std::fs::read(&archive).unwrap());

    let arguments = [
        "image",
        "import",
        "-c",
        "ENTRYPOINT [\"/bin/cat\"]",
        "-m",
        "flat",
        "files.tar",
        "flat:1",
    ];
    let id = world.stack(&arguments).ok().stdout;
    let image = inspect(&world, "flat:1");
    assert_eq!(image["Id"], id.trim());
    assert_eq!(image["RootFS"]["Layers"].as_array().unwrap().len(), 1);
    assert!(!image["Config"]["Env"].to_string().contains("COLOUR"));
    assert_eq!(run_in(&world, "flat:1", &["/data/seed"]), "changed\n");
    // The same through a pipe.
    let input = std::fs::File::open(&archive).unwrap();
    let piped = world
        .command(&["image", "import", "-", "flat:2"])
        .stdin(input)
        .output()
        .unwrap();
    assert!(piped.status.success(), "{piped:?}");
    let layers = |name: &str| inspect(&world, name)["RootFS"]["Layers"].clone();
    assert_eq!(layers("flat:1"), layers("flat:2"));
    // What is no archive is refused and leaves nothing.
    world.write("bad.tar", "not an archive, but long enough to have a header block of a tar archive or something like it");
    world
        .stack(&["image", "import", "bad.tar", "bad:1"])
        .fails(4);
    world.stack(&["image", "inspect", "bad:1"]).fails(1);
    world.finish();
}

/// Returns one line of `system df`.
fn use_of(world: &World, kind: &str) -> Value {
    let output = world.stack(&["system", "df", "--format", "json"]).ok();
    output
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|row| row["Type"] == kind)
        .unwrap_or_else(|| panic!("no line for {kind}: {output:#?}"))
}

#[test]
fn disk_use_is_counted_and_given_back() {
    let world = World::new(
        r"
services:
  app:
    image: busybox
    command: sh -c 'cat /bin/busybox > /copy; cat /bin/busybox > /data/copy; echo ready; exec sleep 1000'
    init: true
    volumes: [ 'kept:/data', '/scratch' ]
volumes: { kept: }
",
    );
    world.stack(&["up", "-d"]).ok();
    await_ready(&world);
    let binary = std::fs::metadata("/bin/busybox").unwrap().len();
    let bytes = |kind: &str, field: &str| use_of(&world, kind)[field].as_u64().unwrap();
    assert!(bytes("Images", "SizeBytes") >= binary);
    assert!(bytes("Containers", "SizeBytes") >= binary);
    assert!(bytes("Local Volumes", "SizeBytes") >= binary);
    assert_eq!(bytes("Images", "ReclaimableBytes"), 0);
    assert_eq!(use_of(&world, "Containers")["Active"], "1");
    assert_eq!(use_of(&world, "Local Volumes")["TotalCount"], "2");

    // An image without a name, one with a name that nobody uses, and one in use.
    world.stack(&["commit", "app", "second"]).ok();
    world.stack(&["commit", "app"]).ok();
    assert_eq!(use_of(&world, "Images")["TotalCount"], "3");
    assert!(bytes("Images", "ReclaimableBytes") >= binary);
    let verbose = world.stack(&["system", "df", "-v"]).ok().stdout;
    assert!(
        verbose.contains("second") && verbose.contains("kept"),
        "{verbose}"
    );

    // Without a terminal nobody can be asked; what would go is told with its size.
    let refused = world.stack(&["image", "prune"]).fails(1);
    assert!(
        refused.stderr.contains("1 dangling image: about") && refused.stderr.contains("--force"),
        "{refused:#?}"
    );
    let pruned = world.stack(&["image", "prune", "-f"]).ok().stdout;
    assert!(pruned.contains("Total reclaimed space: "), "{pruned}");
    assert_eq!(use_of(&world, "Images")["TotalCount"], "2");
    let filtered = ["image", "prune", "-a", "-f", "--filter", "label=none"];
    world.stack(&filtered).ok();
    assert_eq!(use_of(&world, "Images")["TotalCount"], "2");
    world.stack(&["image", "prune", "-a", "-f"]).ok();
    assert_eq!(use_of(&world, "Images")["TotalCount"], "1");
    assert_eq!(run_in(&world, "busybox", &["echo", "there"]), "there\n");

    // A running project is left alone by everything.
    let everything = [
        "system",
        "prune",
        "-a",
        "--volumes",
        "-f",
        "--filter",
        "all=1",
    ];
    world.stack(&everything).ok();
    assert_eq!(world.row("app").unwrap()["State"], "running");
    assert_eq!(use_of(&world, "Local Volumes")["TotalCount"], "2");

    world.stack(&["stop", "-t", "0"]).ok();
    let refused = world.stack(&["system", "prune"]).fails(1);
    assert!(refused.stderr.contains("what they wrote: "), "{refused:#?}");
    assert!(world.row("app").is_some());
    // The stopped project goes, its named volume and its image stay, then they go too.
    world.stack(&["system", "prune", "-f"]).ok();
    assert!(world.row("app").is_none());
    assert_eq!(use_of(&world, "Images")["TotalCount"], "1");
    assert_eq!(use_of(&world, "Local Volumes")["TotalCount"], "2");
    world.stack(&["system", "prune", "-f", "--volumes"]).ok();
    assert_eq!(use_of(&world, "Local Volumes")["TotalCount"], "1");
    let pruned = world.stack(&everything).ok().stdout;
    assert!(pruned.contains("kept"), "{pruned}");
    for kind in ["Images", "Containers", "Local Volumes"] {
        assert_eq!(use_of(&world, kind)["TotalCount"], "0", "{kind}");
    }
    for directory in ["layers", "blobs/sha256", "tmp"] {
        let left = std::fs::read_dir(world.root().join(directory));
        let left: Vec<_> = left.into_iter().flatten().collect();
        assert!(left.is_empty(), "{directory}: {left:?}");
    }
    world.finish();
}

/// skopeo reads what `image save` writes, and we read what it writes, whichever form.
#[test]
fn saved_images_go_through_skopeo_and_run() {
    let world = World::new("services: {}\n");
    let skopeo = |from: &str, to: &str| {
        let arguments = ["--insecure-policy", "copy", "--quiet", from, to];
        let output = Command::new("skopeo")
            .args(arguments)
            .current_dir(world.project())
            .output()
            .expect("skopeo; ./tests/run installs it");
        assert!(output.status.success(), "{output:?}");
    };
    let save = |format: &str, file: &str| {
        let arguments = ["image", "save", "--format", format, "-o", file, "busybox"];
        world.stack(&arguments).ok();
    };
    save("docker", "ours.tar");
    save("oci", "ours-oci.tar");
    skopeo("docker-archive:ours.tar", "oci:layout:back:1");
    skopeo(
        "oci-archive:ours-oci.tar",
        "docker-archive:theirs.tar:back:2",
    );
    world.stack(&["image", "rm", "busybox"]).ok();
    world.stack(&["image", "load", "-i", "layout"]).ok();
    world.stack(&["image", "load", "-i", "theirs.tar"]).ok();
    for image in ["back:1", "back:2"] {
        assert_eq!(
            run_in(&world, image, &["cat", "/data/seed"]),
            "from the image\n"
        );
    }
    world.finish();
}
