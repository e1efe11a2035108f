//! `manifest.json`, as `docker save` writes it: `[{"Config": …, "RepoTags": […], "Layers": […]}]`.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{Found, Load, LoadError};
use crate::image::reference::Reference;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

pub(super) fn images(load: &Load<'_>) -> Result<Vec<Found>, LoadError> {
    let bytes = load.read("manifest.json")?;
    let items: Vec<Item> =
        serde_json::from_slice(&bytes).map_err(|source| LoadError::Malformed {
            file: "manifest.json".to_owned(),
            source,
        })?;
    items
        .into_iter()
        .map(|item| {
            let names = item.repo_tags.unwrap_or_default();
            let references = names
                .iter()
                .map(|name| {
                    name.parse::<Reference>()
                        .map(|reference| reference.to_string())
                })
                .collect::<Result<_, _>>()?;
            Ok(Found {
                config: load.read(&item.config)?,
                manifest: None,
                named: None,
                blobs: BTreeSet::new(),
                layers: item.layers.into_iter().map(|layer| (layer, None)).collect(),
                references,
                tag: None,
            })
        })
        .collect()
}
