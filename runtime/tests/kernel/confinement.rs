//! Users, capabilities, limits, and what a container may not touch.

use std::fs;
use std::os::unix::fs::FileTypeExt;

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use runtime::cgroup::JoinPlan;
use runtime::process::SockFilter;
use runtime::spec::{ContainerSpec, Rlimit};

use crate::harness::Test;
use crate::running::Finished;
use crate::world::World;

pub(crate) const TESTS: &[Test] = &[
    (
        "descriptors_are_exactly_the_standard_streams",
        descriptors_are_exactly_the_standard_streams,
    ),
    (
        "capabilities_are_dockers_and_nothing_is_inherited",
        capabilities_are_dockers_and_nothing_is_inherited,
    ),
    (
        "users_come_from_the_containers_files",
        users_come_from_the_containers_files,
    ),
    (
        "a_filter_works_with_and_without_new_privileges",
        a_filter_works_with_and_without_new_privileges,
    ),
    ("kernel_paths_are_hidden", kernel_paths_are_hidden),
    (
        "kernel_paths_are_write_protected",
        kernel_paths_are_write_protected,
    ),
    ("privileged_hides_nothing", privileged_hides_nothing),
    ("limits_are_set_and_clamped", limits_are_set_and_clamped),
    (
        "the_oom_score_is_set_and_clamped",
        the_oom_score_is_set_and_clamped,
    ),
    (
        "signals_mask_and_session_are_fresh",
        signals_mask_and_session_are_fresh,
    ),
    (
        "the_environment_is_the_given_one_and_home",
        the_environment_is_the_given_one_and_home,
    ),
];

/// Returns a field of /proc/self/status.
fn field(finished: &Finished, name: &str) -> String {
    let status = finished.answer("status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}"))
        .trim()
        .to_owned()
}

fn descriptors_are_exactly_the_standard_streams() {
    let world = World::new();
    // Something that is not close-on-exec, as a careless caller might have.
    let leaked = rustix::fs::open(
        "/etc",
        rustix::fs::OFlags::RDONLY,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    let finished = world.run(world.spec(&["fds", "cwd"]));
    assert_eq!(finished.answer("fds"), "0 1 2");
    assert_eq!(finished.answer("cwd"), "/");
    drop(leaked);
}

fn capabilities_are_dockers_and_nothing_is_inherited() {
    let world = World::new();
    let sets = |finished: &Finished| {
        ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|name| field(finished, name))
    };
    let (none, docker) = ("0000000000000000", "00000000a80425fb");
    let finished = world.run(world.spec(&["status"]));
    assert_eq!(sets(&finished), [none, docker, docker, docker, none]);
    assert_eq!(field(&finished, "NoNewPrivs"), "0");
    assert_eq!(field(&finished, "Seccomp"), "0");

    let mut spec = world.spec(&["status"]);
    spec.process.user = "web".into();
    spec.security.no_new_privs = true;
    let finished = world.run(spec);
    assert_eq!(sets(&finished), [none, none, none, docker, none]);
    assert_eq!(field(&finished, "NoNewPrivs"), "1");

    let mut spec = world.spec(&["status"]);
    spec.security.capabilities = vec![];
    assert_eq!(sets(&world.run(spec)), [none; 5]);

    let mut spec = world.spec(&["status"]);
    spec.security.privileged = true;
    let own = rustix::thread::capabilities(None).unwrap().permitted.bits();
    let own = format!("{own:016x}");
    assert_eq!(sets(&world.run(spec)), [none, &own, &own, &own, none]);
}

fn users_come_from_the_containers_files() {
    let world = World::new();
    let run = |user: &str, groups: &[&str]| {
        let mut spec = world.spec(&["ids"]);
        spec.process.user = user.into();
        spec.process.groups = groups.iter().map(ToString::to_string).collect();
        world
            .start(spec)
            .map(|running| running.finish().answer("ids"))
    };
    for (user, groups, wanted) in [
        ("", [].as_slice(), "0 0 0"),
        ("web", &[], "1000 1000 1000,2000"),
        ("1000", &[], "1000 1000 1000,2000"),
        ("web:logs", &[], "1000 2000 2000"),
        ("1234:5678", &["logs", "9"], "1234 5678 9,2000,5678"),
        ("4242", &[], "4242 0 0"),
    ] {
        let found = run(user, groups).unwrap();
        let sorted = |text: &str| {
            let (ids, groups) = text.rsplit_once(' ').unwrap();
            let mut groups: Vec<_> = groups.split(',').map(str::to_owned).collect();
            groups.sort();
            (ids.to_owned(), groups)
        };
        assert_eq!(sorted(&found), sorted(wanted), "{user:?}");
    }
    let error = |user, groups| run(user, groups).unwrap_err();
    let missing = error("nobody", &[]);
    assert_eq!(
        missing.to_string(),
        "user `nobody` is not in /etc/passwd of the container"
    );
    assert_eq!(missing.exit_code(), 125);
    assert_eq!(
        error("0:staff", &[]).to_string(),
        "group `staff` is not in /etc/group of the container"
    );
    assert_eq!(
        error("0", &["1", "adm"]).to_string(),
        "group `adm` is not in /etc/group of the container"
    );
}

/// Refuses mkdir(2) with ENOSPC and permits everything else.
fn no_mkdir() -> Vec<SockFilter> {
    let mkdir = u32::try_from(libc::SYS_mkdir).unwrap();
    let instruction = |code: u32, jt, jf, k| SockFilter {
        code: u16::try_from(code).unwrap(),
        jt,
        jf,
        k,
    };
    vec![
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, mkdir),
        instruction(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSPC.cast_unsigned(),
        ),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

fn a_filter_works_with_and_without_new_privileges() {
    let world = World::new();
    let filter = no_mkdir();
    for user in ["", "web"] {
        for no_new_privs in [false, true] {
            for init in [false, true] {
                let mut spec = world.spec(&["status", "mkdir:/tmp/x"]);
                spec.process.user = user.into();
                spec.security.no_new_privs = no_new_privs;
                spec.init = init;
                let finished = world
                    .start_with(spec, &JoinPlan::default(), &filter)
                    .unwrap()
                    .finish();
                assert_eq!(field(&finished, "Seccomp"), "2");
                assert_eq!(
                    field(&finished, "NoNewPrivs"),
                    if no_new_privs { "1" } else { "0" }
                );
                assert_eq!(finished.answer("mkdir:/tmp/x"), "error ENOSPC");
            }
        }
    }
}

fn kernel_paths_are_hidden() {
    let world = World::new();
    let finished = world.run(world.spec(&[
        "read:/proc/kcore",
        "read:/proc/keys",
        "read:/proc/interrupts",
        "read:/proc/timer_list",
        "ls:/sys/firmware",
        "create:/sys/firmware/x",
        "write:/proc/kcore:x",
    ]));
    let mut hidden = 0;
    for path in [
        "/proc/kcore",
        "/proc/keys",
        "/proc/interrupts",
        "/proc/timer_list",
    ] {
        if fs::exists(path).unwrap() {
            hidden += 1;
            assert_eq!(finished.answer(&format!("read:{path}")), "", "{path}");
        }
    }
    assert!(hidden >= 2);
    if fs::exists("/sys/firmware").unwrap() {
        assert_eq!(finished.answer("ls:/sys/firmware"), "");
        assert_eq!(finished.answer("create:/sys/firmware/x"), "error EROFS");
    }
}

const WRITES: [&str; 4] = [
    "write:/proc/sys/kernel/core_pattern:core",
    "write:/proc/sysrq-trigger:h",
    "write:/sys/kernel/uevent_helper:x",
    "write:/proc/sys/vm/swappiness:60",
];

fn kernel_paths_are_write_protected() {
    let world = World::new();
    let finished = world.run(world.spec(&WRITES));
    for (command, answer) in finished.answers() {
        assert!(
            answer == "error EROFS" || answer == "error ENOENT",
            "{command}: {answer}"
        );
    }
    let mounts = world.run(world.spec(&["mounts"])).answer("mounts");
    for path in ["/proc/sys", "/proc/bus", "/proc/irq", "/proc/fs", "/sys"] {
        let line = mounts
            .lines()
            .find(|line| line.split(' ').nth(4) == Some(path));
        if fs::exists(path).unwrap() {
            let options = line
                .unwrap_or_else(|| panic!("{path} is no mount"))
                .split(' ')
                .nth(5)
                .unwrap();
            assert!(
                options.split(',').any(|option| option == "ro"),
                "{path}: {options}"
            );
        }
    }
}

fn privileged_hides_nothing() {
    let world = World::new();
    let mut spec = world.spec(&["stat:/proc/kcore", "mounts", "ls:/dev", "mount:/tmp"]);
    spec.security.privileged = true;
    let finished = world.run(spec);
    assert_ne!(finished.answer("stat:/proc/kcore"), "char 666 0:0 1:3");
    let mounts = finished.answer("mounts");
    assert!(!mounts.contains(" /proc/sys "), "{mounts}");
    let answer = finished.answer("ls:/dev");
    let inside: Vec<_> = answer.split(' ').collect();
    for entry in fs::read_dir("/dev").unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        let name = entry.file_name().into_string().unwrap();
        if (kind.is_char_device() || kind.is_block_device()) && name != "console" {
            assert!(
                inside.contains(&name.as_str()),
                "{name} is not in {inside:?}"
            );
        }
    }
    assert_eq!(finished.answer("mount:/tmp"), "mounted");
    // Without the privilege a mount is refused.
    assert_eq!(
        world.run(world.spec(&["mount:/tmp"])).answer("mount:/tmp"),
        "error EPERM"
    );
}

fn limits_are_set_and_clamped() {
    let world = World::new();
    let limit = |name: &str, soft, hard| Rlimit {
        name: name.into(),
        soft,
        hard,
    };
    let line = |finished: &Finished, name: &str| {
        let limits = finished.answer("limits");
        let line = limits
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned();
        line[name.len()..]
            .split_whitespace()
            .take(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut spec = world.spec(&["limits"]);
    spec.rlimits = vec![limit("nofile", 100, 200), limit("core", 0, 0)];
    let finished = world.run(spec);
    assert_eq!(line(&finished, "Max open files"), ["100", "200"]);
    assert_eq!(line(&finished, "Max core file size"), ["0", "0"]);
    assert!(finished.warnings.is_empty(), "{:?}", finished.warnings);

    // More files than fs.nr_open are refused to everybody.
    let mut spec = world.spec(&["limits"]);
    spec.rlimits = vec![limit("nofile", 1 << 40, 1 << 40)];
    let finished = world.run(spec);
    assert_eq!(finished.warnings.len(), 1, "{:?}", finished.warnings);
    assert!(
        finished.warnings[0].starts_with("hard limit of nofile is "),
        "{:?}",
        finished.warnings
    );
    assert_eq!(finished.code, 0);
}

fn the_oom_score_is_set_and_clamped() {
    let world = World::new();
    let run = |score| {
        let mut spec = world.spec(&["read:/proc/self/oom_score_adj"]);
        spec.oom_score_adj = Some(score);
        world.run(spec)
    };
    assert_eq!(run(500).answer("read:/proc/self/oom_score_adj"), "500");
    let finished = run(-900);
    let score = finished.answer("read:/proc/self/oom_score_adj");
    assert!(
        score == "-900"
            || finished
                .warnings
                .iter()
                .any(|text| text.starts_with("OOM score adjustment is")),
        "{score}"
    );
}

fn signals_mask_and_session_are_fresh() {
    let world = World::new();
    let mut ignored = SigSet::empty();
    ignored.add(Signal::SIGUSR1);
    ignored.thread_block().unwrap();
    // SAFETY: ignoring a signal runs no handler.
    unsafe { signal(Signal::SIGUSR2, SigHandler::SigIgn) }.unwrap();
    let finished = world.run(world.spec(&["status", "umask", "read:/proc/self/stat"]));
    ignored.thread_unblock().unwrap();
    assert_eq!(field(&finished, "SigBlk"), "0000000000000000");
    // SIGPIPE, which the helper program's own start-up code ignores.
    assert_eq!(field(&finished, "SigIgn"), "0000000000001000");
    assert_eq!(finished.answer("umask"), "22");
    let stat = finished.answer("read:/proc/self/stat");
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    // State, parent, group, session: PID 1 leads its own.
    assert_eq!(fields[1..4], ["0", "1", "1"]);
}

fn the_environment_is_the_given_one_and_home() {
    let world = World::new();
    let run = |change: fn(&mut ContainerSpec)| {
        let mut spec = world.spec(&["env"]);
        change(&mut spec);
        world.run(spec).answer("env")
    };
    assert_eq!(run(|_| ()), "PATH=/bin:/usr/bin\nHOME=/root");
    assert_eq!(
        run(|spec| spec.process.user = "web".into()),
        "PATH=/bin:/usr/bin\nHOME=/srv/web"
    );
    assert_eq!(
        run(|spec| spec.process.user = "77".into()),
        "PATH=/bin:/usr/bin\nHOME=/"
    );
    assert_eq!(
        run(|spec| spec.process.env = vec!["HOME=/x".into(), "PATH=/bin".into()]),
        "HOME=/x\nPATH=/bin"
    );
}
