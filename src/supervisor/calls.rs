//! What a project's task does for a client. Each call writes what is wanted before it changes anything.

use std::{collections::BTreeSet, time::Duration};

use compose_spec::model::{Project, ProjectName, ServiceName};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    desired::Desired,
    project::{Task, Work, absorb, chain, operation_error, plan_error},
};
use crate::{
    apply::{self, ApplyError, Job},
    model::ContainerRole,
    observe,
    plan::{self, DownInputs, DownOptions, LifecycleInputs, Mode, RunInputs, Stopped, UpOptions},
    protocol::{
        DownRequest, ErrorReport, Event, LifecycleAction, LifecycleRequest, Outcome, Request,
        RunRequest, UpRequest,
    },
    store::{self, Root, StoreError},
};

/// Plans of a `down` in a row before it gives up.
const DOWN_ROUNDS_MAX: usize = 4;
/// Plans of a `run` in a row before it gives up.
const RUN_ROUNDS_MAX: usize = 8;
/// Events of unwatched work.
const EVENTS_UNWATCHED_MAX: usize = 64;

/// Carries out a call of this project.
pub(super) async fn call(
    task: &Task,
    request: Request,
    events: &mpsc::Sender<Event>,
    cancel: &CancellationToken,
) -> Outcome {
    let result = match request {
        Request::Up(request) => up(task, *request, events, cancel).await,
        Request::Down(request) => down(task, &request, events, cancel).await,
        Request::Lifecycle(request) => lifecycle(task, &request, events, cancel).await,
        Request::Run(request) => run(task, *request, events, cancel).await,
        other => Ok(failed(format!("call `{other:?}` is not one of a project"))),
    };
    result.unwrap_or_else(|error| failed(chain(&error)))
}

async fn up(
    task: &Task,
    request: UpRequest,
    events: &mpsc::Sender<Event>,
    cancel: &CancellationToken,
) -> Result<Outcome, StoreError> {
    let root = &task.context.root;
    let previous = Desired::read(root, &task.name)?;
    let kept_before = previous
        .as_ref()
        .map(|desired| desired.active.clone())
        .unwrap_or_default();
    let mut desired = merge(previous, &request);
    let options = UpOptions {
        mode: Mode::Up,
        since: apply::now(),
        services: request.services.clone(),
        no_deps: request.no_deps,
        build: request.build,
        no_build: request.no_build,
        pull: request.pull,
        recreate: request.recreate,
        always_recreate_deps: false,
        renew_anonymous_volumes: request.renew_anonymous_volumes,
        remove_orphans: request.remove_orphans,
        inactive_services: request.inactive_services.clone(),
        scale: request.scale.clone(),
        no_start: request.no_start,
        wait: request.wait,
        grace_ms: request.grace_ms,
        changed_volumes: plan::ChangedVolumes::default(),
    };
    let work = Work {
        desired: &desired,
        options,
        events: events.clone(),
        cancel: cancel.clone(),
    };
    // A plan that cannot be made leaves what was wanted before.
    let first = match task.plan(&work, &BTreeSet::new()).await {
        Ok(plan) => plan,
        Err(errors) => {
            return Ok(Outcome {
                errors,
                ..Outcome::default()
            });
        }
    };
    if request.dry_run {
        task.show(&first, events).await;
        return Ok(Outcome::default());
    }
    let options = work.options;
    desired.write(root)?;
    forget_unfinished_down(root, &task.name)?;
    let limit = Limit::start(cancel, request.wait_timeout_ms);
    let work = Work {
        desired: &desired,
        options,
        events: events.clone(),
        cancel: limit.token.clone(),
    };
    let mut outcome = task.settle(work, Some(first)).await;
    limit.finish(&mut outcome);
    if !outcome.errors.is_empty() {
        forget_unmade(task, desired, &kept_before)?;
    }
    Ok(outcome)
}

/// After a failure: what this call could not even make is not wanted any more, so that the loop does not go on trying what the user was told has failed.
fn forget_unmade(
    task: &Task,
    mut desired: Desired,
    kept_before: &BTreeSet<ServiceName>,
) -> Result<(), StoreError> {
    let root = &task.context.root;
    // If they cannot be read, all counts as made.
    let Ok(containers) = observe::project(root, &task.name) else {
        return Ok(());
    };
    let made = |service: &ServiceName| {
        containers
            .iter()
            .any(|container| container.record.service == *service)
    };
    desired
        .active
        .retain(|service| kept_before.contains(service) || made(service));
    if desired.active.is_empty() && containers.is_empty() {
        return Desired::remove(root, &task.name);
    }
    desired.write(root)
}

/// Adds what the client wants to what was wanted before: services that it does not name stay as they are.
fn merge(previous: Option<Desired>, request: &UpRequest) -> Desired {
    let mut desired = Desired::new(request.project.clone());
    if let Some(previous) = previous {
        desired.active = previous.active;
        desired.stopped = previous.stopped;
        desired.generation = previous.generation;
    }
    for (name, count) in &request.scale {
        if let Some(service) = desired.project.services.get_mut(name) {
            service.replicas = *count;
        }
    }
    let named: BTreeSet<ServiceName> = if request.services.is_empty() {
        desired.project.services.keys().cloned().collect()
    } else if request.no_deps {
        request.services.iter().cloned().collect()
    } else {
        with_dependencies(&desired.project, &request.services)
    };
    if request.no_start {
        desired.stopped.services.extend(named.iter().cloned());
    } else {
        desired
            .stopped
            .services
            .retain(|service| !named.contains(service));
        desired.stopped.containers.clear();
    }
    desired.active.extend(named);
    desired
        .active
        .retain(|service| desired.project.services.contains_key(service));
    desired
}

fn with_dependencies(project: &Project, named: &[ServiceName]) -> BTreeSet<ServiceName> {
    let mut all = BTreeSet::new();
    let mut waiting = named.to_vec();
    while let Some(name) = waiting.pop() {
        let dependencies = project
            .services
            .get(&name)
            .map(|service| &service.depends_on);
        if all.insert(name) {
            waiting.extend(dependencies.into_iter().flat_map(|all| all.keys().cloned()));
        }
    }
    all
}

async fn down(
    task: &Task,
    request: &DownRequest,
    events: &mpsc::Sender<Event>,
    cancel: &CancellationToken,
) -> Result<Outcome, StoreError> {
    let root = &task.context.root;
    if !request.dry_run {
        if request.services.is_empty() {
            store::write_json(&down_path(root, &task.name), request)?;
        } else if let Some(mut desired) = Desired::read(root, &task.name)? {
            desired
                .active
                .retain(|service| !request.services.contains(service));
            desired.write(root)?;
        }
    }
    let project = Desired::read(root, &task.name)?.map(|desired| desired.project);
    let options = DownOptions {
        services: request.services.clone(),
        known_services: request.known_services.clone(),
        volumes: request.volumes,
        images: request.images,
        remove_orphans: request.remove_orphans,
        grace_ms: request.grace_ms,
    };
    let mut outcome = Outcome::default();
    let job = Job::new(project.clone(), events, cancel);
    for round in 0..DOWN_ROUNDS_MAX {
        let observed = match task.observe(project.as_ref()).await {
            Ok(observed) => observed,
            Err(errors) => return Ok(Outcome { errors, ..outcome }),
        };
        let inputs = DownInputs {
            project: &task.name,
            observed: &observed,
            options: &options,
        };
        let plan = match plan::down(&inputs) {
            Ok(plan) => plan,
            Err(errors) => {
                outcome.errors.extend(errors.iter().map(plan_error));
                return Ok(outcome);
            }
        };
        if request.dry_run {
            task.show(&plan, events).await;
            return Ok(outcome);
        }
        for notice in plan.notices.iter().filter(|_| round == 0) {
            job.warn(notice.clone()).await;
        }
        if plan.graph.node_count() == 0 {
            break;
        }
        let report = apply::apply(&task.context, &job, plan).await;
        if absorb(report, &mut outcome) {
            return Ok(outcome);
        }
    }
    if request.services.is_empty() {
        Desired::remove(root, &task.name)?;
        if task
            .observe(None)
            .await
            .is_ok_and(|observed| observed.containers.is_empty())
        {
            store::remove_tree(&root.project_logs(&task.name))?;
        }
    }
    Ok(outcome)
}

fn down_path(root: &Root, name: &ProjectName) -> std::path::PathBuf {
    root.project(name).join("down.json")
}

fn forget_unfinished_down(root: &Root, name: &ProjectName) -> Result<(), StoreError> {
    store::remove_tree(&down_path(root, name))
}

/// Goes on with a `down` that was interrupted, and returns whether there was one.
pub(super) async fn unfinished_down(task: &Task) -> Result<bool, StoreError> {
    let path = down_path(&task.context.root, &task.name);
    let Some(request) = store::read_json::<DownRequest>(&path)? else {
        return Ok(false);
    };
    let (events, mut unwatched) = mpsc::channel(EVENTS_UNWATCHED_MAX);
    let cancel = task.leave.child_token();
    let work = async {
        let outcome = down(task, &request, &events, &cancel).await;
        drop(events);
        outcome
    };
    let (outcome, ()) = tokio::join!(work, async { while unwatched.recv().await.is_some() {} });
    for error in outcome?.errors {
        tracing::warn!(project = %task.name, error = error.chain.join(": "), "down");
    }
    Ok(true)
}

async fn lifecycle(
    task: &Task,
    request: &LifecycleRequest,
    events: &mpsc::Sender<Event>,
    cancel: &CancellationToken,
) -> Result<Outcome, StoreError> {
    let root = &task.context.root;
    let desired = Desired::read(root, &task.name)?;
    let project = desired.as_ref().map(|desired| desired.project.clone());
    let observed = match task.observe(project.as_ref()).await {
        Ok(observed) => observed,
        Err(errors) => {
            return Ok(Outcome {
                errors,
                ..Outcome::default()
            });
        }
    };
    let inputs = LifecycleInputs {
        observed: &observed,
        services: &request.services,
        action: &request.action,
    };
    let plan = match plan::lifecycle(&inputs) {
        Ok(plan) => plan,
        Err(errors) => {
            let errors = errors.iter().map(plan_error).collect();
            return Ok(Outcome {
                errors,
                ..Outcome::default()
            });
        }
    };
    if let Some(mut desired) = desired {
        let touched: Vec<ServiceName> = observed
            .containers
            .iter()
            .filter(|container| matches!(container.record.role, ContainerRole::Replica(_)))
            .map(|container| container.record.service.clone())
            .filter(|service| request.services.is_empty() || request.services.contains(service))
            .collect();
        note_stopped(&mut desired.stopped, &request.action, touched);
        desired.write(root)?;
    }
    let job = Job::new(project, events, cancel);
    for notice in &plan.notices {
        job.warn(notice.clone()).await;
    }
    let mut outcome = Outcome::default();
    absorb(apply::apply(&task.context, &job, plan).await, &mut outcome);
    Ok(outcome)
}

/// Remembers what the user stopped, so that the loop leaves it alone, and forgets what was started.
fn note_stopped(stopped: &mut Stopped, action: &LifecycleAction, touched: Vec<ServiceName>) {
    match action {
        LifecycleAction::Start | LifecycleAction::Restart { .. } => {
            stopped
                .services
                .retain(|service| !touched.contains(service));
        }
        LifecycleAction::Stop { .. }
        | LifecycleAction::Kill { .. }
        | LifecycleAction::Remove { .. } => stopped.services.extend(touched),
        LifecycleAction::Pause | LifecycleAction::Unpause => {}
    }
}

async fn run(
    task: &Task,
    request: RunRequest,
    events: &mpsc::Sender<Event>,
    cancel: &CancellationToken,
) -> Result<Outcome, StoreError> {
    let root = &task.context.root;
    // The service's entry is changed by the command's flags: it is planned with, but what is wanted of the service stays.
    let mut desired =
        Desired::read(root, &task.name)?.unwrap_or_else(|| Desired::new(request.project.clone()));
    let dependencies = with_dependencies(&request.project, std::slice::from_ref(&request.service))
        .into_iter()
        .filter(|service| *service != request.service && !request.no_deps)
        .filter(|service| desired.project.services.contains_key(service))
        .collect::<Vec<_>>();
    desired.active.extend(dependencies.iter().cloned());
    // `run` starts what the service needs, also what the user had stopped; the service itself stays as it is.
    desired
        .stopped
        .services
        .retain(|service| !dependencies.contains(service));
    desired.write(root)?;
    let job = Job {
        attach_one_offs: !request.detach,
        ..Job::new(Some(request.project.clone()), events, cancel)
    };
    let options = UpOptions {
        since: apply::now(),
        no_deps: request.no_deps,
        build: request.build,
        ..UpOptions::default()
    };
    let mut stopped = desired.stopped.clone();
    stopped.services.remove(&request.service);
    let slug = apply::random_slug();
    let mut fetched = BTreeSet::new();
    for _ in 0..RUN_ROUNDS_MAX {
        let planned = match plan_run(task, &request, &stopped, &options, (&slug, &fetched)).await {
            Ok(planned) => planned,
            Err(errors) => {
                return Ok(Outcome {
                    errors,
                    ..Outcome::default()
                });
            }
        };
        for notice in &planned.plan.notices {
            job.warn(notice.clone()).await;
        }
        fetched.extend(planned.plan.fetches());
        let report = apply::apply(&task.context, &job, planned.plan).await;
        let container = planned
            .container
            .and_then(|steps| report.made.get(&steps.create).cloned());
        let mut outcome = Outcome::default();
        let has_failed = absorb(report, &mut outcome);
        if has_failed || planned.container.is_some() {
            outcome.container = container.map(|id| id.as_str().to_owned());
            return Ok(outcome);
        }
    }
    Ok(failed(format!(
        "service `{}` did not settle after {RUN_ROUNDS_MAX} plans",
        request.service
    )))
}

async fn plan_run(
    task: &Task,
    request: &RunRequest,
    stopped: &Stopped,
    options: &UpOptions,
    (slug, fetched): (&str, &BTreeSet<String>),
) -> Result<plan::RunPlan, Vec<ErrorReport>> {
    let observed = task.observe(Some(&request.project)).await?;
    let files = apply::files_digests(&request.project);
    let inputs = RunInputs {
        up: plan::Inputs {
            project: &request.project,
            observed: &observed,
            options,
            stopped,
            fetched,
            files: &files,
            host: &apply::host_facts(),
            now: apply::now(),
        },
        service: &request.service,
        slug,
        name: request.name.as_deref(),
        remove: request.remove,
        use_aliases: false,
    };
    plan::run(&inputs).map_err(|errors| errors.iter().map(plan_error).collect())
}

fn failed(text: String) -> Outcome {
    Outcome {
        errors: vec![operation_error(text)],
        ..Outcome::default()
    }
}

/// `--wait-timeout`: cancels the work when time is up.
struct Limit {
    token: CancellationToken,
    after: Duration,
    timer: tokio::task::JoinHandle<()>,
    passed: CancellationToken,
}

impl Limit {
    fn start(outer: &CancellationToken, after_ms: u64) -> Self {
        let (token, passed) = (outer.child_token(), CancellationToken::new());
        let after = Duration::from_millis(after_ms);
        let (cancelled, flag) = (token.clone(), passed.clone());
        let timer = async move {
            if after.is_zero() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(after).await;
            flag.cancel();
            cancelled.cancel();
        };
        #[expect(clippy::disallowed_methods, reason = "aborted by `finish`")]
        let timer = tokio::spawn(timer);
        Self {
            token,
            after,
            timer,
            passed,
        }
    }

    /// Replaces the errors of interrupted waits by one that says so, when it was the time.
    fn finish(self, outcome: &mut Outcome) {
        self.timer.abort();
        if self.passed.is_cancelled() {
            outcome.errors = vec![ApplyError::Timeout { after: self.after }.report()];
        }
    }
}
