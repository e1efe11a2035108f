//! What each mode prints for the same events.

use super::*;
use crate::{
    protocol::{Outcome, Subject},
    ui::{
        UiOptions,
        testing::{PLAIN, captured},
    },
};

fn step(kind: SubjectKind, name: &str, state: StepState, took_ms: Option<u64>) -> Event {
    Event::Step(Step {
        subject: Subject {
            kind,
            name: name.into(),
        },
        state,
        took_ms,
    })
}

fn working(text: &str, current: Option<u64>, total: Option<u64>) -> StepState {
    StepState::Working {
        text: text.into(),
        current,
        total,
    }
}

fn done(text: &str) -> StepState {
    StepState::Done { text: text.into() }
}

fn events() -> Vec<Event> {
    vec![
        step(
            SubjectKind::Image,
            "redis:7",
            working("pulling", None, None),
            None,
        ),
        step(
            SubjectKind::Layer,
            "redis:7 aaa",
            working("pulling", Some(1), Some(4)),
            None,
        ),
        step(
            SubjectKind::Image,
            "redis:7",
            working("pulling", None, None),
            None,
        ),
        step(SubjectKind::Image, "redis:7", done("pulled"), Some(1234)),
        step(
            SubjectKind::Network,
            "shop_default",
            done("created"),
            Some(12),
        ),
        Event::Warning {
            text: "cpuset is not available".into(),
        },
        Event::Output {
            source: "web".into(),
            line: "+ make".into(),
        },
        step(
            SubjectKind::Container,
            "shop-web-1",
            StepState::Failed {
                text: "port taken".into(),
            },
            None,
        ),
        Event::Finished(Outcome::default()),
    ]
}

fn shown(mode: ProgressMode, options: ProgressOptions) -> (String, String) {
    let (ui, out, err) = captured(UiOptions {
        progress: mode,
        ..PLAIN
    });
    let mut progress = ui.progress(options);
    for event in events() {
        progress.event(&event, Instant::now()).unwrap();
    }
    progress.finish();
    (out.text(), err.text())
}

#[test]
fn plain_prints_each_transition_once() {
    let (out, err) = shown(ProgressMode::Plain, ProgressOptions::default());
    assert_eq!(out, "");
    insta::assert_snapshot!(err, @r"
    image redis:7 pulling
    image redis:7 pulled 1.2s
    network shop_default created 12ms
    warning: cpuset is not available
    web | + make
    container shop-web-1 port taken
    ");
}

#[test]
fn quiet_pull_and_quiet_build_leave_out_their_part_only() {
    let options = ProgressOptions {
        quiet_pull: true,
        quiet_build: true,
        dry_run: false,
    };
    let (_, err) = shown(ProgressMode::Plain, options);
    insta::assert_snapshot!(err, @r"
    network shop_default created 12ms
    warning: cpuset is not available
    web | + make
    container shop-web-1 port taken
    ");
}

#[test]
fn json_has_dockers_fields() {
    let (_, err) = shown(ProgressMode::Json, ProgressOptions::default());
    insta::assert_snapshot!(err, @r#"
    {"id":"Image redis:7","kind":"image","name":"redis:7","status":"Working","text":"pulling"}
    {"id":"Layer redis:7 aaa","parent_id":"Image redis:7","kind":"layer","name":"redis:7 aaa","status":"Working","text":"pulling","current":1,"total":4,"percent":25}
    {"id":"Image redis:7","kind":"image","name":"redis:7","status":"Working","text":"pulling"}
    {"id":"Image redis:7","kind":"image","name":"redis:7","status":"Done","text":"pulled","took_ms":1234}
    {"id":"Network shop_default","kind":"network","name":"shop_default","status":"Done","text":"created","took_ms":12}
    {"status":"Warning","text":"cpuset is not available"}
    {"id":"web","status":"Working","text":"output","details":"+ make"}
    {"id":"Container shop-web-1","kind":"container","name":"shop-web-1","status":"Error","text":"port taken"}
    "#);
}

#[test]
fn quiet_still_warns() {
    let (_, err) = shown(ProgressMode::Quiet, ProgressOptions::default());
    assert_eq!(err, "warning: cpuset is not available\n");
}

#[test]
fn a_dry_run_prints_its_steps_as_data() {
    let (ui, out, err) = captured(PLAIN);
    let options = ProgressOptions {
        dry_run: true,
        ..ProgressOptions::default()
    };
    let mut progress = ui.progress(options);
    let waiting = StepState::Waiting {
        text: "recreate (image changed)".into(),
    };
    progress
        .event(
            &step(SubjectKind::Container, "shop-web-1", waiting, None),
            Instant::now(),
        )
        .unwrap();
    progress.finish();
    assert_eq!(
        out.text(),
        "container shop-web-1: recreate (image changed)\n"
    );
    assert_eq!(err.text(), "");
    ui.progress(options).finish();
    assert_eq!(err.text(), "nothing to do\n");
}

#[test]
fn a_long_silence_gives_a_sign_of_life() {
    let (ui, _, err) = captured(PLAIN);
    let mut progress = ui.progress(ProgressOptions::default());
    let start = Instant::now();
    let waiting = working("waiting for db to be healthy", None, None);
    progress
        .event(
            &step(SubjectKind::Container, "shop-web-1", waiting, None),
            start,
        )
        .unwrap();
    progress.tick(start + Duration::from_secs(9));
    progress.tick(start + Duration::from_secs(11));
    progress.tick(start + Duration::from_secs(12));
    assert_eq!(
        err.text(),
        "container shop-web-1 waiting for db to be healthy\n\
         still: container shop-web-1 waiting for db to be healthy\n"
    );
}
