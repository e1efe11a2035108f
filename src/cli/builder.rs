//! `stack builder …`: what the build cache takes of the disk, and removing it.

use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{clock, failure::Failure, removal, session::Session, values};
use crate::{
    model::{BuildCacheEntry, BuildCacheKind, BuildCachePrune},
    observe,
    protocol::Request,
    ui::{human, progress::ProgressOptions, table::Table, template::Format},
};

/// Widest description in the table, in characters.
const DESCRIPTION_MAX: usize = 60;

/// The build cache
#[derive(Debug, Subcommand)]
pub(super) enum BuilderCommand {
    /// Show what the build cache holds
    Du {
        /// Everything of each entry
        #[arg(short, long)]
        verbose: bool,
        /// table, json or a template
        #[arg(long, default_value = "table", hide_default_value = true)]
        format: Format,
    },
    /// Remove what no image shares
    Prune {
        /// Also what images share, and the indexes of contexts
        #[arg(short, long)]
        all: bool,
        /// Remove the least recently used until this much is left (512MB, 10g)
        #[arg(long, value_name = "SIZE", value_parser = size, alias = "max-used-space")]
        keep_storage: Option<u64>,
        /// until=DURATION (not used for so long), type=regular|exec.cachemount|source.local, id=ID
        #[arg(long = "filter", value_name = "NAME=VALUE", value_parser = filter)]
        filters: Vec<Filter>,
        /// Do not ask
        #[arg(short, long)]
        force: bool,
    },
}

/// One `--filter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    Unused(Duration),
    Kind(BuildCacheKind),
    Id(String),
}

pub(super) fn run(session: &Session<'_>, command: &BuilderCommand) -> Result<(), Failure> {
    match command {
        BuilderCommand::Du { verbose, format } => du(session, *verbose, format),
        BuilderCommand::Prune {
            all,
            keep_storage,
            filters,
            force,
        } => {
            session.refuse_dry_run("builder prune")?;
            let options = options(*all, *keep_storage, filters);
            prune(session, options, *force)
        }
    }
}

fn du(session: &Session<'_>, verbose: bool, format: &Format) -> Result<(), Failure> {
    let entries = entries(session)?;
    let objects: Vec<Value> = entries.iter().map(object).collect();
    let mut text = format
        .render(&objects, || table(&entries, verbose))
        .map_err(|error| Failure::Usage(error.to_string()))?;
    if let Format::Table = format {
        let (size, reclaimable) = observe::build_cache_sizes(&entries);
        let (size, reclaimable) = (human::size(size), human::size(reclaimable));
        text += &[
            "\nReclaimable:  ",
            &reclaimable,
            "\nTotal:        ",
            &size,
            "\n",
        ]
        .concat();
    }
    Ok(session.ui.data(text)?)
}

fn prune(session: &Session<'_>, options: BuildCachePrune, force: bool) -> Result<(), Failure> {
    let what = if options.all {
        "all of the build cache"
    } else {
        "the build cache that no image shares"
    };
    let told = format!("This removes {what}.");
    removal::confirm(session, &[told], ("--force", force))?;
    let request = Request::BuilderPrune(options);
    let outcome = session.call(&request, ProgressOptions::default(), None)?;
    let mut text = String::new();
    let mut freed = 0;
    for line in &outcome.names {
        let (id, bytes) = line.split_once(' ').unwrap_or((line, "0"));
        let bytes: u64 = bytes.parse().unwrap_or(0);
        freed += bytes;
        text += &[id, "  ", &human::size(bytes), "\n"].concat();
    }
    text += &["Total:  ", &human::size(freed), "\n"].concat();
    Ok(session.ui.data(text)?)
}

fn entries(session: &Session<'_>) -> Result<Vec<BuildCacheEntry>, Failure> {
    let mut entries = observe::build_cache(&session.settings.root)
        .map_err(|error| Failure::intent("read the build cache", &error))?;
    entries.sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then(a.id.cmp(&b.id)));
    Ok(entries)
}

fn table(entries: &[BuildCacheEntry], verbose: bool) -> Table {
    let mut table = if verbose {
        Table::new([
            "ID",
            "TYPE",
            "SIZE",
            "SHARED",
            "CREATED",
            "LAST USED",
            "DESCRIPTION",
        ])
    } else {
        Table::new(["ID", "RECLAIMABLE", "SIZE", "LAST USED"])
    };
    for entry in entries {
        let size = human::size(entry.size_bytes);
        if verbose {
            table.row([
                entry.id.clone(),
                entry.kind.word().to_owned(),
                size,
                entry.shared.to_string(),
                clock::ago(entry.created),
                clock::ago(entry.used),
                shorten(&entry.description),
            ]);
        } else {
            table.row([
                entry.id.clone(),
                (!entry.shared).to_string(),
                size,
                clock::ago(entry.used),
            ]);
        }
    }
    table
}

fn object(entry: &BuildCacheEntry) -> Value {
    json!({
        "ID": entry.id,
        "Type": entry.kind.word(),
        "Description": entry.description,
        "Size": human::size(entry.size_bytes),
        "SizeBytes": entry.size_bytes,
        "Shared": entry.shared,
        "Reclaimable": !entry.shared,
        "CreatedAt": entry.created.0,
        "LastUsedAt": entry.used.0,
    })
}

fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= DESCRIPTION_MAX {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(DESCRIPTION_MAX).collect();
    short.push('…');
    short
}

fn options(all: bool, keep_bytes: Option<u64>, filters: &[Filter]) -> BuildCachePrune {
    let mut options = BuildCachePrune {
        all,
        keep_bytes,
        ..BuildCachePrune::default()
    };
    for filter in filters {
        match filter {
            Filter::Unused(age) => {
                options.unused_ms = u64::try_from(age.as_millis()).ok();
            }
            Filter::Kind(kind) => options.kinds.push(*kind),
            Filter::Id(id) => options.ids.push(id.clone()),
        }
    }
    options
}

fn filter(text: &str) -> Result<Filter, String> {
    let known = "it can be until=DURATION, type=KIND or id=ID";
    let (name, value) = text.split_once('=').ok_or(known)?;
    match name {
        "until" | "unused-for" => values::duration(value)
            .map(Filter::Unused)
            .ok_or_else(|| format!("`{value}` is not a duration like 24h")),
        "type" => BuildCacheKind::ALL
            .into_iter()
            .find(|kind| kind.word() == value)
            .map(Filter::Kind)
            .ok_or_else(|| {
                let words = BuildCacheKind::ALL.map(BuildCacheKind::word).join(", ");
                format!("unknown type `{value}`; it can be {words}")
            }),
        "id" if !value.is_empty() => Ok(Filter::Id(value.to_owned())),
        _ => Err(known.to_owned()),
    }
}

/// Reads a size with a unit of 1024, as Docker does: `512MB`, `10g`, `1.5GiB`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the range is checked, and a byte more or less does not matter"
)]
fn size(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_lowercase();
    let end = lower
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let shift = match unit.trim().trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err("it can be a number with a unit, like 512MB or 10g".to_owned()),
    };
    let number: f64 = number
        .parse()
        .map_err(|_error| "it can be a number with a unit, like 512MB or 10g".to_owned())?;
    let bytes = number * (1_u64 << shift) as f64;
    if bytes.is_finite() && bytes >= 0.0 && bytes < 2_f64.powi(63) {
        return Ok(bytes as u64);
    }
    Err("it is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("512MB", 512 << 20),
            ("10g", 10 << 30),
            ("1.5GiB", 3 << 29),
            ("2kb", 2048),
            ("7b", 7),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "x", "1x", "-1", "1e400g", "99999999999t"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn filters_are_words_of_docker() {
        let hour = Duration::from_secs(3600);
        assert_eq!(filter("until=1h"), Ok(Filter::Unused(hour)));
        let kind = Filter::Kind(BuildCacheKind::Mount);
        assert_eq!(filter("type=exec.cachemount"), Ok(kind));
        assert_eq!(filter("id=ab"), Ok(Filter::Id("ab".into())));
        for text in ["until", "until=x", "type=x", "id=", "label=x"] {
            assert!(filter(text).is_err(), "{text}");
        }
    }
}
