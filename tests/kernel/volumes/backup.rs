//! `volume backup`, `restore` and `cp`: of one moment, whole or not at all, and never at the cost of the containers.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{World, eventually};

const SOON: Duration = Duration::from_secs(20);

/// Writes one number into two files, over and over.
const COUNTER: &str = r#"
services:
  db:
    image: busybox
    command: sh -c 'i=0; while true; do i=$$((i+1)); echo $$i >/data/a; echo $$i >/data/b; done'
    init: true
    volumes: [ "data:/data" ]
volumes: { data: { name: counted } }
"#;

fn data(world: &World, name: &str) -> PathBuf {
    world.root().join("volumes").join(name).join("_data")
}

fn number(path: &Path) -> i64 {
    let text = fs_err::read_to_string(path).unwrap();
    text.trim().parse().unwrap_or(0)
}

fn state(world: &World, service: &str) -> String {
    world.row(service).unwrap()["State"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn unfinished(world: &World) -> Vec<PathBuf> {
    let entries = fs_err::read_dir(world.root().join("tmp")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_backup_is_of_one_moment_and_comes_back() {
    let world = World::new(COUNTER);
    world.stack(&["up", "-d"]).ok();
    eventually("it counts", SOON, || {
        let count = number(&data(&world, "counted").join("b"));
        if count > 10 { Ok(()) } else { Err(count) }
    });
    // No names: all of the project. It goes to a file, and nothing to standard output.
    let backup = world.stack(&["volume", "backup", "-o", "all.tar.zst"]).ok();
    assert_eq!(backup.stdout, "");
    assert!(backup.stderr.contains("stood still for"), "{backup:#?}");
    assert_eq!(state(&world, "db"), "running", "it goes on");
    let archive = world.project().join("all.tar.zst");
    let archive = archive.to_str().unwrap();
    let mut members = std::process::Command::new("tar");
    members.args(["--zstd", "-tf", archive]);
    let listed = String::from_utf8(members.output().unwrap().stdout).unwrap();
    let names: Vec<&str> = listed.lines().collect();
    assert_eq!((names[0], names[1]), ("backup.json", "volumes/counted/"));
    assert_eq!(names.last(), Some(&"summary.json"));

    let restored = world
        .stack(&["volume", "restore", archive, "--as", "old"])
        .ok();
    assert_eq!(restored.stdout, "old\n");
    let (a, b) = (data(&world, "old").join("a"), data(&world, "old").join("b"));
    let (a, b) = (number(&a), number(&b));
    assert!(
        a == b || a == b + 1 || a == 0 || b == 0,
        "of one moment: {a} {b}"
    );
    // Running containers keep their volume, whatever is asked.
    let refused = world.stack(&["volume", "restore", archive]).fails(1);
    assert!(refused.stderr.contains("exists already"), "{refused:#?}");
    let replace = ["volume", "restore", archive, "--replace"];
    let refused = world.stack(&replace).fails(1);
    assert!(refused.stderr.contains("in use by"), "{refused:#?}");
    world.stack(&["stop", "-t", "0"]).ok();
    fs_err::write(data(&world, "counted").join("c"), "later").unwrap();
    let stdin = fs_err::File::open(archive).unwrap();
    let from_stdin = world
        .command(&["volume", "restore", "-", "--replace"])
        .stdin(stdin.into_file())
        .output()
        .unwrap();
    assert!(from_stdin.status.success(), "{from_stdin:?}");
    assert!(!data(&world, "counted").join("c").exists());
    assert_eq!(number(&data(&world, "counted").join("a")), a);
    assert!(unfinished(&world).is_empty(), "{:?}", unfinished(&world));
    // The container that was there before starts with what was restored.
    world.stack(&["start"]).ok();
    world
        .stack(&["exec", "-T", "db", "test", "!", "-e", "/data/c"])
        .ok();

    let live = world
        .command(&["volume", "backup", "counted", "--live"])
        .output()
        .unwrap();
    assert!(live.status.success() && live.stdout.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
    let said = String::from_utf8(live.stderr).unwrap();
    assert!(said.contains("ran"), "{said}");
    world.stack(&["volume", "cp", "counted", "copy"]).ok();
    assert_eq!(state(&world, "db"), "running");
    let (a, b) = (
        data(&world, "copy").join("a"),
        data(&world, "copy").join("b"),
    );
    let (a, b) = (number(&a), number(&b));
    assert!(
        a == b || a == b + 1 || a == 0 || b == 0,
        "of one moment: {a} {b}"
    );
    world.stack(&["volume", "cp", "counted", "copy"]).fails(1);
    world.stack(&["volume", "cp", "none", "x"]).fails(1);
    world
        .stack(&["volume", "backup", "none", "-o", "x"])
        .fails(1);
    assert!(!world.project().join("x").exists());
    world.stack(&["volume", "rm", "copy", "old"]).ok();
    world.finish();
}

/// A backup that nobody takes: the pipe is full, and the container stands still.
fn stuck(world: &World) -> std::process::Child {
    world.stack(&["up", "-d"]).ok();
    let before = freezes(world);
    // What cannot be compressed does not fit into pipes.
    let mut noise = vec![0; 8 << 20];
    fs_err::File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut noise)
        .unwrap();
    fs_err::write(data(world, "counted").join("noise"), noise).unwrap();
    let child = world
        .command(&["volume", "backup", "counted"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("it stands still", SOON, || match freezes(world) {
        now if now > before => Ok(()),
        now => Err(now),
    });
    child
}

/// How often the container was frozen, as its log tells.
fn freezes(world: &World) -> usize {
    let project = world.row("db").unwrap()["Project"].clone();
    let logs = world.root().join("logs").join(project.as_str().unwrap());
    let text = fs_err::read_to_string(logs.join("db-1/current.log")).unwrap();
    text.matches("frozen while its files are read").count()
}

fn goes_on(world: &World) {
    let file = data(world, "counted").join("b");
    let before = number(&file);
    eventually("the container goes on", SOON, || {
        let now = number(&file);
        if now > before { Ok(()) } else { Err(now) }
    });
}

#[test]
fn whoever_is_killed_during_a_backup_leaves_nobody_frozen() {
    let world = World::new(COUNTER);
    let mut client = stuck(&world);
    client.kill().unwrap();
    client.wait().unwrap();
    goes_on(&world);

    let mut client = stuck(&world);
    let [supervisor] = world.supervisors()[..] else {
        panic!("one supervisor");
    };
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
    // Its monitor starts the next one.
    goes_on(&world);
    // It waits for whoever takes what it has already.
    drop(client.stdout.take());
    assert_ne!(
        client.wait().unwrap().code(),
        Some(0),
        "half an archive is none"
    );
    world.finish();
}

#[test]
fn a_killed_restore_and_a_full_disk_leave_what_was_there() {
    let world = World::on_small_disk(COUNTER, "24m");
    world.stack(&["volume", "create", "small"]).ok();
    fs_err::write(data(&world, "small").join("file"), "old").unwrap();
    let mut noise = vec![0; 8 << 20];
    fs_err::File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut noise)
        .unwrap();
    world.stack(&["volume", "create", "big"]).ok();
    fs_err::write(data(&world, "big").join("noise"), &noise).unwrap();
    world
        .stack(&["volume", "backup", "small", "big", "-o", "both"])
        .ok();
    let path = world.project().join("both");
    let archive = path.to_str().unwrap();

    // The client gives a half of it and dies.
    let half = fs_err::read(&path).unwrap();
    let half = &half[..half.len() / 2];
    let mut client = world
        .command(&["volume", "restore", "-", "--replace"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = client.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, half).unwrap();
    client.kill().unwrap();
    client.wait().unwrap();
    let nothing = || match unfinished(&world) {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    };
    eventually("nothing is left of it", SOON, nothing);
    drop(stdin);

    // The supervisor dies in the middle; the next one tidies up.
    let mut client = world
        .command(&["volume", "restore", "-", "--replace"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = client.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, half).unwrap();
    eventually("it unpacks", SOON, || {
        nothing().map_or(Ok(()), |()| Err("nothing yet"))
    });
    for supervisor in world.supervisors() {
        kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
    }
    assert_ne!(client.wait().unwrap().code(), Some(0));
    drop(stdin);
    world.stack(&["volume", "create", "another"]).ok();
    nothing().unwrap();

    let full = world.stack(&["volume", "restore", archive, "big", "--as", "more"]);
    let full = if full.code == 0 {
        world.stack(&["volume", "restore", archive, "big", "--as", "more still"]);
        world.stack(&["volume", "restore", archive, "big", "--as", "more2"])
    } else {
        full
    };
    let full = full.fails(1);
    assert!(full.stderr.contains("No space left"), "{full:#?}");
    nothing().unwrap();
    assert_eq!(
        fs_err::read(data(&world, "small").join("file")).unwrap(),
        b"old"
    );
    assert!(fs_err::read(data(&world, "big").join("noise")).unwrap() == noise);
    let names = world.stack(&["volume", "ls", "-q"]).ok().stdout;
    for name in names.lines() {
        world.stack(&["volume", "rm", name]).ok();
    }
    world.finish();
}

#[test]
fn files_come_into_a_volume_and_out_of_it() {
    let world = World::new("services: {}");
    world.stack(&["volume", "create", "files"]).ok();
    world.write("tree/inner/file", "content\n");
    std::os::unix::fs::symlink("/etc", data(&world, "files").join("out")).unwrap();
    world.stack(&["volume", "cp", "./tree", "files:/"]).ok();
    let file = data(&world, "files").join("tree/inner/file");
    assert_eq!(fs_err::read(&file).unwrap(), b"content\n");
    world
        .stack(&["volume", "cp", "files:/tree/inner/file", "./back"])
        .ok();
    assert_eq!(
        fs_err::read(world.project().join("back")).unwrap(),
        b"content\n"
    );
    let stream = world
        .command(&["volume", "cp", "files:/tree/.", "-"])
        .output()
        .unwrap();
    let mut archive = tar::Archive::new(&stream.stdout[..]);
    let names = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().into_owned());
    assert!(names.into_iter().any(|name| name.ends_with("inner/file")));
    // A link in the volume leads nowhere out of it.
    let passwd = world.stack(&["volume", "cp", "files:/out/passwd", "./stolen"]);
    assert_ne!(passwd.code, 0);
    for arguments in [
        &["files", "./x"][..],
        &["./a", "./b"],
        &["files:/a", "files:/b"],
    ] {
        world
            .stack(&[&["volume", "cp"], arguments].concat())
            .fails(2);
    }
    world.stack(&["volume", "cp", "none:/a", "./x"]).fails(1);
    let df = world.stack(&["volume", "df"]).ok();
    assert!(
        df.stdout.contains("PROJECT") && df.stdout.contains("files"),
        "{df:#?}"
    );
    world.stack(&["volume", "rm", "files"]).ok();
    world.finish();
}
