//! Monitors that are killed, and those that follow.

use runtime::{
    monitor::protocol::{Event, Ready, Request},
    spec::{ContainerState, Health, Probe, RestartPolicy, Stdio},
};

use crate::container::{Container, eventually, probe};

fn is_healthy(state: &ContainerState) -> bool {
    let healthy = Health::Healthy {
        failing: 0,
        last: None,
    };
    let ContainerState::Running { health, .. } = state else {
        return false;
    };
    std::mem::discriminant(health) == std::mem::discriminant(&healthy)
}

fn alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

pub(crate) fn a_killed_monitors_container_runs_on_and_is_adopted() {
    let script = "n=0; while ! test -e /go; do n=$((n+1)); echo line $n; sleep 0.01; done; echo last $n; exit 42";
    let mut container = Container::new(script);
    container.spec.probe = Some(Probe {
        interval_ms: 3_600_000,
        ..probe("true")
    });
    container.spec.restart = RestartPolicy::OnFailure {
        attempts_max: Some(0),
    };
    let pid = container.start();
    assert!(eventually(|| container.printed("stdout").len() > 5));
    container.await_state("healthy", is_healthy);
    container.kill_monitor();
    let before = container.printed("stdout").len();
    // It goes on printing without a reader, and is not killed by that.
    let ticks = || std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    let first = ticks();
    assert!(eventually(|| ticks() != first));
    assert!(alive(pid));
    match container.run("start") {
        Ready::Started { pid: same, .. } => assert_eq!(same, pid),
        other => panic!("{other:?}"),
    }
    assert!(eventually(|| container.printed("stdout").len() > before + 5));
    assert!(is_healthy(&container.record().state));
    // Requests work on it as on any other.
    assert_eq!(container.ask(&Request::Pause), Event::Done);
    assert_eq!(container.ask(&Request::Resume), Event::Done);
    std::fs::write(container.inside("/go"), "").unwrap();
    assert_eq!(container.wait(), 0);
    let printed = container.printed("stdout");
    let lines = printed.len() - 1;
    let expected = (1..=lines).map(|n| format!("line {n}")).collect::<Vec<_>>();
    assert_eq!(printed[..lines], expected);
    assert_eq!(printed[lines], format!("last {lines}"));
    let ContainerState::Exited { status, .. } = container.record().state else {
        panic!("it has ended");
    };
    // 255 on kernels before 6.15.
    let unknown = container
        .printed("event")
        .iter()
        .any(|line| line.contains("unknown"));
    assert_eq!(status.code, if unknown { 255 } else { 42 });
    container.assert_clean();
}

/// Whoever asked for it cannot end it any more: the connection went with the monitor.
pub(crate) fn a_freeze_ends_with_the_monitor() {
    let mut container = Container::new("while :; do sleep 0.01; echo x >>/ticks; done");
    let pid = container.start();
    container.await_file("/ticks");
    let ticks = container.inside("/ticks");
    let size = || std::fs::metadata(&ticks).unwrap().len();
    let client = container.connect();
    client.request(&Request::Freeze, &[]).unwrap();
    assert_eq!(client.receive().unwrap().unwrap().0, Event::Done);
    container.kill_monitor();
    let frozen = size();
    match container.run("start") {
        Ready::Started { pid: same, .. } => assert_eq!(same, pid),
        other => panic!("{other:?}"),
    }
    assert!(eventually(|| size() > frozen));
    container.stop();
    container.wait();
    container.assert_clean();
}

pub(crate) fn a_container_that_ended_in_between_is_started_again() {
    let mut container =
        Container::new("echo run; while ! test -e /go; do sleep 0.01; done; sleep 4000 & wait");
    let pid = container.start();
    assert!(eventually(|| container.printed("stdout") == ["run"]));
    container.kill_monitor();
    let first = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(first, rustix::process::Signal::KILL).unwrap();
    assert!(eventually(|| !alive(pid)));
    let second = container.start();
    assert_ne!(second, pid);
    assert!(eventually(|| container.printed("stdout") == ["run"; 2]));
    container.stop();
    container.wait();
    container.assert_clean();
}

pub(crate) fn a_terminal_without_its_monitor_is_ended() {
    let mut container = Container::new("trap '' HUP; touch /ready; while :; do sleep 0.01; done");
    container.spec.stdio = Stdio {
        tty: true,
        stdin: true,
    };
    let pid = container.start();
    container.await_file("/ready");
    container.kill_monitor();
    assert!(alive(pid));
    let second = container.start();
    assert_ne!(second, pid);
    assert!(!alive(pid));
    assert_eq!(
        container
            .cgroup()
            .pids()
            .iter()
            .filter(|member| **member == pid)
            .count(),
        0
    );
    container.stop();
    container.wait();
    container.assert_clean();
}

pub(crate) fn two_monitors_do_not_serve_one_container() {
    let mut container = Container::new("touch /ready; while :; do sleep 0.01; done");
    let pid = container.start();
    container.await_file("/ready");
    let mut second = std::process::Command::new(std::env::current_exe().unwrap())
        .arg("--monitor")
        .arg(container.directory())
        .arg("start")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(second.stdout.as_mut().unwrap(), &mut text).unwrap();
    let ready: Ready = serde_json::from_str(&text).unwrap();
    assert_eq!(
        ready,
        Ready::Failed {
            message: "another monitor serves the container".to_owned(),
            code: 125,
        }
    );
    assert_eq!(second.wait().unwrap().code(), Some(125));
    assert!(alive(pid));
    container.stop();
    container.wait();
    container.assert_clean();
}
