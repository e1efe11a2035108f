//! Standard streams, terminals, and PID 1 of our own.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use runtime::cgroup::JoinPlan;
use runtime::check::check;
use runtime::process::{LaunchIo, Launched, launch};
use runtime::pty;
use runtime::spec::ContainerSpec;

use crate::harness::Test;
use crate::world::{World, files, wait};

pub(crate) const TESTS: &[Test] = &[
    (
        "input_and_both_outputs_are_the_given_files",
        input_and_both_outputs_are_the_given_files,
    ),
    (
        "outputs_can_be_opened_again_by_any_user",
        outputs_can_be_opened_again_by_any_user,
    ),
    (
        "a_terminal_is_the_containers_own",
        a_terminal_is_the_containers_own,
    ),
    (
        "a_terminal_works_under_the_reaper",
        a_terminal_works_under_the_reaper,
    ),
    (
        "the_reaper_reaps_orphans_and_keeps_the_exit_code",
        the_reaper_reaps_orphans_and_keeps_the_exit_code,
    ),
    ("the_reaper_hands_signals_on", the_reaper_hands_signals_on),
    (
        "the_reaper_reports_a_missing_program",
        the_reaper_reports_a_missing_program,
    ),
    (
        "exit_codes_and_signals_arrive",
        exit_codes_and_signals_arrive,
    ),
];

fn input_and_both_outputs_are_the_given_files() {
    let world = World::new();
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let ((input, to), (from_out, stdout), (from_err, stderr)) = (pipe(), pipe(), pipe());
    let spec = check(world.spec(&["input", "stderr:oops"])).unwrap();
    let io = LaunchIo::Files {
        stdin: input,
        stdout,
        stderr,
    };
    let launched = launch(&spec, io, &JoinPlan::default(), &[]).unwrap();
    File::from(to).write_all(b"hello").unwrap();
    let read = |fd: OwnedFd| {
        let mut text = String::new();
        File::from(fd).read_to_string(&mut text).unwrap();
        text
    };
    assert_eq!(read(from_out), "input: hello\nstderr:oops: \n");
    assert_eq!(read(from_err), "oops");
    assert_eq!(wait(launched.pidfd.as_fd()), 0);
}

fn outputs_can_be_opened_again_by_any_user() {
    let world = World::new();
    let mut spec = world.spec(&["write:/dev/stdout:again\n", "write:/proc/self/fd/2:err\n"]);
    spec.process.user = "web".into();
    let text = world.run(spec).text;
    assert!(text.contains("again\n") && text.contains("err\n"), "{text}");
    assert!(!text.contains("error"), "{text}");
}

/// Starts a container on a terminal of 24 x 80.
fn start_on_terminal(spec: ContainerSpec) -> Launched {
    let io = LaunchIo::Tty {
        rows: 24,
        columns: 80,
    };
    launch(&check(spec).unwrap(), io, &JoinPlan::default(), &[]).unwrap()
}

/// Reads a terminal until its other end closes (EIO).
pub(crate) fn read_terminal(console: OwnedFd) -> String {
    let mut file = File::from(console);
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match file.read(&mut buffer) {
            Ok(length) => text.extend_from_slice(&buffer[..length]),
            Err(error) if error.raw_os_error() == Some(libc::EIO) => break,
            Err(error) => panic!("{error}"),
        }
    }
    String::from_utf8(text).unwrap().replace("\r\n", "\n")
}

/// Runs a container on a terminal to its end and returns what it wrote.
pub(crate) fn run_on_terminal(_world: &World, spec: ContainerSpec) -> String {
    let launched = start_on_terminal(spec);
    let text = read_terminal(launched.console.unwrap());
    assert_eq!(wait(launched.pidfd.as_fd()), 0, "{text}");
    text
}

const TERMINAL: [&str; 6] = [
    "terminal",
    "link:/proc/self/fd/0",
    "link:/proc/self/fd/2",
    "stat:/dev/console",
    "stat:/dev/pts/0",
    "fds",
];

fn a_terminal_is_the_containers_own() {
    let world = World::new();
    for user in ["", "web"] {
        let mut spec = world.spec(&TERMINAL);
        spec.process.user = user.into();
        let text = run_on_terminal(&world, spec);
        let owner = if user.is_empty() { "0:5" } else { "1000:5" };
        for line in [
            "terminal: 24x80 24x80\n",
            "link:/proc/self/fd/0: /dev/pts/0\n",
            "link:/proc/self/fd/2: /dev/pts/0\n",
            &format!("stat:/dev/console: char 620 {owner} 136:0\n"),
            &format!("stat:/dev/pts/0: char 620 {owner} 136:0\n"),
            "fds: 0 1 2\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}

fn a_terminal_works_under_the_reaper() {
    let world = World::new();
    let mut spec = world.spec(&["input", "terminal", "exit:5"]);
    spec.init = true;
    let launched = start_on_terminal(spec);
    let console = launched.console.unwrap();
    pty::resize(console.as_fd(), 50, 100).unwrap();
    // The end-of-file key reaches the program, which is in the foreground.
    File::from(console.try_clone().unwrap())
        .write_all(b"typed\n\x04")
        .unwrap();
    let text = read_terminal(console);
    assert!(text.contains("input: typed\n"), "{text}");
    assert!(text.contains("terminal: 50x100 50x100\n"), "{text}");
    assert_eq!(wait(launched.pidfd.as_fd()), 5);
}

fn the_reaper_reaps_orphans_and_keeps_the_exit_code() {
    let world = World::new();
    let run = |init| {
        let mut spec = world.spec(&[
            "orphans:20",
            "zombies",
            "status",
            "read:/proc/1/cmdline",
            "read:/proc/1/comm",
            "exit:42",
        ]);
        spec.init = init;
        world.run(spec)
    };
    let finished = run(true);
    assert_eq!(
        (finished.code, finished.answer("zombies").as_str()),
        (42, "0")
    );
    assert!(finished.answer("status").contains("\nPid:\t2\n"));
    // The monitor's command line is nobody's business in the container.
    assert_eq!(
        finished
            .answer("read:/proc/1/cmdline")
            .trim_end_matches('\0'),
        "init"
    );
    assert_eq!(finished.answer("read:/proc/1/comm"), "init");
    let mut spec = world.spec(&["die:9"]);
    spec.init = true;
    assert_eq!(world.run(spec).code, 137);
}

fn the_reaper_hands_signals_on() {
    let world = World::new();
    for signal in [libc::SIGTERM, libc::SIGUSR1, libc::SIGHUP] {
        let mut spec = world.spec(&[&format!("await:{signal}"), "exit:9"]);
        spec.init = true;
        let mut running = world.start(spec).unwrap();
        running.await_text("ready");
        running.signal(signal);
        let finished = running.finish();
        assert!(
            finished.text.contains(&format!("got {signal}")),
            "{}",
            finished.text
        );
        assert_eq!(finished.code, 9);
    }
    // A program without a handler ends by the signal, which PID 1 itself would ignore.
    let mut spec = world.spec(&["sleep"]);
    spec.init = true;
    let mut running = world.start(spec).unwrap();
    running.await_text("ready");
    running.signal(libc::SIGTERM);
    assert_eq!(running.finish().code, 143);
}

fn the_reaper_reports_a_missing_program() {
    let world = World::new();
    let mut spec = world.spec(&[]);
    spec.init = true;
    spec.process.argv = vec!["nope".into()];
    let error = world.start(spec).err().unwrap();
    assert_eq!(
        (error.to_string().as_str(), error.exit_code()),
        ("execute nope: no such file in the container", 127)
    );
}

fn exit_codes_and_signals_arrive() {
    let world = World::new();
    for (command, code) in [("exit:0", 0), ("exit:1", 1), ("exit:255", 255)] {
        assert_eq!(world.run(world.spec(&[command])).code, code);
    }
    let (io, _output) = files();
    let spec = check(world.spec(&["sleep"])).unwrap();
    let launched = launch(&spec, io, &JoinPlan::default(), &[]).unwrap();
    assert!(launched.start_ticks > 0);
    assert_eq!(
        runtime::process::start_ticks(launched.pid).unwrap(),
        launched.start_ticks
    );
    rustix::process::pidfd_send_signal(&launched.pidfd, rustix::process::Signal::KILL).unwrap();
    assert_eq!(wait(launched.pidfd.as_fd()), 137);
}
