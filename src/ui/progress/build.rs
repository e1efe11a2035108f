//! Steps of builds: numbered in the order in which they appear, as `#5 [web build 2/4] RUN make`.
//!
//! Plain lines look like those of BuildKit, so that eyes and scripts find what they know. The JSON lines:
//!
//! ```text
//! id         "Build #5"                     number   5
//! kind       "build"                        build    service or tag
//! name       "[web build 2/4] RUN make"     status   Working | Done | Error | Cancelled
//! text       started | changed | output | cached | done | failed | cancelled
//! details    what changed, or the line of output
//! took_ms    of a step that is done
//! ```

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde_json::{Map, Value};

use crate::{
    protocol::{BuildProgress, BuildState},
    ui::human,
};

/// Longest instruction in a name, in characters.
const INSTRUCTION_MAX: usize = 160;

/// All steps of all builds of one call.
#[derive(Debug, Default)]
pub(super) struct Builds {
    steps: HashMap<(String, usize), Step>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) number: usize,
    pub(super) build: String,
    /// `[web build 2/4] RUN make`.
    pub(super) name: String,
    pub(super) began: Instant,
}

impl Builds {
    /// Returns the step that something happened to; `None` when it was never started.
    pub(super) fn step(&mut self, progress: &BuildProgress, now: Instant) -> Option<&Step> {
        let key = (progress.build.clone(), progress.step);
        if let BuildState::Started {
            stage,
            number,
            total,
            instruction,
        } = &progress.state
        {
            let stage = match stage.as_str() {
                "0" => String::new(),
                unnamed if unnamed.bytes().all(|byte| byte.is_ascii_digit()) => {
                    format!(" stage-{unnamed}")
                }
                named => format!(" {named}"),
            };
            let step = Step {
                number: self.steps.len() + 1,
                build: progress.build.clone(),
                name: format!(
                    "[{}{stage} {number}/{total}] {}",
                    progress.build,
                    one_line(instruction)
                ),
                began: now,
            };
            self.steps.insert(key.clone(), step);
        }
        self.steps.get(&key)
    }
}

impl Step {
    /// Returns the lines that tell a state.
    pub(super) fn plain(&self, state: &BuildState, now: Instant) -> Vec<String> {
        let number = self.number;
        let line = match state {
            BuildState::Started { .. } => format!("#{number} {}", self.name),
            BuildState::Cached => format!("#{number} CACHED"),
            BuildState::Changed { what } => format!("#{number} changed: {what}"),
            BuildState::Output { line } => {
                let seconds = now.duration_since(self.began).as_secs_f64();
                format!("#{number} {seconds:.3} {}", printable(line))
            }
            BuildState::Done { took_ms } => {
                let took = human::exact_duration(Duration::from_millis(*took_ms));
                format!("#{number} DONE {took}")
            }
            BuildState::Failed => format!("#{number} ERROR"),
            BuildState::Cancelled => format!("#{number} CANCELED"),
        };
        vec![line]
    }

    /// Returns the line that tells a state to programs.
    pub(super) fn json(&self, state: &BuildState) -> String {
        let (status, text, details) = match state {
            BuildState::Started { .. } => ("Working", "started", None),
            BuildState::Changed { what } => ("Working", "changed", Some(what)),
            BuildState::Output { line } => ("Working", "output", Some(line)),
            BuildState::Cached => ("Done", "cached", None),
            BuildState::Done { .. } => ("Done", "done", None),
            BuildState::Failed => ("Error", "failed", None),
            BuildState::Cancelled => ("Cancelled", "cancelled", None),
        };
        let mut object = Map::new();
        object.insert("id".into(), format!("Build #{}", self.number).into());
        object.insert("kind".into(), "build".into());
        object.insert("number".into(), self.number.into());
        object.insert("build".into(), self.build.clone().into());
        object.insert("name".into(), self.name.clone().into());
        object.insert("status".into(), status.into());
        object.insert("text".into(), text.into());
        if let Some(details) = details {
            object.insert("details".into(), details.clone().into());
        }
        if let BuildState::Done { took_ms } = state {
            object.insert("took_ms".into(), (*took_ms).into());
        }
        Value::Object(object).to_string()
    }
}

/// Joins the lines of an instruction and cuts it to a name.
fn one_line(instruction: &str) -> String {
    let words: Vec<&str> = instruction
        .split_whitespace()
        .filter(|word| *word != "\\")
        .collect();
    let text = words.join(" ");
    if text.chars().count() <= INSTRUCTION_MAX {
        return text;
    }
    let mut short: String = text.chars().take(INSTRUCTION_MAX).collect();
    short.push('…');
    short
}

/// Returns what a line of output leaves on a terminal: what is before a carriage return was overwritten, and other control characters but
/// the tabulator could harm.
pub(super) fn printable(line: &str) -> String {
    let last = line.trim_end_matches('\r').rsplit('\r').next();
    let mut text = String::new();
    let mut chars = last.unwrap_or_default().chars();
    while let Some(c) = chars.next() {
        match c {
            // Colours and movements of the cursor: ESC [ … letter.
            '\u{1b}' => {
                if chars.next() == Some('[') {
                    chars.by_ref().find(|c| ('\u{40}'..='\u{7e}').contains(c));
                }
            }
            '\t' => text.push('\t'),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(build: &str, step: usize, state: BuildState) -> BuildProgress {
        BuildProgress {
            build: build.into(),
            step,
            state,
        }
    }

    fn started(stage: &str, instruction: &str) -> BuildState {
        BuildState::Started {
            stage: stage.into(),
            number: 2,
            total: 4,
            instruction: instruction.into(),
        }
    }

    #[test]
    fn plain_lines_look_like_those_of_buildkit() {
        let mut builds = Builds::default();
        let start = Instant::now();
        let mut lines = Vec::new();
        let output = |line: &str| BuildState::Output { line: line.into() };
        let changed = BuildState::Changed {
            what: "app.py".into(),
        };
        for (build, step, state) in [
            ("web", 0, started("build", "RUN make \\\n  all")),
            ("db", 0, started("0", "COPY a /")),
            ("db", 0, BuildState::Cached),
            ("web", 0, changed),
            ("web", 0, output("\u{1b}[1mcc\u{1b}[0m\t0%\rcc 100%\r")),
            ("web", 0, BuildState::Done { took_ms: 1234 }),
            ("web", 1, started("1", "RUN false")),
            ("web", 1, BuildState::Failed),
            ("web", 9, BuildState::Failed),
        ] {
            let now = start + Duration::from_millis(500);
            let progress = progress(build, step, state);
            // The first event has the time of its beginning.
            let now = if step == 0 && matches!(progress.state, BuildState::Started { .. }) {
                start
            } else {
                now
            };
            if let Some(step) = builds.step(&progress, now) {
                lines.extend(step.plain(&progress.state, now));
            }
        }
        insta::assert_snapshot!(lines.join("\n"), @r"
        #1 [web build 2/4] RUN make all
        #2 [db 2/4] COPY a /
        #2 CACHED
        #1 changed: app.py
        #1 0.500 cc 100%
        #1 DONE 1.2s
        #3 [web stage-1 2/4] RUN false
        #3 ERROR
        ");
    }

    #[test]
    fn json_lines_carry_everything() {
        let mut builds = Builds::default();
        let now = Instant::now();
        let began = progress("web", 3, started("build", "RUN make"));
        builds.step(&began, now);
        let done = progress("web", 3, BuildState::Done { took_ms: 7 });
        let step = builds.step(&done, now).unwrap();
        insta::assert_snapshot!(step.json(&done.state), @r#"{"id":"Build #1","kind":"build","number":1,"build":"web","name":"[web build 2/4] RUN make","status":"Done","text":"done","took_ms":7}"#);
    }
}
