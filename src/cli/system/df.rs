//! `stack system df`: real bytes of the disk, everything that is shared counted once.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::{Value, json};

use crate::{
    cli::{
        failure::Failure,
        images::{Name, created},
        session::Session,
    },
    model::ImageId,
    observe::{self, DiskUse},
    ui::{human, table::Table, template::Format},
};

/// Show what images, containers, volumes and logs take of the disk
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// table, json or a template
    #[arg(long, default_value = "table", hide_default_value = true)]
    format: Format,
    /// Each image, container, volume and project
    #[arg(short, long)]
    verbose: bool,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let disk = observe::disk_use(&session.settings.root).map_err(|error| Failure::error(&error))?;
    if arguments.verbose {
        let text = match &arguments.format {
            Format::Table => verbose(&disk),
            Format::Json | Format::JsonArray => format!("{:#}\n", verbose_object(&disk)),
            _ => {
                return Err(Failure::Usage(
                    "`--verbose` has no template: use `--format json`".to_owned(),
                ));
            }
        };
        return Ok(session.ui.data(text)?);
    }
    let rows = rows(&disk);
    let objects: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "Type": row.kind, "TotalCount": row.count.to_string(), "Active": row.active.to_string(),
                "Size": human::size(row.bytes), "Reclaimable": row.reclaimable(),
                "SizeBytes": row.bytes, "ReclaimableBytes": row.reclaimable_bytes,
            })
        })
        .collect();
    let table = || {
        let mut table = Table::new(["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]);
        for row in &rows {
            table.row([
                row.kind.to_owned(),
                row.count.to_string(),
                row.active.to_string(),
                human::size(row.bytes),
                row.reclaimable(),
            ]);
        }
        table
    };
    let text = arguments
        .format
        .render(&objects, table)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(session.ui.data(text)?)
}

/// One kind of thing.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    kind: &'static str,
    count: usize,
    active: usize,
    bytes: u64,
    reclaimable_bytes: u64,
}

impl Row {
    fn reclaimable(&self) -> String {
        let text = human::size(self.reclaimable_bytes);
        match (self.reclaimable_bytes * 100).checked_div(self.bytes) {
            Some(percent) => format!("{text} ({percent}%)"),
            None => text,
        }
    }
}

fn rows(disk: &DiskUse) -> Vec<Row> {
    let used = used_images(disk);
    let of_images = &disk.images.images;
    let unused = of_images.iter().map(|image| image.summary.id.clone());
    let unused = disk
        .images
        .bytes_of(&unused.filter(|id| !used.contains(id)).collect());
    let stopped = || {
        disk.containers
            .iter()
            .filter(|(container, _)| container.state.pid().is_none())
    };
    let unmounted = || disk.volumes.iter().filter(|(_, _, users)| *users == 0);
    vec![
        Row {
            kind: "Images",
            count: of_images.len(),
            active: of_images
                .iter()
                .filter(|image| used.contains(&image.summary.id))
                .count(),
            bytes: disk.images.bytes - disk.images.unnamed_bytes,
            reclaimable_bytes: unused,
        },
        Row {
            kind: "Containers",
            count: disk.containers.len(),
            active: disk.containers.len() - stopped().count(),
            bytes: disk.containers.iter().map(|(_, bytes)| bytes).sum(),
            reclaimable_bytes: stopped().map(|(_, bytes)| bytes).sum(),
        },
        Row {
            kind: "Local Volumes",
            count: disk.volumes.len(),
            active: disk.volumes.len() - unmounted().count(),
            bytes: disk.volumes.iter().map(|(_, bytes, _)| bytes).sum(),
            reclaimable_bytes: unmounted().map(|(_, bytes, _)| bytes).sum(),
        },
        Row {
            kind: "Build Cache",
            count: disk.build_cache.len(),
            active: disk.build_cache.iter().filter(|entry| entry.shared).count(),
            bytes: cache_bytes(disk),
            reclaimable_bytes: cache_bytes(disk),
        },
        Row {
            kind: "Logs",
            count: disk.logs.len(),
            active: disk.logs.len(),
            bytes: disk.logs.iter().map(|(_, bytes)| bytes).sum(),
            reclaimable_bytes: 0,
        },
    ]
}

/// Bytes that only the build cache needs: what an image has too counts there.
fn cache_bytes(disk: &DiskUse) -> u64 {
    observe::build_cache_sizes(&disk.build_cache).1
}

/// Images that a container was made of.
fn used_images(disk: &DiskUse) -> BTreeSet<ImageId> {
    let containers = disk.containers.iter();
    containers
        .flat_map(|(container, _)| container.record.images().cloned())
        .collect()
}

/// What a project takes: containers, volumes, logs.
#[derive(Debug, Default, PartialEq, Eq)]
struct ProjectUse {
    containers: usize,
    containers_bytes: u64,
    volumes_bytes: u64,
    logs_bytes: u64,
    images: BTreeSet<ImageId>,
}

fn projects(disk: &DiskUse) -> BTreeMap<String, ProjectUse> {
    let mut projects: BTreeMap<String, ProjectUse> = BTreeMap::new();
    for (container, bytes) in &disk.containers {
        let project = projects
            .entry(container.record.project.to_string())
            .or_default();
        project.containers += 1;
        project.containers_bytes += bytes;
        project.images.insert(container.record.image.clone());
    }
    for (volume, bytes, _) in &disk.volumes {
        if let Some(name) = &volume.project {
            projects.entry(name.to_string()).or_default().volumes_bytes += bytes;
        }
    }
    for (name, bytes) in &disk.logs {
        projects.entry(name.to_string()).or_default().logs_bytes += bytes;
    }
    projects
}

fn verbose(disk: &DiskUse) -> String {
    let mut images = Table::new([
        "REPOSITORY",
        "TAG",
        "IMAGE ID",
        "CREATED",
        "SIZE",
        "SHARED SIZE",
        "UNIQUE SIZE",
        "CONTAINERS",
    ]);
    for image in &disk.images.images {
        let summary = &image.summary;
        let name = summary.references.first().map(|name| Name::parse(name));
        let users = disk
            .containers
            .iter()
            .filter(|(c, _)| c.record.image == summary.id);
        images.row([
            name.as_ref()
                .map_or_else(|| "<none>".to_owned(), |name| name.repository.clone()),
            name.map_or_else(|| "<none>".to_owned(), |name| name.tag),
            summary.id.short().to_owned(),
            created(summary),
            human::size(image.bytes),
            human::size(image.shared_bytes),
            human::size(image.bytes - image.shared_bytes),
            users.count().to_string(),
        ]);
    }
    let mut containers = Table::new(["CONTAINER ID", "IMAGE", "SIZE", "STATUS", "NAMES"]);
    for (container, bytes) in &disk.containers {
        let running = container.state.pid().is_some();
        containers.row([
            container.record.id.short().to_owned(),
            container.record.image_reference.clone(),
            human::size(*bytes),
            if running { "running" } else { "stopped" }.to_owned(),
            container.record.name.clone(),
        ]);
    }
    let mut volumes = Table::new(["VOLUME NAME", "LINKS", "SIZE"]);
    for (volume, bytes, users) in &disk.volumes {
        volumes.row([volume.name.clone(), users.to_string(), human::size(*bytes)]);
    }
    let mut by_project = Table::new([
        "PROJECT",
        "CONTAINERS",
        "WRITTEN",
        "VOLUMES",
        "LOGS",
        "IMAGES",
    ]);
    for (name, project) in projects(disk) {
        let images = disk.images.images.iter();
        let images = images.filter(|image| project.images.contains(&image.summary.id));
        by_project.row([
            name,
            project.containers.to_string(),
            human::size(project.containers_bytes),
            human::size(project.volumes_bytes),
            human::size(project.logs_bytes),
            human::size(images.map(|image| image.bytes).sum()),
        ]);
    }
    format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\nProjects space usage:\n\n{}",
        images.render(),
        containers.render(),
        volumes.render(),
        by_project.render(),
    )
}

fn verbose_object(disk: &DiskUse) -> Value {
    let images: Vec<Value> = disk
        .images
        .images
        .iter()
        .map(|image| {
            json!({
                "Id": image.summary.id, "RepoTags": image.summary.references, "Size": image.bytes,
                "SharedSize": image.shared_bytes, "UniqueSize": image.bytes - image.shared_bytes,
            })
        })
        .collect();
    let containers: Vec<Value> = disk
        .containers
        .iter()
        .map(|(container, bytes)| {
            json!({
                "Id": container.record.id, "Names": container.record.name, "Image": container.record.image,
                "Project": container.record.project, "SizeRw": bytes,
            })
        })
        .collect();
    let volumes: Vec<Value> = disk
        .volumes
        .iter()
        .map(|(volume, bytes, users)| {
            json!({"Name": volume.name, "Project": volume.project, "Size": bytes, "Links": users})
        })
        .collect();
    let projects: Vec<Value> = projects(disk)
        .into_iter()
        .map(|(name, project)| {
            json!({
                "Name": name, "Containers": project.containers, "SizeRw": project.containers_bytes,
                "Volumes": project.volumes_bytes, "Logs": project.logs_bytes,
            })
        })
        .collect();
    json!({
        "Images": images, "Containers": containers, "Volumes": volumes, "Projects": projects,
        "BuildCache": {"Size": cache_bytes(disk)},
    })
}
