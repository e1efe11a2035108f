//! `down`: the request is kept on disk until it is done, so that a crash in between does not leave half a project.

use compose_spec::model::ProjectName;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::super::{
    desired,
    project::{Task, absorb, plan_error},
};
use crate::{
    apply::{self, Job},
    plan::{self, DownInputs},
    protocol::{DownRequest, Event, Outcome},
    store::{self, Root, StoreError},
};

/// Plans of a `down` in a row before it gives up.
const DOWN_ROUNDS_MAX: usize = 4;
/// Events of unwatched work.
const EVENTS_UNWATCHED_MAX: usize = 64;

pub(super) async fn down(
    task: &Task,
    request: &DownRequest,
    events: &mpsc::Sender<Event>,
    cancel: &CancellationToken,
) -> Result<Outcome, StoreError> {
    let root = &task.context.root;
    let services = &request.options.services;
    if services.is_empty() {
        store::write_json(&down_path(root, &task.name), request)?;
    } else if let Some(mut desired) = desired::read(root, &task.name)? {
        desired.active.retain(|service| !services.contains(service));
        desired::write(&mut desired, root)?;
    }
    let project = desired::read(root, &task.name)?.map(|desired| desired.project);
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
            options: &request.options,
        };
        let plan = match plan::down(&inputs) {
            Ok(plan) => plan,
            Err(errors) => {
                outcome.errors.extend(errors.iter().map(plan_error));
                return Ok(outcome);
            }
        };
        for notice in plan.notices.iter().filter(|_| round == 0) {
            job.warn(notice.clone()).await;
        }
        if plan.graph.node_count() == 0 {
            break;
        }
        let report = apply::apply(&task.context, &job, plan).await;
        let is_refused = report
            .failures
            .iter()
            .any(|failure| failure.error.is_veto());
        if is_refused && !task.leave.is_cancelled() {
            // A hook of the user's said no, and the user is told: the loop must not go on with it. One that was killed because the supervisor leaves
            // said nothing; the next supervisor goes on.
            forget_unfinished_down(root, &task.name)?;
        }
        if absorb(report, &mut outcome) {
            return Ok(outcome);
        }
    }
    if services.is_empty() {
        desired::remove(root, &task.name)?;
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

pub(super) fn forget_unfinished_down(root: &Root, name: &ProjectName) -> Result<(), StoreError> {
    store::remove_tree(&down_path(root, name))
}

/// Goes on with a `down` that was interrupted, and returns whether there was one.
pub(in crate::supervisor) async fn unfinished_down(task: &Task) -> Result<bool, StoreError> {
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
