//! The step that makes an image visible: its blobs and layers are durable, now the index names it.

use std::collections::{BTreeSet, HashMap};

use super::{
    ImageError, ImageStore, Staged, Workspace,
    index::{ImageEntry, ReferenceEntry},
    now,
};
use crate::{
    image::{
        config::{self, ParsedConfig},
        manifest::LAYERS_MAX,
    },
    model::{Digest, ImageRecord},
};

/// An image whose layers are in the store.
#[derive(Debug)]
pub(crate) struct NewImage {
    /// Its config, byte for byte.
    pub(crate) config: Vec<u8>,
    /// Digest of its manifest.
    pub(crate) manifest: Option<Digest>,
    /// What the registry called the reference: the index or manifest.
    pub(crate) digest: Option<Digest>,
    /// Manifests and compressed layers in `blobs/` that belong to it.
    pub(crate) blobs: BTreeSet<Digest>,
    /// Full references that name it from now on.
    pub(crate) references: Vec<String>,
    /// `registry/repository` that has its blobs.
    pub(crate) origin: Option<String>,
}

impl ImageStore {
    /// Records an image and its names.
    pub(crate) fn add_image(
        &self,
        workspace: &Workspace,
        image: NewImage,
        pending: HashMap<Digest, Staged>,
    ) -> Result<ImageRecord, ImageError> {
        let id = self.write_blob(&image.config)?;
        let ParsedConfig {
            platform,
            diff_ids,
            created,
            ..
        } = config::parse(&image.config).map_err(|source| ImageError::Config {
            id: id.clone(),
            source,
        })?;
        let stack = self.stack(workspace, &diff_ids, pending)?;
        let shown = stack.names.len() - stack.hidden;
        if shown > LAYERS_MAX {
            return Err(ImageError::TooManyLayers {
                name: image
                    .references
                    .first()
                    .cloned()
                    .unwrap_or_else(|| id.to_string()),
                count: shown,
                most: LAYERS_MAX,
            });
        }
        let _lock = self.lock_index()?;
        let mut index = self.index()?;
        let mut blobs = image.blobs;
        blobs.insert(id.clone());
        let mut origins = BTreeSet::from_iter(image.origin);
        if let Some(known) = index.images.get(&id) {
            blobs.extend(known.blobs.iter().cloned());
            origins.extend(known.origins.iter().cloned());
        }
        for name in &stack.names {
            index.orphans.remove(name);
        }
        let entry = ImageEntry {
            manifest: image.manifest,
            platform: platform.to_string(),
            layers: stack.names,
            hidden: stack.hidden,
            diff_ids,
            created,
            size_bytes: stack.bytes,
            fetched: now(),
            blobs,
            origins,
        };
        index.images.insert(id.clone(), entry.clone());
        for name in image.references {
            let named = ReferenceEntry {
                image: id.clone(),
                digest: image.digest.clone(),
                fetched: now(),
                platforms: Vec::new(),
            };
            index.references.insert(name, named);
        }
        index.write(&self.index_path())?;
        self.record(&id, &entry)?
            .ok_or_else(|| ImageError::NotFound(id.to_string()))
    }
}
