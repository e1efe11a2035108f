//! `driver_opts` of the local driver: file systems that are mounted while a container has the volume.

use std::time::Duration;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{World, eventually, run_tool};

const SOON: Duration = Duration::from_secs(20);

/// Returns the line of the mount table for the data of a volume.
fn mounted(world: &World, name: &str) -> Option<String> {
    let path = world.root().join("volumes").join(name).join("_data");
    let table = fs_err::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let mut lines = table.lines();
    let line = lines.find(|line| line.split(' ').nth(4) == path.to_str());
    line.map(str::to_owned)
}

fn exec(world: &World, service: &str, words: &[&str]) -> String {
    let exec = ["exec", "-T", service];
    world.stack(&[&exec, words].concat()).ok().stdout
}

#[test]
fn a_tmpfs_volume_is_shared_and_lives_as_long_as_its_last_container() {
    let world = World::new(
        r#"
x-app: &app { image: busybox, command: sleep 1000, init: true, volumes: [ "data:/data" ] }
services: { one: *app, two: *app }
volumes:
  data: { name: fast, driver: local, driver_opts: { type: tmpfs, o: "size=1m,mode=1770,uid=5,noexec", device: tmpfs } }
"#,
    );
    world.stack(&["up", "-d"]).ok();
    let line = mounted(&world, "fast").expect("it is mounted");
    for word in [" - tmpfs tmpfs ", "size=1024k", "noexec", "uid=5"] {
        assert!(line.contains(word), "{word}: {line}");
    }
    assert_eq!(
        exec(&world, "one", &["cat", "/data/seed"]),
        "from the image\n"
    );
    exec(&world, "one", &["sh", "-c", "echo shared >/data/file"]);
    assert_eq!(exec(&world, "two", &["cat", "/data/file"]), "shared\n");
    let mut full = vec!["exec", "-T", "one"];
    full.extend(["sh", "-c", "cat /bin/busybox >/data/big"]);
    let full = world.stack(&full);
    assert!(full.stderr.contains("No space left"), "{full:#?}");
    // A restart of one, a new supervisor: it stays mounted and keeps its data.
    world.stack(&["restart", "-t", "0", "one"]).ok();
    for supervisor in world.supervisors() {
        kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
    }
    world.stack(&["stop", "-t", "0", "one"]).ok();
    assert_eq!(exec(&world, "two", &["cat", "/data/file"]), "shared\n");
    assert!(mounted(&world, "fast").is_some());
    let refused = world.stack(&["volume", "rm", "fast"]).fails(1);
    assert!(refused.stderr.contains("in use"), "{refused:#?}");
    world.stack(&["stop", "-t", "0", "two"]).ok();
    assert_eq!(mounted(&world, "fast"), None);
    // As after a reboot: a start mounts it anew.
    world.stack(&["start", "two"]).ok();
    assert!(mounted(&world, "fast").is_some());
    // It ends by itself.
    let (pid, _) = world.pids("two");
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    eventually("it is unmounted", SOON, || {
        mounted(&world, "fast").map_or(Ok(()), Err)
    });
    world.finish();
}

/// A loop device, which goes with the test.
struct Loop(String);

impl Loop {
    fn new(world: &World) -> Self {
        let image = world.project().join("disk.img");
        let file = fs_err::File::create(&image).unwrap();
        file.set_len(32 << 20).unwrap();
        let image = image.to_str().unwrap();
        run_tool("mkfs.ext4", &["-q", image]);
        Self(
            run_tool("losetup", &["-f", "--show", image])
                .trim()
                .to_owned(),
        )
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        run_tool("losetup", &["-d", &self.0]);
    }
}

#[test]
fn a_block_device_keeps_its_data_when_volume_and_containers_go() {
    let world = World::new("services: {}");
    let device = Loop::new(&world);
    let compose = |option: &str| {
        format!(
            "services: {{ db: {{ image: busybox, command: sleep 1000, init: true, volumes: [ 'data:/data' ] }} }}\n\
             volumes: {{ data: {{ name: disk, driver_opts: {{ type: ext4, o: '{option}', device: {} }} }} }}\n",
            device.0
        )
    };
    world.write("compose.yaml", &compose("bogus_option"));
    let refused = world.stack(&["up", "-d"]).fails(1);
    let complaint = refused.stderr.replace('\n', " ");
    assert!(
        complaint.contains("bogus_option"),
        "the kernel's own words: {complaint}"
    );
    world.stack(&["down", "-v", "-t", "0"]).ok();
    world.write("compose.yaml", &compose("noatime,errors=remount-ro"));
    world.stack(&["up", "-d"]).ok();
    let line = mounted(&world, "disk").expect("it is mounted");
    assert!(line.contains("noatime") && line.contains("ext4"), "{line}");
    // An empty file system is filled as an empty volume is, whatever mkfs made there.
    assert_eq!(
        exec(&world, "db", &["cat", "/data/seed"]),
        "from the image\n"
    );
    exec(
        &world,
        "db",
        &["sh", "-c", "echo kept >/data/file && rm /data/seed"],
    );
    world
        .stack(&["volume", "backup", "disk", "-o", "disk.tar.zst"])
        .ok();
    // The volume goes, the disk stays as it is.
    world.stack(&["down", "-v", "-t", "0"]).ok();
    assert_eq!(mounted(&world, "disk"), None);
    assert!(!world.root().join("volumes/disk").exists());
    world.stack(&["up", "-d"]).ok();
    assert_eq!(exec(&world, "db", &["ls", "/data"]), "file\nlost+found\n");
    world.stack(&["down", "-t", "0"]).ok();
    // Nobody has it, and it can be backed up: it is mounted for that.
    world
        .stack(&["volume", "backup", "disk", "-o", "disk.tar.zst"])
        .ok();
    assert_eq!(mounted(&world, "disk"), None);
    let restore = ["volume", "restore", "disk.tar.zst"];
    let refused = world
        .stack(&[&restore[..], &["--replace"]].concat())
        .fails(1);
    assert!(refused.stderr.contains("driver options"), "{refused:#?}");
    let restored = world
        .stack(&[&restore[..], &["--as", "plain"]].concat())
        .ok();
    assert!(restored.stderr.contains("driver options"), "{restored:#?}");
    let file = world.root().join("volumes/plain/_data/file");
    assert_eq!(fs_err::read(file).unwrap(), b"kept\n");
    world.stack(&["volume", "rm", "plain"]).ok();
    world.finish();
}

#[test]
fn what_cannot_be_mounted_says_why() {
    let world = World::new("services: {}");
    let up = |options: &str| {
        let text = format!(
            "services: {{ db: {{ image: busybox, command: sleep 1000, volumes: [ 'data:/data' ] }} }}\n\
             volumes: {{ data: {{ name: far, driver_opts: {{ {options} }} }} }}\n"
        );
        world.write("compose.yaml", &text);
        let refused = world.stack(&["up", "-d"]);
        assert_ne!(refused.code, 0);
        world.stack(&["down", "-v", "-t", "0"]).ok();
        refused.stderr.replace('\n', " ")
    };
    let said = up("type: nosuchfs, device: /dev/null");
    assert!(
        said.contains("no file system `nosuchfs`") && said.contains("`far`"),
        "{said}"
    );
    let said = up("type: ext4, device: /dev/no-such-device");
    assert!(
        said.contains("/dev/no-such-device") && said.contains("No such file"),
        "{said}"
    );
    let said = up("type: nfs, o: addr=no-such-host.invalid, device: ':/x'");
    assert!(said.contains("find the server of volume `far`"), "{said}");
    // Nobody serves there, whether the kernel knows NFS or not.
    let said = up("type: nfs, o: 'addr=127.0.0.1,vers=4,soft,retrans=1,timeo=1', device: ':/x'");
    assert!(said.contains("volume `far`"), "{said}");
    let kernel = fs_err::read_to_string("/proc/filesystems").unwrap();
    if !kernel.contains("\tnfs\n") {
        assert!(said.contains("no file system `nfs`"), "{said}");
    }
    let said = up("type: nfs, device: ':/x'");
    assert!(
        said.contains("addr=SERVER") && said.contains("compose.yaml:"),
        "{said}"
    );
    world.finish();
}

#[test]
fn a_bound_volume_has_the_attributes_that_its_options_ask_for() {
    let world = World::new("services: {}");
    let place = world.project().join("place");
    fs_err::create_dir(&place).unwrap();
    fs_err::write(place.join("file"), "of the host\n").unwrap();
    std::os::unix::fs::symlink("/proc/self/exe", place.join("exe")).unwrap();
    let compose = |option: &str| {
        format!(
            "services: {{ app: {{ image: busybox, command: sleep 1000, init: true, volumes: [ 'data:/data' ] }} }}\n\
             volumes: {{ data: {{ name: bound, driver_opts: {{ type: none, o: '{option}', device: {} }} }} }}\n",
            place.display()
        )
    };
    let shell = |words: &str| world.stack(&["exec", "-T", "app", "sh", "-c", words]);
    let attributes = || {
        let words = "grep ' /data ' /proc/self/mountinfo";
        let line = shell(words).ok().stdout;
        line.split(' ').nth(5).unwrap().to_owned()
    };
    world.write("compose.yaml", &compose("bind,size=1m"));
    let refused = world.stack(&["up", "-d"]).fails(8);
    assert!(refused.stderr.contains("`size=1m`"), "{refused:#?}");

    world.write("compose.yaml", &compose("bind,ro,nodev,noatime"));
    world.stack(&["up", "-d"]).ok();
    assert!(mounted(&world, "bound").is_some());
    let found = attributes();
    for wanted in ["ro", "nodev", "noatime"] {
        assert!(found.split(',').any(|flag| flag == wanted), "{found}");
    }
    assert_eq!(exec(&world, "app", &["cat", "/data/file"]), "of the host\n");
    let refused = shell("echo x >/data/file");
    assert!(refused.stderr.contains("Read-only"), "{refused:#?}");
    // The host writes where the container cannot, and both see it.
    fs_err::write(place.join("file"), "changed\n").unwrap();
    assert_eq!(exec(&world, "app", &["cat", "/data/file"]), "changed\n");
    world.stack(&["down", "-v", "-t", "0"]).ok();
    assert_eq!(mounted(&world, "bound"), None);
    assert!(place.join("file").exists());

    // An empty directory that nobody may write is no error: nothing is copied into it.
    let empty = world.project().join("empty");
    fs_err::create_dir(&empty).unwrap();
    let text = compose("ro,bind").replace(place.to_str().unwrap(), empty.to_str().unwrap());
    world.write("compose.yaml", &text);
    world.stack(&["up", "-d"]).ok();
    assert_eq!(exec(&world, "app", &["ls", "/data"]), "");
    world.stack(&["down", "-v", "-t", "0"]).ok();

    world.write("compose.yaml", &compose("rbind,noexec,nosuid"));
    world.stack(&["up", "-d"]).ok();
    let found = attributes();
    assert!(
        found.starts_with("rw,nosuid,noexec") || found.starts_with("rw,noexec,nosuid"),
        "{found}"
    );
    exec(
        &world,
        "app",
        &["sh", "-c", "cp /bin/busybox /data/busybox"],
    );
    let refused = shell("/data/busybox true");
    assert!(refused.stderr.contains("Permission denied"), "{refused:#?}");
    world.stack(&["down", "-v", "-t", "0"]).ok();
    world.finish();
}

#[test]
fn a_file_system_stays_for_who_has_it_from_another_container() {
    let world = World::new(
        r#"
x-app: &app { image: busybox, command: sleep 1000, init: true }
services:
  owner: { <<: *app, volumes: [ "data:/data" ] }
  reader: { <<: *app, volumes_from: [ "owner:ro" ] }
volumes:
  data: { name: lent, driver_opts: { type: tmpfs, o: size=1m, device: tmpfs } }
"#,
    );
    world.stack(&["up", "-d"]).ok();
    exec(&world, "owner", &["sh", "-c", "echo one >/data/file"]);
    assert_eq!(exec(&world, "reader", &["cat", "/data/file"]), "one\n");
    // The reader alone keeps it.
    world.stack(&["stop", "-t", "0", "owner"]).ok();
    assert!(mounted(&world, "lent").is_some());
    assert_eq!(exec(&world, "reader", &["cat", "/data/file"]), "one\n");
    let refused = world.stack(&["volume", "rm", "lent"]).fails(1);
    assert!(refused.stderr.contains("in use"), "{refused:#?}");
    world.stack(&["stop", "-t", "0", "reader"]).ok();
    assert_eq!(mounted(&world, "lent"), None);
    // As after a reboot: it is mounted for both.
    world.stack(&["start"]).ok();
    assert!(mounted(&world, "lent").is_some());
    exec(&world, "owner", &["sh", "-c", "echo two >/data/file"]);
    assert_eq!(exec(&world, "reader", &["cat", "/data/file"]), "two\n");
    world.finish();
}
