//! Plain lines: one for each transition, and a sign of life when nothing happens for a while.

use std::time::{Duration, Instant};

use indexmap::IndexMap;

use super::{kind, text};
use crate::{
    protocol::{Progress as Step, StepState, Subject, SubjectKind},
    ui::human,
};

/// Silence after which a line says what is being waited for.
pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);
/// Subjects that one sign of life names.
const HEARTBEAT_SUBJECTS_MAX: usize = 4;

/// What was printed of each subject last.
#[derive(Debug)]
pub(super) struct Lines {
    unfinished: IndexMap<Subject, String>,
    last: Instant,
}

impl Lines {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            unfinished: IndexMap::new(),
            last: now,
        }
    }

    /// Returns the line of a step, unless it only repeats the last one.
    pub(super) fn step(&mut self, step: &Step, now: Instant) -> Option<String> {
        // Layers tell no more than their image does, only more often.
        if step.subject.kind == SubjectKind::Layer
            && !matches!(step.state, StepState::Failed { .. })
        {
            return None;
        }
        let line = line(step);
        match step.state {
            StepState::Waiting { .. } | StepState::Working { .. } => {
                let last = self.unfinished.insert(step.subject.clone(), line.clone());
                if last.as_ref() == Some(&line) {
                    return None;
                }
            }
            StepState::Done { .. } | StepState::Failed { .. } => {
                self.unfinished.shift_remove(&step.subject);
            }
        }
        self.last = now;
        Some(line)
    }

    /// Notes that something else was printed.
    pub(super) fn said(&mut self, now: Instant) {
        self.last = now;
    }

    /// Returns what is still in work when nothing was printed for a while.
    pub(super) fn heartbeat(&mut self, now: Instant) -> Vec<String> {
        if now.duration_since(self.last) < HEARTBEAT_INTERVAL {
            return Vec::new();
        }
        self.last = now;
        let mut lines: Vec<String> = self
            .unfinished
            .values()
            .take(HEARTBEAT_SUBJECTS_MAX)
            .map(|line| format!("still: {line}"))
            .collect();
        let more = self.unfinished.len().saturating_sub(HEARTBEAT_SUBJECTS_MAX);
        if more > 0 {
            lines.push(format!("still: {more} more"));
        }
        lines
    }
}

fn line(step: &Step) -> String {
    let subject = &step.subject;
    let mut line = format!(
        "{} {} {}",
        kind(subject.kind),
        subject.name,
        text(&step.state)
    );
    if let Some(took) = step.took_ms {
        line.push(' ');
        line.push_str(&human::exact_duration(Duration::from_millis(took)));
    }
    line
}
