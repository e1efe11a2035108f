//! How many replicas a service has, and which numbers they get.

use super::{
    Inputs, Mode, PlanError,
    services::{Verdict, Work},
};

/// Returns the wanted number of replicas.
pub(super) fn wanted(inputs: &Inputs<'_>, work: &Work<'_>) -> u32 {
    let service = work.service;
    inputs
        .options
        .scale
        .get(&service.name)
        .copied()
        .unwrap_or(service.replicas)
}

/// Adds missing replicas and marks those that are too many. New numbers follow the highest one, as in Compose, so that a number
/// never means two containers at a time. Of too many, the outdated ones go first, then the highest numbers.
pub(super) fn apply(inputs: &Inputs<'_>, work: &mut Work<'_>) -> Result<(), PlanError> {
    let count = wanted(inputs, work);
    if count > 1 && work.service.container_name.is_some() {
        return Err(PlanError::NamedAndScaled {
            service: work.service.name.clone(),
            count,
        });
    }
    let existing = u32::try_from(work.members.len()).unwrap_or(u32::MAX);
    if count >= existing {
        if !inputs.stopped.services.contains(&work.service.name) {
            let highest = work
                .members
                .iter()
                .map(|member| member.number)
                .max()
                .unwrap_or(0);
            work.missing = (highest + 1..).take((count - existing) as usize).collect();
            work.count = count;
        }
        return Ok(());
    }
    if inputs.options.mode == Mode::Enforce {
        return Ok(());
    }
    let mut order: Vec<usize> = (0..work.members.len()).collect();
    order.sort_by_key(|at| {
        let member = &work.members[*at];
        let outdated = matches!(member.verdict, Verdict::Recreate(_));
        (!outdated, std::cmp::Reverse(member.number))
    });
    for at in order.into_iter().take((existing - count) as usize) {
        work.members[at].verdict = Verdict::Remove(format!("scaled to {count}"));
    }
    work.count = count;
    Ok(())
}
