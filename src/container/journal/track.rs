//! What happened between two looks at a container's state.

use std::collections::HashMap;

use runtime::spec::{ContainerState as State, ExitStatus, Health};

use super::{Entry, EntryKind};

/// Action of an event about health, before the new outcome.
const HEALTH: &str = "health_status: ";

/// What was told of each container.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    told: HashMap<String, Told>,
}

/// What was told of one container.
#[derive(Debug, Default)]
struct Told {
    /// Start of the run that was told last.
    run_ms: Option<u64>,
    /// Whether its end was told too.
    end: End,
    paused: bool,
    health: Option<&'static str>,
}

/// What was told of the end of a run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing: it goes on.
    #[default]
    Open,
    /// It ended, and another one follows by its policy.
    Between,
    /// It ended for good at this time, in milliseconds since the Unix epoch; `None` = it was lost.
    At(Option<u64>),
}

/// An event to tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Happened {
    pub(super) action: String,
    pub(super) run_ms: Option<u64>,
    pub(super) ended_ms: Option<u64>,
    pub(super) attributes: Vec<(String, String)>,
}

impl Tracker {
    /// Takes over what an earlier supervisor told.
    pub(super) fn replay(&mut self, entry: &Entry) {
        if entry.kind != EntryKind::Container {
            return;
        }
        if entry.action == "destroy" {
            return self.forget(&entry.id);
        }
        let told = self.told.entry(entry.id.clone()).or_default();
        match entry.action.as_str() {
            "start" => {
                *told = Told {
                    run_ms: entry.run_ms,
                    ..Told::default()
                }
            }
            "die" => {
                told.end = entry
                    .ended_ms
                    .map_or(End::Between, |at_ms| End::At(Some(at_ms)));
            }
            "pause" => told.paused = true,
            "unpause" => told.paused = false,
            action => {
                if let Some(outcome) = action.strip_prefix(HEALTH) {
                    told.health = OUTCOMES.into_iter().find(|known| *known == outcome);
                }
            }
        }
    }

    pub(super) fn forget(&mut self, id: &str) {
        self.told.remove(id);
    }

    /// Returns what is new in a state.
    pub(super) fn look(&mut self, id: &str, state: &State) -> Vec<Happened> {
        let told = self.told.entry(id.to_owned()).or_default();
        let mut happened = Vec::new();
        match state {
            State::Running {
                since_ms, health, ..
            }
            | State::Paused {
                since_ms, health, ..
            } => {
                told.run(*since_ms, &mut happened);
                let outcome = outcome(health);
                if let Some(outcome) = outcome
                    && told.health != Some(outcome)
                {
                    happened.push(told.event(format!("{HEALTH}{outcome}"), Vec::new()));
                }
                told.health = outcome.or(told.health);
                let paused = matches!(state, State::Paused { .. });
                if paused != told.paused {
                    let action = if paused { "pause" } else { "unpause" };
                    happened.push(told.event(action.to_owned(), Vec::new()));
                }
                told.paused = paused;
            }
            State::Restarting { last, .. } => {
                if told.end == End::Open {
                    told.died(Some(*last), End::Between, &mut happened);
                }
            }
            State::Exited { status, at_ms } => {
                let end = End::At(Some(*at_ms));
                let unseen = match told.end {
                    End::Open => told.run_ms.is_none(),
                    // The end was told when it happened; that no other run follows is no event.
                    End::Between => {
                        told.end = end;
                        false
                    }
                    // It ran again between two looks.
                    End::At(_) => told.end != end,
                };
                if unseen {
                    told.run(*at_ms, &mut happened);
                }
                if told.end == End::Open {
                    told.died(Some(*status), end, &mut happened);
                }
            }
            State::Lost { .. } => {
                if told.end == End::Open && told.run_ms.is_some() {
                    told.died(None, End::At(None), &mut happened);
                }
            }
            State::Created => {}
        }
        happened
    }
}

impl Told {
    /// Tells a run, unless it was told.
    fn run(&mut self, since_ms: u64, happened: &mut Vec<Happened>) {
        if self.run_ms == Some(since_ms) && self.end == End::Open {
            return;
        }
        if self.run_ms.is_some() && self.end == End::Open {
            // How the run before ended was seen by nobody.
            self.died(None, End::Between, happened);
        }
        *self = Self {
            run_ms: Some(since_ms),
            ..Self::default()
        };
        happened.push(self.event("start".to_owned(), Vec::new()));
    }

    fn died(&mut self, status: Option<ExitStatus>, end: End, happened: &mut Vec<Happened>) {
        self.end = end;
        if status.is_some_and(|status| status.oom_killed) {
            happened.push(self.event("oom".to_owned(), Vec::new()));
        }
        let code = status.map(|status| ("exitCode".to_owned(), status.code.to_string()));
        let mut event = self.event("die".to_owned(), code.into_iter().collect());
        if let End::At(at_ms) = end {
            event.ended_ms = at_ms;
        }
        happened.push(event);
    }

    fn event(&self, action: String, attributes: Vec<(String, String)>) -> Happened {
        Happened {
            action,
            run_ms: self.run_ms,
            ended_ms: None,
            attributes,
        }
    }
}

const OUTCOMES: [&str; 2] = ["healthy", "unhealthy"];

/// The outcome that is told; that a probe has begun to look is none.
fn outcome(health: &Health) -> Option<&'static str> {
    match health {
        Health::Healthy { .. } => Some(OUTCOMES[0]),
        Health::Unhealthy { .. } => Some(OUTCOMES[1]),
        Health::None | Health::Starting { .. } => None,
    }
}
