//! Requests to a running container.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, OwnedFd},
};

use runtime::{
    monitor::protocol::{Event, Request},
    spec::{ContainerState, ExitStatus, Process},
};
use rustix::pipe::pipe;

use crate::container::{Container, eventually, shell};

const CODE: fn(&Event) -> i32 = |event| match event {
    Event::ExecExited { status } => status.code,
    other => panic!("{other:?}"),
};

fn exec(process: Process, tty: bool) -> Request {
    Request::Exec {
        process,
        tty,
        size: tty.then_some((11, 22)),
        privileged: false,
    }
}

fn running() -> Container {
    let mut container = Container::new("touch /ready; while :; do sleep 0.01; done");
    container.start();
    container.await_file("/ready");
    container
}

fn finish(mut container: Container) {
    container.stop();
    container.wait();
    container.assert_clean();
}

fn null() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

pub(crate) fn exec_uses_the_callers_descriptors_and_reports_the_status() {
    let container = running();
    let (input, mut to_input) = pipe().map(|(r, w)| (r, File::from(w))).unwrap();
    let (mut output, to_output) = pipe().map(|(r, w)| (File::from(r), w)).unwrap();
    let client = container.connect();
    let request = exec(
        shell("read line; echo $line; readlink /proc/self/ns/pid; exit 13"),
        false,
    );
    client
        .request(
            &request,
            &[input.as_fd(), to_output.as_fd(), to_output.as_fd()],
        )
        .unwrap();
    drop((input, to_output));
    to_input.write_all(b"hello\n").unwrap();
    let (started, _) = client.receive().unwrap().unwrap();
    let Event::ExecStarted { pid } = started else {
        panic!("{started:?}");
    };
    assert!(pid > 0);
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    let ContainerState::Running { pid: init, .. } = container.record().state else {
        panic!("it runs");
    };
    let namespace = std::fs::read_link(format!("/proc/{init}/ns/pid")).unwrap();
    assert_eq!(text, format!("hello\n{}\n", namespace.display()));
    assert_eq!(CODE(&client.receive().unwrap().unwrap().0), 13);
    finish(container);
}

pub(crate) fn exec_gives_a_terminal_to_the_caller() {
    let container = running();
    let client = container.connect();
    client
        .request(
            &exec(shell("stty size; read line; echo got $line"), true),
            &[],
        )
        .unwrap();
    let (started, mut descriptors) = client.receive().unwrap().unwrap();
    assert!(matches!(started, Event::ExecStarted { .. }), "{started:?}");
    let mut master = File::from(descriptors.pop().unwrap());
    master.write_all(b"word\n").unwrap();
    assert_eq!(CODE(&client.receive().unwrap().unwrap().0), 0);
    let mut text = Vec::new();
    // EIO is how the end of a terminal shows.
    drop(master.read_to_end(&mut text));
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains("11 22\r\n") && text.ends_with("got word\r\n"),
        "{text:?}"
    );
    finish(container);
}

pub(crate) fn exec_refusals_have_shell_codes() {
    let container = running();
    let three = [null(), null(), null()];
    let three = three.each_ref().map(AsFd::as_fd);
    for (program, expected) in [("/none", 127), ("none", 127), ("/etc", 126), ("", 125)] {
        let process = Process {
            argv: vec![program.to_owned()],
            ..shell("")
        };
        match container.ask_with(&exec(process, false), &three) {
            Event::Failed { code, message } => assert_eq!(code, expected, "{program}: {message}"),
            other => panic!("{other:?}"),
        }
    }
    let without = container.ask(&exec(shell(""), false));
    assert!(
        matches!(without, Event::Failed { code: 125, .. }),
        "{without:?}"
    );
    finish(container);
}

pub(crate) fn an_exec_outlives_its_client() {
    let container = running();
    let client = container.connect();
    let script = "touch /begun; while ! test -e /go; do sleep 0.01; done; touch /done";
    let three = [null(), null(), null()];
    client
        .request(
            &exec(shell(script), false),
            &three.each_ref().map(AsFd::as_fd),
        )
        .unwrap();
    container.await_file("/begun");
    drop(client);
    std::fs::write(container.inside("/go"), "").unwrap();
    container.await_file("/done");
    finish(container);
}

pub(crate) fn pause_stops_time_and_a_paused_container_can_be_stopped() {
    let mut container = Container::new(
        "trap 'exit 3' TERM; touch /ready; while :; do sleep 0.01; echo x >>/ticks; done",
    );
    container.start();
    container.await_file("/ready");
    container.await_file("/ticks");
    assert_eq!(container.ask(&Request::Pause), Event::Done);
    container.await_state("paused", |state| {
        matches!(state, ContainerState::Paused { .. })
    });
    let size = || std::fs::metadata(container.inside("/ticks")).unwrap().len();
    let frozen = size();
    assert!(matches!(
        container.ask(&Request::Pause),
        Event::Failed { .. }
    ));
    let three = [null(), null(), null()];
    let refused = container.ask_with(&exec(shell(""), false), &three.each_ref().map(AsFd::as_fd));
    assert!(matches!(refused, Event::Failed { .. }), "{refused:?}");
    assert_eq!(size(), frozen);
    assert_eq!(container.ask(&Request::Resume), Event::Done);
    assert!(eventually(|| size() > frozen));
    assert!(matches!(
        container.ask(&Request::Resume),
        Event::Failed { .. }
    ));
    assert_eq!(container.ask(&Request::Pause), Event::Done);
    let stop = Request::Stop {
        signal: None,
        grace_ms: Some(10_000),
    };
    assert_eq!(container.ask(&stop), Event::Done);
    container.wait();
    let ContainerState::Exited { status, .. } = container.record().state else {
        panic!("it has ended");
    };
    assert_eq!((status.code, status.requested), (3, true));
    container.assert_clean();
}

pub(crate) fn a_freeze_ends_with_its_clients_and_is_no_pause() {
    let mut container = Container::new(
        "trap 'exit 3' TERM; touch /ready; while :; do sleep 0.01; echo x >>/ticks; done",
    );
    container.start();
    container.await_file("/ticks");
    let size = || std::fs::metadata(container.inside("/ticks")).unwrap().len();
    let freeze = || {
        let client = container.connect();
        client.request(&Request::Freeze, &[]).unwrap();
        assert_eq!(client.receive().unwrap().unwrap().0, Event::Done);
        client
    };
    let (first, second) = (freeze(), freeze());
    let frozen = size();
    assert!(matches!(
        container.record().state,
        ContainerState::Running { .. }
    ));
    let refused = container.ask(&Request::Resume);
    assert!(matches!(refused, Event::Failed { .. }), "{refused:?}");
    drop(first);
    // A pause in between lasts, and its end does not thaw.
    assert_eq!(container.ask(&Request::Pause), Event::Done);
    assert_eq!(container.ask(&Request::Resume), Event::Done);
    assert_eq!(size(), frozen);
    drop(second);
    assert!(eventually(|| size() > frozen));
    let third = freeze();
    assert_eq!(container.ask(&Request::Pause), Event::Done);
    drop(third);
    let frozen = size();
    assert_eq!(container.ask(&Request::Resume), Event::Done);
    assert!(eventually(|| size() > frozen));
    // What is frozen can be stopped.
    let _client = freeze();
    let stop = Request::Stop {
        signal: None,
        grace_ms: Some(10_000),
    };
    assert_eq!(container.ask(&stop), Event::Done);
    container.wait();
    container.assert_clean();
}

pub(crate) fn descriptors_are_held_and_given_back() {
    let container = running();
    let (mut output, input) = pipe().map(|(r, w)| (File::from(r), w)).unwrap();
    let hold = |names: &[&str]| Request::Hold {
        names: names.iter().map(|&name| name.to_owned()).collect(),
    };
    let wrong = container.ask_with(&hold(&["a", "b"]), &[input.as_fd()]);
    assert!(matches!(wrong, Event::Failed { .. }), "{wrong:?}");
    assert_eq!(
        container.ask_with(&hold(&["old"]), &[input.as_fd()]),
        Event::Done
    );
    let other = null();
    let both = [other.as_fd(), input.as_fd()];
    assert_eq!(
        container.ask_with(&hold(&["null", "pipe"]), &both),
        Event::Done
    );
    drop(input);
    let client = container.connect();
    client.request(&Request::Held, &[]).unwrap();
    let (event, mut held) = client.receive().unwrap().unwrap();
    let names = ["null", "pipe"].map(str::to_owned).to_vec();
    assert_eq!((event, held.len()), (Event::Held { names }, 2));
    File::from(held.pop().unwrap())
        .write_all(b"through")
        .unwrap();
    let mut text = [0; 7];
    output.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"through");
    finish(container);
}

pub(crate) fn a_malformed_request_is_refused_and_the_next_one_answered() {
    let container = running();
    let client = container.connect();
    // An input frame is no request.
    client.send_input(b"x").unwrap();
    let (event, _) = client.receive().unwrap().unwrap();
    assert!(matches!(event, Event::Failed { .. }), "{event:?}");
    client
        .request(&Request::Subscribe { supervisor: false }, &[])
        .unwrap();
    let (event, _) = client.receive().unwrap().unwrap();
    assert!(matches!(event, Event::State { .. }), "{event:?}");
    let resize = Request::Resize {
        rows: 1,
        columns: 1,
    };
    assert!(matches!(container.ask(&resize), Event::Failed { .. }));
    container.stop();
    let (event, _) = client.receive().unwrap().unwrap();
    let Event::State {
        state: ContainerState::Exited { status, .. },
        ..
    } = event
    else {
        panic!("{event:?}");
    };
    assert_eq!(
        status,
        ExitStatus {
            code: 137,
            signal: Some(9),
            oom_killed: false,
            requested: true,
        }
    );
    assert!(client.receive().unwrap().is_none());
    drop(client);
}

pub(crate) fn a_lost_supervisor_is_replaced_and_one_that_took_leave_is_not() {
    let mut container = Container::new("touch /ready; while :; do sleep 0.01; done");
    let file = container.directory().join("supervisors");
    let script = format!("echo $PPID >>{}", file.display());
    container.supervisor = ["/bin/sh", "-c", &script].map(Into::into).to_vec();
    let count = || {
        std::fs::read_to_string(&file)
            .unwrap_or_default()
            .lines()
            .count()
    };
    container.start();
    let supervise = || {
        let client = container.connect();
        client
            .request(&Request::Subscribe { supervisor: true }, &[])
            .unwrap();
        client.receive().unwrap().unwrap();
        client
    };
    let client = supervise();
    client.request(&Request::Release, &[]).unwrap();
    assert_eq!(client.receive().unwrap().unwrap().0, Event::Done);
    drop(client);
    let client = supervise();
    assert_eq!(count(), 0);
    drop(client);
    assert!(eventually(|| count() == 1), "no supervisor was started");
    // Its parent is not the monitor, nor its child.
    let parent = std::fs::read_to_string(&file).unwrap();
    assert_ne!(parent.trim(), container.monitor_pid().to_string());
    finish(container);
}
