//! Further processes in a running container.

use std::os::fd::AsFd;

use runtime::cgroup::JoinPlan;
use runtime::process::{ExecRequest, LaunchIo, exec};

use crate::harness::Test;
use crate::running::Running;
use crate::streams::read_terminal;
use crate::world::{World, probe_process, wait};

pub(crate) const TESTS: &[Test] = &[
    (
        "exec_is_in_the_same_namespaces_with_the_same_confinement",
        exec_is_in_the_same_namespaces_with_the_same_confinement,
    ),
    (
        "exec_has_its_own_user_directory_and_environment",
        exec_has_its_own_user_directory_and_environment,
    ),
    (
        "exec_gets_a_terminal_of_the_container",
        exec_gets_a_terminal_of_the_container,
    ),
    (
        "exec_reports_missing_programs_and_users",
        exec_reports_missing_programs_and_users,
    ),
    (
        "exec_into_a_container_that_has_ended_is_refused",
        exec_into_a_container_that_has_ended_is_refused,
    ),
    (
        "a_privileged_exec_has_all_capabilities",
        a_privileged_exec_has_all_capabilities,
    ),
    ("exec_ends_with_the_container", exec_ends_with_the_container),
];

fn sleeper(world: &World) -> Running {
    let mut running = world.start(world.spec(&["namespaces", "sleep"])).unwrap();
    running.await_text("ready");
    running
}

fn exec_is_in_the_same_namespaces_with_the_same_confinement() {
    let world = World::new();
    let running = sleeper(&world);
    let own_children = std::fs::read_link("/proc/self/ns/pid_for_children").unwrap();
    let finished = running.exec(&[
        "namespaces",
        "status",
        "fds",
        "cwd",
        "create:/tmp/by-exec",
        "write:/proc/sys/vm/swappiness:1",
        "read:/proc/1/cmdline",
    ]);
    assert_eq!(
        std::fs::read_link("/proc/self/ns/pid_for_children").unwrap(),
        own_children
    );
    let status = finished.answer("status");
    for line in [
        "CapInh:\t0000000000000000",
        "CapPrm:\t00000000a80425fb",
        "CapEff:\t00000000a80425fb",
        "CapBnd:\t00000000a80425fb",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t0",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    assert_eq!(finished.answer("fds"), "0 1 2");
    assert_eq!(finished.answer("cwd"), "/");
    assert_eq!(finished.answer("create:/tmp/by-exec"), "created");
    assert_eq!(
        finished.answer("write:/proc/sys/vm/swappiness:1"),
        "error EROFS"
    );
    assert!(finished.answer("read:/proc/1/cmdline").contains("sleep"));
    let namespaces = finished.answer("namespaces");
    assert!(running.kill().text.contains(&namespaces));
    assert!(world.path("upper/tmp/by-exec").exists());
}

fn exec_has_its_own_user_directory_and_environment() {
    let world = World::new();
    let running = sleeper(&world);
    let mut process = probe_process(&["ids", "cwd", "env"]);
    process.user = "web".into();
    process.groups = vec!["7".into()];
    process.cwd = "/srv".into();
    process.env.push("A=b".into());
    let finished = running.exec_process(&process, false).unwrap().finish();
    let mut ids = finished.answer("ids");
    ids.truncate(9);
    assert_eq!(ids, "1000 1000");
    assert_eq!(finished.answer("cwd"), "/srv");
    assert_eq!(
        finished.answer("env"),
        "PATH=/bin:/usr/bin\nA=b\nHOME=/srv/web"
    );
    process.cwd = "/none".into();
    let error = running.exec_process(&process, false).err().unwrap();
    assert_eq!(
        error.to_string(),
        "enter working directory /none: no such file or directory"
    );
    running.kill();
}

fn exec_gets_a_terminal_of_the_container() {
    let world = World::new();
    let running = sleeper(&world);
    let process = probe_process(&["terminal", "link:/proc/self/fd/0", "fds", "exit:3"]);
    let request = ExecRequest {
        spec: &running.spec,
        init: running.launched.pidfd.as_fd(),
        process: &process,
        privileged: false,
        kept_files: 0,
    };
    let io = LaunchIo::Tty {
        rows: 10,
        columns: 20,
    };
    let launched = exec(&request, io, &JoinPlan::default(), &[]).unwrap();
    let text = read_terminal(launched.console.unwrap());
    assert!(text.contains("terminal: 10x20 10x20\n"), "{text}");
    assert!(
        text.contains("link:/proc/self/fd/0: /dev/pts/0\n"),
        "{text}"
    );
    assert!(text.contains("fds: 0 1 2\n"), "{text}");
    assert_eq!(wait(launched.pidfd.as_fd()), 3);
    running.kill();
}

fn exec_reports_missing_programs_and_users() {
    let world = World::new();
    let running = sleeper(&world);
    for (argv, cwd, text) in [
        (vec![], "/", "no program to run"),
        (
            vec!["probe".to_owned()],
            "srv",
            "working directory `srv` is not an absolute path",
        ),
    ] {
        let mut process = probe_process(&[]);
        process.argv = argv;
        process.cwd = cwd.into();
        let error = running.exec_process(&process, false).err().unwrap();
        assert_eq!((error.to_string().as_str(), error.exit_code()), (text, 125));
    }
    let mut process = probe_process(&[]);
    process.user = "nobody".into();
    let error = running.exec_process(&process, false).err().unwrap();
    assert_eq!(
        error.to_string(),
        "user `nobody` is not in /etc/passwd of the container"
    );
    let mut process = probe_process(&[]);
    process.argv = vec!["nope".into()];
    assert_eq!(
        running
            .exec_process(&process, false)
            .err()
            .unwrap()
            .exit_code(),
        127
    );
    process.argv = vec!["/etc/passwd".into()];
    assert_eq!(
        running
            .exec_process(&process, false)
            .err()
            .unwrap()
            .exit_code(),
        126
    );
    running.kill();
}

fn exec_into_a_container_that_has_ended_is_refused() {
    let world = World::new();
    let running = sleeper(&world);
    running.signal(libc::SIGKILL);
    let mut poll = [rustix::event::PollFd::new(
        &running.launched.pidfd,
        rustix::event::PollFlags::IN,
    )];
    rustix::event::poll(&mut poll, None).unwrap();
    let error = running
        .exec_process(&probe_process(&[]), false)
        .err()
        .unwrap();
    assert_eq!(
        (error.exit_code(), error.step),
        (125, runtime::Step::JoinNamespace),
        "{error}"
    );
    running.finish();
}

fn a_privileged_exec_has_all_capabilities() {
    let world = World::new();
    let mut spec = world.spec(&["sleep"]);
    spec.oom_score_adj = Some(321);
    let mut running = world.start(spec).unwrap();
    running.await_text("ready");
    let score = running.exec(&["read:/proc/self/oom_score_adj"]);
    assert_eq!(score.answer("read:/proc/self/oom_score_adj"), "321");
    let finished = running
        .exec_process(&probe_process(&["status"]), true)
        .unwrap()
        .finish();
    let own = rustix::thread::capabilities(None).unwrap().permitted.bits();
    assert!(
        finished
            .answer("status")
            .contains(&format!("CapEff:\t{own:016x}"))
    );
    running.kill();
}

fn exec_ends_with_the_container() {
    let world = World::new();
    let running = sleeper(&world);
    let mut other = running
        .exec_process(&probe_process(&["sleep"]), false)
        .unwrap();
    other.await_text("ready");
    running.signal(libc::SIGKILL);
    // The kernel lets PID 1 end only after everything in its namespace was reaped, and this one is ours to reap.
    assert_eq!(other.finish().code, 137);
    assert_eq!(running.finish().code, 137);
}
