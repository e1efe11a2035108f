//! Containers that try to get out while something is done to them: during a start, an exec, or later. With `hostile` these are the rows of
//! the known holes of other runtimes; the numbers stand at each test.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::Command;

use runtime::cgroup::{Cgroup, DevicePolicy};
use runtime::spec::{CgroupPlace, Mount, MountKind, Propagation, Resources};

use crate::harness::Test;
use crate::world::{World, bind, probe, probe_process, process};

pub(crate) const TESTS: &[Test] = &[
    (
        "our_own_program_as_entry_point_is_read_only",
        our_own_program_as_entry_point_is_read_only,
    ),
    (
        "nothing_of_ours_is_seen_from_inside_during_an_exec",
        nothing_of_ours_is_seen_from_inside_during_an_exec,
    ),
    (
        "swapped_links_mislead_no_kind_of_path",
        swapped_links_mislead_no_kind_of_path,
    ),
    (
        "a_release_agent_cannot_be_set",
        a_release_agent_cannot_be_set,
    ),
    (
        "a_mount_on_proc_is_refused_however_it_is_spelled",
        a_mount_on_proc_is_refused_however_it_is_spelled,
    ),
    (
        "programs_of_the_image_run_only_inside",
        programs_of_the_image_run_only_inside,
    ),
    (
        "every_descriptor_number_is_useless_as_a_directory",
        every_descriptor_number_is_useless_as_a_directory,
    ),
    (
        "the_keyring_is_a_new_one_also_in_an_exec",
        the_keyring_is_a_new_one_also_in_an_exec,
    ),
    (
        "no_capability_is_inheritable_in_an_exec",
        no_capability_is_inheritable_in_an_exec,
    ),
];

/// Starts this test again as a sealed program, as monitors are. Returns only there.
fn seal(name: &str) {
    if std::env::var_os("STACK_TEST_PROBE").is_some() {
        return;
    }
    let sealed = runtime::process::seal::own_executable().unwrap();
    let path = format!("/proc/self/fd/{}", sealed.as_raw_fd());
    let error = Command::new(path)
        .args([name, "--exact"])
        .env("STACK_TEST_PROBE", probe())
        .exec();
    panic!("{error}");
}

/// CVE-2019-5736: whoever makes the runtime execute /proc/self/exe runs the runtime's own file, and may open it.
fn our_own_program_as_entry_point_is_read_only() {
    seal("our_own_program_as_entry_point_is_read_only");
    let world = World::new();
    // This program is not linked as the product is, so the image brings what it needs, as an attacker's would.
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    for library in maps.lines().filter_map(|line| line.split_once('/')) {
        let library = format!("/{}", library.1);
        if library.contains(".so") {
            let place = world.path("image").join(&library[1..]);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::copy(&library, place).unwrap();
        }
    }
    symlink("usr/lib64", world.path("image/lib64")).ok();
    let interpreter = "/lib64/ld-linux-x86-64.so.2";
    if fs::exists(interpreter).unwrap() {
        fs::create_dir_all(world.path("image/usr/lib64")).unwrap();
        fs::copy(interpreter, world.path("image/usr").join(&interpreter[1..])).unwrap();
    }
    let read_only = format!("true {}", libc::ETXTBSY);
    let own = |program: &str| process(vec![program.to_owned(), "--write-own".into()]);
    symlink("/proc/self/exe", world.path("image/bin/link")).unwrap();
    for program in ["/proc/self/exe", "/bin/link", "link"] {
        let mut spec = world.spec(&[]);
        spec.process = own(program);
        let finished = world.run(spec);
        assert_eq!(
            (finished.code, finished.text.as_str()),
            (0, read_only.as_str())
        );
    }
    let mut running = world.start(world.spec(&["sleep"])).unwrap();
    running.await_text("ready");
    let finished = running
        .exec_process(&own("/proc/self/exe"), false)
        .unwrap()
        .finish();
    assert_eq!(finished.text, read_only);
    running.kill();
}

/// The class of CVE-2016-9962: between setns and exec a process in the container has the host's memory and descriptors.
fn nothing_of_ours_is_seen_from_inside_during_an_exec() {
    let world = World::new();
    let mut running = world.start(world.spec(&["spy"])).unwrap();
    running.await_text("spying");
    for _ in 0..100 {
        assert_eq!(running.exec(&["exit:0"]).code, 0);
    }
    let finished = running.kill();
    assert!(!finished.text.contains("leak"), "{}", finished.text);
}

/// CVE-2021-30465 and CVE-2024-45310 for what is not a bind mount: tmpfs targets, subpaths, working directories.
fn swapped_links_mislead_no_kind_of_path() {
    let world = World::new();
    let canary = world.path("canary");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("marker"), "host").unwrap();
    let (a, b) = (world.path("share/a"), world.path("share/b"));
    fs::create_dir(&a).unwrap();
    symlink(&canary, &b).unwrap();
    let is_done = world.path("done");
    let mut swapper = Command::new("/proc/self/exe")
        .arg("--swap")
        .args([&a, &b, &is_done])
        .spawn()
        .unwrap();
    let mut started = 0;
    for round in 0..60 {
        let mut spec = world.spec(&["read:marker", "create:mark", "read:/sub/marker"]);
        spec.mounts.push(bind(&world.path("share"), "/vol"));
        match round % 3 {
            0 => spec.mounts.push(Mount {
                target: "/vol/a/made/by/tmpfs".into(),
                kind: MountKind::Tmpfs {
                    size_bytes: None,
                    mode: 0o755,
                    options: vec![],
                },
                read_only: false,
            }),
            1 => {
                let mut mount = bind(&world.path("share"), "/sub");
                mount.kind = MountKind::Bind {
                    source: world.path("share"),
                    subpath: Some("a".into()),
                    recursive: true,
                    propagation: Propagation::Rprivate,
                    writable_below: false,
                };
                spec.mounts.push(mount);
            }
            _ => spec.process.cwd = "/vol/a/made/by/cwd".into(),
        }
        if let Ok(running) = world.start(spec) {
            let text = running.finish().text;
            assert!(!text.contains("marker: host"), "round {round}: {text}");
            started += 1;
        }
        let names: Vec<_> = fs::read_dir(&canary)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["marker"], "round {round}");
    }
    fs::write(is_done, "").unwrap();
    assert!(swapper.wait().unwrap().success());
    assert!(started > 0, "no container started, so nothing was tried");
}

/// The class of CVE-2022-0492: a release agent of a v1 hierarchy is run by the kernel on the host.
fn a_release_agent_cannot_be_set() {
    let world = World::new();
    let place = CgroupPlace {
        parent: format!("stack-test-{}", std::process::id()),
        name: "agent".into(),
    };
    let cgroup = Cgroup::create(
        &place,
        &Resources::default(),
        &DevicePolicy::Everything,
        &mut Vec::new(),
    )
    .unwrap();
    let join = cgroup.join_files().unwrap();
    let mut commands = vec![
        "write:/sys/fs/cgroup/cgroup.procs:0".to_owned(),
        "mount:/tmp".to_owned(),
    ];
    for controller in ["memory", "pids", "cpu", "devices"] {
        for file in ["release_agent", "notify_on_release", "tasks"] {
            commands.push(format!("write:/sys/fs/cgroup/{controller}/{file}:1"));
        }
    }
    let commands: Vec<_> = commands.iter().map(String::as_str).collect();
    let finished = world
        .start_with(world.spec(&commands), &join, &[])
        .unwrap()
        .finish();
    assert_eq!(finished.answers().len(), commands.len());
    for (command, answer) in finished.answers() {
        assert!(answer.starts_with("error "), "{command}: {answer}");
    }
    drop(join);
    cgroup.remove().unwrap();
}

/// CVE-2019-16884, CVE-2023-28642: with a volume on /proc the runtime writes labels and limits where the image wants.
fn a_mount_on_proc_is_refused_however_it_is_spelled() {
    let world = World::new();
    for target in [
        "/proc/self",
        "/proc/self/attr/current",
        "/x/../proc/sys",
        "//proc/./1",
    ] {
        let mut spec = world.spec(&["exit:0"]);
        spec.mounts.push(bind(&world.path("share"), target));
        let error = runtime::check::check(spec).unwrap_err();
        assert!(error.to_string().contains("inside /proc"), "{error}");
    }
}

/// CVE-2019-14271, CVE-2026-41567: what the runtime needs, it does itself; an image's programs of well-known names are never called.
fn programs_of_the_image_run_only_inside() {
    let world = World::new();
    let names = [
        "xz",
        "unpigz",
        "gzip",
        "tar",
        "newuidmap",
        "ip",
        "nft",
        "mount",
        "sh",
        "getent",
    ];
    let trojan = |name: &str| world.path("image/bin").join(name);
    for name in names {
        fs::copy(probe(), trojan(name)).unwrap();
    }
    fs::write(
        world.path("image/etc/nsswitch.conf"),
        "passwd: files trojan\n",
    )
    .unwrap();
    // A file that was executed has a later access time; overlayfs does not touch that of its layers.
    let look = |name: &str| fs::metadata(trojan(name)).unwrap().accessed().unwrap();
    let before = names.map(look);
    let mut spec = world.spec(&["ids", "sleep"]);
    spec.process.user = "web".into();
    spec.process.groups = vec!["logs".into()];
    let mut running = world.start(spec).unwrap();
    running.await_text("ready");
    assert_eq!(running.exec(&["echo:x"]).code, 0);
    let finished = running.kill();
    assert_eq!(finished.answer("ids"), "1000 1000 1000,2000");
    assert_eq!(names.map(look), before);
    // It would have been seen.
    assert!(Command::new(trojan("tar")).status().unwrap().success());
    assert!(look("tar") > before[3]);
}

/// CVE-2024-21626 over the whole range, for exec and with a descriptor of the host that was left open on purpose.
fn every_descriptor_number_is_useless_as_a_directory() {
    let world = World::new();
    let host = rustix::fs::open("/", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
    let mut running = world.start(world.spec(&["sleep"])).unwrap();
    running.await_text("ready");
    for number in (3..1024).filter(|number| *number < 40 || *number % 97 == 0) {
        for path in [
            format!("/proc/self/fd/{number}"),
            format!("/proc/self/fd/{number}/../.."),
            format!("/proc/thread-self/fd/{number}"),
        ] {
            let mut process = probe_process(&["cwd", "ls:."]);
            process.cwd.clone_from(&path);
            if let Ok(running) = running.exec_process(&process, false) {
                panic!("{path}: {}", running.finish().text);
            }
        }
    }
    running.kill();
    drop(host);
}

/// A key of the host's session is readable for whoever shares the session keyring.
fn the_keyring_is_a_new_one_also_in_an_exec() {
    let world = World::new();
    let mut running = world.start(world.spec(&["keyring", "sleep"])).unwrap();
    running.await_text("ready");
    let inside = running.exec(&["keyring"]).answer("keyring");
    let finished = running.kill();
    assert_ne!(finished.answer("keyring"), inside);
}

/// CVE-2022-24769, CVE-2022-29162, CVE-2022-27650.
fn no_capability_is_inheritable_in_an_exec() {
    let world = World::new();
    let mut running = world.start(world.spec(&["sleep"])).unwrap();
    running.await_text("ready");
    for user in ["", "web", "1234:5678"] {
        let mut process = probe_process(&["status"]);
        process.user = user.into();
        let finished = running.exec_process(&process, false).unwrap().finish();
        let status = finished.answer("status");
        for set in ["CapInh", "CapAmb"] {
            let line = format!("{set}:\t0000000000000000");
            assert!(status.contains(&line), "{user:?}: {status}");
        }
    }
    running.kill();
}
