//! `stack ls`: the projects of this machine.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use super::{failure::Failure, session::Session};
use crate::{
    model::ObservedContainer,
    observe,
    ui::{lines, table::Table, template::Format},
};

/// List the projects of this machine
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Also projects of which nothing runs
    #[arg(short, long)]
    all: bool,
    /// Only projects with this in their name (name=TEXT)
    #[arg(long, value_parser = filter)]
    filter: Option<String>,
    /// table, json or a template
    #[arg(long, default_value = "table", hide_default_value = true)]
    format: Format,
    /// Only names
    #[arg(short, long)]
    quiet: bool,
}

fn filter(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some(("name", name)) => Ok(name.to_owned()),
        _ => Err("it has the form name=TEXT".into()),
    }
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for (name, containers) in
        observe::projects(&session.settings.root).map_err(|error| Failure::error(&error))?
    {
        let runs = containers.iter().any(|container| container.state.is_live());
        let is_named = arguments
            .filter
            .as_ref()
            .is_none_or(|text| name.as_str().contains(text.as_str()));
        if is_named && (arguments.all || runs) {
            rows.push([name.to_string(), status(&containers), files(&containers)]);
        }
    }
    let text = if arguments.quiet {
        lines(rows.iter().map(|[name, ..]| name))
    } else {
        // docker prints one array here, not one object a line.
        let format = match &arguments.format {
            Format::Json => &Format::JsonArray,
            format => format,
        };
        let objects: Vec<Value> = rows
            .iter()
            .map(|[name, status, files]| {
                json!({ "Name": name, "Status": status, "ConfigFiles": files })
            })
            .collect();
        let table = || {
            let mut table = Table::new(["NAME", "STATUS", "CONFIG FILES"]);
            for row in &rows {
                table.row(row.clone());
            }
            table
        };
        format
            .render(&objects, table)
            .map_err(|error| Failure::Usage(error.to_string()))?
    };
    Ok(session.ui.data(text)?)
}

/// `running(2), exited(1)`.
fn status(containers: &[ObservedContainer]) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for container in containers {
        *counts
            .entry(super::ps::state_word(&container.state))
            .or_default() += 1;
    }
    let mut parts: Vec<(&str, usize)> = counts.into_iter().collect();
    parts.sort_by_key(|(word, _)| *word != "running");
    parts
        .iter()
        .map(|(word, count)| format!("{word}({count})"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn files(containers: &[ObservedContainer]) -> String {
    containers
        .iter()
        .find_map(|container| {
            container
                .record
                .labels
                .get("com.docker.compose.project.config_files")
        })
        .cloned()
        .unwrap_or_default()
}
