//! Turns decisions into steps and edges.
//!
//! Why the graph has no circle: stops and removes come before creations, starts and waits, and within each of the two halves steps
//! follow the dependencies of services in one direction. The only way back is a *gate* (a container that is replaced keeps running
//! until what the new one needs is there); a service gets none when something waits for its containers to be gone.

mod init;
mod service;
mod teardown;

use std::collections::BTreeSet;

use compose_spec::model::ServiceName;

use self::service::Emission;
use crate::model::ContainerRole;

use super::{
    Inputs, Mode, PlanError, RunSteps,
    create::Design,
    depends::{Finals, is_ready},
    graph::Draft,
    services::Work,
    up::Decisions,
};

/// Makes all steps.
pub(super) fn all<'a>(
    inputs: &Inputs<'a>,
    decisions: &mut Decisions<'a>,
    draft: &mut Draft,
) -> Result<Finals<'a>, Vec<PlanError>> {
    let ungated = teardown::ungated(inputs, decisions);
    teardown::removals(inputs, (decisions, &ungated), draft);
    teardown::renewals(inputs, decisions, draft)?;
    let mut finals = Finals::new();
    let mut errors = Vec::new();
    let mut designs = std::mem::take(&mut decisions.designs);
    let mut inits = std::mem::take(&mut decisions.inits);
    for name in &decisions.order {
        let designs = designs.remove(*name).unwrap_or_default();
        let inits = inits.remove(*name).unwrap_or_default();
        let service = Emission {
            inputs,
            works: &decisions.works,
            selected: &decisions.selected,
            work: &decisions.works[*name],
            gated: !ungated.contains(*name),
        };
        let made = service.emit((designs, inits), &finals, draft, &mut errors);
        finals.insert((*name).clone(), made);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    one_off_hooks(inputs, draft);
    if inputs.options.wait && inputs.options.mode == Mode::Up && !inputs.options.no_start {
        ready(&finals, &decisions.selected, draft);
    }
    Ok(finals)
}

/// Runs the hooks of one-offs: such a container runs only once its client has attached, so that its own plan could not.
fn one_off_hooks(inputs: &Inputs<'_>, draft: &mut Draft) {
    for container in &inputs.observed.containers {
        let is_one_off = matches!(container.record.role, ContainerRole::OneOff { .. });
        if is_one_off && !draft.removes.contains_key(&container.record.id) {
            draft.post_start(container);
        }
    }
}

/// Makes the steps of a one-off; its service must be allowed to start.
pub(super) fn one_off<'a>(
    inputs: &Inputs<'a>,
    (decisions, work): (&Decisions<'a>, &Work<'a>),
    design: Design<'a>,
    (finals, draft): (&Finals<'a>, &mut Draft),
) -> Result<RunSteps, Vec<PlanError>> {
    let mut errors = Vec::new();
    let emission = Emission {
        inputs,
        works: &decisions.works,
        selected: &decisions.selected,
        work,
        gated: false,
    };
    let made = emission.emit((vec![design], Vec::new()), finals, draft, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let steps = made.first().and_then(|last| last.create.zip(last.start));
    let (create, start) = steps.expect("a one-off that may start is made and started");
    Ok(RunSteps { create, start })
}

/// Waits until every container of the call is ready.
fn ready(finals: &Finals<'_>, selected: &BTreeSet<ServiceName>, draft: &mut Draft) {
    for (service, containers) in finals.iter().filter(|(name, _)| selected.contains(*name)) {
        for last in containers {
            if last.started.is_none() && last.observed.is_some_and(is_ready) {
                continue;
            }
            if last.started.is_none() && last.observed.is_none() {
                // Made but not yet started: a later plan starts it and waits.
                continue;
            }
            let step = draft.wait_ready((&last.name, service), last.container.clone());
            if let Some(started) = last.started {
                draft.needs(step, started);
            }
        }
    }
}
