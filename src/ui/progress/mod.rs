//! Progress of a call: a region of rows on a terminal, plain lines, JSON lines, nothing, or the steps of a dry run.
//!
//! indicatif prints nothing when standard error is no terminal, so every other way is our own line printer.

mod build;
mod json;
mod plain;
mod tty;

use std::time::{Duration, Instant};

use super::{OutputError, Ui};
use crate::protocol::{BuildProgress, BuildState, Event, Progress as Step, StepState, SubjectKind};

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressMode {
    /// A region that is repainted.
    Tty,
    /// One line a transition.
    Plain,
    /// One JSON object a transition.
    Json,
    /// Not at all; warnings and errors are still printed.
    Quiet,
}

/// What to leave out, and what is shown in its place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProgressOptions {
    /// Leave out pulls (`--quiet-pull`).
    pub quiet_pull: bool,
    /// Leave out build output (`--quiet-build`).
    pub quiet_build: bool,
    /// The steps are data: print them to standard output, nothing else happens.
    pub dry_run: bool,
}

/// Shows the progress of one call.
#[derive(Debug)]
pub struct Progress<'ui> {
    ui: &'ui Ui,
    options: ProgressOptions,
    shown: Shown,
    builds: build::Builds,
}

#[derive(Debug)]
enum Shown {
    Tty(Box<tty::Region>),
    Plain(plain::Lines),
    Json,
    Quiet,
    Steps { any: bool },
}

impl<'ui> Progress<'ui> {
    pub(super) fn new(ui: &'ui Ui, options: ProgressOptions) -> Self {
        let shown = match ui.options.progress {
            _ if options.dry_run => Shown::Steps { any: false },
            ProgressMode::Tty => Shown::Tty(Box::new(tty::Region::new(&ui.options))),
            ProgressMode::Plain => Shown::Plain(plain::Lines::new(Instant::now())),
            ProgressMode::Json => Shown::Json,
            ProgressMode::Quiet => Shown::Quiet,
        };
        Self {
            ui,
            options,
            shown,
            builds: build::Builds::default(),
        }
    }

    /// Returns how long to wait for an event before [`Self::tick`] is due; `None` = for ever.
    pub fn tick_interval(&self) -> Option<Duration> {
        match self.shown {
            Shown::Tty(_) => Some(tty::REDRAW_INTERVAL),
            Shown::Plain(_) => Some(plain::HEARTBEAT_INTERVAL),
            Shown::Json | Shown::Quiet | Shown::Steps { .. } => None,
        }
    }

    /// Shows that time went by.
    pub fn tick(&mut self, now: Instant) {
        match &mut self.shown {
            Shown::Tty(region) => region.draw(now),
            Shown::Plain(lines) => {
                for line in lines.heartbeat(now) {
                    self.ui.say(&line);
                }
            }
            Shown::Json | Shown::Quiet | Shown::Steps { .. } => {}
        }
    }

    /// Shows an event. The outcome of the call is the caller's to report.
    pub fn event(&mut self, event: &Event, now: Instant) -> Result<(), OutputError> {
        match event {
            Event::Step(step) => self.step(step, now),
            Event::Warning { text } => {
                self.warning(text);
                Ok(())
            }
            Event::Build(progress) => {
                self.build(progress, now);
                Ok(())
            }
            Event::Output { source, line } => {
                self.output(source, line);
                Ok(())
            }
            Event::Leaving | Event::Finished(_) => Ok(()),
        }
    }

    /// Prints something else while the region stays intact below it.
    pub fn suspended<T>(&mut self, print: impl FnOnce() -> T) -> T {
        match &self.shown {
            Shown::Tty(region) => region.suspended(print),
            _ => print(),
        }
    }

    /// Ends the region: what it showed stays as plain rows.
    pub fn finish(self) {
        match self.shown {
            Shown::Tty(region) => {
                for row in region.close() {
                    self.ui.say(&row);
                }
            }
            Shown::Steps { any: false } => self.ui.say("nothing to do"),
            Shown::Plain(_) | Shown::Json | Shown::Quiet | Shown::Steps { .. } => {}
        }
    }

    fn step(&mut self, step: &Step, now: Instant) -> Result<(), OutputError> {
        let failed = matches!(step.state, StepState::Failed { .. });
        if !failed && self.is_hidden(step.subject.kind) {
            return Ok(());
        }
        match &mut self.shown {
            Shown::Tty(region) => region.step(step, now),
            Shown::Plain(lines) => {
                if let Some(line) = lines.step(step, now) {
                    self.ui.say(&line);
                }
            }
            Shown::Json => self.ui.say(&json::step(step)),
            Shown::Quiet => {}
            Shown::Steps { any } => {
                *any = true;
                let subject = &step.subject;
                let line = format!(
                    "{} {}: {}\n",
                    kind(subject.kind),
                    subject.name,
                    text(&step.state)
                );
                self.ui.data(line)?;
            }
        }
        Ok(())
    }

    fn build(&mut self, progress: &BuildProgress, now: Instant) {
        let Some(step) = self.builds.step(progress, now) else {
            return;
        };
        if self.options.quiet_build && progress.state != BuildState::Failed {
            return;
        }
        match &mut self.shown {
            Shown::Tty(region) => region.build(step, &progress.state, now),
            Shown::Plain(lines) => {
                lines.said(now);
                for line in step.plain(&progress.state, now) {
                    self.ui.say(&line);
                }
            }
            Shown::Json => self.ui.say(&step.json(&progress.state)),
            Shown::Quiet | Shown::Steps { .. } => {}
        }
    }

    fn warning(&mut self, text: &str) {
        let ui = self.ui;
        if let Shown::Json = self.shown {
            ui.say(&json::warning(text));
        } else {
            self.suspended(|| ui.warn(text));
        }
    }

    fn output(&mut self, source: &str, line: &str) {
        let ui = self.ui;
        match &self.shown {
            Shown::Json => ui.say(&json::output(source, line)),
            Shown::Quiet => {}
            Shown::Tty(_) | Shown::Plain(_) | Shown::Steps { .. } => {
                let prefix = ui
                    .options
                    .err
                    .paint(super::style::DIM, &format!("{source} |"));
                self.suspended(|| ui.say(&format!("{prefix} {line}")));
            }
        }
    }

    fn is_hidden(&self, kind: SubjectKind) -> bool {
        match kind {
            SubjectKind::Image | SubjectKind::Layer => self.options.quiet_pull,
            SubjectKind::BuildStep => self.options.quiet_build,
            SubjectKind::Network | SubjectKind::Volume | SubjectKind::Container => false,
        }
    }
}

/// The word for a kind of subject.
fn kind(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::Image => "image",
        SubjectKind::Layer => "layer",
        SubjectKind::BuildStep => "build",
        SubjectKind::Network => "network",
        SubjectKind::Volume => "volume",
        SubjectKind::Container => "container",
    }
}

fn text(state: &StepState) -> &str {
    match state {
        StepState::Waiting { text }
        | StepState::Working { text, .. }
        | StepState::Done { text }
        | StepState::Failed { text } => text,
    }
}

#[cfg(test)]
mod tests;
