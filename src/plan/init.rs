//! Init containers: the `pre_start` entries of a service, run one after the other before its containers start.
//!
//! An entry runs once for the service, and only while no replica of it runs; one with `per_replica` before each replica that starts. The containers
//! are removed when they have ended well. One that failed stays for inspection: the loop leaves it, and the service, alone; the next `up` or `start`
//! runs it anew.

use std::collections::BTreeSet;

use compose_spec::model::{InitHook, Service};
use runtime::spec::ContainerState as State;

use super::{
    Inputs, Mode, PlanError, StepId,
    create::{Design, OneOff, Request, Supplies, design},
    graph::Draft,
    images::{self, Supplied},
    services::{Verdict, Work},
};
use crate::model::{ContainerRole, ObservedContainer};

/// Why an init container of an earlier start goes.
pub(super) const STALE: &str = "it was left by an earlier start";

/// What is run before one replica, in this order.
#[derive(Debug)]
pub(super) struct Chain<'a> {
    /// Number of the replica.
    pub(super) replica: u32,
    pub(super) runs: Vec<Run<'a>>,
    /// Some of them are run for the whole service: all replicas wait for them.
    pub(super) for_all: bool,
}

/// One init container.
#[derive(Debug)]
pub(super) enum Run<'a> {
    /// One that runs already: an earlier supervisor, or call, made it.
    Adopt(&'a ObservedContainer),
    /// One to make, by its number among the entries.
    Make(usize, &'a InitHook),
}

/// What one entry's container is made of.
#[derive(Debug)]
pub(super) struct Supply {
    image: Supplied,
    /// The steps that bring the images that it mounts.
    mounted: Vec<StepId>,
}

/// A container to make, and the steps that bring the images that it mounts.
pub(super) type Designed<'a> = (Design<'a>, Vec<StepId>);

/// What is run before the replicas of a service.
pub(super) type Chains<'a> = Vec<Chain<'a>>;

/// Init containers of one replica, designed.
#[derive(Debug)]
pub(super) struct Prepared<'a> {
    /// Number of the replica.
    pub(super) replica: u32,
    /// All replicas wait for them.
    pub(super) for_all: bool,
    /// One after the other.
    pub(super) runs: Vec<PreparedRun<'a>>,
}

/// One init container.
#[derive(Debug)]
pub(super) enum PreparedRun<'a> {
    /// One that runs already.
    Adopt(&'a ObservedContainer),
    /// One to make.
    Make(Box<Designed<'a>>),
}

/// Tells whether the loop must leave a service alone, because an entry failed.
pub(super) fn has_failed(inputs: &Inputs<'_>, service: &Service) -> bool {
    let failed = |container: &ObservedContainer| match &container.state {
        State::Exited { status, .. } => status.code != 0,
        _ => false,
    };
    inputs.options.mode == Mode::Enforce
        && !service.pre_start.is_empty()
        && of_service(inputs, service).any(failed)
}

/// Brings the images of a service's entries, when one of its replicas will start.
pub(super) fn supply(
    inputs: &Inputs<'_>,
    work: &Work<'_>,
    draft: &mut Draft,
) -> Result<Vec<Supply>, PlanError> {
    if work.service.pre_start.is_empty() || starting(inputs, work).is_empty() {
        return Ok(Vec::new());
    }
    let entries = work.service.pre_start.iter();
    entries
        .map(|hook| {
            Ok(Supply {
                image: images::supply(inputs, &hook.container, true, draft)?,
                mounted: images::supply_mounted(inputs, &hook.container, draft)?,
            })
        })
        .collect()
}

/// Decides what is run before the replicas of a service that start, and returns the containers of earlier starts that go.
pub(super) fn chains<'a>(
    inputs: &Inputs<'a>,
    work: &Work<'a>,
) -> (Chains<'a>, Vec<&'a ObservedContainer>) {
    let mut left: Vec<&ObservedContainer> = of_service(inputs, work.service).collect();
    let starting = starting(inputs, work);
    let runs = work.members.iter().any(|member| {
        matches!(member.verdict, Verdict::Keep | Verdict::Unpause(_))
            && member.container.state.is_live()
    });
    let mut chains = Vec::new();
    for replica in &starting {
        let for_all = !runs && Some(replica) == starting.first();
        let entries = work.service.pre_start.iter().enumerate();
        let entries: Vec<(usize, &InitHook)> = entries
            .filter(|(_, hook)| hook.per_replica || for_all)
            .collect();
        let chain = Chain {
            replica: *replica,
            runs: remaining(&entries, *replica, &mut left),
            for_all: for_all && entries.iter().any(|(_, hook)| !hook.per_replica),
        };
        chains.push(chain);
    }
    chains.retain(|chain| !chain.runs.is_empty());
    // Those that failed are for people to look at, until the user asks for another start.
    let is_over = inputs.options.mode == Mode::Up && work.selected;
    if starting.is_empty() && !is_over {
        left.clear();
    }
    (chains, left)
}

/// Returns what is left to run of a chain: an entry that runs, or ended well and was not removed yet, tells how far it has come.
fn remaining<'a>(
    entries: &[(usize, &'a InitHook)],
    replica: u32,
    left: &mut Vec<&'a ObservedContainer>,
) -> Vec<Run<'a>> {
    let found = |(index, hook): &(usize, &InitHook)| {
        left.iter().position(|container| {
            is_role(&container.record.role, *index, replica) && is_good(container, hook)
        })
    };
    let reached = entries
        .iter()
        .enumerate()
        .filter_map(|(at, entry)| Some((at, found(entry)?)))
        .next_back();
    let mut runs = Vec::new();
    if let Some((_, container)) = reached
        && left[container].state.is_live()
    {
        runs.push(Run::Adopt(left.remove(container)));
    }
    let next = reached.map_or(0, |(at, _)| at + 1);
    let rest = entries.iter().skip(next);
    runs.extend(rest.map(|(index, hook)| Run::Make(*index, hook)));
    runs
}

/// Designs the init containers of one replica.
pub(super) fn prepare<'a>(
    inputs: &Inputs<'a>,
    work: &Work<'a>,
    chain: Chain<'a>,
    (supplies, errors): (&mut Supplies<'_>, &mut Vec<PlanError>),
) -> Prepared<'a> {
    let mut runs = Vec::new();
    for run in chain.runs {
        runs.push(match run {
            Run::Adopt(container) => PreparedRun::Adopt(container),
            Run::Make(index, hook) => {
                let entry = ((index, hook), chain.replica);
                let supply = &work.inits[index];
                let found = (&mut *supplies, &mut *errors);
                PreparedRun::Make(Box::new(design_run(inputs, entry, supply, found)))
            }
        });
    }
    Prepared {
        replica: chain.replica,
        for_all: chain.for_all,
        runs,
    }
}

/// Designs the container of an entry. It has no names, ports and fixed addresses of the service.
fn design_run<'a>(
    inputs: &Inputs<'a>,
    ((index, hook), replica): ((usize, &'a InitHook), u32),
    supply: &Supply,
    (supplies, errors): (&mut Supplies<'_>, &mut Vec<PlanError>),
) -> Designed<'a> {
    let service = &hook.container;
    let name = format!(
        "{}-{}-{replica}-pre-start-{index}",
        inputs.project.name, service.name
    );
    let request = Request {
        service,
        role: ContainerRole::Init {
            entry: u32::try_from(index).unwrap_or(u32::MAX),
            replica,
        },
        image: &supply.image,
        count: 1,
        replaces: None,
        one_off: Some(OneOff {
            name: &name,
            use_aliases: false,
        }),
    };
    (
        design(inputs, &request, supplies, errors),
        supply.mounted.clone(),
    )
}

/// Returns the init containers of a service that are there.
fn of_service<'a>(
    inputs: &Inputs<'a>,
    service: &Service,
) -> impl Iterator<Item = &'a ObservedContainer> {
    let containers = inputs.observed.containers.iter();
    containers.filter(move |container| {
        container.record.service == service.name
            && matches!(container.record.role, ContainerRole::Init { .. })
    })
}

fn is_role(role: &ContainerRole, index: usize, of_replica: u32) -> bool {
    matches!(role, ContainerRole::Init { entry, replica }
        if usize::try_from(*entry).is_ok_and(|entry| entry == index) && *replica == of_replica)
}

/// It is what the entry says now, and it runs or did its work.
fn is_good(container: &ObservedContainer, hook: &InitHook) -> bool {
    let did_it = match &container.state {
        State::Exited { status, .. } => status.code == 0,
        state => state.is_live(),
    };
    did_it && container.record.wanted == *hook.container
}

/// Returns the numbers of the replicas that will start.
fn starting(inputs: &Inputs<'_>, work: &Work<'_>) -> BTreeSet<u32> {
    let starts = |name: &str| {
        work.may_start
            && !inputs.options.no_start
            && !inputs.stopped.covers(&work.service.name, name)
    };
    let members = work.members.iter().filter(|member| {
        let container = member.container;
        match member.verdict {
            Verdict::Start(_) | Verdict::Restart(_) => true,
            Verdict::Recreate(_) => {
                starts(&container.record.name) && (work.selected || container.state.is_live())
            }
            Verdict::Keep | Verdict::Unpause(_) | Verdict::Remove(_) => false,
        }
    });
    let missing = work
        .missing
        .iter()
        .filter(|_| work.selected && starts(""))
        .copied();
    members.map(|member| member.number).chain(missing).collect()
}
