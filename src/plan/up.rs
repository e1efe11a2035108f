//! The passes of `up`, in order: images, networks, volumes, services, orphans, then the containers to make, then the steps.

use std::collections::{BTreeMap, BTreeSet};

use compose_spec::model::{NetworkMode, Service, ServiceName};

use super::{
    Inputs, Mode, Plan, PlanError,
    addresses::Addresses,
    create::{Design, Request, Supplies, design, reserved},
    emit,
    graph::Draft,
    init::{self, Chains, Prepared},
    networks::{self, Networks},
    orphans::{self, Orphans},
    ports::Ports,
    selection::{dependencies, in_order, selected_services},
    services::{self, Context, Verdict, Work},
    volumes,
};
use crate::model::{ContainerId, ContainerRole, ObservedContainer};

/// Everything that was decided before steps are made.
#[derive(Debug)]
pub(super) struct Decisions<'a> {
    pub(super) selected: BTreeSet<ServiceName>,
    /// Services in the order of their dependencies.
    pub(super) order: Vec<&'a ServiceName>,
    pub(super) works: BTreeMap<ServiceName, Work<'a>>,
    pub(super) networks: Networks,
    pub(super) renewed_volumes: volumes::Renewed,
    pub(super) orphans: Orphans<'a>,
    /// Containers to make, by service, in the order of their numbers.
    pub(super) designs: BTreeMap<ServiceName, Vec<Design<'a>>>,
    /// What is run before the containers of a service.
    pub(super) inits: BTreeMap<ServiceName, Vec<Prepared<'a>>>,
}

/// Plans `up`. In the loop a service that cannot be planned does not keep the others from being made good.
pub(super) fn plan(inputs: &Inputs<'_>) -> Result<Plan, Vec<PlanError>> {
    let mut skipped = BTreeSet::new();
    let mut problems: Vec<PlanError> = Vec::new();
    loop {
        match attempt(inputs, &skipped) {
            Ok(plan) => return Ok(Plan { problems, ..plan }),
            Err(errors) if inputs.options.mode == Mode::Up => return Err(errors),
            Err(errors) => {
                let concerned: BTreeSet<ServiceName> = errors
                    .iter()
                    .flat_map(|error| error.concerns(inputs.project))
                    .collect();
                // Each round leaves out one service more, or is the last.
                if concerned.is_subset(&skipped) {
                    return Err(errors);
                }
                skipped.extend(concerned);
                problems.extend(errors);
            }
        }
    }
}

fn attempt(inputs: &Inputs<'_>, skipped: &BTreeSet<ServiceName>) -> Result<Plan, Vec<PlanError>> {
    let call = Call { run: None, skipped };
    let (mut draft, mut decisions) = prepare(inputs, call)?;
    emit::all(inputs, &mut decisions, &mut draft)?;
    Ok(draft.plan)
}

/// What a plan is made for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'c, 'a> {
    /// A one-off of this service, and what that needs.
    pub(super) run: Option<&'a Service>,
    /// Services to leave alone.
    pub(super) skipped: &'c BTreeSet<ServiceName>,
}

/// Decides everything. A network or volume is made anew only when no container on it has to wait for an image: else the images
/// come first and the rest is deferred, because removing a network needs all of its containers removed.
pub(super) fn prepare<'a>(
    inputs: &Inputs<'a>,
    call: Call<'_, 'a>,
) -> Result<(Draft, Decisions<'a>), Vec<PlanError>> {
    let mut draft = Draft::default();
    let decisions = decide(inputs, call, &mut draft)?;
    let renews = !decisions.renewed_volumes.is_empty() || decisions.networks.renews();
    if !renews || decisions.works.values().all(|work| !work.held) {
        return Ok((draft, decisions));
    }
    let mut draft = Draft {
        images_first: true,
        ..Draft::default()
    };
    let decisions = decide(inputs, call, &mut draft)?;
    draft.plan.deferred = true;
    Ok((draft, decisions))
}

fn decide<'a>(
    inputs: &Inputs<'a>,
    call: Call<'_, 'a>,
    draft: &mut Draft,
) -> Result<Decisions<'a>, Vec<PlanError>> {
    let project = inputs.project;
    let options = inputs.options;
    let mut selected = match call.run {
        None if options.mode == Mode::Enforce && options.services.is_empty() => BTreeSet::new(),
        None => selected_services(project, &options.services, options.no_deps)?,
        Some(_) if options.no_deps => BTreeSet::new(),
        Some(service) => dependencies(project, &service.name)?,
    };
    selected.retain(|name| !call.skipped.contains(name));
    let order = in_order(project).map_err(|error| vec![error])?;
    let mut errors = Vec::new();

    let concerned = concerned(inputs, &selected, call);
    let uses_network = |key: &str| {
        concerned.iter().any(|service| match &service.network {
            NetworkMode::Networks(attachments) => attachments.contains_key(key),
            _ => false,
        })
    };
    let uses_volume = |name: &str| {
        let names = |service: &&Service| volumes::names(&project.volumes, service);
        concerned
            .iter()
            .any(|service| names(service).iter().any(|used| used == name))
    };
    let networks = networks::plan(inputs, &uses_network, draft, &mut errors);
    let renewed_volumes = volumes::plan(inputs, &uses_volume, draft, &mut errors);
    let mut orphans = orphans::find(inputs, draft);

    let mut works = BTreeMap::new();
    for name in &order {
        let service = &project.services[*name];
        let context = Context {
            inputs,
            selected: &selected,
            networks: &networks,
            renewed_volumes: &renewed_volumes,
            works: &works,
            skipped: call.skipped,
        };
        match services::decide(&context, service, draft) {
            Ok(work) => {
                works.insert(service.name.clone(), work);
            }
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    if options.mode == Mode::Up {
        draft
            .plan
            .notices
            .extend(networks::notices(inputs, &uses_network));
    }
    let mut chains = BTreeMap::new();
    for work in works.values() {
        let (of_service, stale) = init::chains(inputs, work);
        let stale = stale.into_iter().map(|container| (container, init::STALE));
        orphans.removed.extend(stale);
        chains.insert(work.service.name.clone(), of_service);
    }
    let (designs, inits) = designs(inputs, &order, (&works, chains), (&networks, &orphans))?;
    Ok(Decisions {
        selected,
        order,
        works,
        networks,
        renewed_volumes,
        orphans,
        designs,
        inits,
    })
}

/// Services whose networks and volumes must be there: the selected ones and, in the loop, all that have containers.
fn concerned<'a>(
    inputs: &Inputs<'a>,
    selected: &BTreeSet<ServiceName>,
    call: Call<'_, 'a>,
) -> Vec<&'a Service> {
    let exists = |service: &Service| {
        let mut containers = inputs.observed.containers.iter();
        containers.any(|container| container.record.service == service.name)
    };
    let enforce = inputs.options.mode == Mode::Enforce;
    inputs
        .project
        .services
        .values()
        .filter(|service| selected.contains(&service.name) || (enforce && exists(service)))
        .filter(|service| !call.skipped.contains(&service.name))
        .flat_map(|service| {
            let inits = service.pre_start.iter().map(|hook| &*hook.container);
            std::iter::once(service).chain(inits)
        })
        .chain(call.run)
        .collect()
}

/// Returns every container that the plan removes.
fn removed<'a>(
    works: &BTreeMap<ServiceName, Work<'a>>,
    orphans: &Orphans<'a>,
) -> Vec<&'a ObservedContainer> {
    let members = works.values().flat_map(|work| &work.members);
    members
        .filter(|member| matches!(member.verdict, Verdict::Recreate(_) | Verdict::Remove(_)))
        .map(|member| member.container)
        .chain(orphans.removed.iter().map(|(container, _)| *container))
        .collect()
}

/// Takes stock of names, addresses and ports that stay in use.
pub(super) fn stock<'c>(
    inputs: &Inputs<'_>,
    works: &BTreeMap<ServiceName, Work<'_>>,
    (networks, orphans): (&'c Networks, &Orphans<'_>),
    errors: &mut Vec<PlanError>,
) -> Supplies<'c> {
    let removed = removed(works, orphans);
    let ids: BTreeSet<ContainerId> = removed.iter().map(|c| c.record.id.clone()).collect();
    let starts = |container: &ObservedContainer| {
        let members = works.values().flat_map(|work| &work.members);
        let mut starting = members.filter(|member| matches!(member.verdict, Verdict::Start(_)));
        starting.any(|member| member.container.record.id == container.record.id)
    };
    let others = inputs.observed.taken.container_names.iter();
    let mut supplies = Supplies {
        networks,
        addresses: Addresses::new(inputs.observed, &ids, reserved(inputs.project)),
        ports: Ports::new(&inputs.observed.taken.ports),
        names: others
            .map(|name| (name.clone(), "a container of another project".to_owned()))
            .collect(),
        released_names: BTreeMap::new(),
    };
    for container in &inputs.observed.containers {
        let record = &container.record;
        if ids.contains(&record.id) {
            supplies.ports.release(container);
            supplies
                .released_names
                .insert(record.name.clone(), record.id.clone());
            continue;
        }
        let owner = format!("a container of service `{}`", record.service);
        supplies.names.insert(record.name.clone(), owner);
        let starting = starts(container);
        if starting || container.state.is_live() {
            errors.extend(supplies.ports.keep(container, starting));
        }
    }
    supplies
}

/// Containers to make, and what is run before them, by service.
type AllDesigns<'a> = (
    BTreeMap<ServiceName, Vec<Design<'a>>>,
    BTreeMap<ServiceName, Vec<Prepared<'a>>>,
);

/// Designs every container to make.
fn designs<'a>(
    inputs: &Inputs<'a>,
    order: &[&ServiceName],
    (works, mut chains): (
        &BTreeMap<ServiceName, Work<'a>>,
        BTreeMap<ServiceName, Chains<'a>>,
    ),
    (networks, orphans): (&Networks, &Orphans<'a>),
) -> Result<AllDesigns<'a>, Vec<PlanError>> {
    let mut errors = Vec::new();
    let mut supplies = stock(inputs, works, (networks, orphans), &mut errors);
    let (mut designs, mut inits) = (BTreeMap::new(), BTreeMap::new());
    for name in order {
        let work = &works[*name];
        let recreated = work.members.iter().filter_map(|member| {
            matches!(member.verdict, Verdict::Recreate(_))
                .then_some((member.number, Some(member.container)))
        });
        let missing = work.missing.iter().map(|number| (*number, None));
        let made: Vec<Design<'a>> = recreated
            .chain(missing)
            .map(|(number, replaces)| {
                let request = Request {
                    service: work.service,
                    role: ContainerRole::Replica(number),
                    image: &work.image,
                    count: work.count,
                    replaces,
                    one_off: None,
                };
                design(inputs, &request, &mut supplies, &mut errors)
            })
            .collect();
        designs.insert((*name).clone(), made);
        let chains = chains.remove(*name).unwrap_or_default();
        let prepared = chains
            .into_iter()
            .map(|chain| init::prepare(inputs, work, chain, (&mut supplies, &mut errors)));
        inits.insert((*name).clone(), prepared.collect());
    }
    if errors.is_empty() {
        return Ok((designs, inits));
    }
    // Replicas have the same faults.
    let mut once: Vec<PlanError> = Vec::new();
    for error in errors {
        if !once.contains(&error) {
            once.push(error);
        }
    }
    Err(once)
}
