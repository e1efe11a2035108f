//! One-off containers: what they need, then the container itself.

use std::collections::{BTreeMap, BTreeSet};

use compose_spec::model::RestartPolicy;

use super::{
    Inputs, PlanError, RunInputs, RunPlan, UpOptions,
    create::{OneOff, Request, design},
    emit,
    images::{self, Supplied},
    services::Work,
    up,
};
use crate::model::ContainerRole;

/// Plans a one-off. Its service's replicas are not touched; what it depends on is brought up as `up` would.
pub(super) fn plan(run: &RunInputs<'_>) -> Result<RunPlan, Vec<PlanError>> {
    let Some(wanted) = run.up.project.services.get(run.service) else {
        return Err(vec![PlanError::UnknownService {
            service: run.service.clone(),
        }]);
    };
    let mut service = wanted.clone();
    service.restart = RestartPolicy::No;
    service.container_name = None;
    service.replicas = 1;
    let options = UpOptions {
        services: Vec::new(),
        wait: false,
        no_start: false,
        remove_orphans: false,
        scale: BTreeMap::new(),
        ..run.up.options.clone()
    };
    let inputs = Inputs {
        options: &options,
        ..run.up
    };
    let call = up::Call {
        run: Some(&service),
        skipped: &BTreeSet::new(),
    };
    let (mut draft, mut decisions) = up::prepare(&inputs, call)?;
    let finals = emit::all(&inputs, &mut decisions, &mut draft)?;
    let held = decisions
        .selected
        .iter()
        .filter_map(|name| decisions.works.get(name))
        .any(|work| work.held);
    if held {
        draft.plan.deferred = true;
        return Ok(RunPlan {
            plan: draft.plan,
            container: None,
        });
    }
    let image = images::supply(&inputs, &service, true, &mut draft).map_err(|error| vec![error])?;
    let mounted =
        images::supply_mounted(&inputs, &service, &mut draft).map_err(|error| vec![error])?;
    let default_name = format!("{}-{}-run-{}", inputs.project.name, service.name, run.slug);
    let request = Request {
        service: &service,
        role: ContainerRole::OneOff {
            slug: run.slug.to_owned(),
            remove: run.remove,
        },
        image: &image,
        count: 1,
        replaces: None,
        one_off: Some(OneOff {
            name: run.name.unwrap_or(&default_name),
            use_aliases: run.use_aliases,
        }),
    };
    let mut errors = Vec::new();
    let stock = (&decisions.networks, &decisions.orphans);
    let mut supplies = up::stock(&inputs, &decisions.works, stock, &mut errors);
    let design = design(&inputs, &request, &mut supplies, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let work = Work {
        service: &service,
        selected: true,
        image: Supplied::Absent,
        mounted,
        inits: Vec::new(),
        members: Vec::new(),
        missing: Vec::new(),
        count: 1,
        blocked: false,
        may_start: true,
        skipped: false,
        held: false,
    };
    let steps = emit::one_off(&inputs, (&decisions, &work), design, (&finals, &mut draft))?;
    Ok(RunPlan {
        plan: draft.plan,
        container: Some(steps),
    })
}
