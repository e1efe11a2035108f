//! Images that try to lead the runtime out of the container. A marker on the host never changes and never shows up inside.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use runtime::spec::{ContainerSpec, MountKind, Propagation};

use crate::harness::Test;
use crate::world::{World, bind, probe_process};

pub(crate) const TESTS: &[Test] = &[
    (
        "built_in_targets_that_are_links_are_refused",
        built_in_targets_that_are_links_are_refused,
    ),
    (
        "a_null_device_of_the_image_is_never_used",
        a_null_device_of_the_image_is_never_used,
    ),
    (
        "mounts_never_reach_proc_through_a_link",
        mounts_never_reach_proc_through_a_link,
    ),
    ("mount_targets_stay_inside", mount_targets_stay_inside),
    (
        "subpaths_stay_inside_their_source",
        subpaths_stay_inside_their_source,
    ),
    (
        "working_directories_through_descriptors_are_refused",
        working_directories_through_descriptors_are_refused,
    ),
    (
        "names_files_that_are_no_files_are_refused",
        names_files_that_are_no_files_are_refused,
    ),
    ("a_console_link_leads_nowhere", a_console_link_leads_nowhere),
    (
        "a_swapped_mount_target_never_leaves_the_container",
        a_swapped_mount_target_never_leaves_the_container,
    ),
    (
        "a_sealed_binary_cannot_be_written",
        a_sealed_binary_cannot_be_written,
    ),
    ("our_binary_cannot_be_written", our_binary_cannot_be_written),
];

/// A directory of the host that no container may see or change.
struct Canary {
    dir: PathBuf,
    before: String,
}

impl Canary {
    fn new(world: &World) -> Self {
        let dir = world.path("canary");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("marker"), "host").unwrap();
        let before = Self::look(&dir);
        Self { dir, before }
    }

    fn look(dir: &PathBuf) -> String {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        format!(
            "{names:?} {}",
            fs::read_to_string(dir.join("marker")).unwrap()
        )
    }

    #[track_caller]
    fn check(&self) {
        assert_eq!(Self::look(&self.dir), self.before);
    }
}

fn built_in_targets_that_are_links_are_refused() {
    let world = World::new();
    let canary = Canary::new(&world);
    for name in ["proc", "dev", "sys"] {
        for target in [
            canary.dir.clone(),
            "/tmp".into(),
            "../../../../canary".into(),
            "none".into(),
        ] {
            let link = world.path("image").join(name);
            symlink(&target, &link).unwrap();
            let error = world.start(world.spec(&["exit:0"])).err().unwrap();
            assert!(error.to_string().starts_with("mount "), "{error}");
            assert_eq!(
                (error.source.0, error.exit_code()),
                (libc::ELOOP, 125),
                "{error}"
            );
            canary.check();
            fs::remove_file(link).unwrap();
        }
        fs::write(world.path("image").join(name), "").unwrap();
        let error = world.start(world.spec(&["exit:0"])).err().unwrap();
        assert_eq!(error.source.0, libc::ENOTDIR, "{error}");
        fs::remove_file(world.path("image").join(name)).unwrap();
    }
    // Other links of the image are followed inside it.
    fs::remove_dir_all(world.path("image/srv")).unwrap();
    symlink(&canary.dir, world.path("image/srv")).unwrap();
    let mut spec = world.spec(&["cwd", "create:file"]);
    spec.process.cwd = "/srv/app".into();
    let finished = world.run(spec);
    assert_eq!(
        finished.answer("cwd"),
        format!("{}/app", canary.dir.display())
    );
    assert_eq!(finished.answer("create:file"), "created");
    canary.check();
}

fn a_null_device_of_the_image_is_never_used() {
    let world = World::new();
    fs::create_dir(world.path("image/dev")).unwrap();
    symlink(
        "/proc/sys/kernel/core_pattern",
        world.path("image/dev/null"),
    )
    .unwrap();
    let before = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let finished = world.run(world.spec(&[
        "stat:/dev/null",
        "write:/dev/null:x",
        "write:/proc/sys/kernel/core_pattern:x",
        "read:/proc/keys",
        "stat:/proc/keys",
    ]));
    assert_eq!(finished.answer("stat:/dev/null"), "char 666 0:0 1:3");
    assert_eq!(
        finished.answer("write:/proc/sys/kernel/core_pattern:x"),
        "error EROFS"
    );
    assert_eq!(finished.answer("stat:/proc/keys"), "char 666 0:0 1:3");
    assert_eq!(
        fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(),
        before
    );
}

fn mounts_never_reach_proc_through_a_link() {
    let world = World::new();
    symlink("/proc", world.path("image/p")).unwrap();
    symlink("/proc/self/attr", world.path("image/attr")).unwrap();
    for target in ["/p", "/p/sys", "/attr/current"] {
        let mut spec = world.spec(&["exit:0"]);
        spec.mounts.push(bind(&world.path("share"), target));
        let error = world.start(spec).err().unwrap();
        assert!(error.to_string().starts_with("bind "), "{error}");
    }
    // A file that programs such as lxcfs cover may be covered.
    fs::write(world.path("share/uptime"), "7.00 7.00\n").unwrap();
    let mut spec = world.spec(&["read:/proc/uptime"]);
    spec.mounts
        .push(bind(&world.path("share/uptime"), "/proc/uptime"));
    assert_eq!(world.run(spec).answer("read:/proc/uptime"), "7.00 7.00");
}

fn mount_targets_stay_inside() {
    let world = World::new();
    let canary = Canary::new(&world);
    symlink(&canary.dir, world.path("image/out")).unwrap();
    symlink("../../../../../../../../canary", world.path("image/up")).unwrap();
    fs::write(world.path("share/marker"), "bound").unwrap();
    for target in ["/out/a", "/up/b", "/../../../canary/c", "/out"] {
        let mut spec = world.spec(&["mounts"]);
        spec.mounts.push(bind(&world.path("share"), target));
        let finished = world.run(spec);
        assert_eq!(finished.code, 0, "{}", finished.text);
        canary.check();
    }
}

fn subpaths_stay_inside_their_source() {
    let world = World::new();
    let canary = Canary::new(&world);
    fs::create_dir(world.path("share/data")).unwrap();
    fs::write(world.path("share/data/marker"), "inside").unwrap();
    symlink(&canary.dir, world.path("share/out")).unwrap();
    symlink("data", world.path("share/in")).unwrap();
    let run = |subpath: &str| {
        let mut spec = world.spec(&["read:/mnt/marker"]);
        let mut mount = bind(&world.path("share"), "/mnt");
        mount.kind = MountKind::Bind {
            source: world.path("share"),
            subpath: Some(subpath.into()),
            recursive: true,
            propagation: Propagation::Rprivate,
            writable_below: false,
        };
        spec.mounts.push(mount);
        world
            .start(spec)
            .map(|running| running.finish().answer("read:/mnt/marker"))
    };
    assert_eq!(run("data").unwrap(), "inside");
    assert_eq!(run("in").unwrap(), "inside");
    assert_eq!(run("../../../data").unwrap(), "inside");
    for subpath in ["out", "../canary", "none"] {
        let error = run(subpath).unwrap_err();
        assert_eq!(error.source.0, libc::ENOENT, "{error}");
    }
    canary.check();
}

fn working_directories_through_descriptors_are_refused() {
    let world = World::new();
    let leaked = rustix::fs::open(
        "/etc",
        rustix::fs::OFlags::RDONLY,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    let mut running = world.start(world.spec(&["sleep"])).unwrap();
    running.await_text("ready");
    for number in 3..64 {
        let mut process = probe_process(&["cwd", "exit:0"]);
        process.cwd = format!("/proc/self/fd/{number}");
        let error = running.exec_process(&process, false).err().unwrap();
        assert!(
            error
                .to_string()
                .starts_with("enter working directory /proc/self/fd/"),
            "{error}"
        );
        let mut spec: ContainerSpec = world.spec(&["cwd", "exit:0"]);
        spec.process.cwd = process.cwd;
        assert!(world.start(spec).is_err());
    }
    running.kill();
    drop(leaked);
}

fn names_files_that_are_no_files_are_refused() {
    let world = World::new();
    let passwd = world.path("image/etc/passwd");
    fs::remove_file(&passwd).unwrap();
    let run = || {
        world
            .start(world.spec(&["ids"]))
            .map(|running| running.finish().answer("ids"))
    };
    assert_eq!(run().unwrap(), "0 0 0");
    nix::unistd::mkfifo(&passwd, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(
        run().unwrap_err().to_string(),
        "read /etc/passwd of the container: invalid argument"
    );
    fs::remove_file(&passwd).unwrap();
    symlink("/proc/self/fd/3", &passwd).unwrap();
    assert_eq!(run().unwrap_err().source.0, libc::ELOOP);
    fs::remove_file(&passwd).unwrap();
    fs::write(&passwd, vec![b'x'; 2 << 20]).unwrap();
    assert_eq!(
        run().unwrap_err().to_string(),
        "read /etc/passwd of the container: file too large"
    );
}

fn a_console_link_leads_nowhere() {
    let world = World::new();
    let canary = Canary::new(&world);
    fs::create_dir_all(world.path("image/dev/pts")).unwrap();
    symlink(canary.dir.join("marker"), world.path("image/dev/console")).unwrap();
    symlink(canary.dir.join("marker"), world.path("image/dev/pts/0")).unwrap();
    let finished = crate::streams::run_on_terminal(&world, world.spec(&["stat:/dev/console"]));
    assert!(
        finished.contains("stat:/dev/console: char 620 0:5 136:0"),
        "{finished}"
    );
    canary.check();
}

fn a_swapped_mount_target_never_leaves_the_container() {
    let world = World::new();
    let canary = Canary::new(&world);
    let (a, b) = (world.path("share/a"), world.path("share/b"));
    fs::create_dir(&a).unwrap();
    symlink(&canary.dir, &b).unwrap();
    fs::create_dir(world.path("data")).unwrap();
    // The swapper is a process: a thread would make this one refuse to launch.
    let is_done = world.path("done");
    let swapper = std::process::Command::new("/proc/self/exe")
        .args(["--swap"])
        .args([&a, &b, &is_done])
        .spawn();
    let mut swapper = swapper.unwrap();
    for _ in 0..40 {
        let mut spec = world.spec(&["read:/vol/a/marker", "read:/vol/b/marker"]);
        spec.mounts.push(bind(&world.path("share"), "/vol"));
        spec.mounts.push(bind(&world.path("data"), "/vol/a/sub"));
        if let Ok(running) = world.start(spec) {
            let text = running.finish().text;
            assert!(!text.contains("marker: host"), "{text}");
        }
        canary.check();
    }
    fs::write(is_done, "").unwrap();
    assert!(swapper.wait().unwrap().success());
    canary.check();
}

/// Tells whether this program's own file is on a read-only mount, and what opening it for writing gives.
pub(crate) fn write_own() -> String {
    let statvfs = rustix::fs::statvfs("/proc/self/exe").unwrap();
    let is_read_only = statvfs
        .f_flag
        .contains(rustix::fs::StatVfsMountFlags::RDONLY);
    let error = fs::File::options()
        .write(true)
        .open("/proc/self/exe")
        .unwrap_err();
    format!("{is_read_only} {}", error.raw_os_error().unwrap())
}

/// The swapper of the test above: exchanges two entries until a file appears.
pub(crate) fn swap(arguments: &[String]) {
    static DONE: AtomicBool = AtomicBool::new(false);
    let [a, b, is_done] = arguments else {
        panic!("--swap A B DONE")
    };
    let start = std::time::Instant::now();
    while !DONE.load(Ordering::Relaxed) {
        for _ in 0..100 {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            rustix::fs::renameat_with(rustix::fs::CWD, a, rustix::fs::CWD, b, flags).unwrap();
        }
        DONE.store(
            fs::exists(is_done).unwrap() || start.elapsed().as_secs() > 30,
            Ordering::Relaxed,
        );
    }
}

fn a_sealed_binary_cannot_be_written() {
    let sealed = runtime::process::seal::own_executable().unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&sealed));
    let output = std::process::Command::new(path)
        .arg("--write-own")
        .output()
        .unwrap();
    // The kernel asks whether somebody executes it before it looks at the mount.
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("true {}", libc::ETXTBSY)
    );
}

fn our_binary_cannot_be_written() {
    let world = World::new();
    let own = std::env::current_exe().unwrap();
    let length = fs::metadata(&own).unwrap().len();
    // PID 1 is the reaper, which is this test's binary.
    let mut spec = world.spec(&[
        "write:/proc/1/exe:x",
        "write:/proc/1/mem:x",
        "link:/proc/1/exe",
        "read:/proc/1/environ",
        "link:/proc/1/fd/0",
    ]);
    spec.init = true;
    let finished = world.run(spec);
    for (command, answer) in finished.answers() {
        assert_eq!(answer, "error EACCES", "{command}");
    }
    assert_eq!(finished.answers().len(), 5);
    assert_eq!(fs::metadata(&own).unwrap().len(), length);
}
