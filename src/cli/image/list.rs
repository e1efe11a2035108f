//! `stack image ls`.

use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};

use crate::{
    cli::{
        failure::Failure,
        images::{Name, created, familiar},
        session::Session,
    },
    model::{ImageSummary, Timestamp},
    observe,
    ui::{human, lines, table::Table, template::Format},
};

/// List the images of the store
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Only of this repository, or of this name; `*` stands for anything but `/`
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
    /// Accepted: every image is shown anyway, there are no intermediate ones
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// `dangling=true|false`, `reference=PATTERN`, `label=KEY[=VALUE]`, `before=IMAGE`, `since=IMAGE`, `until=TIME`
    #[arg(short, long = "filter", value_name = "FILTER")]
    filters: Vec<Filter>,
    /// table, json or a template
    #[arg(long, default_value = "table", hide_default_value = true)]
    format: Format,
    /// Whole ids
    #[arg(long)]
    no_trunc: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
}

/// One condition of `--filter`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    Dangling(bool),
    Reference(String),
    Label(String),
    Before(String),
    Since(String),
    Until(Timestamp),
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text
            .split_once('=')
            .ok_or("a filter has the form KEY=VALUE")?;
        let owned = value.to_owned();
        Ok(match key {
            "dangling" => Self::Dangling(match value {
                "true" | "1" => true,
                "false" | "0" => false,
                _ => return Err(format!("`{value}` is neither true nor false")),
            }),
            "reference" => Self::Reference(owned),
            "label" => Self::Label(owned),
            "before" => Self::Before(owned),
            "since" => Self::Since(owned),
            "until" => Self::Until(super::prune::until(value)?),
            other => {
                return Err(format!(
                    "no filter `{other}`: there are dangling, reference, label, before, since and until"
                ));
            }
        })
    }
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let mut images = all(session)?;
    let mut patterns: Vec<&str> = arguments.name.as_deref().into_iter().collect();
    let mut dangling = None;
    for filter in &arguments.filters {
        match filter {
            Filter::Dangling(wanted) => dangling = Some(*wanted),
            Filter::Reference(pattern) => patterns.push(pattern),
            Filter::Until(time) => images.retain(|image| image.created < *time),
            Filter::Before(name) => {
                let than = created_of(session, name)?;
                images.retain(|image| image.created < than);
            }
            Filter::Since(name) => {
                let than = created_of(session, name)?;
                images.retain(|image| image.created > than);
            }
            Filter::Label(label) => {
                let mut kept = Vec::new();
                for image in images {
                    if has_label(session, &image, label)? {
                        kept.push(image);
                    }
                }
                images = kept;
            }
        }
    }
    if let Some(wanted) = dangling {
        images.retain(|image| image.references.is_empty() == wanted);
    }
    let mut rows = rows(&images);
    rows.retain(|row| patterns.iter().all(|pattern| row.is_like(pattern)));
    print(session, arguments, &rows)
}

/// `stack images` where there is no project: the images of the store, as docker shows them.
pub(in crate::cli) fn outside_of_projects(
    session: &Session<'_>,
    format: &Format,
    quiet: bool,
) -> Result<(), Failure> {
    let arguments = Arguments {
        name: None,
        all: false,
        digests: false,
        filters: Vec::new(),
        format: format.clone(),
        no_trunc: false,
        quiet,
    };
    run(session, &arguments)
}

fn all(session: &Session<'_>) -> Result<Vec<ImageSummary>, Failure> {
    let mut images =
        observe::images(&session.settings.root).map_err(|error| Failure::error(&error))?;
    images.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
    Ok(images)
}

fn created_of(session: &Session<'_>, name: &str) -> Result<Timestamp, Failure> {
    let details =
        observe::image(&session.settings.root, name).map_err(|error| Failure::error(&error))?;
    Ok(details.summary.created)
}

fn has_label(session: &Session<'_>, image: &ImageSummary, label: &str) -> Result<bool, Failure> {
    let details = observe::image(&session.settings.root, image.id.as_str())
        .map_err(|error| Failure::error(&error))?;
    let labels = &details.document["config"]["Labels"];
    Ok(match label.split_once('=') {
        Some((key, value)) => labels[key].as_str() == Some(value),
        None => labels.get(label).is_some(),
    })
}

/// A line: an image by one of its names.
struct Row<'a> {
    image: &'a ImageSummary,
    /// `None` for an image without a name.
    name: Option<Name>,
    digest: Option<&'a str>,
}

impl Row<'_> {
    fn is_like(&self, pattern: &str) -> bool {
        self.name.as_ref().is_some_and(|name| {
            let whole = format!("{}:{}", name.repository, name.tag);
            matches(pattern, &name.repository)
                || matches(pattern, &whole)
                || matches(pattern, &format!("docker.io/library/{whole}"))
                || matches(pattern, &format!("docker.io/{whole}"))
        })
    }

    fn repository(&self) -> &str {
        self.name.as_ref().map_or("<none>", |name| &name.repository)
    }

    fn tag(&self) -> &str {
        self.name.as_ref().map_or("<none>", |name| &name.tag)
    }
}

fn rows(images: &[ImageSummary]) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for image in images {
        if image.references.is_empty() {
            rows.push(Row {
                image,
                name: None,
                digest: None,
            });
        }
        for reference in &image.references {
            let name = Name::parse(reference);
            let digest = image.repo_digests.iter().find_map(|digest| {
                let (repository, digest) = digest.split_once('@')?;
                (familiar(repository) == name.repository).then_some(digest)
            });
            rows.push(Row {
                image,
                name: Some(name),
                digest,
            });
        }
    }
    rows
}

fn print(session: &Session<'_>, arguments: &Arguments, rows: &[Row<'_>]) -> Result<(), Failure> {
    let id = |row: &Row<'_>| {
        if arguments.no_trunc {
            row.image.id.to_string()
        } else {
            row.image.id.short().to_owned()
        }
    };
    if arguments.quiet {
        let mut ids: Vec<String> = rows.iter().map(id).collect();
        ids.dedup();
        return Ok(session.ui.data(lines(ids))?);
    }
    let objects: Vec<Value> = rows.iter().map(|row| object(row, &id(row))).collect();
    let table = || {
        let mut titles = vec!["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"];
        if !arguments.digests {
            titles.remove(2);
        }
        let mut table = Table::new(titles);
        for row in rows {
            let mut cells = vec![
                row.repository().to_owned(),
                row.tag().to_owned(),
                row.digest.unwrap_or("<none>").to_owned(),
                id(row),
                created(row.image),
                human::size(row.image.size_bytes),
            ];
            if !arguments.digests {
                cells.remove(2);
            }
            table.row(cells);
        }
        table
    };
    let text = arguments
        .format
        .render(&objects, table)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(session.ui.data(text)?)
}

fn object(row: &Row<'_>, id: &str) -> Value {
    json!({
        "ID": id,
        "Repository": row.repository(),
        "Tag": row.tag(),
        "Digest": row.digest.unwrap_or("<none>"),
        "CreatedSince": created(row.image),
        "CreatedAt": super::history::time(row.image.created),
        "Size": human::size(row.image.size_bytes),
        "SizeBytes": row.image.size_bytes,
    })
}

/// Matches a name as docker's reference filter does: `*` and `?` stay within one component.
fn matches(pattern: &str, text: &str) -> bool {
    fn matching(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (Some(b'*'), _) => {
                matching(&pattern[1..], text)
                    || text
                        .first()
                        .is_some_and(|byte| *byte != b'/' && matching(pattern, &text[1..]))
            }
            (Some(b'?'), Some(byte)) if *byte != b'/' => matching(&pattern[1..], &text[1..]),
            (Some(a), Some(b)) if a == b => matching(&pattern[1..], &text[1..]),
            _ => false,
        }
    }
    matching(pattern.as_bytes(), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_within_a_component() {
        for (pattern, text, expected) in [
            ("redis", "redis", true),
            ("redis", "redis:7", false),
            ("red*:7", "redis:7", true),
            ("*", "grafana/loki", false),
            ("*/*", "grafana/loki", true),
            ("r?dis", "redis", true),
            ("**", "a", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn filters_are_checked_where_they_are_read() {
        assert_eq!("dangling=true".parse(), Ok(Filter::Dangling(true)));
        assert_eq!("label=a=b".parse(), Ok(Filter::Label("a=b".into())));
        for wrong in ["dangling", "dangling=maybe", "color=red", "until=never"] {
            assert!(wrong.parse::<Filter>().is_err(), "{wrong}");
        }
    }
}
