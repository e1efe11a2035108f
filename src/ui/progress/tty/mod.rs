//! A region at the bottom of the terminal: one row a subject, at most half the screen, repainted at most ten times a second.
//!
//! The rows are formatted here; indicatif only paints them. Its bars are a fixed pool of lines, because bars that come
//! and go flicker. Layers have no rows: they count in their image's.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use indexmap::IndexMap;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use unicode_width::UnicodeWidthChar;

use super::{
    build::{self, printable},
    kind, text,
};
use crate::{
    protocol::{BuildState, Progress as Step, StepState, Subject, SubjectKind},
    ui::{
        UiOptions, human,
        style::{self, Palette, Signs},
    },
};

/// Time between two repaints.
pub(super) const REDRAW_INTERVAL: Duration = Duration::from_millis(100);
/// Repaints a second.
const REDRAWS_PER_SECOND: u8 = 10;
/// Rows of the region on a tiny terminal.
const ROWS_MIN: usize = 3;
/// Longest name column.
const NAME_WIDTH_MAX: usize = 44;
/// Lines of output below a running step of a build.
const TAIL_LINES_MAX: usize = 4;

/// The rows and the lines they are painted on.
#[derive(Debug)]
pub(super) struct Region {
    multi: MultiProgress,
    lines: Vec<ProgressBar>,
    rows: Rows,
}

impl Region {
    pub(super) fn new(options: &UiOptions) -> Self {
        Self {
            multi: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(
                REDRAWS_PER_SECOND,
            )),
            lines: Vec::new(),
            rows: Rows {
                subjects: IndexMap::new(),
                layers: IndexMap::new(),
                palette: options.err,
                signs: options.signs,
                height: usize::from(options.rows / 2).max(ROWS_MIN),
                columns: usize::from(options.columns),
                began: Instant::now(),
            },
        }
    }

    pub(super) fn step(&mut self, step: &Step, now: Instant) {
        self.rows.step(step, now);
        self.draw(now);
    }

    pub(super) fn build(&mut self, step: &build::Step, state: &BuildState, now: Instant) {
        self.rows.build(step, state);
        self.draw(now);
    }

    pub(super) fn draw(&mut self, now: Instant) {
        let texts = self.rows.visible(now);
        while self.lines.len() < texts.len() {
            let style = ProgressStyle::with_template("{msg}").expect("the template is valid");
            let line = ProgressBar::no_length().with_style(style);
            self.lines.push(self.multi.add(line));
        }
        for (index, line) in self.lines.iter().enumerate() {
            line.set_message(texts.get(index).cloned().unwrap_or_default());
        }
    }

    pub(super) fn suspended<T>(&self, print: impl FnOnce() -> T) -> T {
        self.multi.suspend(print)
    }

    /// Takes the region off the screen and returns what stays: a row for every subject.
    pub(super) fn close(self) -> Vec<String> {
        for line in &self.lines {
            line.finish_and_clear();
        }
        // A terminal that is gone has nothing left to clear.
        let _gone = self.multi.clear();
        self.rows.all(Instant::now())
    }
}

/// What is known of every subject.
#[derive(Debug)]
struct Rows {
    subjects: IndexMap<Subject, Row>,
    /// Bytes of each layer by its subject's name, which starts with the image's reference.
    layers: IndexMap<String, (u64, u64)>,
    palette: Palette,
    signs: Signs,
    /// Most rows shown at once.
    height: usize,
    columns: usize,
    began: Instant,
}

#[derive(Debug)]
struct Row {
    state: StepState,
    took: Option<Duration>,
    since: Instant,
    /// The last lines of output of a running step of a build.
    tail: VecDeque<String>,
}

impl Rows {
    fn step(&mut self, step: &Step, now: Instant) {
        if step.subject.kind == SubjectKind::Layer {
            if let StepState::Working {
                current: Some(current),
                total: Some(total),
                ..
            } = step.state
            {
                self.layers
                    .insert(step.subject.name.clone(), (current, total));
            } else if let StepState::Done { .. } = step.state
                && let Some((current, total)) = self.layers.get_mut(&step.subject.name)
            {
                *current = *total;
            }
            return;
        }
        let row = self
            .subjects
            .entry(step.subject.clone())
            .or_insert_with(|| Row {
                state: step.state.clone(),
                took: None,
                since: now,
                tail: VecDeque::new(),
            });
        row.state = step.state.clone();
        row.took = step.took_ms.map(Duration::from_millis);
    }

    fn build(&mut self, step: &build::Step, state: &BuildState) {
        let subject = Subject {
            kind: SubjectKind::BuildStep,
            name: step.name.clone(),
        };
        let row = self.subjects.entry(subject).or_insert_with(|| Row {
            state: working(""),
            took: None,
            since: step.began,
            tail: VecDeque::new(),
        });
        let done = |text: &str| StepState::Done { text: text.into() };
        row.state = match state {
            BuildState::Started { .. } => working(""),
            BuildState::Changed { what } => working(&format!("changed: {what}")),
            BuildState::Output { line } => {
                if row.tail.len() == TAIL_LINES_MAX {
                    row.tail.pop_front();
                }
                row.tail.push_back(printable(line));
                return;
            }
            BuildState::Cached => done("CACHED"),
            BuildState::Done { took_ms } => {
                row.took = Some(Duration::from_millis(*took_ms));
                // Why it was made stays to be read.
                match &row.state {
                    StepState::Working { text, .. } => done(&text.clone()),
                    _ => done(""),
                }
            }
            BuildState::Failed => StepState::Failed {
                text: "ERROR".into(),
            },
            BuildState::Cancelled => StepState::Failed {
                text: "CANCELED".into(),
            },
        };
        if !matches!(row.state, StepState::Working { .. }) {
            row.tail.clear();
        }
    }

    /// Returns the rows that fit: what is in work first, in the order of appearance, then what was done last.
    fn visible(&self, now: Instant) -> Vec<String> {
        let room = self.height - 1;
        let mut shown: Vec<usize> = (0..self.subjects.len()).collect();
        if shown.len() > room {
            // Failed rows count as important as those in work; the youngest finished ones fill up.
            shown.sort_by_key(|index| match self.subjects[*index].state {
                StepState::Failed { .. } => (0, *index),
                StepState::Working { .. } => (1, *index),
                StepState::Waiting { .. } => (2, *index),
                StepState::Done { .. } => (3, usize::MAX - index),
            });
            shown.truncate(room);
            shown.sort_unstable();
        }
        let name_width = self.name_width();
        // Output is shown where there is room for it, the same for each running step.
        let busy = self.subjects.values().filter(|row| !row.tail.is_empty());
        let tail = match busy.count() {
            0 => 0,
            busy => (room.saturating_sub(shown.len()) / busy).min(TAIL_LINES_MAX),
        };
        let mut rows = Vec::new();
        for index in shown {
            rows.push(self.row(index, name_width, now));
            let lines = &self.subjects[index].tail;
            for line in lines.iter().skip(lines.len().saturating_sub(tail)) {
                let line = fit(&format!("   | {line}"), self.columns);
                rows.push(self.palette.paint(style::DIM, &line));
            }
        }
        if !rows.is_empty() {
            rows.push(self.summary(now));
        }
        rows
    }

    fn all(&self, now: Instant) -> Vec<String> {
        let name_width = self.name_width();
        (0..self.subjects.len())
            .map(|index| self.row(index, name_width, now))
            .collect()
    }

    fn name_width(&self) -> usize {
        self.subjects
            .keys()
            .filter(|subject| subject.kind != SubjectKind::BuildStep)
            .map(|subject| subject.name.chars().count())
            .max()
            .unwrap_or(0)
            .min(NAME_WIDTH_MAX)
    }

    fn row(&self, index: usize, name_width: usize, now: Instant) -> String {
        let (subject, row) = self
            .subjects
            .get_index(index)
            .expect("the index is of a row");
        let (sign, paint) = match row.state {
            StepState::Waiting { .. } => (self.signs.waiting, style::DIM),
            StepState::Working { .. } => (self.moving_sign(now), style::BUSY),
            StepState::Done { .. } => (self.signs.done, style::GOOD),
            StepState::Failed { .. } => (self.signs.failed, style::ERROR),
        };
        let took = match row.state {
            StepState::Waiting { .. } => None,
            StepState::Working { .. } => Some(now.duration_since(row.since)),
            StepState::Done { .. } | StepState::Failed { .. } => row.took,
        };
        let took = took.map_or_else(String::new, |took| {
            format!("  {}", human::exact_duration(took))
        });
        let room = self.columns.saturating_sub(sign.chars().count() + 2);
        let rest = if subject.kind == SubjectKind::BuildStep {
            let mut end = text(&row.state).to_owned();
            if !end.is_empty() {
                end.insert_str(0, "  ");
            }
            end.push_str(&took);
            // What became of the step is worth more than the end of its instruction.
            let name = format!(" {}", subject.name);
            let name = fit(&name, room.saturating_sub(end.chars().count()));
            format!("{name}{end}")
        } else {
            format!(
                " {:9} {:name_width$}  {}{}{took}",
                kind(subject.kind),
                subject.name,
                text(&row.state),
                self.amount(subject, &row.state),
            )
        };
        format!(" {}{}", self.palette.paint(paint, sign), fit(&rest, room))
    }

    /// Returns ` 12.1MB / 148MB` of a step with bytes, or of the layers of an image.
    fn amount(&self, subject: &Subject, state: &StepState) -> String {
        let StepState::Working { current, total, .. } = state else {
            return String::new();
        };
        let layers = self
            .layers
            .iter()
            .filter(|(name, _)| {
                subject.kind == SubjectKind::Image && name.starts_with(&subject.name)
            })
            .fold(None, |sum: Option<(u64, u64)>, (_, (current, total))| {
                let (done, all) = sum.unwrap_or((0, 0));
                Some((done.saturating_add(*current), all.saturating_add(*total)))
            });
        match (*current, *total, layers) {
            (Some(current), Some(total), _) | (_, _, Some((current, total))) => {
                format!(" {} / {}", human::size(current), human::size(total))
            }
            (Some(current), None, None) => format!(" {}", human::size(current)),
            (None, _, None) => String::new(),
        }
    }

    fn summary(&self, now: Instant) -> String {
        let done = self
            .subjects
            .values()
            .filter(|row| matches!(row.state, StepState::Done { .. }))
            .count();
        let elapsed = human::exact_duration(now.duration_since(self.began));
        fit(
            &format!("{done}/{} · {elapsed}", self.subjects.len()),
            self.columns,
        )
    }

    fn moving_sign(&self, now: Instant) -> &'static str {
        let turn = now.duration_since(self.began).as_millis() / REDRAW_INTERVAL.as_millis();
        let phases = self.signs.working;
        phases[usize::try_from(turn).unwrap_or(0) % phases.len()]
    }
}

fn working(text: &str) -> StepState {
    StepState::Working {
        text: text.into(),
        current: None,
        total: None,
    }
}

/// Returns as much of the text as has room; a row that wraps would ruin the region.
fn fit(text: &str, columns: usize) -> String {
    let mut width = 0;
    text.chars()
        .filter(|c| !c.is_control())
        .take_while(|c| {
            width += c.width().unwrap_or(0);
            width <= columns
        })
        .collect()
}

#[cfg(test)]
mod tests;
