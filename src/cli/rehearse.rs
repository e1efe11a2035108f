//! `--dry-run`: what would be done, and why, as data on standard output. Reads the state root and the kernel, asks no supervisor, changes nothing.

use std::{collections::BTreeSet, time::Instant};

use compose_spec::{
    Loaded,
    model::{Project, ProjectName},
};

use super::{
    failure::Failure,
    session::{Session, succeeded},
};
use crate::{
    model::Observed,
    observe,
    plan::{self, Desired, DownInputs, DownOptions, Inputs, Plan, PlanError, UpOptions},
    protocol::{ErrorReport, Event, Outcome, Progress, StepState},
    store,
    ui::progress::ProgressOptions,
};

/// Shows what `up` would do.
pub(super) fn up(
    session: &Session<'_>,
    loaded: &Loaded,
    options: &UpOptions,
) -> Result<(), Failure> {
    let previous = desired(session, &loaded.project.name)?;
    let wanted = Desired::after_up(previous, loaded.project.clone(), options);
    let observed = observe(session, &wanted.project.name, Some(&wanted.project))?;
    let now = store::now();
    let options = UpOptions {
        since: now,
        ..options.clone()
    };
    let plan = plan::plan(&Inputs {
        project: &wanted.project,
        observed: &observed,
        options: &options,
        stopped: &wanted.stopped,
        fetched: &BTreeSet::new(),
        files: &observe::files_digests(&wanted.project),
        host: &observe::host_facts(),
        now,
    });
    show(session, plan, Some(loaded))
}

/// Shows what `down` would do.
pub(super) fn down(
    session: &Session<'_>,
    name: &ProjectName,
    options: &DownOptions,
    loaded: Option<&Loaded>,
) -> Result<(), Failure> {
    let wanted = desired(session, name)?;
    let observed = observe(session, name, wanted.as_ref().map(|wanted| &wanted.project))?;
    let plan = plan::down(&DownInputs {
        project: name,
        observed: &observed,
        options,
    });
    show(session, plan, loaded)
}

fn desired(session: &Session<'_>, name: &ProjectName) -> Result<Option<Desired>, Failure> {
    store::read_json(&session.settings.root.desired(name)).map_err(|error| Failure::error(&error))
}

fn observe(
    session: &Session<'_>,
    name: &ProjectName,
    project: Option<&Project>,
) -> Result<Observed, Failure> {
    observe::observe(&session.settings.root, name, project).map_err(|error| Failure::error(&error))
}

fn show(
    session: &Session<'_>,
    plan: Result<Plan, Vec<PlanError>>,
    loaded: Option<&Loaded>,
) -> Result<(), Failure> {
    let mut outcome = Outcome::default();
    match plan {
        Ok(plan) => {
            print(session, &plan)?;
            outcome.errors = plan.problems.iter().map(report).collect();
        }
        Err(errors) => outcome.errors = errors.iter().map(report).collect(),
    }
    succeeded(outcome, loaded).map(drop)
}

fn report(error: &PlanError) -> ErrorReport {
    ErrorReport {
        config_path: error.config_path(),
        ..ErrorReport::of(error.kind(), error)
    }
}

fn print(session: &Session<'_>, plan: &Plan) -> Result<(), Failure> {
    for notice in &plan.notices {
        session.ui.warn(notice);
    }
    for question in &plan.confirmations {
        session.ui.warn(&format!("it would ask first: {question}"));
    }
    let mut progress = session.ui.progress(ProgressOptions {
        dry_run: true,
        ..ProgressOptions::default()
    });
    for step in plan.graph.node_weights() {
        let text = plan::describe(step);
        let event = Event::Step(Progress {
            subject: step.subject.clone(),
            state: StepState::Waiting { text },
            took_ms: None,
        });
        progress.event(&event, Instant::now())?;
    }
    progress.finish();
    Ok(())
}
