//! `stack image inspect`: one JSON array with the field names that docker has.

use clap::Args;
use serde_json::{Map, Value, json};

use super::super::images::familiar;
use crate::{
    cli::{failure::Failure, session::Session},
    model::ImageDetails,
    observe,
    ui::template::Format,
};

/// Show everything about images, as JSON
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Names, ids or beginnings of ids
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// json or a template
    #[arg(short, long, default_value = "json-array", hide_default_value = true)]
    format: Format,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let mut objects = Vec::new();
    let mut first_failure = None;
    for name in &arguments.images {
        match observe::image(&session.settings.root, name) {
            Ok(details) => objects.push(object(&details)),
            Err(error) => {
                let failure = Failure::error(&error);
                match first_failure {
                    None => first_failure = Some(failure),
                    Some(_) => drop(failure.report(session.ui)),
                }
            }
        }
    }
    // What was found is shown even when something else was not.
    let format = match &arguments.format {
        Format::Json | Format::Table => &Format::JsonArray,
        format => format,
    };
    let text = format
        .render(&objects, || crate::ui::table::Table::new([""; 0]))
        .map_err(|error| Failure::Usage(error.to_string()))?;
    session.ui.data(text)?;
    first_failure.map_or(Ok(()), Err)
}

fn object(details: &ImageDetails) -> Value {
    let summary = &details.summary;
    let document = &details.document;
    let text = |key: &str| document[key].as_str().unwrap_or_default();
    let tags: Vec<String> = summary
        .references
        .iter()
        .filter(|name| !name.contains('@'))
        .map(|name| familiar(name))
        .collect();
    let digests: Vec<String> = summary
        .repo_digests
        .iter()
        .map(|name| familiar(name))
        .collect();
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| drop(object.insert(key.to_owned(), value));
    put("Id", summary.id.as_str().into());
    put("RepoTags", tags.into());
    put("RepoDigests", digests.into());
    put("Comment", last_comment(document).into());
    put("Created", document["created"].clone());
    put("Author", text("author").into());
    put("Config", document["config"].clone());
    put("Architecture", text("architecture").into());
    if let Some(variant) = document["variant"].as_str().filter(|text| !text.is_empty()) {
        put("Variant", variant.into());
    }
    put("Os", text("os").into());
    put("Size", summary.size_bytes.into());
    put("VirtualSize", summary.size_bytes.into());
    let directories: Vec<String> = details
        .directories
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    put(
        "GraphDriver",
        json!({"Name": "overlayfs", "Data": {"LowerDir": directories.join(":")}}),
    );
    let layers: Vec<&str> = details.layers.iter().map(|(id, _)| id.as_str()).collect();
    put("RootFS", json!({"Type": "layers", "Layers": layers}));
    put(
        "Metadata",
        json!({"LastTagTime": super::history::time(summary.fetched)}),
    );
    if let Some(manifest) = &details.manifest {
        put("Descriptor", json!({"digest": manifest}));
    }
    Value::Object(object)
}

fn last_comment(document: &Value) -> &str {
    let history = document["history"].as_array();
    history
        .and_then(|lines| lines.last()?["comment"].as_str())
        .unwrap_or_default()
}
