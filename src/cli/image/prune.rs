//! `stack image prune`.

use std::collections::BTreeSet;

use clap::Args;

use crate::{
    cli::{failure::Failure, removal, session::Session},
    model::{ImageId, PruneFilter, Timestamp},
    observe::{self, DiskUse},
    protocol::Request,
    ui::{human, lines, progress::ProgressOptions},
};

/// Remove images that no container uses
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Also images with a name, not only those without
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    filters: Filters,
}

/// Conditions of what is removed.
#[derive(Debug, Args)]
pub(in crate::cli) struct Filters {
    /// `until=24h` or a time: made before; `label=KEY[=VALUE]`, `label!=KEY[=VALUE]`
    #[arg(long = "filter", value_name = "FILTER")]
    filters: Vec<String>,
}

impl Filters {
    /// Returns them as the supervisor takes them.
    pub(in crate::cli) fn parse(&self, all: bool) -> Result<PruneFilter, Failure> {
        let mut filter = PruneFilter {
            all,
            ..PruneFilter::default()
        };
        for text in &self.filters {
            let usage = |reason: String| Failure::Usage(format!("--filter {text}: {reason}"));
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| usage("a filter has the form KEY=VALUE".to_owned()))?;
            match key {
                "until" => filter.until = Some(until(value).map_err(usage)?),
                "label" => filter.labels.push(value.to_owned()),
                "label!" => filter.labels.push(format!("!{value}")),
                "dangling" => match value {
                    "true" | "1" => {}
                    "false" | "0" => filter.all = true,
                    _ => return Err(usage(format!("`{value}` is neither true nor false"))),
                },
                "all" if value == "1" || value == "true" => {}
                other => {
                    return Err(usage(format!(
                        "no filter `{other}`: there are until, label and label!"
                    )));
                }
            }
        }
        Ok(filter)
    }

    /// Tells whether `all=1` was given, by which docker means named volumes too.
    pub(in crate::cli) fn has_all(&self) -> bool {
        self.filters
            .iter()
            .any(|text| matches!(text.as_str(), "all=1" | "all=true"))
    }
}

/// Reads a time: a duration before now, seconds since 1970, or RFC 3339 with or without a zone or a time of day.
pub(in crate::cli) fn until(text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("`{text}` is neither a duration such as 24h nor a time");
    let now = crate::store::now().0;
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Timestamp(seconds.saturating_mul(1000)));
    }
    if let Ok(millis) = crate::cli::values::seconds(text) {
        return Ok(Timestamp(now.saturating_sub(millis)));
    }
    let time = text.parse::<jiff::Timestamp>().or_else(|_error| {
        let local = text.parse::<jiff::civil::DateTime>();
        let local = local.or_else(|_error| {
            text.parse::<jiff::civil::Date>()
                .map(|day| day.at(0, 0, 0, 0))
        });
        local.and_then(|time| Ok(time.to_zoned(jiff::tz::TimeZone::system())?.timestamp()))
    });
    let millis = time.map_err(|_error| wrong())?.as_millisecond();
    u64::try_from(millis)
        .map(Timestamp)
        .map_err(|_error| wrong())
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    session.refuse_dry_run("image prune")?;
    let filter = arguments.filters.parse(arguments.all)?;
    let disk = observe::disk_use(&session.settings.root).map_err(|error| Failure::error(&error))?;
    let used: BTreeSet<_> = disk
        .containers
        .iter()
        .flat_map(|(container, _)| container.record.images().cloned())
        .collect();
    let unused = unused(&disk, &filter, &used);
    let count = unused.len();
    let bytes = disk.images.bytes_of(&unused);
    let kind = if filter.all { "unused" } else { "dangling" };
    let question = format!(
        "This removes {count} {kind} image{}: about {}.",
        if count == 1 { "" } else { "s" },
        human::size(bytes)
    );
    removal::confirm(session, &[question], ("--force", arguments.force))?;
    let outcome = session.call(
        &Request::ImagePrune(filter),
        ProgressOptions::default(),
        None,
    )?;
    let mut text = lines(outcome.names.iter().map(|name| {
        if name.starts_with("sha256:") {
            format!("deleted: {name}")
        } else {
            format!("untagged: {}", crate::cli::images::familiar(name))
        }
    }));
    text.push_str("Total reclaimed space: ");
    text.push_str(&human::size(outcome.reclaimed_bytes));
    text.push('\n');
    Ok(session.ui.data(text)?)
}

/// Returns the images that a filter takes and that are not in use, as far as the index tells: labels are looked at later.
pub(in crate::cli) fn unused(
    disk: &DiskUse,
    filter: &PruneFilter,
    used: &BTreeSet<ImageId>,
) -> BTreeSet<ImageId> {
    let images = disk.images.images.iter().map(|image| &image.summary);
    images
        .filter(|image| !used.contains(&image.id))
        .filter(|image| filter.all || image.references.is_empty())
        .filter(|image| filter.until.is_none_or(|until| image.created < until))
        .map(|image| image.id.clone())
        .collect()
}
