//! The root filesystem and what is mounted on it.

use std::fs;
use std::path::PathBuf;

use runtime::spec::{Mount, MountKind, Propagation, Rootfs};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::harness::Test;
use crate::world::{World, bind};

pub(crate) const TESTS: &[Test] = &[
    (
        "devices_are_bound_where_they_cannot_be_made",
        devices_are_bound_where_they_cannot_be_made,
    ),
    (
        "the_usual_mounts_and_devices_are_there",
        the_usual_mounts_and_devices_are_there,
    ),
    (
        "only_mounts_of_the_container_are_seen",
        only_mounts_of_the_container_are_seen,
    ),
    (
        "a_read_only_root_takes_no_writes_but_its_mounts_do",
        a_read_only_root_takes_no_writes_but_its_mounts_do,
    ),
    ("a_directory_is_a_root_too", a_directory_is_a_root_too),
    (
        "binds_of_files_and_directories_are_made",
        binds_of_files_and_directories_are_made,
    ),
    (
        "read_only_binds_are_read_only_below",
        read_only_binds_are_read_only_below,
    ),
    (
        "a_mount_of_the_users_replaces_a_built_in_one",
        a_mount_of_the_users_replaces_a_built_in_one,
    ),
    (
        "a_tmpfs_has_its_size_mode_and_options",
        a_tmpfs_has_its_size_mode_and_options,
    ),
    ("propagation_is_as_asked_for", propagation_is_as_asked_for),
];

fn the_usual_mounts_and_devices_are_there() {
    let world = World::new();
    let finished = world.run(world.spec(&[
        "mounts",
        "ls:/dev",
        "stat:/dev/null",
        "stat:/dev/tty",
        "stat:/dev/full",
        "link:/dev/fd",
        "link:/dev/ptmx",
        "link:/dev/core",
        "stat:/dev/shm",
        "create:/dev/shm/x",
        "stat:/dev/pts/ptmx",
        "write:/dev/full:x",
    ]));
    let mounts = finished.answer("mounts");
    for (path, kind, options) in [
        ("/", "overlay", ""),
        ("/proc", "proc", "nosuid,nodev,noexec"),
        ("/dev", "tmpfs", "nosuid"),
        ("/dev/pts", "devpts", "nosuid,noexec"),
        ("/dev/shm", "tmpfs", "nosuid,nodev,noexec"),
        ("/dev/mqueue", "mqueue", "nosuid,nodev,noexec"),
        ("/sys", "sysfs", "ro,nosuid,nodev,noexec"),
    ] {
        let line = mounts
            .lines()
            .find(|line| line.split(' ').nth(4) == Some(path));
        let line = line.unwrap_or_else(|| panic!("no {path} in {mounts}"));
        let (mount, filesystem) = line.split_once(" - ").unwrap();
        assert_eq!(filesystem.split(' ').next(), Some(kind), "{line}");
        assert!(
            mount.contains(options) && !mount.contains("shared:") && !mount.contains("master:"),
            "{line}"
        );
    }
    assert!(
        mounts.contains("redirect_dir=off") || !mounts.contains("redirect_dir=on"),
        "{mounts}"
    );
    assert!(!mounts.contains("metacopy=on"), "{mounts}");
    let devices =
        "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    assert_eq!(finished.answer("ls:/dev"), devices);
    assert_eq!(finished.answer("stat:/dev/null"), "char 666 0:0 1:3");
    assert_eq!(finished.answer("stat:/dev/tty"), "char 666 0:0 5:0");
    assert_eq!(finished.answer("link:/dev/fd"), "/proc/self/fd");
    assert_eq!(finished.answer("link:/dev/ptmx"), "pts/ptmx");
    assert_eq!(finished.answer("stat:/dev/shm"), "directory 1777 0:0 0:0");
    assert_eq!(finished.answer("create:/dev/shm/x"), "created");
    assert_eq!(finished.answer("stat:/dev/pts/ptmx"), "char 666 0:0 5:2");
    assert_eq!(finished.answer("write:/dev/full:x"), "error ENOSPC");
}

fn only_mounts_of_the_container_are_seen() {
    let world = World::new();
    let mounts = world.run(world.spec(&["mounts"])).answer("mounts");
    let own = ["/", "/proc", "/dev", "/sys"];
    for line in mounts.lines() {
        let path = line.split(' ').nth(4).unwrap();
        assert!(
            own.iter()
                .any(|own| path == *own || (*own != "/" && path.starts_with(&format!("{own}/")))),
            "{line}"
        );
    }
}

fn a_read_only_root_takes_no_writes_but_its_mounts_do() {
    let world = World::new();
    let mut spec = world.spec(&[
        "create:/x",
        "create:/tmp/x",
        "create:/vol/x",
        "create:/dev/shm/x",
        "cwd",
    ]);
    spec.rootfs_read_only = true;
    spec.process.cwd = "/made/for/it".into();
    spec.mounts.push(bind(&world.path("share"), "/vol"));
    let finished = world.run(spec);
    assert_eq!(finished.answer("create:/x"), "error EROFS");
    assert_eq!(finished.answer("create:/tmp/x"), "error EROFS");
    assert_eq!(finished.answer("create:/vol/x"), "created");
    assert_eq!(finished.answer("create:/dev/shm/x"), "created");
    assert_eq!(finished.answer("cwd"), "/made/for/it");
    assert!(world.path("share/x").exists());
}

fn a_directory_is_a_root_too() {
    let world = World::new();
    let mut spec = world.spec(&["create:/tmp/x", "mounts"]);
    spec.rootfs = Rootfs::Directory(world.path("image"));
    let finished = world.run(spec);
    assert_eq!(finished.answer("create:/tmp/x"), "created");
    assert!(world.path("image/tmp/x").exists());
}

fn binds_of_files_and_directories_are_made() {
    let world = World::new();
    fs::write(world.path("share/file"), "text").unwrap();
    let mut spec = world.spec(&[
        "read:/new/dir/file",
        "read:/etc/app/file.conf",
        "write:/etc/app/file.conf:more",
        "stat:/etc/app",
    ]);
    spec.mounts.push(bind(&world.path("share"), "/new/dir"));
    spec.mounts
        .push(bind(&world.path("share/file"), "/etc/app/file.conf"));
    let finished = world.run(spec);
    assert_eq!(finished.answer("read:/new/dir/file"), "text");
    assert_eq!(finished.answer("read:/etc/app/file.conf"), "text");
    assert_eq!(finished.answer("stat:/etc/app"), "directory 755 0:0 0:0");
    assert_eq!(
        fs::read_to_string(world.path("share/file")).unwrap(),
        "more"
    );
    let mut spec = world.spec(&[]);
    spec.mounts.push(bind(&world.path("none"), "/x"));
    let error = world.start(spec).err().unwrap().to_string();
    assert_eq!(
        error,
        format!(
            "bind {} on /x: no such file or directory",
            world.path("none").display()
        )
    );
    let mut spec = world.spec(&[]);
    spec.mounts.push(bind(&world.path("share/file"), "/tmp"));
    let error = world.start(spec).err().unwrap().to_string();
    assert!(
        error.starts_with("bind ") && error.ends_with(" on /tmp: is a directory"),
        "{error}"
    );
}

fn mount_tmpfs(path: &PathBuf) {
    fs::create_dir_all(path).unwrap();
    let none = None::<&str>;
    nix::mount::mount(
        Some("sub"),
        path,
        Some("tmpfs"),
        nix::mount::MsFlags::empty(),
        none,
    )
    .unwrap();
}

fn read_only_binds_are_read_only_below() {
    let world = World::new();
    let below = world.path("share/below");
    mount_tmpfs(&below);
    let run = |recursive| {
        let mut spec = world.spec(&["create:/vol/x", "create:/vol/below/x"]);
        let mut mount = bind(&world.path("share"), "/vol");
        mount.read_only = true;
        mount.kind = MountKind::Bind {
            source: world.path("share"),
            subpath: None,
            recursive,
            propagation: Propagation::Rprivate,
            writable_below: false,
        };
        spec.mounts.push(mount);
        world.run(spec)
    };
    let finished = run(true);
    assert_eq!(finished.answer("create:/vol/x"), "error EROFS");
    assert_eq!(finished.answer("create:/vol/below/x"), "error EROFS");
    fs::write(below.join("sub"), "").unwrap();
    assert_eq!(run(false).answer("create:/vol/below/x"), "error EROFS");
    fs::write(below.join("host-may-write"), "").unwrap();
    nix::mount::umount(&below).unwrap();
}

fn a_mount_of_the_users_replaces_a_built_in_one() {
    let world = World::new();
    let tmpfs = |target: &str| Mount {
        target: target.into(),
        kind: MountKind::Tmpfs {
            size_bytes: Some(1 << 20),
            mode: 0o700,
            options: vec!["dev".into()],
        },
        read_only: false,
    };
    let mut spec = world.spec(&["stat:/dev/shm", "ls:/dev"]);
    spec.mounts.push(tmpfs("/dev/shm/"));
    assert_eq!(
        world.run(spec).answer("stat:/dev/shm"),
        "directory 700 0:0 0:0"
    );
    // On /dev nothing of ours is made: it may be a directory of the host.
    fs::create_dir_all(world.path("share/dev/pts")).unwrap();
    let mut spec = world.spec(&["ls:/dev", "mounts"]);
    spec.mounts.push(bind(&world.path("share/dev"), "/dev"));
    let finished = world.run(spec);
    assert_eq!(finished.answer("ls:/dev"), "mqueue pts shm");
    assert!(finished.answer("mounts").contains(" /dev/pts "));
    let mut names: Vec<_> = fs::read_dir(world.path("share/dev"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["mqueue", "pts", "shm"]);
}

fn a_tmpfs_has_its_size_mode_and_options() {
    let world = World::new();
    let mut spec = world.spec(&["stat:/cache", "mounts", "create:/cache/x"]);
    let options = vec!["uid=1000".into(), "gid=2000".into(), "exec".into()];
    spec.mounts.push(Mount {
        target: "/cache".into(),
        kind: MountKind::Tmpfs {
            size_bytes: Some(3 << 20),
            mode: 0o1770,
            options,
        },
        read_only: true,
    });
    let finished = world.run(spec);
    assert_eq!(
        finished.answer("stat:/cache"),
        "directory 1770 1000:2000 0:0"
    );
    assert_eq!(finished.answer("create:/cache/x"), "error EROFS");
    let mounts = finished.answer("mounts");
    let line = mounts
        .lines()
        .find(|line| line.contains(" /cache "))
        .unwrap();
    assert!(
        line.contains("ro,nosuid,nodev") && !line.contains("noexec") && line.contains("size=3072k"),
        "{line}"
    );
}

fn propagation_is_as_asked_for() {
    let world = World::new();
    let shared = world.path("shared");
    mount_tmpfs(&shared);
    let none = None::<&str>;
    nix::mount::mount(none, &shared, none, nix::mount::MsFlags::MS_SHARED, none).unwrap();
    fs::create_dir(shared.join("late")).unwrap();
    for (propagation, is_seen) in [
        (Propagation::Rprivate, false),
        (Propagation::Rslave, true),
        (Propagation::Rshared, true),
    ] {
        let mut spec = world.spec(&["sleep"]);
        let mut mount = bind(&shared, "/vol");
        mount.kind = MountKind::Bind {
            source: shared.clone(),
            subpath: None,
            recursive: true,
            propagation,
            writable_below: false,
        };
        spec.mounts.push(mount);
        let mut running = world.start(spec).unwrap();
        running.await_text("ready");
        mount_tmpfs(&shared.join("late"));
        fs::write(shared.join("late/file"), "").unwrap();
        let answer = running
            .exec(&["stat:/vol/late/file"])
            .answer("stat:/vol/late/file");
        assert_eq!(
            answer != "error ENOENT",
            is_seen,
            "{propagation:?}: {answer}"
        );
        nix::mount::umount(&shared.join("late")).unwrap();
        running.kill();
    }
    nix::mount::umount(&shared).unwrap();
}

fn devices_are_bound_where_they_cannot_be_made() {
    let world = World::new();
    let mut sets = capabilities(None).unwrap();
    sets.effective.remove(CapabilitySet::MKNOD);
    set_capabilities(None, sets).unwrap();
    let finished =
        world.run(world.spec(&["stat:/dev/null", "write:/dev/full:x", "mounts", "ls:/dev"]));
    assert_eq!(finished.answer("stat:/dev/null"), "char 666 0:0 1:3");
    assert_eq!(finished.answer("write:/dev/full:x"), "error ENOSPC");
    let mounts = finished.answer("mounts");
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        assert!(mounts.contains(&format!(" /dev/{name} ")), "{mounts}");
    }
}
