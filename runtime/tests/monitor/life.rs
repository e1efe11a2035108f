//! Start, restart, stop, health, end.

use runtime::{
    monitor::protocol::{Event, Ready, Request},
    spec::{ContainerState, ExitStatus, Health, Namespace, Resources, RestartPolicy},
};

use crate::container::{Container, eventually, probe};

fn exited(container: &Container) -> ExitStatus {
    match container.record().state {
        ContainerState::Exited { status, .. } => status,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn output_status_and_events_are_recorded_and_nothing_is_left() {
    let mut container = Container::new("echo out; echo err >&2; printf end; exit 3");
    let pid = container.start();
    assert_eq!(container.wait(), 0);
    assert_eq!(
        exited(&container),
        ExitStatus {
            code: 3,
            signal: None,
            oom_killed: false,
            requested: false,
        }
    );
    assert_eq!(container.printed("stdout"), ["out"]);
    assert_eq!(container.printed("stderr"), ["err"]);
    assert_eq!(
        container.printed("event"),
        [
            format!("started, pid {pid}"),
            "exited with code 3".to_owned()
        ]
    );
    assert!(container.log().contains(&"stdout P end".to_owned()));
    container.assert_clean();
}

pub(crate) fn a_program_that_does_not_exist_is_refused() {
    let mut container = Container::new("");
    container.spec.process.argv = vec!["/bin/none".to_owned()];
    container.spec.restart = RestartPolicy::Always;
    match container.run("start") {
        Ready::Failed { code, message } => {
            assert_eq!(code, 127, "{message}");
            assert!(message.contains("/bin/none"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(container.wait(), 127);
    assert_eq!(exited(&container).code, 127);
    container.assert_clean();
}

pub(crate) fn failures_are_restarted_until_the_attempts_are_used_up() {
    let mut container = Container::new("echo run; exit 7");
    container.spec.restart = RestartPolicy::OnFailure {
        attempts_max: Some(2),
    };
    container.start();
    assert_eq!(container.wait(), 0);
    assert_eq!(container.printed("stdout"), ["run"; 3]);
    assert_eq!(container.record().restarts, 2);
    assert_eq!(exited(&container).code, 7);
    let events = container.printed("event");
    assert!(
        events.contains(&"restarts in 100 ms, attempt 1".to_owned()),
        "{events:?}"
    );
    assert!(
        events.contains(&"restarts in 200 ms, attempt 2".to_owned()),
        "{events:?}"
    );
    container.assert_clean();
}

pub(crate) fn stop_ends_the_back_off() {
    let mut container = Container::new("exit 1");
    container.spec.restart = RestartPolicy::Always;
    container.start();
    container.await_state(
        "a long pause",
        |state| matches!(state, ContainerState::Restarting { attempt, .. } if *attempt >= 3),
    );
    assert_eq!(
        container.ask(&Request::Stop {
            signal: None,
            grace_ms: None
        }),
        Event::Done
    );
    assert_eq!(container.wait(), 0);
    let status = exited(&container);
    assert_eq!((status.code, status.requested), (1, true));
    container.assert_clean();
}

pub(crate) fn stop_asks_first_and_kills_after_the_grace() {
    let mut polite =
        Container::new("trap 'exit 5' TERM; touch /ready; while :; do sleep 0.01; done");
    polite.spec.restart = RestartPolicy::Always;
    polite.start();
    polite.await_file("/ready");
    assert_eq!(
        polite.ask(&Request::Stop {
            signal: None,
            grace_ms: None
        }),
        Event::Done
    );
    assert_eq!(polite.wait(), 0);
    let status = exited(&polite);
    assert_eq!(
        (status.code, status.signal, status.requested),
        (5, None, true)
    );
    polite.assert_clean();

    let mut deaf = Container::new("trap '' TERM; touch /ready; while :; do sleep 0.01; done");
    deaf.start();
    deaf.await_file("/ready");
    let stop = Request::Stop {
        signal: None,
        grace_ms: Some(100),
    };
    assert_eq!(deaf.ask(&stop), Event::Done);
    assert_eq!(deaf.wait(), 0);
    let status = exited(&deaf);
    assert_eq!(
        (status.code, status.signal, status.requested),
        (137, Some(9), true)
    );
    deaf.assert_clean();
}

pub(crate) fn a_kill_prevents_the_restart_and_other_signals_do_not() {
    let mut container =
        Container::new("trap 'exit 0' USR1; touch /ready; while :; do sleep 0.01; done");
    container.spec.restart = RestartPolicy::Always;
    container.start();
    container.await_file("/ready");
    assert_eq!(
        container.ask(&Request::Kill {
            signal: libc::SIGUSR1
        }),
        Event::Done
    );
    container.await_state("a second run", |state| {
        matches!(state, ContainerState::Running { .. })
    });
    container.await_state("it was restarted", |_| container.record().restarts == 1);
    container.await_state("a second run", |state| {
        matches!(state, ContainerState::Running { .. })
    });
    let nonsense = Request::Stop {
        signal: Some(-1),
        grace_ms: None,
    };
    assert!(matches!(container.ask(&nonsense), Event::Failed { .. }));
    assert!(matches!(
        container.ask(&Request::Kill { signal: 999 }),
        Event::Failed { .. }
    ));
    assert_eq!(
        container.ask(&Request::Kill {
            signal: libc::SIGKILL
        }),
        Event::Done
    );
    assert_eq!(container.wait(), 0);
    let status = exited(&container);
    assert_eq!((status.signal, status.requested), (Some(9), true));
    container.assert_clean();
}

pub(crate) fn health_follows_the_probe() {
    let mut container = Container::new("sleep 1000");
    container.spec.probe = Some(probe("echo seen; test -e /healthy"));
    container.start();
    let client = container.connect();
    client
        .request(&Request::Subscribe { supervisor: false }, &[])
        .unwrap();
    let next = |what: &str, wanted: fn(&Health) -> bool| loop {
        let (event, _) = client.receive().unwrap().expect(what);
        if let Event::State {
            state: ContainerState::Running { health, .. },
            ..
        } = event
            && wanted(&health)
        {
            return health;
        }
    };
    next("unhealthy", |health| {
        matches!(health, Health::Unhealthy { .. })
    });
    std::fs::write(container.inside("/healthy"), "").unwrap();
    let health = next("healthy", |health| matches!(health, Health::Healthy { .. }));
    let Health::Healthy {
        failing: 0,
        last: Some(last),
    } = health
    else {
        panic!("{health:?}");
    };
    assert_eq!((last.code, last.output.as_str()), (0, "seen\n"));
    std::fs::remove_file(container.inside("/healthy")).unwrap();
    next("unhealthy again", |health| {
        matches!(health, Health::Unhealthy { .. })
    });
    container.stop();
    container.wait();
    let events = container.printed("event");
    assert!(
        events.contains(&"health: healthy (was unhealthy)".to_owned()),
        "{events:?}"
    );
    container.assert_clean();
}

/// CVE-2024-21626: the monitor has many descriptors, a probe gets none of them.
pub(crate) fn a_probe_has_only_its_three_descriptors() {
    let mut container = Container::new("sleep 1000");
    // No directory is opened for this, which would be a descriptor of its own.
    let script = "n=0; while [ $n -lt 1100 ]; do test -e /proc/$$/fd/$n && echo -n \"$n \"; n=$((n+1)); done; test -e /proc/$$/cwd/proc/1 && echo inside";
    container.spec.probe = Some(probe(script));
    container.start();
    let client = container.connect();
    client
        .request(&Request::Subscribe { supervisor: false }, &[])
        .unwrap();
    let output = loop {
        let (event, _) = client.receive().unwrap().expect("a probe's end");
        if let Event::State {
            state: ContainerState::Running { health, .. },
            ..
        } = event
            && let Health::Healthy {
                last: Some(last), ..
            } = health
        {
            break last.output;
        }
    };
    assert_eq!(output, "0 1 2 inside\n");
    container.stop();
    container.wait();
}

pub(crate) fn a_probe_that_hangs_is_killed() {
    let mut container = Container::new("sleep 1000");
    let mut hangs = probe("echo begun; sleep 2000 & sleep 2000");
    hangs.timeout_ms = 100;
    hangs.retries = 1;
    container.spec.probe = Some(hangs);
    container.start();
    container.await_state("unhealthy", |state| {
        matches!(
            state,
            ContainerState::Running {
                health: Health::Unhealthy { .. },
                ..
            }
        )
    });
    let ContainerState::Running {
        health: Health::Unhealthy {
            last: Some(last), ..
        },
        ..
    } = container.record().state
    else {
        panic!("it is unhealthy");
    };
    assert_eq!(last.code, -1);
    assert_eq!(last.output, "begun\nprobe took longer than 100 ms");
    container.stop();
    container.wait();
    container.assert_clean();
}

/// The kernel kills a probe with its container, and tells that before the container's own end.
pub(crate) fn an_end_is_no_failed_probe() {
    let mut container = Container::new("while ! test -e /end; do sleep 0.01; done; exit 3");
    let mut hangs = probe("test -e /first || { touch /first; exit 0; }; touch /second; sleep 2000");
    hangs.retries = 1;
    container.spec.probe = Some(hangs);
    container.start();
    container.await_file("/second");
    std::fs::write(container.inside("/end"), "").unwrap();
    assert_eq!(container.wait(), 0);
    assert_eq!(exited(&container).code, 3);
    let events = container.printed("event");
    let health = events.iter().filter(|event| event.starts_with("health"));
    assert_eq!(
        health.collect::<Vec<_>>(),
        ["health: healthy (was starting)"]
    );
    container.assert_clean();
}

pub(crate) fn memory_beyond_the_limit_is_told() {
    let mut container = Container::new("exec tail -n 1 /dev/zero");
    container.spec.resources = Resources {
        memory_bytes: Some(16 << 20),
        memory_swap_bytes: Some(16 << 20),
        ..Resources::default()
    };
    container.start();
    assert_eq!(container.wait(), 0);
    let status = exited(&container);
    assert_eq!(
        (status.code, status.signal, status.oom_killed),
        (137, Some(9), true)
    );
    container.assert_clean();
}

pub(crate) fn a_child_beyond_the_memory_limit_is_told_while_the_container_runs() {
    let mut container = Container::new("tail -n 1 /dev/zero; while :; do sleep 0.01; done");
    container.spec.resources = Resources {
        memory_bytes: Some(16 << 20),
        memory_swap_bytes: Some(16 << 20),
        ..Resources::default()
    };
    container.start();
    let told = || {
        let events = container.printed("event");
        events
            .iter()
            .any(|line| line.starts_with("out of memory: the kernel killed 1"))
    };
    assert!(eventually(told), "{:?}", container.printed("event"));
    container.stop();
    container.wait();
    container.assert_clean();
}

pub(crate) fn leftovers_of_a_shared_pid_namespace_are_killed() {
    let mut container = Container::new("sleep 3000 & sleep 3000 & exit 0");
    container.spec.namespaces.pid = Namespace::Host;
    container.start();
    assert_eq!(container.wait(), 0);
    assert_eq!(exited(&container).code, 0);
    container.assert_clean();
}

pub(crate) fn a_gently_ended_monitor_ends_its_container() {
    let mut container =
        Container::new("trap 'exit 4' TERM; touch /ready; while :; do sleep 0.01; done");
    container.spec.restart = RestartPolicy::Always;
    container.start();
    container.await_file("/ready");
    let pid = rustix::process::Pid::from_raw(container.monitor_pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(container.wait(), 0);
    let status = exited(&container);
    assert_eq!((status.code, status.requested), (4, true));
    container.assert_clean();
}
