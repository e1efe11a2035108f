//! `index.json` of an OCI image layout, and the manifests behind it.

use std::collections::BTreeSet;

use super::{Found, Load, LoadError, blob_file};
use crate::{
    image::{
        manifest::{self, Descriptor, Document, Manifest},
        platform::{self, Platform},
        reference::Reference,
    },
    model::Digest,
};

/// Indexes that may point to indexes.
const INDEX_DEPTH_MAX: usize = 3;

pub(super) fn images(load: &Load<'_>) -> Result<Vec<Found>, LoadError> {
    let bytes = load.read("index.json")?;
    let Document::Index(entries) = manifest::parse(&bytes, None)? else {
        return Err(LoadError::Unknown(std::path::PathBuf::new()));
    };
    let host = Platform::host();
    let runs = |entry: &&Descriptor| {
        !entry.is_attestation()
            && entry
                .platform
                .as_ref()
                .is_none_or(|platform| host.accepts(&platform.normal()))
    };
    let mut images = Vec::new();
    let mut offered = platform::offered(&entries);
    for entry in entries.iter().filter(runs) {
        images.extend(image(load, entry, &mut offered)?);
    }
    if images.is_empty() {
        return Err(LoadError::NoPlatform {
            wanted: host.to_string(),
            offered,
        });
    }
    Ok(images)
}

/// Follows an entry of `index.json`; `None` when nothing behind it runs here.
fn image(
    load: &Load<'_>,
    entry: &Descriptor,
    offered: &mut Vec<String>,
) -> Result<Option<Found>, LoadError> {
    let host = Platform::host();
    let mut digest = entry.digest.clone();
    let mut blobs = BTreeSet::new();
    for _depth in 0..INDEX_DEPTH_MAX {
        let bytes = load.read_blob(&digest)?;
        load.store.write_blob(&bytes)?;
        blobs.insert(digest.clone());
        match manifest::parse(&bytes, None)? {
            Document::Image(manifest) => {
                return found(load, entry, digest, *manifest, blobs).map(Some);
            }
            Document::Index(entries) => {
                let Some(chosen) = platform::select(&entries, &host) else {
                    offered.extend(platform::offered(&entries));
                    return Ok(None);
                };
                digest = chosen.digest.clone();
            }
        }
    }
    Ok(None)
}

fn found(
    load: &Load<'_>,
    entry: &Descriptor,
    digest: Digest,
    manifest: Manifest,
    blobs: BTreeSet<Digest>,
) -> Result<Found, LoadError> {
    Ok(Found {
        config: load.read_blob(&manifest.config.digest)?,
        manifest: Some(digest),
        named: Some(entry.digest.clone()),
        blobs,
        layers: manifest
            .layers
            .into_iter()
            .map(|layer| (blob_file(&layer.digest), Some(layer.digest)))
            .collect(),
        references: name(entry)?.into_iter().collect(),
        tag: entry
            .annotation("org.opencontainers.image.ref.name")
            .map(str::to_owned),
    })
}

/// Finds the name of an image: containerd's annotation, or OCI's where it is more than a tag.
fn name(entry: &Descriptor) -> Result<Option<String>, LoadError> {
    let full = entry.annotation("io.containerd.image.name");
    let short = entry.annotation("org.opencontainers.image.ref.name");
    // `latest` alone may be a tag or a repository: the specification allows both, so it names nothing.
    let text = full.or_else(|| short.filter(|text| text.contains([':', '/'])));
    match text {
        Some(text) => Ok(Some(text.parse::<Reference>()?.to_string())),
        None => Ok(None),
    }
}
