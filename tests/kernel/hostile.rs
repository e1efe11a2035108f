//! Containers that work against who copies files, and users that are not the host's. The rows of the table of old holes that are
//! about the product's commands; the runtime's own are in `runtime/tests/kernel/{hostile,escape}.rs`.

use std::{collections::BTreeSet, os::unix::fs::MetadataExt, path::Path, time::Duration};

use crate::support::{World, eventually};

const SOON: Duration = Duration::from_secs(20);
/// Copies that race against the container, each way.
const COPIES: u32 = 60;

/// CVE-2018-15664, CVE-2026-42306: a directory becomes a link while somebody copies through it. The link names a directory of the host by
/// its absolute path, which the container does not have.
#[test]
fn a_directory_that_becomes_a_link_leads_no_copy_to_the_host() {
    let world = World::new(
        r#"
services:
  app:
    image: busybox
    command: /tools/swap
    volumes: [ "./tools:/tools:ro" ]
"#,
    );
    let host = world.project().join("host");
    fs_err::create_dir(&host).unwrap();
    fs_err::write(host.join("file"), "of the host\n").unwrap();
    let script = format!(
        "#!/bin/sh
mkdir -p /srv/real && echo inside >/srv/real/file
while :; do
    cp -r /srv/real /srv/d
    mv /srv/d /srv/old; ln -s {} /srv/d
    rm -rf /srv/old /srv/d
done
",
        host.display()
    );
    world.write("tools/swap", &script);
    executable(&world.project().join("tools/swap"));
    world.stack(&["up", "-d"]).ok();
    world.write("mine", "given\n");
    eventually("the race is on", SOON, || {
        let answer = world.stack(&["cp", "app:/srv/real/file", "seen"]);
        if answer.code == 0 {
            Ok(())
        } else {
            Err(answer)
        }
    });
    let mut through = BTreeSet::new();
    for round in 0..COPIES {
        let name = format!("out-{round}");
        let answer = world.stack(&["cp", "-L", "app:/srv/d/file", &name]);
        let copied = fs_err::read_to_string(world.project().join(&name)).ok();
        assert_eq!(copied.is_some(), answer.code == 0, "{answer:#?}");
        if let Some(copied) = copied {
            // What the container had, what an earlier round gave it, or what the container's own copy had made but not yet written.
            assert!(
                ["inside\n", "given\n", ""].contains(&copied.as_str()),
                "{copied}"
            );
        }
        through.insert(answer.code);
        let answer = world.stack(&["cp", "mine", "app:/srv/d/file"]);
        through.insert(answer.code);
        let names: Vec<_> = fs_err::read_dir(&host).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        let marker = fs_err::read_to_string(host.join("file")).unwrap();
        assert_eq!(marker, "of the host\n", "{answer:#?}");
    }
    assert!(through.contains(&0), "some copies met the directory");
    world.stack(&["down", "-t", "0"]).ok();
    world.finish();
}

/// CVE-2019-14271, CVE-2026-41567: what unpacks is never a program of the container, however it is called.
#[test]
fn no_program_of_the_container_unpacks_what_is_copied() {
    let world = World::new(
        r"
services:
  app:
    image: busybox
    command: sleep 1000
    init: true
",
    );
    world.stack(&["up", "-d"]).ok();
    world.stack(&["exec", "-T", "app", "mkdir", "/srv"]).ok();
    let marker = world.project().join("ran");
    let trojan = format!(
        "#!/bin/sh\necho ran >{}\necho ran >/ran\n",
        marker.display()
    );
    for name in [
        "tar", "gzip", "unpigz", "pigz", "xz", "unxz", "zstd", "bzip2",
    ] {
        world.write(name, &trojan);
        executable(&world.project().join(name));
        let target = format!("app:/bin/{name}");
        world.stack(&["cp", name, &target]).ok();
    }
    world.write("libnss_files.so.2", "no library\n");
    // Where there is no /lib, there is nothing to plant it in.
    drop(world.stack(&["cp", "libnss_files.so.2", "app:/lib/"]));
    world.write("tree/file", "x\n");
    let packed = world.command(&["cp", "app:/etc", "-"]).output().unwrap();
    assert!(packed.status.success(), "{packed:?}");
    for archive in [
        gzip(&packed.stdout, "gzip"),
        gzip(&packed.stdout, "xz"),
        packed.stdout,
    ] {
        let path = world.project().join("archive");
        fs_err::write(&path, archive).unwrap();
        let mut copy = world.command(&["cp", "-", "app:/srv"]);
        copy.stdin(fs_err::File::open(&path).unwrap().into_parts().0);
        // Packed archives may be refused; nobody of the container may be asked to unpack them.
        copy.output().unwrap();
    }
    world.stack(&["cp", "tree", "app:/srv/tree"]).ok();
    assert!(!marker.exists());
    let inside = world.stack(&["exec", "-T", "app", "test", "-e", "/ran"]);
    assert_ne!(inside.code, 0, "{inside:#?}");
    world.stack(&["down", "-t", "0"]).ok();
    world.finish();
}

#[test]
fn copies_into_a_container_with_users_of_its_own_belong_to_them() {
    let world = World::new(
        r#"
services:
  app:
    image: busybox
    command: sleep 1000
    init: true
    x-stack: { userns: auto }
    volumes: [ "data:/data" ]
volumes: { data: }
"#,
    );
    world.stack(&["up", "-d"]).ok();
    world.stack(&["exec", "-T", "app", "mkdir", "/srv"]).ok();
    world.write("mine", "given\n");
    world.write("tree/below", "given\n");
    let file = world.project().join("mine");
    std::os::unix::fs::chown(&file, Some(1234), Some(1235)).unwrap();
    let owner = |path: &str| {
        let answer = world.stack(&["exec", "-T", "app", "stat", "-c", "%u:%g", path]);
        answer.ok().stdout.trim().to_owned()
    };
    for place in ["/srv", "/data"] {
        let at = |name: &str| format!("app:{place}/{name}");
        world.stack(&["cp", "mine", &at("plain")]).ok();
        world.stack(&["cp", "-a", "mine", &at("kept")]).ok();
        world.stack(&["cp", "tree", &at("tree")]).ok();
        assert_eq!(owner(&format!("{place}/plain")), "0:0");
        assert_eq!(owner(&format!("{place}/kept")), "1234:1235");
        assert_eq!(owner(&format!("{place}/tree/below")), "0:0");
        // The container's root may change what it was given.
        let path = format!("{place}/plain");
        world.stack(&["exec", "-T", "app", "rm", &path]).ok();
    }
    // Out again: the container's owners are the host's by number with -a, the caller's without.
    world.stack(&["cp", "-a", "app:/data/kept", "back"]).ok();
    world.stack(&["cp", "app:/data/kept", "own"]).ok();
    let metadata = |name: &str| fs_err::metadata(world.project().join(name)).unwrap();
    assert_eq!(
        (metadata("back").uid(), metadata("back").gid()),
        (1234, 1235)
    );
    assert_eq!(metadata("own").uid(), 0);
    // Stopped, it is the same.
    world.stack(&["stop", "-t", "0"]).ok();
    world.stack(&["cp", "mine", "app:/srv/late"]).ok();
    world.stack(&["start"]).ok();
    assert_eq!(owner("/srv/late"), "0:0");
    world.stack(&["down", "-t", "0", "-v"]).ok();
    world.finish();
}

#[test]
fn each_project_has_users_of_its_own_until_it_is_gone() {
    let world = World::new(
        r"
x-stack: { userns: auto }
services:
  app: { image: busybox, command: sleep 1000, init: true, network_mode: none }
",
    );
    let users = world.root().join("users");
    let ranges = || -> BTreeSet<u64> {
        let Ok(entries) = fs_err::read_dir(&users) else {
            return BTreeSet::new();
        };
        let paths = entries.map(|entry| entry.unwrap().path());
        let records = paths.filter(|path| path.extension().is_some_and(|end| end == "json"));
        records
            .map(|path| {
                let record: serde_json::Value =
                    serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap();
                record["first"].as_u64().unwrap()
            })
            .collect()
    };
    world.stack(&["-p", "one", "up", "-d"]).ok();
    let first = ranges();
    assert_eq!(first.len(), 1);
    // Another project that would get the same is given another one: as if its name led there.
    let record = users.join("one.json");
    let text = fs_err::read_to_string(&record).unwrap();
    world.stack(&["-p", "two", "up", "-d"]).ok();
    assert_eq!(ranges().len(), 2, "{text}");
    let map = |project: &str| {
        let answer = world.stack(&[
            "-p",
            project,
            "exec",
            "-T",
            "app",
            "cat",
            "/proc/self/uid_map",
        ]);
        answer
            .ok()
            .stdout
            .split_whitespace()
            .nth(1)
            .unwrap()
            .to_owned()
    };
    assert_ne!(map("one"), map("two"));
    // It keeps its range over a recreation, and gives it back at the end.
    let before = map("one");
    world
        .stack(&["-p", "one", "up", "-d", "--force-recreate"])
        .ok();
    assert_eq!(map("one"), before);
    world.stack(&["-p", "one", "down", "-t", "0"]).ok();
    assert!(!record.exists());
    world.stack(&["-p", "two", "down", "-t", "0"]).ok();
    assert_eq!(ranges(), BTreeSet::new());
    world.finish();
}

fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Packs with a program of the host.
fn gzip(bytes: &[u8], program: &str) -> Vec<u8> {
    use std::{io::Write, process::Stdio};
    let mut child = std::process::Command::new(program)
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    output.stdout
}
