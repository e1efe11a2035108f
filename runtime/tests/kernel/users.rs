//! Users of a container that are others on the host: the user namespace, and who owns files on both sides.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use runtime::cgroup::JoinPlan;
use runtime::error::Error;
use runtime::process::{LaunchIo, launch};
use runtime::spec::{CAPABILITIES, ContainerSpec, Mount, MountKind, UserMap};

use crate::harness::Test;
use crate::running::{Finished, Running};
use crate::world::{DISK, World, bind, probe_process, wait};

pub(crate) const TESTS: &[Test] = &[
    (
        "users_are_others_on_the_host_and_own_the_same_files",
        users_are_others_on_the_host_and_own_the_same_files,
    ),
    (
        "root_of_its_own_users_cannot_change_the_hosts_namespaces",
        root_of_its_own_users_cannot_change_the_hosts_namespaces,
    ),
    (
        "an_exec_enters_the_same_users",
        an_exec_enters_the_same_users,
    ),
    (
        "a_terminal_belongs_to_the_mapped_user",
        a_terminal_belongs_to_the_mapped_user,
    ),
    (
        "what_cannot_be_mapped_is_refused_by_name",
        what_cannot_be_mapped_is_refused_by_name,
    ),
];

/// First id on the host.
const FIRST: u32 = 200_000;
const COUNT: u32 = 65_536;

fn mapped(world: &World, commands: &[&str]) -> ContainerSpec {
    let mut spec = world.spec(commands);
    spec.users = Some(UserMap::of_range(FIRST, COUNT));
    spec
}

/// Linux 6.3 maps mounts of tmpfs, on which the tests' files are unless they have a disk. Before it there must be a clear refusal, which
/// ends the test.
fn start(world: &World, spec: ContainerSpec) -> Option<Running> {
    match world.start(spec) {
        Ok(running) => Some(running),
        Err(error) => {
            let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
            let mut numbers = release
                .split('.')
                .map(|part| part.parse::<u32>().unwrap_or(0));
            let version = (numbers.next().unwrap(), numbers.next().unwrap());
            let has_disk = std::env::var_os(DISK).is_some();
            assert!(version < (6, 3) && !has_disk, "{error}");
            assert!(is_refusal(&error), "{error}");
            None
        }
    }
}

fn is_refusal(error: &Error) -> bool {
    error
        .to_string()
        .contains("for a user namespace; does its filesystem have mapped mounts?")
}

fn run(world: &World, spec: ContainerSpec) -> Option<Finished> {
    start(world, spec).map(Running::finish)
}

fn owner(path: &Path) -> (u32, u32) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.uid(), metadata.gid())
}

fn users_are_others_on_the_host_and_own_the_same_files() {
    let world = World::new();
    fs::write(world.path("share/file"), "text").unwrap();
    std::os::unix::fs::chown(world.path("share/file"), Some(1000), Some(2000)).unwrap();
    let mut spec = mapped(
        &world,
        &[
            "read:/proc/self/uid_map",
            "read:/proc/self/gid_map",
            "ids",
            "stat:/bin/probe",
            "create:/tmp/x",
            "chown:/tmp/x:1000:2000",
            "stat:/tmp/x",
            "stat:/vol/file",
            "create:/vol/new",
            "stat:/made/for/it",
            "stat:/cache",
            "stat:/dev/null",
            "write:/dev/null:x",
            "stat:/dev/shm",
            "create:/dev/shm/x",
            "stat:/proc/self/status",
            "fds",
        ],
    );
    spec.mounts.push(bind(&world.path("share"), "/vol"));
    spec.mounts
        .push(bind(&world.path("share"), "/made/for/it/too"));
    spec.mounts.push(Mount {
        target: "/cache".into(),
        kind: MountKind::Tmpfs {
            size_bytes: None,
            mode: 0o750,
            options: vec!["uid=1000".into(), "gid=2000".into()],
        },
        read_only: false,
    });
    let Some(finished) = run(&world, spec) else {
        return;
    };
    let words = |command: &str| {
        let answer = finished.answer(command);
        answer
            .split_ascii_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        words("read:/proc/self/uid_map"),
        format!("0 {FIRST} {COUNT}"),
        "{}",
        finished.text
    );
    assert_eq!(
        words("read:/proc/self/gid_map"),
        format!("0 {FIRST} {COUNT}")
    );
    assert_eq!(finished.answer("ids"), "0 0 0");
    assert!(
        finished.answer("stat:/bin/probe").contains(" 0:0 "),
        "{}",
        finished.text
    );
    assert_eq!(finished.answer("create:/tmp/x"), "created");
    assert!(
        finished.answer("stat:/tmp/x").contains(" 1000:2000 "),
        "{}",
        finished.text
    );
    assert!(finished.answer("stat:/vol/file").contains(" 1000:2000 "));
    assert_eq!(finished.answer("create:/vol/new"), "created");
    assert_eq!(
        finished.answer("stat:/made/for/it"),
        "directory 755 0:0 0:0"
    );
    assert_eq!(
        finished.answer("stat:/cache"),
        "directory 750 1000:2000 0:0"
    );
    assert_eq!(finished.answer("stat:/dev/null"), "char 666 0:0 1:3");
    assert_eq!(finished.answer("write:/dev/null:x"), "written");
    assert_eq!(finished.answer("stat:/dev/shm"), "directory 1777 0:0 0:0");
    assert_eq!(finished.answer("create:/dev/shm/x"), "created");
    assert!(finished.answer("stat:/proc/self/status").contains(" 0:0 "));
    assert_eq!(finished.answer("fds"), "0 1 2");
    // On disk the ids are the container's, so that layers and volumes are the same with and without a map.
    assert_eq!(owner(&world.path("upper/tmp/x")), (1000, 2000));
    assert_eq!(owner(&world.path("share/new")), (0, 0));
    assert_eq!(owner(&world.path("upper/made/for/it")), (0, 0));
}

fn root_of_its_own_users_cannot_change_the_hosts_namespaces() {
    let world = World::new();
    let mut spec = mapped(
        &world,
        &[
            "status",
            "mount:/srv",
            "write:/proc/sys/kernel/domainname:x",
            "node:/tmp/n:1:11",
            "sleep",
        ],
    );
    spec.security.capabilities = CAPABILITIES.map(str::to_owned).to_vec();
    spec.security.mask_paths = false;
    let Some(mut running) = start(&world, spec) else {
        return;
    };
    running.await_text("ready");
    let pid = running.launched.pid;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let ids = status
        .lines()
        .find(|line| line.starts_with("Uid:"))
        .unwrap();
    assert_eq!(
        ids.split_ascii_whitespace().nth(1),
        Some(FIRST.to_string().as_str()),
        "{status}"
    );
    let map = fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap();
    assert_eq!(
        map.split_ascii_whitespace().nth(1),
        Some(FIRST.to_string().as_str())
    );
    let finished = running.kill();
    assert!(
        finished
            .answer("status")
            .contains("CapInh:\t0000000000000000"),
        "{}",
        finished.text
    );
    assert!(
        !finished
            .answer("status")
            .contains("CapEff:\t0000000000000000")
    );
    assert_eq!(
        finished.answer("mount:/srv"),
        "error EPERM",
        "{}",
        finished.text
    );
    assert_eq!(
        finished.answer("write:/proc/sys/kernel/domainname:x"),
        "error EACCES"
    );
    assert_eq!(finished.answer("node:/tmp/n:1:11"), "error EPERM");
}

fn an_exec_enters_the_same_users() {
    let world = World::new();
    let mut spec = mapped(&world, &["sleep"]);
    spec.process.user = "web".into();
    let Some(mut running) = start(&world, spec) else {
        return;
    };
    running.await_text("ready");
    let pid = running.launched.pid;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let groups = status
        .lines()
        .find(|line| line.starts_with("Groups:"))
        .unwrap();
    assert!(groups.contains(&(FIRST + 2000).to_string()), "{groups}");
    let mut process = probe_process(&["ids", "read:/proc/self/uid_map", "create:/tmp/y", "status"]);
    process.user = "web".into();
    let finished = running.exec_process(&process, false).unwrap().finish();
    assert_eq!(finished.answer("ids"), "1000 1000 1000,2000");
    assert!(
        finished
            .answer("read:/proc/self/uid_map")
            .contains(&FIRST.to_string()),
        "{}",
        finished.text
    );
    assert_eq!(finished.answer("create:/tmp/y"), "created");
    running.kill();
    assert_eq!(owner(&world.path("upper/tmp/y")), (1000, 1000));
}

fn a_terminal_belongs_to_the_mapped_user() {
    let world = World::new();
    let mut spec = mapped(
        &world,
        &["stat:/dev/console", "stat:/dev/pts/0", "terminal"],
    );
    spec.process.user = "web".into();
    spec.stdio.tty = true;
    let spec = runtime::check::check(spec).unwrap();
    let io = LaunchIo::Tty {
        rows: 24,
        columns: 80,
    };
    let join = JoinPlan::default();
    let launched = match launch(&spec, io, &join, &[]) {
        Ok(launched) => launched,
        Err(error) => {
            assert!(is_refusal(&error), "{error}");
            return;
        }
    };
    let mut text = Vec::new();
    let mut console = fs::File::from(launched.console.unwrap());
    // The end of a terminal reads as EIO.
    std::io::Read::read_to_end(&mut console, &mut text).ok();
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains("stat:/dev/pts/0: char 620 1000:5 136:0"),
        "{text}"
    );
    assert_eq!(wait(launched.pidfd.as_fd()), 0);
}

fn what_cannot_be_mapped_is_refused_by_name() {
    let world = World::new();
    let mut spec = mapped(&world, &[]);
    spec.users = Some(UserMap::of_range(FIRST, 10));
    spec.process.user = "web".into();
    let error = world.start(spec).err().unwrap();
    if is_refusal(&error) {
        return;
    }
    assert_eq!(error.to_string(), "become user `web`: invalid argument");
    // A procfs has no mapped mounts, in any kernel.
    let mut spec = mapped(&world, &[]);
    spec.mounts.push(bind(Path::new("/proc/fs"), "/srv/fs"));
    let error = world.start(spec).err().unwrap();
    assert!(
        is_refusal(&error) && error.to_string().contains("/proc/fs on /srv/fs"),
        "{error}"
    );
    // The two writable directories must be on one mapped mount.
    let mut spec = mapped(&world, &[]);
    let runtime::spec::Rootfs::Overlay { work, .. } = &mut spec.rootfs else {
        unreachable!()
    };
    *work = world.path("share/work");
    let error = world.start(spec).err().unwrap();
    assert_eq!(error.source.0, libc::EXDEV, "{error}");
}
