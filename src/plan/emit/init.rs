//! What is run before the containers of a service: `pre_start`.

use super::service::{Emission, follow_owners, joins};
use crate::{
    model::SubjectKind,
    plan::{
        Action, ImageInput, PlanError, StepId,
        depends::{Final, Finals},
        graph::Draft,
        init::{Designed, Prepared, PreparedRun},
    },
};

impl<'a> Emission<'_, 'a> {
    /// Makes the steps and lets the starts wait for them; returns all of them, which wait for the service's dependencies as the starts do.
    pub(super) fn prepare(
        &self,
        inits: Vec<Prepared<'a>>,
        containers: &[(u32, &Final<'a>)],
        finals: &Finals<'a>,
        (draft, errors): (&mut Draft, &mut Vec<PlanError>),
    ) -> Vec<StepId> {
        let (mut steps, mut shared) = (Vec::new(), None);
        for chain in inits {
            let mut own = containers.iter().map(|(number, last)| (*number, *last));
            let Some((_, replica)) = own.find(|(number, _)| *number == chain.replica) else {
                continue;
            };
            let mut previous = shared;
            for run in chain.runs {
                let step = match run {
                    PreparedRun::Adopt(container) => {
                        let id = container.record.id.clone();
                        let subject = (SubjectKind::Container, container.record.name.as_str());
                        draft.step(subject, Action::AwaitInit { id }, "it runs already")
                    }
                    PreparedRun::Make(designed) => {
                        self.run_init(*designed, replica, finals, (draft, errors))
                    }
                };
                self.after_containers(step, containers, draft);
                if let Some(previous) = previous {
                    draft.needs(step, previous);
                }
                previous = Some(step);
                steps.push(step);
            }
            if let (Some(last), Some(start)) = (previous, replica.start) {
                draft.needs(start, last);
            }
            if chain.for_all {
                shared = previous;
            }
        }
        for start in containers.iter().filter_map(|(_, last)| last.start) {
            if let Some(shared) = shared {
                draft.needs(start, shared);
            }
        }
        steps
    }

    fn run_init(
        &self,
        (design, mounted): Designed<'a>,
        replica: &Final<'a>,
        finals: &Finals<'a>,
        (draft, errors): (&mut Draft, &mut Vec<PlanError>),
    ) -> StepId {
        let mut new = design.new;
        let service = new.service.clone();
        new.joins = joins(&service, finals, errors);
        let mut needs = self.supplies(&new, draft);
        needs.extend(mounted);
        if let ImageInput::From(image) = new.image {
            needs.push(image);
        }
        needs.extend(design.before.iter().filter_map(|id| draft.removes.get(id)));
        let name = new.name.clone();
        let action = Action::RunInit {
            new: Box::new(new),
            replica: replica.container.clone(),
        };
        let step = draft.step((SubjectKind::Container, &name), action, "pre_start");
        for earlier in needs {
            draft.needs(step, earlier);
        }
        follow_owners(&service, step, finals, draft);
        step
    }

    /// It runs while none of the service's containers does, and when all of them are made.
    fn after_containers(&self, step: StepId, containers: &[(u32, &Final<'a>)], draft: &mut Draft) {
        for create in containers.iter().filter_map(|(_, last)| last.create) {
            draft.needs(step, create);
        }
        let members = self.work.members.iter();
        let stops: Vec<StepId> = members
            .filter_map(|member| draft.stops.get(&member.container.record.id).copied())
            .collect();
        for stop in stops {
            draft.needs(step, stop);
        }
    }
}
