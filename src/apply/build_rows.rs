//! Tells the client what a build does: its steps, and their output by lines.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::Job;
use crate::{
    build::BuildEvent,
    protocol::{BuildProgress, BuildState, Event},
};

/// Longest line of output that is told at once; a longer one is told in parts.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// The steps of one build.
pub(super) struct BuildRows {
    events: tokio::sync::mpsc::Sender<Event>,
    build: String,
    /// The last line of each running step, which is not finished.
    lines: Mutex<HashMap<usize, Vec<u8>>>,
}

impl BuildRows {
    /// `build` names it: the service, with the platform where there are several.
    pub(super) fn new(job: &Job, build: String) -> Self {
        Self {
            events: job.events.clone(),
            build,
            lines: Mutex::default(),
        }
    }

    pub(super) fn tell(&self, event: BuildEvent) {
        match event {
            BuildEvent::Started { step } => self.step(
                step.id,
                BuildState::Started {
                    stage: step.stage,
                    number: step.number,
                    total: step.total,
                    instruction: step.text,
                },
            ),
            BuildEvent::Cached { step } => self.step(step, BuildState::Cached),
            BuildEvent::Changed { step, what } => self.step(step, BuildState::Changed { what }),
            BuildEvent::Output { step, bytes } => self.output(step, &bytes),
            BuildEvent::Done { step, elapsed } => {
                let took_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
                self.end(step, BuildState::Done { took_ms });
            }
            BuildEvent::Failed { step } => self.end(step, BuildState::Failed),
            BuildEvent::Cancelled { step } => self.end(step, BuildState::Cancelled),
            BuildEvent::Warning { text } => self.post(Event::Warning { text }),
        }
    }

    fn output(&self, step: usize, bytes: &[u8]) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let unfinished = lines.entry(step).or_default();
        let mut whole = Vec::new();
        for byte in bytes {
            if *byte == b'\n' || unfinished.len() >= LINE_BYTES_MAX {
                whole.push(std::mem::take(unfinished));
            }
            if *byte != b'\n' {
                unfinished.push(*byte);
            }
        }
        // A client that is slow must not hold up the other steps.
        drop(lines);
        for line in whole {
            self.line(step, &line);
        }
    }

    /// Tells what of the last line there is, then how the step ended.
    fn end(&self, step: usize, state: BuildState) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = lines.remove(&step).unwrap_or_default();
        drop(lines);
        if !rest.is_empty() {
            self.line(step, &rest);
        }
        self.step(step, state);
    }

    fn line(&self, step: usize, line: &[u8]) {
        let line = String::from_utf8_lossy(line).trim_end().to_owned();
        self.step(step, BuildState::Output { line });
    }

    fn step(&self, step: usize, state: BuildState) {
        self.post(Event::Build(BuildProgress {
            build: self.build.clone(),
            step,
            state,
        }));
    }

    /// The builder's threads may block: a slow client slows the build, it does not lose its output.
    fn post(&self, event: Event) {
        if self.events.blocking_send(event).is_err() {
            tracing::debug!("nobody watches");
        }
    }
}
