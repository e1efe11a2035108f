//! Orphans: containers of services that the project no longer has, and one-offs that have ended.

use super::{Inputs, Mode, graph::Draft};
use crate::model::{ContainerRole, ObservedContainer};

/// What happens to orphans.
#[derive(Debug, Default)]
pub(super) struct Orphans<'a> {
    /// Containers that the plan removes, and why.
    pub(super) removed: Vec<(&'a ObservedContainer, &'static str)>,
}

/// Finds orphans; those that stay are told to the user.
pub(super) fn find<'a>(inputs: &Inputs<'a>, draft: &mut Draft) -> Orphans<'a> {
    let mut orphans = Orphans::default();
    let mut left = Vec::new();
    for container in &inputs.observed.containers {
        let record = &container.record;
        if let ContainerRole::OneOff { remove: true, .. } = record.role
            && has_ended(container)
        {
            orphans.removed.push((container, "its run has ended"));
            continue;
        }
        let is_orphan = match record.role {
            ContainerRole::OneOff { .. } => !container.state.is_live() && has_ended(container),
            ContainerRole::Replica(_) | ContainerRole::Init { .. } => {
                !inputs.project.services.contains_key(&record.service)
                    && !inputs.options.inactive_services.contains(&record.service)
            }
        };
        if !is_orphan || inputs.options.mode == Mode::Enforce {
            continue;
        }
        if inputs.options.remove_orphans {
            orphans
                .removed
                .push((container, "its service is no longer in the Compose file"));
        } else if matches!(record.role, ContainerRole::Replica(_)) {
            left.push(record.name.as_str());
        }
    }
    if !left.is_empty() {
        draft.plan.notices.push(format!(
            "found orphan containers ({}): the Compose file has no such services; `--remove-orphans` removes them",
            left.join(", ")
        ));
    }
    orphans
}

/// A one-off that was made but not yet started still waits for its client.
fn has_ended(container: &ObservedContainer) -> bool {
    use runtime::spec::ContainerState as State;
    matches!(container.state, State::Exited { .. } | State::Lost { .. })
}
