//! The journal as files, and what is told of states.

use runtime::spec::{ExitStatus, Health};

use super::{super::logs::Query, *};

fn running(since_ms: u64, health: Health) -> ContainerState {
    ContainerState::Running {
        pid: 1,
        since_ms,
        health,
    }
}

fn status(code: i32, oom_killed: bool) -> ExitStatus {
    ExitStatus {
        code,
        signal: None,
        oom_killed,
        requested: false,
    }
}

fn exited(code: i32, at_ms: u64) -> ContainerState {
    ContainerState::Exited {
        status: status(code, false),
        at_ms,
    }
}

const HEALTHY: Health = Health::Healthy {
    failing: 0,
    last: None,
};
const UNHEALTHY: Health = Health::Unhealthy {
    failing: 3,
    last: None,
};
const STARTING: Health = Health::Starting {
    failing: 0,
    last: None,
};

fn words(tracker: &mut Tracker, state: &ContainerState) -> String {
    let word = |event: track::Happened| match event.attributes.first() {
        Some((_, code)) => format!("{} {code}", event.action),
        None => event.action,
    };
    let all: Vec<String> = tracker.look("a", state).into_iter().map(word).collect();
    all.join(", ")
}

#[test]
fn states_become_events_once() {
    let restarting = ContainerState::Restarting {
        attempt: 1,
        until_ms: 60,
        last: status(137, true),
    };
    let paused = ContainerState::Paused {
        pid: 1,
        since_ms: 70,
        health: UNHEALTHY,
    };
    let lost = ContainerState::Lost {
        reason: "the host restarted".to_owned(),
    };
    let mut tracker = Tracker::default();
    for (state, told) in [
        (ContainerState::Created, ""),
        (running(50, STARTING), "start"),
        (running(50, STARTING), ""),
        (running(50, HEALTHY), "health_status: healthy"),
        (running(50, HEALTHY), ""),
        (restarting.clone(), "oom, die 137"),
        (restarting, ""),
        (running(70, STARTING), "start"),
        (running(70, UNHEALTHY), "health_status: unhealthy"),
        (paused.clone(), "pause"),
        (paused, ""),
        (running(70, UNHEALTHY), "unpause"),
        (exited(3, 80), "die 3"),
        (exited(3, 80), ""),
        // Too short a run to be seen.
        (exited(4, 90), "start, die 4"),
        (running(100, Health::None), "start"),
        // The end between two runs was seen by nobody.
        (running(110, Health::None), "die, start"),
        (lost.clone(), "die"),
        (lost, ""),
        (running(120, Health::None), "start"),
    ] {
        assert_eq!(words(&mut tracker, &state), told, "{state:?}");
    }
}

#[test]
fn a_stop_between_two_runs_is_no_second_end() {
    let mut tracker = Tracker::default();
    let between = ContainerState::Restarting {
        attempt: 1,
        until_ms: 60,
        last: status(1, false),
    };
    assert_eq!(words(&mut tracker, &running(50, Health::None)), "start");
    assert_eq!(words(&mut tracker, &between), "die 1");
    assert_eq!(words(&mut tracker, &exited(1, 55)), "");
    assert_eq!(words(&mut tracker, &running(60, Health::None)), "start");
}

fn image_entries(root: &Root) -> Vec<String> {
    let mut reader = LogReader::open(&root.events(), &Query::default()).unwrap();
    let mut ids = Vec::new();
    while let Some(line) = reader.next_line().unwrap() {
        ids.extend(entry(line.stream, &line.text).map(|entry| entry.id));
    }
    ids
}

#[test]
fn a_journal_goes_on_where_an_earlier_one_ended_and_keeps_two_files() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::below(directory.path());
    let project: ProjectName = "shop".parse().unwrap();
    Journal::open(&root, false).did_to_image(&project, "one", "pull");
    fs::OpenOptions::new()
        .append(true)
        .open(root.events().join("current.log"))
        .unwrap()
        .write_all(b"torn\n")
        .unwrap();
    let journal = Journal::open(&root, true);
    journal.did_to_image(&project, "two", "pull");
    assert_eq!(image_entries(&root), ["one", "two"]);
    for round in ["three", "four", "five"] {
        // As if so much had been written.
        journal.lock().bytes = FILE_BYTES_MAX;
        journal.did_to_image(&project, round, "pull");
    }
    assert_eq!(image_entries(&root), ["four", "five"]);
    assert_eq!(fs::read_dir(root.events()).unwrap().count(), 2);
}

#[test]
fn what_an_earlier_supervisor_told_is_not_told_again() {
    let mut first = Tracker::default();
    let told = |tracker: &mut Tracker, state: &ContainerState| -> Vec<Entry> {
        let entry = |event: track::Happened| Entry {
            kind: EntryKind::Container,
            action: event.action,
            id: "a".to_owned(),
            project: "shop".parse().unwrap(),
            service: None,
            one_off: false,
            run_ms: event.run_ms,
            ended_ms: event.ended_ms,
            attributes: event.attributes.into_iter().collect(),
        };
        tracker.look("a", state).into_iter().map(entry).collect()
    };
    let mut entries = Vec::new();
    for state in [
        running(50, STARTING),
        running(50, UNHEALTHY),
        exited(1, 60),
        running(70, HEALTHY),
    ] {
        entries.extend(told(&mut first, &state));
        let mut next = Tracker::default();
        for entry in &entries {
            next.replay(entry);
        }
        assert_eq!(words(&mut next, &state), "", "{state:?}");
    }
}
