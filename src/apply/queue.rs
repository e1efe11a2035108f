//! The ready queue.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Instant,
};

use petgraph::{Direction, visit::EdgeRef};
use tokio::task::JoinSet;
use tracing::{debug, error};

use super::{
    ApplyError, Context, Failure, Job, build, container, hooks, image, init, remove, storage, wait,
};
use crate::{
    model::{ContainerId, Subject},
    plan::{Action, ContainerRef, Edge, Plan, Step, StepId},
    protocol::StepState,
};

/// What came of a plan.
#[derive(Debug, Default)]
pub struct Report {
    /// Steps that failed.
    pub failures: Vec<Failure>,
    /// Subjects of steps that were not begun because something they need failed.
    pub skipped: Vec<Subject>,
    /// Containers made, by step.
    pub made: BTreeMap<StepId, ContainerId>,
    /// Names or ids that steps made or removed.
    pub names: Vec<String>,
}

/// Carries out a plan and returns when every step has ended or was skipped.
pub async fn apply(context: &Context, job: &Job, plan: Plan) -> Report {
    let mut queue = Queue::new(plan);
    let mut running = JoinSet::new();
    let mut tasks = HashMap::new();
    let began: Arc<Mutex<HashMap<Subject, Instant>>> = Arc::default();
    loop {
        while let Some(id) = queue.next_ready() {
            let step = queue.plan.graph[id].clone();
            let (context, job, made) = (context.clone(), job.clone(), queue.report.made.clone());
            let began = Arc::clone(&began);
            // A step holds a whole service: boxed, its size is not that of every future around it.
            let task = running
                .spawn(async move { Box::pin(run(&context, &job, &step, &made, &began)).await });
            tasks.insert(task.id(), id);
        }
        let (task, result) = match running.join_next_with_id().await {
            Some(Ok(ended)) => ended,
            Some(Err(error)) => {
                error!(%error, "a step panicked");
                (error.id(), Err(ApplyError::Bug))
            }
            None => return queue.report,
        };
        let id = tasks.remove(&task).expect("every task runs a step");
        queue.ended(id, result);
    }
}

/// What a step leaves for later ones.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// What was done, for the progress row; `None` = nothing worth a word.
    pub(super) text: Option<String>,
    /// The container made.
    pub(super) container: Option<ContainerId>,
    /// Name or id made or removed.
    pub(super) name: Option<String>,
}

impl Done {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self {
            text: Some(text.into()),
            ..Self::default()
        }
    }
}

struct Queue {
    plan: Plan,
    waiting_for: BTreeMap<StepId, usize>,
    ready: Vec<StepId>,
    report: Report,
}

impl Queue {
    fn new(plan: Plan) -> Self {
        let waiting_for: BTreeMap<StepId, usize> = plan
            .graph
            .node_indices()
            .map(|id| {
                (
                    id,
                    plan.graph.edges_directed(id, Direction::Incoming).count(),
                )
            })
            .collect();
        let ready = waiting_for
            .iter()
            .filter(|(_, count)| **count == 0)
            .map(|(id, _)| *id)
            .collect();
        Self {
            plan,
            waiting_for,
            ready,
            report: Report::default(),
        }
    }

    fn next_ready(&mut self) -> Option<StepId> {
        self.ready.pop()
    }

    fn ended(&mut self, id: StepId, result: Result<Done, ApplyError>) {
        let failed = match result {
            Ok(done) => {
                self.report
                    .made
                    .extend(done.container.map(|container| (id, container)));
                self.report.names.extend(done.name);
                false
            }
            Err(error) => {
                let subject = self.plan.graph[id].subject.clone();
                self.report.failures.push(Failure { subject, error });
                true
            }
        };
        self.settle(id, failed);
    }

    /// Passes the end of a step on to those after it.
    fn settle(&mut self, id: StepId, failed: bool) {
        self.waiting_for.remove(&id);
        let after: Vec<(StepId, Edge)> = self
            .plan
            .graph
            .edges_directed(id, Direction::Outgoing)
            .map(|edge| (edge.target(), *edge.weight()))
            .collect();
        for (next, edge) in after {
            if failed && edge == Edge::Needs {
                if self.waiting_for.contains_key(&next) {
                    debug!(subject = self.plan.graph[next].subject.name, "skipped");
                    self.report
                        .skipped
                        .push(self.plan.graph[next].subject.clone());
                    self.ready.retain(|ready| *ready != next);
                    self.settle(next, true);
                }
            } else if let Some(count) = self.waiting_for.get_mut(&next) {
                *count -= 1;
                if *count == 0 {
                    self.ready.push(next);
                }
            }
        }
    }
}

async fn run(
    context: &Context,
    job: &Job,
    step: &Step,
    made: &BTreeMap<StepId, ContainerId>,
    began: &Mutex<HashMap<Subject, Instant>>,
) -> Result<Done, ApplyError> {
    let start = *began
        .lock()
        .expect("no holder of this lock panics")
        .entry(step.subject.clone())
        .or_insert_with(Instant::now);
    debug!(subject = step.subject.name, cause = step.cause, "step");
    // A step may hold a whole container: its future is kept off the stack of the queue.
    let result = Box::pin(act(context, job, step, made)).await;
    let took = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    match &result {
        Ok(Done {
            text: Some(text), ..
        }) => {
            job.tell(
                &step.subject,
                StepState::Done { text: text.clone() },
                Some(took),
            )
            .await;
        }
        Ok(_) => {}
        Err(error) => {
            let state = StepState::Failed {
                text: error.to_string(),
            };
            job.tell(&step.subject, state, Some(took)).await;
        }
    }
    result
}

async fn act(
    context: &Context,
    job: &Job,
    step: &Step,
    made: &BTreeMap<StepId, ContainerId>,
) -> Result<Done, ApplyError> {
    let subject = &step.subject;
    match &step.action {
        Action::PullImage {
            reference,
            platform,
            always,
        } => {
            image::pull(
                context,
                job,
                subject,
                reference,
                platform.as_deref(),
                *always,
            )
            .await
        }
        Action::BuildImage { service, tag } => {
            build::build(context, job, subject, service, tag).await
        }
        Action::RemoveImage { reference } => image::remove(context, reference).await,
        Action::EnsureNetwork(record) => storage::ensure_network(context, record).await,
        Action::RemoveNetwork(record) => storage::remove_network(context, record).await,
        Action::EnsureVolume(record) => storage::ensure_volume(context, record).await,
        Action::RemoveVolume { name } => storage::remove_volume(context, name).await,
        Action::CreateContainer(new) => {
            container::create(context, job, subject, new, |owner| resolve(owner, made)).await
        }
        Action::RunInit { new, replica } => {
            let owner = |owner: &ContainerRef| resolve(owner, made);
            let replica = resolve(replica, made);
            Box::pin(init::run(context, job, subject, (new, &replica), owner)).await
        }
        Action::AwaitInit { id } => Box::pin(init::follow(context, job, subject, id)).await,
        Action::StartContainer { container } => {
            container::start(context, job, subject, &resolve(container, made)).await
        }
        Action::PostStart { container } => {
            hooks::post_start(context, job, subject, &resolve(container, made)).await
        }
        Action::StopContainer { id, grace_ms } => {
            container::stop(context, job, subject, id, *grace_ms).await
        }
        Action::KillContainer { id, signal } => container::kill(context, id, *signal).await,
        Action::PauseContainer { id } => container::pause(context, id).await,
        Action::UnpauseContainer { id } => container::unpause(context, id).await,
        Action::RemoveContainer { id, volumes } => {
            remove::remove(context, job, subject, id, volumes).await
        }
        Action::Await {
            container,
            service,
            condition,
            required,
        } => {
            let awaited = wait::Awaited {
                id: resolve(container, made),
                service: service.clone(),
                condition: *condition,
                required: *required,
            };
            wait::until(context, job, subject, &awaited).await
        }
        Action::AwaitReady { container, service } => {
            Box::pin(wait::ready(
                context,
                job,
                subject,
                &resolve(container, made),
                service,
            ))
            .await
        }
    }
}

fn resolve(container: &ContainerRef, made: &BTreeMap<StepId, ContainerId>) -> ContainerId {
    match container {
        ContainerRef::Existing(id) => id.clone(),
        ContainerRef::New(step) => made
            .get(step)
            .expect("a step that uses a new container needs the step that makes it")
            .clone(),
    }
}
