//! `cp`, `stats`, `wait`: what is done with containers besides running them.

use std::{io::Write, os::unix::fs::MetadataExt, process::Stdio, time::Duration};

use crate::support::{World, eventually};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn files_are_copied_into_and_out_of_containers_that_run_or_not() {
    let world = World::new(
        r#"
services:
  app:
    image: busybox
    command: sh -c 'mkdir -p /srv/deep; echo inside > /srv/deep/file; ln -s /etc/shadow /srv/link; ln -s /srv /way; exec sleep 1000'
    init: true
    volumes: [ "data:/data" ]
volumes: { data: }
"#,
    );
    world.stack(&["up", "-d"]).ok();
    let here = world.project();
    let at = |name: &str| here.join(name);
    eventually("the files are there", SOON, || {
        let answer = world.stack(&["cp", "app:/srv/deep/file", "ready"]);
        if answer.code == 0 {
            Ok(())
        } else {
            Err(answer)
        }
    });
    assert_eq!(std::fs::read(at("ready")).unwrap(), b"inside\n");
    // A directory that exists takes the source by its name; a new name is the source; `/.` is the content.
    std::fs::create_dir(at("into")).unwrap();
    world.stack(&["cp", "app:/srv", "into"]).ok();
    world.stack(&["cp", "app:/srv", "new"]).ok();
    std::fs::create_dir(at("content")).unwrap();
    world.stack(&["cp", "app:/srv/.", "content/"]).ok();
    for directory in ["into/srv", "new", "content"] {
        let file = at(directory).join("deep/file");
        assert_eq!(std::fs::read(file).unwrap(), b"inside\n", "{directory}");
        let link = std::fs::read_link(at(directory).join("link")).unwrap();
        assert_eq!(link.to_str(), Some("/etc/shadow"), "a link stays a link");
    }
    // A link of the container leads to a file of the container, never of the host.
    world
        .stack(&["cp", "-L", "app:/srv/link", "shadow"])
        .fails(1);
    world.stack(&["cp", "app:/way/deep/file", "through"]).ok();
    assert_eq!(std::fs::read(at("through")).unwrap(), b"inside\n");
    // The other way: owners become root's, with -a they stay; a volume and a mounted file take it too.
    world.write("mine", "from outside\n");
    std::os::unix::fs::chown(at("mine"), Some(1234), Some(1234)).unwrap();
    world.stack(&["cp", "mine", "app:/data/"]).ok();
    world.stack(&["cp", "-a", "mine", "app:/data/kept"]).ok();
    world.stack(&["cp", "mine", "app:/etc/hosts"]).ok();
    let cat = |path: &str| world.stack(&["exec", "-T", "app", "cat", path]).stdout;
    assert_eq!(cat("/data/mine"), "from outside\n");
    assert_eq!(cat("/etc/hosts"), "from outside\n");
    let volume = world.root().join("volumes");
    let data = std::fs::read_dir(volume).unwrap().next().unwrap().unwrap();
    let data = data.path().join("_data");
    let owner = |name: &str| std::fs::metadata(data.join(name)).unwrap().uid();
    assert_eq!((owner("mine"), owner("kept")), (0, 1234));
    // Streams.
    let tar = world
        .command(&["cp", "app:/srv/deep", "-"])
        .output()
        .unwrap();
    assert!(tar.status.success(), "{tar:?}");
    let mut back = world
        .command(&["cp", "-", "app:/data"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    back.stdin.take().unwrap().write_all(&tar.stdout).unwrap();
    assert!(back.wait().unwrap().success());
    assert_eq!(cat("/data/deep/file"), "inside\n");
    // A stopped container has its layers and its volumes.
    world.stack(&["stop", "-t", "0"]).ok();
    world.stack(&["cp", "app:/srv/deep/file", "stopped"]).ok();
    assert_eq!(std::fs::read(at("stopped")).unwrap(), b"inside\n");
    world.stack(&["cp", "mine", "app:/data/late"]).ok();
    world.stack(&["cp", "mine", "app:/srv/late"]).ok();
    assert!(data.join("late").exists());
    world.stack(&["start"]).ok();
    assert_eq!(cat("/srv/late"), "from outside\n");
    // What cannot be done says so.
    for (arguments, word) in [
        (["cp", "app:/nothing", "x"], "/nothing"),
        (["cp", "app:/srv", "mine"], "mine"),
        (["cp", "mine", "app:/no/such/place/"], "/no/such/place"),
        (["cp", "mine", "other:/x"], "other"),
    ] {
        let answer = world.stack(&arguments);
        assert_ne!(answer.code, 0, "{arguments:?}");
        assert!(answer.stderr.contains(word), "{answer:#?}");
    }
    world.stack(&["cp", "mine", "elsewhere"]).fails(2);
    world.finish();
}

#[test]
fn stats_tell_what_containers_use() {
    let world = World::new(
        r"
services:
  busy:
    image: busybox
    command: sh -c 'while true; do true; done'
    init: true
    mem_limit: 64m
  idle: { image: busybox, command: sleep 1000, init: true }
",
    );
    world.stack(&["up", "-d"]).ok();
    let stats = world
        .stack(&["stats", "--no-stream", "--format", "json"])
        .ok();
    let rows: Vec<serde_json::Value> = stats
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 2, "{stats:#?}");
    let share = |row: &serde_json::Value| {
        let text = row["CPUPerc"].as_str().unwrap().trim_end_matches('%');
        text.parse::<f64>().unwrap()
    };
    let (busy, idle) = (&rows[0], &rows[1]);
    assert!(share(busy) > 10.0 && share(idle) < 5.0, "{stats:#?}");
    assert!(busy["MemUsage"].as_str().unwrap().ends_with("/ 64MiB"));
    assert_eq!(busy["PIDs"], "2", "the init and the shell");
    assert!(idle["NetIO"].as_str().unwrap().contains("B / "));
    world.stack(&["down", "-t", "0"]).ok();
    world.finish();
}

#[test]
fn wait_returns_with_the_exit_code() {
    let world = World::new(
        r#"
services:
  job:
    image: busybox
    command: sh -c 'while [ ! -e /flag/go ]; do sleep 0.1; done; exit 7'
    volumes: [ "./flag:/flag" ]
"#,
    );
    world.stack(&["up", "-d"]).ok();
    let mut waiting = world
        .command(&["wait", "job"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(waiting.try_wait().unwrap().is_none());
    world.write("flag/go", "");
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("exited with status code 7"), "{text}");
    world.stack(&["wait", "job"]).fails(7);
    world.stack(&["wait", "nobody"]).fails(3);
    world.finish();
}
