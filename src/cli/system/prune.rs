//! `stack system prune`: what nothing uses goes, in an order in which each step frees what the next one takes.
//!
//! Stopped projects lose their containers and networks (as `down` does, without volumes), networks go that no container is on, then images that no
//! container has and the build cache that no image shares, then, only when asked for, volumes that no container mounts. A project with a running container is
//! left alone altogether: its stopped containers may be restarted, and its images belong to it.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use compose_spec::model::ProjectName;

use crate::{
    cli::{
        failure::Failure,
        image::{Filters, unused},
        images::familiar,
        network, removal,
        session::Session,
    },
    model::{BuildCachePrune, DownOptions, ImageId, VolumeRecord},
    observe::{self, DiskUse},
    protocol::{DownRequest, NetworkRequest, Request, VolumeRequest},
    ui::{human, lines, progress::ProgressOptions},
};

/// Remove what nothing uses: containers and networks of stopped projects, images without a name, and more on request
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Also images with a name that no container uses
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Also anonymous volumes that no container mounts; with `--filter all=1` those with a name too
    #[arg(long)]
    volumes: bool,
    #[command(flatten)]
    filters: Filters,
}

/// What will be removed.
struct Found {
    projects: Vec<ProjectName>,
    projects_bytes: u64,
    networks: Vec<String>,
    images: usize,
    images_bytes: u64,
    cache_bytes: u64,
    volumes: Vec<String>,
    volumes_bytes: u64,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    session.refuse_dry_run("system prune")?;
    let filter = arguments.filters.parse(arguments.all)?;
    let all_volumes = arguments.filters.has_all();
    let disk = observe::disk_use(&session.settings.root).map_err(|error| Failure::error(&error))?;
    let mut found = find(&disk, &filter, (arguments.volumes, all_volumes));
    let mut networks = network::unused(session)?;
    networks.retain(|network| {
        let record = &network.record;
        filter.takes_time(record.created) && filter.takes_labels(&record.all_labels())
    });
    found.networks = networks
        .into_iter()
        .map(|network| network.record.name)
        .collect();
    let told = found.told(arguments.all);
    removal::confirm(session, &told, ("--force", arguments.force))?;
    let mut removed = Vec::new();
    for project in found.projects {
        session.call(&down(&project), ProgressOptions::default(), None)?;
        removed.push(format!("deleted: containers and networks of {project}"));
    }
    let mut bytes = found.projects_bytes;
    if !found.networks.is_empty() {
        let names = found.networks;
        let request = Request::Network(NetworkRequest::Prune { names });
        let outcome = session.call(&request, ProgressOptions::default(), None)?;
        let names = outcome.names.iter();
        removed.extend(names.map(|name| format!("deleted: network {name}")));
    }
    let outcome = session.call(
        &Request::ImagePrune(filter),
        ProgressOptions::default(),
        None,
    )?;
    bytes += outcome.reclaimed_bytes;
    removed.extend(
        outcome
            .names
            .iter()
            .map(|name| match name.strip_prefix("sha256:") {
                Some(_) => format!("deleted: {name}"),
                None => format!("untagged: {}", familiar(name)),
            }),
    );
    let cache = Request::BuilderPrune(BuildCachePrune::default());
    let outcome = session.call(&cache, ProgressOptions::default(), None)?;
    bytes += outcome.reclaimed_bytes;
    if !outcome.names.is_empty() {
        removed.push(format!(
            "deleted: {} entries of the build cache",
            outcome.names.len()
        ));
    }
    if !found.volumes.is_empty() {
        let names = found.volumes;
        let request = Request::Volume(VolumeRequest::Prune { names });
        let outcome = session.call(&request, ProgressOptions::default(), None)?;
        bytes += outcome.reclaimed_bytes;
        removed.extend(
            outcome
                .names
                .iter()
                .map(|name| format!("deleted: volume {name}")),
        );
    }
    removed.push(format!("Total reclaimed space: {}", human::size(bytes)));
    Ok(session.ui.data(lines(removed))?)
}

fn down(project: &ProjectName) -> Request {
    Request::Down(DownRequest {
        project: project.clone(),
        options: DownOptions {
            remove_orphans: true,
            ..DownOptions::default()
        },
    })
}

fn find(
    disk: &DiskUse,
    filter: &crate::model::PruneFilter,
    (volumes, all_volumes): (bool, bool),
) -> Found {
    let stopped = stopped_projects(disk);
    let of_stopped = |project: &ProjectName| stopped.contains_key(project);
    // Images of stopped projects are free once their containers are gone.
    let kept: BTreeSet<ImageId> = disk
        .containers
        .iter()
        .filter(|(container, _)| !of_stopped(&container.record.project))
        .flat_map(|(container, _)| container.record.images().cloned())
        .collect();
    let unused = unused(disk, filter, &kept);
    // So are the volumes that only they mount.
    let is_mounted = |name: &String| {
        disk.containers.iter().any(|(container, _)| {
            let record = &container.record;
            !of_stopped(&record.project) && record.used_volumes().any(|other| other == name)
        })
    };
    let is_free = |volume: &VolumeRecord| {
        !is_mounted(&volume.name) && !volume.protected && (all_volumes || volume.is_anonymous())
    };
    let free: Vec<_> = disk
        .volumes
        .iter()
        .filter(|(volume, ..)| volumes && is_free(volume))
        .collect();
    Found {
        projects_bytes: stopped.values().sum(),
        projects: stopped.into_keys().collect(),
        networks: Vec::new(),
        images: unused.len(),
        images_bytes: disk.images.bytes_of(&unused),
        cache_bytes: observe::build_cache_sizes(&disk.build_cache).1,
        volumes: free
            .iter()
            .map(|(volume, ..)| volume.name.clone())
            .collect(),
        volumes_bytes: free.iter().map(|(_, bytes, _)| bytes).sum(),
    }
}

/// Projects of which nothing runs, with the bytes that their containers have written.
fn stopped_projects(disk: &DiskUse) -> BTreeMap<ProjectName, u64> {
    let mut projects: BTreeMap<ProjectName, Option<u64>> = BTreeMap::new();
    for (container, bytes) in &disk.containers {
        let project = container.record.project.clone();
        let sum = projects.entry(project).or_insert(Some(0));
        *sum = match (*sum, is_over(container)) {
            (Some(sum), true) => Some(sum + bytes),
            _ => None,
        };
    }
    projects
        .into_iter()
        .filter_map(|(project, bytes)| Some((project, bytes?)))
        .collect()
}

/// Tells whether a container has ended; one that was only made, or waits for its restart, is about to run.
fn is_over(container: &crate::model::ObservedContainer) -> bool {
    matches!(
        container.state,
        runtime::spec::ContainerState::Exited { .. } | runtime::spec::ContainerState::Lost { .. }
    )
}

impl Found {
    fn told(&self, all: bool) -> Vec<String> {
        let kind = if all { "unused" } else { "dangling" };
        let mut lines = vec!["This removes:".to_owned()];
        for project in &self.projects {
            lines.push(format!(
                "  containers and networks of the stopped project {project}"
            ));
        }
        if !self.projects.is_empty() {
            lines.push(format!(
                "    what they wrote: {}",
                human::size(self.projects_bytes)
            ));
        }
        for network in &self.networks {
            lines.push(format!("  network {network}"));
        }
        lines.push(format!(
            "  {} {kind} image{}: about {}",
            self.images,
            if self.images == 1 { "" } else { "s" },
            human::size(self.images_bytes)
        ));
        lines.push(format!(
            "  the build cache that no image shares: about {}",
            human::size(self.cache_bytes)
        ));
        for volume in &self.volumes {
            lines.push(format!("  volume {volume}, with all its data"));
        }
        if !self.volumes.is_empty() {
            lines.push(format!("    volumes: {}", human::size(self.volumes_bytes)));
        }
        lines
    }
}
