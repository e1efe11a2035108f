//! A container by nothing but the system calls that cannot be left out: no checks, no descriptors for paths, no reports.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use runtime::cgroup::{Hierarchies, JoinPlan, JoinV1};
use runtime::process::SockFilter;
use runtime::spec::{CgroupPlace, Rootfs};
use runtime::sys::clone::{Child, clone_child};
use runtime::sys::exec::Texts;
use runtime::sys::seccomp::seccomp_install;
use rustix::thread::LinkNameSpaceType;

/// All namespaces of a container but the network's, which is joined.
const NAMESPACES: libc::c_int =
    libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;

/// What a container of the bare calls is given.
pub(super) struct Bare<'a> {
    pub(super) rootfs: &'a Rootfs,
    pub(super) network: BorrowedFd<'a>,
    pub(super) join: &'a JoinPlan,
    pub(super) filter: &'a [SockFilter],
    pub(super) output: BorrowedFd<'a>,
}

/// Starts it.
pub(super) fn start(bare: &Bare<'_>) -> Child {
    let arguments = Texts::new(vec![
        c"probe".to_owned(),
        c"echo:x".to_owned(),
        c"sleep".to_owned(),
    ]);
    let environment = Texts::new(vec![]);
    let Rootfs::Overlay {
        lowers,
        upper,
        work,
        mount_point,
        ..
    } = bare.rootfs
    else {
        panic!("an overlay");
    };
    let overlay = format!(
        "lowerdir={},upperdir={},workdir={}",
        lowers[0].display(),
        upper.display(),
        work.display()
    );
    let v2 = bare.join.v2_directory.as_ref().map(OwnedFd::as_fd);
    let child = clone_child(NAMESPACES, v2, || {
        for group in &bare.join.v1 {
            rustix::io::write(&group.tasks, b"0").unwrap();
        }
        let kind = Some(LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(bare.network, kind).unwrap();
        mount_all(mount_point, &overlay);
        show_groups(mount_point, bare.join);
        enter(mount_point);
        rustix::stdio::dup2_stdout(bare.output).unwrap();
        seccomp_install(bare.filter).unwrap();
        let Err(_) = arguments.execute(c"/bin/probe", &environment);
        127
    });
    child.unwrap()
}

/// Makes a control group with a limit of processes and the usual devices, below a parent that exists.
pub(super) fn group(hierarchies: &Hierarchies, place: &CgroupPlace) -> JoinPlan {
    let below = Path::new(&place.parent).join(&place.name);
    let mut join = JoinPlan::default();
    for mount in &hierarchies.v1 {
        let directory = mount.mount_point.join(&below);
        fs::create_dir(&directory).unwrap();
        let write = |file: &str, text: &str| fs::write(directory.join(file), text).unwrap();
        let has = |name: &str| mount.controllers.iter().any(|known| known == name);
        if has("cpuset") {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let parent = directory.parent().unwrap();
                write(file, &fs::read_to_string(parent.join(file)).unwrap());
            }
        }
        if has("pids") {
            write("pids.max", "100");
        }
        if has("devices") {
            write("devices.deny", "a");
            for line in [
                "c *:* m",
                "b *:* m",
                "c 136:* rwm",
                "c 1:3 rwm",
                "c 1:5 rwm",
                "c 1:7 rwm",
                "c 1:8 rwm",
                "c 1:9 rwm",
                "c 5:0 rwm",
                "c 5:1 rwm",
                "c 5:2 rwm",
            ] {
                write("devices.allow", line);
            }
        }
        let tasks = File::options().write(true).open(directory.join("tasks"));
        join.v1.push(JoinV1 {
            tasks: tasks.unwrap().into(),
            directory,
            mount_point: mount.mount_point.clone(),
        });
    }
    if let Some(top) = &hierarchies.v2 {
        let directory = top.join(&below);
        fs::create_dir(&directory).unwrap();
        if hierarchies.v1.is_empty() {
            fs::write(directory.join("pids.max"), "100").unwrap();
        }
        join.v2_directory = Some(File::open(&directory).unwrap().into());
    }
    join
}

/// The mounts of a container, by mount(2).
fn mount_all(root: &Path, overlay: &str) {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    mount(
        Some("overlay"),
        root,
        Some("overlay"),
        MsFlags::empty(),
        Some(overlay),
    )
    .unwrap();
    for (kind, target, options) in [
        ("proc", "proc", ""),
        ("tmpfs", "dev", "mode=755,size=65536k"),
        (
            "devpts",
            "dev/pts",
            "newinstance,ptmxmode=0666,mode=0620,gid=5",
        ),
        ("tmpfs", "dev/shm", "mode=1777,size=67108864"),
        ("mqueue", "dev/mqueue", ""),
        ("sysfs", "sys", ""),
    ] {
        let target = root.join(target);
        fs::create_dir_all(&target).unwrap();
        mount(
            Some(kind),
            &target,
            Some(kind),
            MsFlags::empty(),
            Some(options),
        )
        .unwrap();
    }
    for (name, minor) in [
        ("null", 3),
        ("zero", 5),
        ("full", 7),
        ("random", 8),
        ("urandom", 9),
    ] {
        let mode = rustix::fs::Mode::from_raw_mode(0o666);
        let device = rustix::fs::makedev(1, minor);
        let kind = rustix::fs::FileType::CharacterDevice;
        let path = root.join("dev").join(name);
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, device).unwrap();
    }
    for path in [
        "proc/interrupts",
        "proc/kcore",
        "proc/keys",
        "proc/timer_list",
    ] {
        let target = root.join(path);
        if target.exists() {
            mount(Some("/dev/null"), &target, none, MsFlags::MS_BIND, none).unwrap();
        }
    }
    for path in ["proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"] {
        let target = root.join(path);
        if target.exists() {
            mount(Some(&target), &target, none, MsFlags::MS_BIND, none).unwrap();
            let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
            mount(none, &target, none, flags, none).unwrap();
        }
    }
}

/// Its own groups in /sys/fs/cgroup, read-only, as every runtime shows them.
fn show_groups(root: &Path, join: &JoinPlan) {
    let top = root.join("sys/fs/cgroup");
    let none = None::<&str>;
    let bind = |source: &Path, target: &Path| {
        mount(Some(source), target, none, MsFlags::MS_BIND, none).unwrap();
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(none, target, none, flags, none).unwrap();
    };
    let v2 = join.v2_directory.as_ref().map(|directory| {
        let number = std::os::fd::AsRawFd::as_raw_fd(directory);
        fs::read_link(format!("/proc/self/fd/{number}")).unwrap()
    });
    if join.v1.is_empty() {
        if let Some(directory) = v2 {
            bind(&directory, &top);
        }
        return;
    }
    mount(
        Some("tmpfs"),
        &top,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=755"),
    )
    .unwrap();
    for group in &join.v1 {
        let target = top.join(group.mount_point.file_name().unwrap());
        fs::create_dir(&target).unwrap();
        bind(&group.directory, &target);
    }
    if let Some(directory) = v2 {
        let target = top.join("unified");
        fs::create_dir(&target).unwrap();
        bind(&directory, &target);
    }
}

/// Makes it the root.
fn enter(root: &Path) {
    nix::unistd::chdir(root).unwrap();
    nix::unistd::pivot_root(".", ".").unwrap();
    umount2(".", MntFlags::MNT_DETACH).unwrap();
    nix::unistd::chdir("/").unwrap();
}
