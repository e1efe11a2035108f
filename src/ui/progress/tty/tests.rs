//! Which rows a region shows; indicatif's painting is not tested here.

use super::*;
use crate::ui::testing::PLAIN;

fn step(kind: SubjectKind, name: &str, state: StepState) -> Step {
    Step {
        subject: Subject {
            kind,
            name: name.into(),
        },
        state,
        took_ms: Some(1200),
    }
}

fn working(text: &str) -> StepState {
    StepState::Working {
        text: text.into(),
        current: None,
        total: None,
    }
}

fn done(text: &str) -> StepState {
    StepState::Done { text: text.into() }
}

fn rows(steps: &[Step], rows: u16, columns: u16) -> (Rows, Instant) {
    let mut region = Region::new(&UiOptions {
        rows,
        columns,
        ..PLAIN
    });
    let now = region.rows.began;
    for step in steps {
        region.rows.step(step, now);
    }
    (region.rows, now)
}

#[test]
fn rows_are_aligned_and_end_with_a_summary() {
    let (rows, now) = rows(
        &[
            step(SubjectKind::Network, "shop_default", done("created")),
            step(SubjectKind::Container, "shop-web-1", working("starting")),
            step(
                SubjectKind::Container,
                "shop-db-1",
                StepState::Failed {
                    text: "port taken".into(),
                },
            ),
            step(
                SubjectKind::Container,
                "shop-x-1",
                StepState::Waiting {
                    text: "waiting for db".into(),
                },
            ),
        ],
        24,
        80,
    );
    insta::assert_snapshot!(rows.visible(now).join("\n"), @r"
     ok network   shop_default  created  1.2s
      - container shop-web-1    starting  0ms
     !! container shop-db-1     port taken  1.2s
     .. container shop-x-1      waiting for db
    1/4 · 0ms
    ");
}

#[test]
fn layers_count_in_their_image() {
    let layer = |name: &str, current, total| {
        step(
            SubjectKind::Layer,
            name,
            StepState::Working {
                text: "pulling".into(),
                current: Some(current),
                total: Some(total),
            },
        )
    };
    let (rows, now) = rows(
        &[
            step(SubjectKind::Image, "redis:7", working("pulling")),
            layer("redis:7 aaa", 1_000_000, 2_000_000),
            layer("redis:7 bbb", 3_000_000, 8_000_000),
            step(SubjectKind::Layer, "redis:7 aaa", done("unpacked")),
        ],
        24,
        80,
    );
    insta::assert_snapshot!(rows.visible(now).join("\n"), @r"
      - image     redis:7  pulling 5MB / 10MB  0ms
    0/1 · 0ms
    ");
}

#[test]
fn a_small_terminal_shows_what_is_in_work_and_never_wraps() {
    let steps: Vec<Step> = (0..20)
        .map(|n| {
            let state = if n % 5 == 3 {
                working("starting with a long text")
            } else {
                done("started")
            };
            step(SubjectKind::Container, &format!("shop-web-{n}"), state)
        })
        .collect();
    let (rows, now) = rows(&steps, 12, 40);
    let visible = rows.visible(now);
    assert_eq!(visible.len(), 6);
    let names: Vec<&str> = visible[..5]
        .iter()
        .map(|row| row.split_whitespace().nth(2).unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "shop-web-3",
            "shop-web-8",
            "shop-web-13",
            "shop-web-18",
            "shop-web-19"
        ]
    );
    assert!(
        visible.iter().all(|row| row.chars().count() <= 40),
        "{visible:#?}"
    );
    assert_eq!(rows.all(now).len(), 20);
}
