//! `stack image history`.

use clap::Args;
use serde_json::{Value, json};

use crate::{
    cli::{failure::Failure, session::Session},
    model::{ImageDetails, Timestamp},
    observe,
    ui::{human, lines, table::Table, template::Format},
};

/// Longest instruction of a table.
const COLUMN_MAX: usize = 45;

/// Show how an image was made, the last step first
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Name, id or beginning of an id
    #[arg(value_name = "IMAGE")]
    image: String,
    /// table, json or a template
    #[arg(long, default_value = "table", hide_default_value = true)]
    format: Format,
    /// Sizes and times for people
    #[arg(short = 'H', long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_default_value = true)]
    human: bool,
    /// Whole instructions and ids
    #[arg(long)]
    no_trunc: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let details = observe::image(&session.settings.root, &arguments.image)
        .map_err(|error| Failure::error(&error))?;
    let steps = steps(&details);
    let id = |step: &Step| match &step.id {
        Some(id) if arguments.no_trunc => id.clone(),
        Some(id) => id["sha256:".len()..].chars().take(12).collect(),
        None => "<missing>".to_owned(),
    };
    if arguments.quiet {
        return Ok(session.ui.data(lines(steps.iter().map(id)))?);
    }
    let created_by = |step: &Step| {
        let text = step.created_by.replace(['\n', '\t'], " ");
        if arguments.no_trunc || text.chars().count() <= COLUMN_MAX {
            return text;
        }
        let mut short: String = text.chars().take(COLUMN_MAX - 1).collect();
        short.push('…');
        short
    };
    let size = |step: &Step| {
        if arguments.human {
            human::size(step.bytes)
        } else {
            step.bytes.to_string()
        }
    };
    let created = |step: &Step| match step.created {
        Some(created) if arguments.human => crate::cli::clock::ago(created),
        Some(created) => time(created),
        None => "N/A".to_owned(),
    };
    let objects: Vec<Value> = steps
        .iter()
        .map(|step| {
            json!({
                "ID": id(step), "CreatedAt": step.created.map(time), "CreatedSince": created(step),
                "CreatedBy": created_by(step), "Size": size(step), "Comment": step.comment,
            })
        })
        .collect();
    let table = || {
        let mut table = Table::new(["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"]);
        for step in &steps {
            table.row([
                id(step),
                created(step),
                created_by(step),
                size(step),
                step.comment.clone(),
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

/// A line of history.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    /// The image, for its last step.
    id: Option<String>,
    created: Option<Timestamp>,
    created_by: String,
    bytes: u64,
    comment: String,
}

/// Brings history and layers together: every line that is not of an empty layer has the next layer.
fn steps(details: &ImageDetails) -> Vec<Step> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut layers = details.layers.iter();
    let mut steps: Vec<Step> = details.document["history"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|line| {
            let is_empty = line["empty_layer"].as_bool().unwrap_or(false);
            let layer = if is_empty { None } else { layers.next() };
            let created = line["created"].as_str();
            Step {
                id: None,
                created: created.and_then(parse_time),
                created_by: text(&line["created_by"]),
                bytes: layer.map_or(0, |(_, bytes)| *bytes),
                comment: text(&line["comment"]),
            }
        })
        .collect();
    // Images without history, or with less of it than layers, are seen.
    steps.extend(layers.map(|(_, bytes)| Step {
        id: None,
        created: None,
        created_by: String::new(),
        bytes: *bytes,
        comment: String::new(),
    }));
    steps.reverse();
    if let Some(last) = steps.first_mut() {
        last.id = Some(details.summary.id.to_string());
    }
    steps
}

fn parse_time(text: &str) -> Option<Timestamp> {
    let time = text.parse::<jiff::Timestamp>().ok()?.as_millisecond();
    u64::try_from(time).ok().map(Timestamp)
}

/// Writes a time as RFC 3339.
pub(in crate::cli) fn time(time: Timestamp) -> String {
    let millis = i64::try_from(time.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_string()
}
