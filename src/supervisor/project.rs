//! One project's task: calls one after the other, and the loop between them.
//!
//! Level-triggered: whatever woke it, it observes the whole project, plans, applies, and does so again until a plan is empty.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use compose_spec::model::{Project, ProjectName};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    calls, desired,
    registry::{Current, Message, turn_all_away},
};
use crate::{
    apply::{self, Context, Job, Report},
    model::{Observed, RegistryAccess, chain},
    observe,
    plan::{self, Desired, Mode, Plan, PlanError, UpOptions},
    protocol::{ErrorReport, Event, FailureKind, Outcome},
};

/// Plans in a row before the loop gives up: a plan that never empties is a bug, or somebody undoes our work as fast as we do it.
const ROUNDS_MAX: usize = 8;
/// Pause before the loop tries again what failed, doubled each time.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest such pause.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Events of the loop that nobody watches.
const EVENTS_UNWATCHED_MAX: usize = 64;

/// A project's task.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) name: ProjectName,
    pub(super) context: Context,
    pub(super) inbox: mpsc::Receiver<Message>,
    pub(super) current: Current,
    pub(super) leave: CancellationToken,
    /// How the last caller who said so reaches registries: what the loop has to pull later is pulled in its name.
    pub(super) access: Option<Arc<RegistryAccess>>,
}

/// How a loop of plans is run.
#[derive(Debug)]
pub(super) struct Work<'a> {
    pub(super) desired: &'a Desired,
    pub(super) options: UpOptions,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) cancel: CancellationToken,
}

impl Task {
    /// Runs until nothing is wanted of the project and nothing of it lives.
    pub(super) async fn run(mut self) {
        let mut retry = RETRY_FIRST;
        let mut again = false;
        loop {
            let message = tokio::select! {
                biased;
                () = self.leave.cancelled() => return turn_all_away(self.inbox).await,
                message = self.inbox.recv() => message,
                () = tokio::time::sleep(retry), if again => {
                    retry = (retry * 2).min(RETRY_MAX);
                    Some(Message::Look)
                }
            };
            match message {
                Some(Message::Call {
                    request,
                    access,
                    events,
                }) => {
                    self.access = access.or_else(|| self.access.take());
                    let cancel = self.renew_current();
                    let outcome = calls::call(&self, *request, &events, &cancel).await;
                    apply::settle_mounts(&self.context).await;
                    if events.send(Event::Finished(outcome)).await.is_err() {
                        info!(project = %self.name, "the client did not wait for the outcome");
                    }
                    retry = RETRY_FIRST;
                }
                Some(Message::Look) => {}
                None => return,
            }
            if !self.inbox.is_empty() {
                continue;
            }
            let settled = self.enforce().await;
            apply::settle_mounts(&self.context).await;
            again = match settled {
                Ok(Settled::Quiet) => {
                    // What came before this is still carried out here; what comes later is for the next task, which waits for this one.
                    self.inbox.close();
                    if self.inbox.is_empty() {
                        return;
                    }
                    false
                }
                Ok(Settled::Live) => {
                    retry = RETRY_FIRST;
                    false
                }
                Err(()) => true,
            };
        }
    }

    fn renew_current(&self) -> CancellationToken {
        let token = self.leave.child_token();
        let mut current = self.current.lock().expect("no holder of this lock panics");
        *current = token.clone();
        token
    }

    /// Makes good what is missing, lost or broken, between calls.
    async fn enforce(&self) -> Result<Settled, ()> {
        let report = |error: &dyn std::error::Error| {
            error!(project = %self.name, error = chain(error).join(": "), "enforce");
        };
        if calls::unfinished_down(self)
            .await
            .map_err(|error| report(&error))?
        {
            return Ok(Settled::Quiet);
        }
        let desired =
            desired::read(&self.context.root, &self.name).map_err(|error| report(&error))?;
        if let Some(desired) = desired.map(Desired::kept) {
            let outcome = self.keep(&desired).await;
            for failure in &outcome.errors {
                warn!(project = %self.name, error = failure.chain.join(": "), "enforce");
            }
            if !outcome.errors.is_empty() {
                return Err(());
            }
            desired::finish(&self.context.root, &self.name).map_err(|error| report(&error))?;
        }
        let containers =
            observe::project(&self.context.root, &self.name).map_err(|error| report(&error))?;
        Ok(
            if containers.iter().any(|container| container.state.is_live()) {
                Settled::Live
            } else {
                Settled::Quiet
            },
        )
    }

    /// Goes on with an `up` that was cut off, or makes good what is missing. Nobody watches.
    async fn keep(&self, desired: &Desired) -> Outcome {
        let enforce = || UpOptions {
            mode: Mode::Enforce,
            services: desired.active.iter().cloned().collect(),
            ..UpOptions::default()
        };
        let (events, mut unwatched) = mpsc::channel(EVENTS_UNWATCHED_MAX);
        let work = Work {
            desired,
            options: desired.unfinished.clone().unwrap_or_else(enforce),
            events,
            cancel: self.leave.child_token(),
        };
        let drain = async { while unwatched.recv().await.is_some() {} };
        let (outcome, ()) = tokio::join!(self.settle(work, None), drain);
        outcome
    }

    /// Observes, plans and applies until a plan is empty; `first` is the first plan, when it was made already.
    pub(super) async fn settle(&self, work: Work<'_>, mut first: Option<Plan>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut fetched = BTreeSet::new();
        let project = work.desired.project.clone();
        let job = Job {
            access: self.access.clone(),
            ..Job::new(Some(project), &work.events, &work.cancel)
        };
        for round in 0..ROUNDS_MAX {
            let plan = match first.take() {
                Some(plan) => plan,
                None => match self.plan(&work, &fetched).await {
                    Ok(plan) => plan,
                    Err(errors) => {
                        outcome.errors.extend(errors);
                        return outcome;
                    }
                },
            };
            if round == 0 {
                for notice in &plan.notices {
                    job.warn(notice.clone()).await;
                }
            }
            // What cannot be planned now is told once nothing else is left to do; the loop tries it again later.
            if plan.graph.node_count() == 0 {
                outcome.errors.extend(plan.problems.iter().map(plan_error));
                return outcome;
            }
            fetched.extend(plan.fetches());
            let report = apply::apply(&self.context, &job, plan).await;
            if absorb(report, &mut outcome) {
                return outcome;
            }
            if work.cancel.is_cancelled() {
                return outcome;
            }
        }
        outcome.errors.push(ErrorReport::operation(format!(
            "project `{}` did not settle after {ROUNDS_MAX} plans",
            self.name
        )));
        outcome
    }

    /// Makes the next plan of a piece of work.
    pub(super) async fn plan(
        &self,
        work: &Work<'_>,
        fetched: &BTreeSet<String>,
    ) -> Result<Plan, Vec<ErrorReport>> {
        let project = &work.desired.project;
        let observed = self.observe(Some(project)).await?;
        let files = observe::files_digests(project);
        let host = observe::host_facts();
        let inputs = plan::Inputs {
            project,
            observed: &observed,
            options: &work.options,
            stopped: &work.desired.stopped,
            fetched,
            files: &files,
            host: &host,
            now: apply::now(),
        };
        plan::plan(&inputs).map_err(|errors| errors.iter().map(plan_error).collect())
    }

    /// Reads what is there, the network's kernel objects included.
    pub(super) async fn observe(
        &self,
        named: Option<&Project>,
    ) -> Result<Observed, Vec<ErrorReport>> {
        let (root, name, named) = (self.context.root.clone(), self.name.clone(), named.cloned());
        let read =
            tokio::task::spawn_blocking(move || observe::observe(&root, &name, named.as_ref()));
        read.await
            .expect("reading does not panic")
            .map_err(|error| vec![ErrorReport::of(FailureKind::Operation, &error)])
    }
}

/// Whether the project needs its task.
enum Settled {
    /// Nothing of it lives and nothing is missing.
    Quiet,
    /// It has running containers.
    Live,
}

/// Adds a report to an outcome; returns whether something failed.
pub(super) fn absorb(report: Report, outcome: &mut Outcome) -> bool {
    outcome.names.extend(report.names);
    outcome
        .errors
        .extend(report.failures.iter().map(|failure| failure.error.report()));
    !report.failures.is_empty()
}

pub(super) fn plan_error(error: &PlanError) -> ErrorReport {
    ErrorReport {
        config_path: error.config_path(),
        ..ErrorReport::of(error.kind(), error)
    }
}
