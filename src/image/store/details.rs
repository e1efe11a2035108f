//! What people ask about images: everything of one, and what all take of the disk.

use std::collections::{BTreeMap, BTreeSet};

use fs_err as fs;

use super::{
    ImageError, ImageStore,
    index::{ImageEntry, Index},
    resolve,
};
use crate::{
    image::reference::Reference,
    model::{ImageDetails, ImageDisk, ImageId, ImageSummary, StoreDisk},
    store::Meter,
};

impl ImageStore {
    /// Returns everything that is known of an image; fails when it is not there.
    pub fn details(&self, reference_or_id: &str) -> Result<ImageDetails, ImageError> {
        let missing = || ImageError::NotFound(reference_or_id.to_owned());
        let index = self.index()?;
        let id = resolve(&index, reference_or_id)?.ok_or_else(missing)?;
        let entry = index.images.get(&id).ok_or_else(missing)?;
        let mut layers = Vec::new();
        for (diff_id, name) in entry.diff_ids.iter().zip(&entry.layers) {
            let bytes = self.meta(name)?.map_or(0, |meta| meta.bytes);
            layers.push((diff_id.clone(), bytes));
        }
        Ok(ImageDetails {
            summary: summary(&index, &id, entry),
            document: self.config_json(&id)?,
            manifest: entry.manifest.clone(),
            platform: entry.platform.clone(),
            layers,
            directories: self.mountable(&entry.layers, entry.hidden),
        })
    }

    /// Measures what the store takes of the disk. Walks every layer.
    pub fn disk_use(&self) -> Result<StoreDisk, ImageError> {
        let failed = ImageError::io("measure the image store");
        let index = self.index()?;
        // Layers share files where one was completed from another: the first one that is measured has them.
        let mut meter = Meter::default();
        let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
        for name in list(&self.layers())? {
            let bytes = meter.add(&self.layers().join(&name)).map_err(&failed)?;
            sizes.insert(name, bytes);
        }
        let blobs = self.blobs();
        for name in list(&blobs)? {
            let bytes = meter.add(&blobs.join(&name)).map_err(&failed)?;
            sizes.insert(format!("blob {name}"), bytes);
        }
        let mut users: BTreeMap<String, usize> = BTreeMap::new();
        let parts: Vec<BTreeSet<String>> = index
            .images
            .values()
            .map(|entry| {
                let blobs = entry
                    .blobs
                    .iter()
                    .map(|blob| format!("blob {}", blob.hex()));
                entry.layers.iter().cloned().chain(blobs).collect()
            })
            .collect();
        for part in parts.iter().flatten() {
            *users.entry(part.clone()).or_default() += 1;
        }
        let size = |part: &String| sizes.get(part).copied().unwrap_or(0);
        let images = index
            .images
            .iter()
            .zip(&parts)
            .map(|((id, entry), parts)| ImageDisk {
                summary: summary(&index, id, entry),
                bytes: parts.iter().map(size).sum(),
                shared_bytes: parts
                    .iter()
                    .filter(|part| users.get(*part).is_some_and(|count| *count > 1))
                    .map(size)
                    .sum(),
                parts: parts
                    .iter()
                    .map(|part| (part.clone(), size(part)))
                    .collect(),
            })
            .collect();
        Ok(StoreDisk {
            images,
            bytes: sizes.values().sum(),
            unnamed_bytes: sizes
                .iter()
                .filter(|(part, _)| !users.contains_key(*part))
                .map(|(_, bytes)| bytes)
                .sum(),
        })
    }
}

/// Says who an image is.
pub(super) fn summary(index: &Index, id: &ImageId, entry: &ImageEntry) -> ImageSummary {
    let named = (index.references.iter()).filter(|(_, named)| named.image == *id);
    let mut repo_digests: Vec<String> = named
        .filter_map(|(name, named)| {
            let reference = name.parse::<Reference>().ok()?;
            let digest = named.digest.as_ref().or_else(|| reference.digest())?;
            Some(format!("{}@{digest}", reference.name()))
        })
        .collect();
    repo_digests.sort();
    repo_digests.dedup();
    ImageSummary {
        id: id.clone(),
        references: index.references_of(id),
        created: entry.created,
        size_bytes: entry.size_bytes,
        fetched: entry.fetched,
        repo_digests,
    }
}

fn list(directory: &std::path::Path) -> Result<Vec<String>, ImageError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.map_err(ImageError::io("list the image store"))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(ImageError::io("list the image store"))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}
