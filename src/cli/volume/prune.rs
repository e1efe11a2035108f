//! `stack volume prune`.

use std::collections::BTreeMap;

use clap::Args;

use super::{Filter, size, volumes};
use crate::{
    cli::{failure::Failure, filter, removal, session::Session},
    model::ObservedVolume,
    protocol::{Request, VolumeRequest},
    ui::{human, lines, progress::ProgressOptions},
};

/// Remove anonymous volumes that nothing uses
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Also volumes with a name
    #[arg(short, long)]
    all: bool,
    /// label=KEY[=VALUE] or label!=KEY[=VALUE]
    #[arg(long = "filter", value_name = "NAME=VALUE", value_parser = Filter::of_prune)]
    filters: Vec<Filter>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let mut unused = volumes(session)?;
    unused.retain(|volume| is_rubbish(session, volume, arguments.all));
    filter::keep(&mut unused, &arguments.filters);
    let (kept, unused): (Vec<_>, Vec<_>) = unused
        .into_iter()
        .partition(|volume| volume.record.protected);
    for volume in kept {
        let name = volume.record.name;
        let text = format!("volume `{name}` is protected: it is kept");
        session.ui.say(&text);
    }
    let mut sizes = BTreeMap::new();
    for volume in unused {
        let bytes = size(session, &volume.record.name)?;
        sizes.insert(volume.record.name, bytes);
    }
    if session.settings.flags.dry_run {
        return print(session, "Would delete volumes:", "reclaimable", &sizes);
    }
    if !sizes.is_empty() {
        removal::confirm(session, &told(&sizes), ("--force", arguments.force))?;
        let names = sizes.keys().cloned().collect();
        let request = Request::Volume(VolumeRequest::Prune { names });
        let outcome = session.call(&request, ProgressOptions::default(), None)?;
        // A container may have taken one meanwhile.
        sizes.retain(|name, _| outcome.names.contains(name));
    }
    print(session, "Deleted Volumes:", "reclaimed", &sizes)
}

/// Whether it may go if it is not protected: unused, anonymous unless all are meant, and of no project that will want it again.
fn is_rubbish(session: &Session<'_>, volume: &ObservedVolume, all: bool) -> bool {
    let record = &volume.record;
    let root = &session.settings.root;
    let is_wanted = |name| root.project(name).exists();
    volume.users.is_empty()
        && (record.is_anonymous() || (all && !record.project.as_ref().is_some_and(is_wanted)))
}

/// Names volumes with their sizes.
pub(in crate::cli) fn told(sizes: &BTreeMap<String, u64>) -> Vec<String> {
    let mut lines = vec!["This removes volumes with all their data:".to_owned()];
    for (name, bytes) in sizes {
        lines.push(format!("  {name}  {}", human::size(*bytes)));
    }
    lines
}

fn print(
    session: &Session<'_>,
    title: &str,
    verb: &str,
    sizes: &BTreeMap<String, u64>,
) -> Result<(), Failure> {
    let mut text = String::new();
    if !sizes.is_empty() {
        text = format!("{title}\n{}\n", lines(sizes.keys()));
    }
    let total: u64 = sizes.values().sum();
    text = format!("{text}Total {verb} space: {}\n", human::size(total));
    Ok(session.ui.data(text)?)
}
