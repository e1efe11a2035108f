//! Launches that stop on their way, and descriptions to the letter: what an OCI runtime is made of.

use std::fs;

use runtime::cgroup::JoinPlan;
use runtime::check::check;
use runtime::process::held::{Hold, is_held, launch_held, release};
use runtime::spec::{
    Attributes, CapabilitySets, ContainerSpec, DeviceKind, ExactMount, ExactNode, ExactSecurity,
    ExactSource, IoClass, IoPriority, Mount, MountKind, Personality, Propagation, Scheduler,
    SchedulerPolicy,
};

use crate::harness::Test;
use crate::running::Running;
use crate::world::{World, files};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_held_container_waits_until_it_is_released",
        a_held_container_waits_until_it_is_released,
    ),
    (
        "a_failed_preparation_ends_a_held_container",
        a_failed_preparation_ends_a_held_container,
    ),
    (
        "a_program_that_is_missing_is_told_to_the_one_who_releases",
        a_program_that_is_missing_is_told_to_the_one_who_releases,
    ),
    (
        "sets_paths_groups_and_nodes_are_to_the_letter",
        sets_paths_groups_and_nodes_are_to_the_letter,
    ),
    (
        "scheduling_and_propagation_are_to_the_letter",
        scheduling_and_propagation_are_to_the_letter,
    ),
    (
        "mount_flags_are_to_the_letter",
        mount_flags_are_to_the_letter,
    ),
];

/// Launches a held container whose preparation is this.
fn hold(
    world: &World,
    spec: ContainerSpec,
    prepare: &mut dyn FnMut(i32) -> Result<(), String>,
) -> Result<Running, runtime::Error> {
    let (io, output) = files();
    let directory = world.path("hold");
    fs::create_dir_all(&directory).unwrap();
    let spec = check(spec).unwrap();
    let hold = Hold {
        directory: &directory,
        prepare,
        kept_files: 0,
    };
    let launched = launch_held(&spec, io, &JoinPlan::default(), &[], hold)?;
    Ok(Running::new(launched, output, spec.into_spec()))
}

fn a_held_container_waits_until_it_is_released() {
    let world = World::new();
    let mut seen = None;
    let mut prepare = |pid: i32| {
        // The container's mounts are made, and the host's root is still the process's.
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
        let root = fs::read_link(format!("/proc/{pid}/root")).unwrap();
        seen = Some((pid, mounts.contains("mqueue"), root));
        Ok(())
    };
    let mut running = hold(&world, world.spec(&["echo:started", "sleep"]), &mut prepare).unwrap();
    let (pid, has_mounts, root) = seen.unwrap();
    assert_eq!(pid, running.launched.pid);
    assert!(has_mounts);
    assert_eq!(root.to_str(), Some("/"));
    assert!(is_held(&world.path("hold")));
    // It is still this program: it has not executed anything.
    let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_ne!(command.trim(), "probe");
    release(&world.path("hold"), "probe").unwrap();
    assert!(!is_held(&world.path("hold")));
    running.await_text("started");
    let again = release(&world.path("hold"), "probe").unwrap_err();
    assert_eq!(again.source.0, libc::ESRCH, "{again}");
    running.kill();
}

fn a_failed_preparation_ends_a_held_container() {
    let world = World::new();
    let error = hold(&world, world.spec(&["echo:started"]), &mut |_| {
        Err("the network is not there".into())
    });
    assert_eq!(error.err().unwrap().to_string(), "the network is not there");
}

fn a_program_that_is_missing_is_told_to_the_one_who_releases() {
    let world = World::new();
    let mut spec = world.spec(&[]);
    spec.process.argv = vec!["nothing".into()];
    let running = hold(&world, spec, &mut |_| Ok(())).unwrap();
    let error = release(&world.path("hold"), "nothing").unwrap_err();
    assert_eq!(
        error.to_string(),
        "execute nothing: no such file in the container"
    );
    assert_eq!(running.finish().code, 125);
}

fn sets_paths_groups_and_nodes_are_to_the_letter() {
    let world = World::new();
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut spec = world.spec(&[
        "status",
        "ids",
        "umask",
        "read:/srv/secret",
        "write:/tmp/x:y",
        "read:/proc/timer_list",
        "stat:/dev/mine",
        "stat:/dev/pipe",
        "stat:/srv/elsewhere/mine",
    ]);
    fs::write(world.path("image/srv/secret"), "seen").unwrap();
    fs::write(world.path("image/tmp/x"), "").unwrap();
    // Anybody could write it.
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(world.path("image/tmp/x"), everybody).unwrap();
    spec.process.user = "1000:1000".into();
    spec.process.groups = vec!["7".into()];
    let node = |path: &str, kind| ExactNode {
        path: path.into(),
        kind,
        major: 1,
        minor: 3,
        mode: 0o640,
        uid: 5,
        gid: 6,
    };
    spec.security.exact = Some(Box::new(ExactSecurity {
        capabilities: CapabilitySets {
            bounding: names(&["KILL", "CHOWN"]),
            permitted: names(&["KILL", "CHOWN"]),
            effective: names(&["KILL"]),
            inheritable: names(&["KILL"]),
            ambient: names(&["KILL"]),
        },
        hidden: names(&["/srv/secret", "/none"]),
        protected: names(&["/tmp"]),
        umask: Some(0o077),
        nodes: vec![
            node("/dev/mine", Some(DeviceKind::Character)),
            node("/dev/pipe", None),
            node("/srv/elsewhere/mine", Some(DeviceKind::Character)),
        ],
        ..ExactSecurity::default()
    }));
    let finished = world.run(spec);
    let status = finished.answer("status");
    for (set, value) in [
        ("CapInh", "0000000000000020"),
        ("CapPrm", "0000000000000020"),
        ("CapEff", "0000000000000020"),
        ("CapBnd", "0000000000000021"),
        ("CapAmb", "0000000000000020"),
    ] {
        assert!(status.contains(&format!("{set}:\t{value}")), "{status}");
    }
    assert_eq!(finished.answer("ids"), "1000 1000 7");
    assert_eq!(finished.answer("umask"), "77");
    assert_eq!(finished.answer("read:/srv/secret"), "");
    assert_eq!(finished.answer("write:/tmp/x:y"), "error EROFS");
    assert_eq!(finished.answer("stat:/dev/mine"), "char 640 5:6 1:3");
    assert!(
        finished
            .answer("stat:/dev/pipe")
            .starts_with("fifo 640 5:6")
    );
    assert_eq!(
        finished.answer("stat:/srv/elsewhere/mine"),
        "char 640 5:6 1:3"
    );
}

fn scheduling_and_propagation_are_to_the_letter() {
    let world = World::new();
    let mut spec = world.spec(&[
        "read:/proc/self/stat",
        "read:/proc/self/personality",
        "mounts",
    ]);
    spec.security.exact = Some(Box::new(ExactSecurity {
        capabilities: CapabilitySets::default(),
        attributes: Attributes {
            personality: Some(Personality::Linux32),
            scheduler: Some(Scheduler {
                policy: SchedulerPolicy::SchedBatch,
                nice: 7,
                priority: 0,
                flags: vec![],
                runtime_ns: 0,
                deadline_ns: 0,
                period_ns: 0,
            }),
            io_priority: Some(IoPriority {
                class: IoClass::BestEffort,
                priority: 6,
            }),
            memory_policy: None,
        },
        root_propagation: Some(Propagation::Shared),
        ..ExactSecurity::default()
    }));
    let finished = world.run(spec);
    let stat = finished.answer("read:/proc/self/stat");
    // From field 3 on; 19 is the nice value, 41 the policy (proc_pid_stat(5)).
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let field = |number: usize| fields.split(' ').nth(number - 3).unwrap();
    assert_eq!((field(19), field(41)), ("7", "3"), "{stat}");
    assert_eq!(
        finished.answer("read:/proc/self/personality").trim(),
        "00000008"
    );
    let mounts = finished.answer("mounts");
    let root = mounts
        .lines()
        .find(|line| line.contains(" / / "))
        .unwrap_or_else(|| {
            mounts
                .lines()
                .find(|line| line.split(' ').nth(4) == Some("/"))
                .unwrap()
        });
    assert!(root.contains(" shared:"), "{mounts}");
    // What mount(8) and df(1) print in their first column.
    for (target, source) in [
        ("/proc", "proc"),
        ("/dev", "tmpfs"),
        ("/dev/shm", "shm"),
        ("/sys", "sysfs"),
    ] {
        let line = mounts
            .lines()
            .find(|line| line.split(' ').nth(4) == Some(target));
        let (_, filesystem) = line.unwrap().split_once(" - ").unwrap();
        assert_eq!(filesystem.split(' ').nth(1), Some(source), "{mounts}");
    }
}

fn mount_flags_are_to_the_letter() {
    let world = World::new();
    let mut spec = world.spec(&["mounts", "write:/a/marker:x"]);
    fs::write(world.path("share/marker"), "").unwrap();
    let mount = |target: &str, source, set: &[&str]| Mount {
        target: target.into(),
        kind: MountKind::Exact(ExactMount {
            source,
            set: set.iter().map(ToString::to_string).collect(),
            cleared: vec![],
            set_below: vec![],
            propagation: None,
        }),
        read_only: false,
    };
    let bind = ExactSource::Bind {
        path: world.path("share"),
        recursive: true,
    };
    let memory = ExactSource::Filesystem {
        kind: "tmpfs".into(),
        source: "mine".into(),
        options: vec![("size".into(), "64k".into())],
    };
    spec.mounts
        .push(mount("/a", bind, &["ro", "noexec", "noatime"]));
    spec.mounts.push(mount("/m", memory, &["nosuid", "nodev"]));
    let finished = world.run(spec);
    assert_eq!(finished.answer("write:/a/marker:x"), "error EROFS");
    let mounts = finished.answer("mounts");
    let line = |target: &str| {
        let found = mounts.lines().find(|line| line.contains(target));
        found.unwrap_or_else(|| panic!("no {target} in {mounts}"))
    };
    assert!(line(" /a ").contains(" ro,noexec,noatime"), "{mounts}");
    assert!(line(" /m ").contains("nosuid,nodev"), "{mounts}");
    assert!(line(" /m ").contains("tmpfs mine rw,size=64k"), "{mounts}");
}
