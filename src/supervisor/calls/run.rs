//! `run`: a one-off container of a service, after what it depends on.

use std::collections::BTreeSet;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        desired,
        project::{Task, absorb, plan_error},
    },
    failed,
};
use crate::{
    apply::{self, Job},
    observe,
    plan::{self, Desired, RunInputs, Stopped, UpOptions},
    protocol::{ErrorReport, Event, Outcome, RunRequest},
    store::StoreError,
};

/// Plans of a `run` in a row before it gives up.
const RUN_ROUNDS_MAX: usize = 8;

pub(super) async fn run(
    task: &Task,
    request: RunRequest,
    events: &mpsc::Sender<Event>,
    cancel: &CancellationToken,
) -> Result<Outcome, StoreError> {
    let root = &task.context.root;
    // The service's entry is changed by the command's flags: it is planned with, but what is wanted of the service stays.
    let mut desired =
        desired::read(root, &task.name)?.unwrap_or_else(|| Desired::new(request.project.clone()));
    let dependencies =
        plan::with_dependencies(&request.project, std::slice::from_ref(&request.service))
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
    desired::write(&mut desired, root)?;
    let job = Job {
        attach_one_offs: !request.detach,
        access: task.access.clone(),
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
    let files = observe::files_digests(&request.project);
    let inputs = RunInputs {
        up: plan::Inputs {
            project: &request.project,
            observed: &observed,
            options,
            stopped,
            fetched,
            files: &files,
            host: &observe::host_facts(),
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
