//! `stack search`: finds images at a registry that can be searched.

use clap::Args;
use serde_json::{Value, json};

use super::{failure::Failure, session::Session};
use crate::{
    protocol::{Found, Request, SearchRequest},
    ui::{progress::ProgressOptions, table::Table, template::Format},
};

/// Longest description in the table, in characters.
const DESCRIPTION_WIDTH: usize = 45;

/// Search Docker Hub, or the catalog of another registry
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to look for; `registry.example:5000/TERM` looks there
    #[arg(value_name = "TERM")]
    term: String,
    /// Most results
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// Show whole descriptions
    #[arg(long)]
    no_trunc: bool,
    /// table, json or a template
    #[arg(long, default_value = "table", hide_default_value = true)]
    format: Format,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let request = Request::Search(SearchRequest {
        term: arguments.term.clone(),
        limit: arguments.limit,
    });
    let found = session
        .call(&request, ProgressOptions::default(), None)?
        .found;
    let objects: Vec<Value> = found.iter().map(object).collect();
    let text = arguments
        .format
        .render(&objects, || table(&found, arguments.no_trunc))
        .map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(session.ui.data(text)?)
}

fn object(found: &Found) -> Value {
    json!({
        "Name": found.name,
        "Description": found.description,
        "StarCount": found.stars,
        "IsOfficial": found.official,
    })
}

fn table(found: &[Found], whole: bool) -> Table {
    let mut table = Table::new(["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]);
    for found in found {
        table.row([
            found.name.clone(),
            shortened(&found.description, whole),
            found
                .stars
                .map(|stars| stars.to_string())
                .unwrap_or_default(),
            if found.official { "[OK]" } else { "" }.to_owned(),
        ]);
    }
    table
}

fn shortened(text: &str, whole: bool) -> String {
    if whole || text.chars().count() <= DESCRIPTION_WIDTH {
        return text.to_owned();
    }
    let short: String = text.chars().take(DESCRIPTION_WIDTH - 1).collect();
    format!("{short}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_a_table() {
        let found = [
            Found {
                name: "redis".into(),
                description: "Redis is the world's fastest data platform for caching".into(),
                stars: Some(13_000),
                official: true,
            },
            Found {
                name: "lan:5000/redis".into(),
                ..Found::default()
            },
        ];
        insta::assert_snapshot!(table(&found, false).render(), @"
            NAME             DESCRIPTION                                     STARS     OFFICIAL
            redis            Redis is the world's fastest data platform f…   13000     [OK]
            lan:5000/redis
        ");
    }
}
