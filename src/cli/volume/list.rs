//! Showing volumes: `ls`, `inspect`, `df`, and `stack volumes`.

use std::{sync::mpsc, time::Duration};

use serde_json::{Value, json};

use super::{Arguments, Filter, size, volumes};
use crate::{
    cli::{
        clock::iso,
        failure::Failure,
        filter::{self, Filtered},
        observed,
        session::{Session, service_names},
    },
    model::{Backing, ObservedVolume},
    observe,
    ui::{human, lines, table::Table, template::Format},
};

/// How long a volume is measured without a word.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn all(
    session: &Session<'_>,
    filters: &[Filter],
    format: &Format,
    quiet: bool,
) -> Result<(), Failure> {
    let mut volumes = volumes(session)?;
    filter::keep(&mut volumes, filters);
    show(session, &volumes, format, quiet)
}

/// `stack volumes`.
pub(in crate::cli) fn of_project(
    session: &Session<'_>,
    arguments: &Arguments,
) -> Result<(), Failure> {
    let target = session.target(&arguments.services)?;
    let services = service_names(&arguments.services)?;
    let containers = observed::of_services(session.containers(&target.project)?, &services);
    let is_used = |volume: &ObservedVolume| {
        containers
            .iter()
            .any(|container| volume.users.contains(&container.record.name))
    };
    let mut volumes = volumes(session)?;
    volumes.retain(|volume| {
        let of_project = volume.record.project.as_ref() == Some(&target.project);
        is_used(volume) || (services.is_empty() && of_project)
    });
    show(session, &volumes, &arguments.format, arguments.quiet)
}

fn show(
    session: &Session<'_>,
    volumes: &[ObservedVolume],
    format: &Format,
    quiet: bool,
) -> Result<(), Failure> {
    let text = if quiet {
        lines(volumes.iter().map(|volume| &volume.record.name))
    } else {
        let objects: Vec<Value> = volumes.iter().map(row).collect();
        let table = || {
            let mut table = Table::new(["DRIVER", "VOLUME NAME"]);
            for volume in volumes {
                table.row(["local", &volume.record.name]);
            }
            table
        };
        format
            .render(&objects, table)
            .map_err(|error| Failure::Usage(error.to_string()))?
    };
    Ok(session.ui.data(text)?)
}

pub(super) fn inspect(
    session: &Session<'_>,
    names: &[String],
    format: Option<&Format>,
    sizes: bool,
) -> Result<(), Failure> {
    let known = volumes(session)?;
    let mut objects = Vec::new();
    let mut missing = Vec::new();
    for name in names {
        let Some(volume) = known.iter().find(|volume| volume.record.name == *name) else {
            missing.push(name);
            continue;
        };
        let mut object = object(volume);
        if sizes {
            object["UsageData"] = json!({
                "Size": size(session, name)?,
                "RefCount": volume.users.len(),
            });
        }
        objects.push(object);
    }
    let text = Format::of_inspect(format)
        .render(&objects, || Table::new(["NAME"]))
        .map_err(|error| Failure::Usage(error.to_string()))?;
    session.ui.data(text)?;
    match missing.first() {
        None => Ok(()),
        Some(name) => Err(Failure::message(format!("no such volume: {name}"))
            .hint("`stack volume ls` lists those there are")),
    }
}

/// `stack volume df`.
pub(super) fn disk(session: &Session<'_>, format: &Format) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for volume in volumes(session)? {
        let bytes = if volume.detached {
            0
        } else {
            measured(session, &volume.record.name)?
        };
        rows.push((bytes, volume));
    }
    rows.sort_by(|(a, first), (b, second)| {
        b.cmp(a).then(first.record.name.cmp(&second.record.name))
    });
    let objects: Vec<Value> = rows
        .iter()
        .map(|(bytes, volume)| {
            json!({
                "Name": volume.record.name,
                "Size": human::size(*bytes),
                "SizeBytes": bytes,
                "Project": volume.record.project,
                "UsedBy": volume.users,
                "Protected": volume.record.protected,
                "Mounted": !volume.detached,
            })
        })
        .collect();
    let table = || {
        let mut table = Table::new(["VOLUME NAME", "SIZE", "PROJECT", "USED BY", "PROTECTED"]);
        for (bytes, volume) in &rows {
            let users = if volume.users.is_empty() {
                "-".to_owned()
            } else {
                volume.users.join(", ")
            };
            let protected = if volume.record.protected { "yes" } else { "no" };
            let project = volume.record.project.as_ref();
            let size = if volume.detached {
                "not mounted".to_owned()
            } else {
                human::size(*bytes)
            };
            table.row([
                volume.record.name.clone(),
                size,
                project.map_or_else(|| "-".to_owned(), ToString::to_string),
                users,
                protected.to_owned(),
            ]);
        }
        table
    };
    let mut text = format
        .render(&objects, table)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    if let Format::Table = format {
        let total: u64 = rows.iter().map(|(bytes, _)| bytes).sum();
        text = format!("{text}\nTotal: {}\n", human::size(total));
    }
    Ok(session.ui.data(text)?)
}

/// Measures a volume, and says so when that takes a while.
fn measured(session: &Session<'_>, name: &str) -> Result<u64, Failure> {
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let root = &session.settings.root;
        scope.spawn(move || {
            // Nobody listens any more only when the other side has panicked.
            let _unheard = sender.send(observe::volume_size(root, name));
        });
        let measured = receiver.recv_timeout(PATIENCE).or_else(|_elapsed| {
            session
                .ui
                .say(&format!("measuring {name}; it has many files"));
            receiver.recv()
        });
        measured
            .expect("measuring does not panic")
            .map_err(|error| Failure::error(&error))
    })
}

/// One line of `ls --format json`: the fields of docker, of which those that it leaves to its daemon say N/A.
fn row(volume: &ObservedVolume) -> Value {
    json!({
        "Availability": "N/A",
        "Driver": "local",
        "Group": "N/A",
        "Labels": volume.labels_text(),
        "Links": volume.users.len().to_string(),
        "Mountpoint": volume.mountpoint,
        "Name": volume.record.name,
        "Scope": "local",
        "Size": "N/A",
        "Status": "N/A",
    })
}

fn object(volume: &ObservedVolume) -> Value {
    let record = &volume.record;
    let options = record.wanted.as_ref().map(|wanted| &wanted.driver_opts);
    let options = options.filter(|options| !options.is_empty());
    let labels = record.all_labels();
    json!({
        "CreatedAt": iso(record.created),
        "Driver": "local",
        "Labels": (!labels.is_empty()).then_some(labels),
        "Mountpoint": mountpoint(volume),
        "Name": record.name,
        "Options": options,
        "Protected": record.protected,
        "Scope": "local",
        "UsedBy": volume.users,
    })
}

/// Where the data is: of a bound volume the directory itself.
fn mountpoint(volume: &ObservedVolume) -> String {
    let backing = volume.record.wanted.as_ref().map(Backing::of);
    let path = match &backing {
        Some(Ok(Backing::Bind(device))) => device,
        _ => &volume.mountpoint,
    };
    path.display().to_string()
}
