//! [`Layers`] of the image store.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::layers::{Layer, Layers, LayersError};
use crate::{
    image::{ImageError, ImageStore, Lease, Platform},
    model::{Digest, ImageRecord},
};

/// Fetches an image by reference and platform (`os/architecture[/variant]`). Blocks.
pub type Pull<'a> = &'a (dyn Fn(&str, &str) -> Result<ImageRecord, LayersError> + Sync);

/// The image store for one build: nothing that the build uses is swept while this lives.
pub struct StoreLayers<'a> {
    store: &'a ImageStore,
    pull: Pull<'a>,
    _lease: Lease,
}

impl std::fmt::Debug for StoreLayers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreLayers")
            .field("store", self.store)
            .finish_non_exhaustive()
    }
}

impl<'a> StoreLayers<'a> {
    /// Takes a lease on the store.
    pub fn open(store: &'a ImageStore, pull: Pull<'a>) -> Result<Self, ImageError> {
        Ok(Self {
            store,
            pull,
            _lease: store.lease()?,
        })
    }
}

impl StoreLayers<'_> {
    /// Returns the image of a config when all names are already its own.
    fn known(
        &self,
        config: &serde_json::Value,
        tags: &[String],
    ) -> Result<Option<ImageRecord>, LayersError> {
        let id = Digest::from_sha256(&Sha256::digest(config.to_string()).into());
        let mut known = None;
        for tag in tags {
            match self.store.find(tag).map_err(LayersError::new)? {
                Some(record) if record.id == id => known = Some(record),
                _ => return Ok(None),
            }
        }
        Ok(known)
    }
}

impl Layers for StoreLayers<'_> {
    fn find(&self, reference: &str, platform: &str) -> Result<Option<ImageRecord>, LayersError> {
        let found = self.store.find(reference).map_err(LayersError::new)?;
        let wanted: Platform = platform.parse().map_err(LayersError::new)?;
        // An image for another platform is not the one that was asked for.
        Ok(found.filter(|record| {
            let offered = record.platform.parse::<Platform>();
            offered.is_ok_and(|offered| wanted.accepts(&offered))
        }))
    }

    fn pull(&self, reference: &str, platform: &str) -> Result<ImageRecord, LayersError> {
        (self.pull)(reference, platform)
    }

    fn config(&self, image: &ImageRecord) -> Result<serde_json::Value, LayersError> {
        self.store.config_json(&image.id).map_err(LayersError::new)
    }

    fn layer(&self, diff_id: &Digest) -> Result<Option<PathBuf>, LayersError> {
        Ok(self.store.layer(diff_id).map(|layer| layer.path))
    }

    fn commit_layer(&self, upper: &Path) -> Result<Layer, LayersError> {
        let layer = self.store.commit_layer(upper).map_err(LayersError::new)?;
        Ok(Layer {
            diff_id: layer.diff_id,
            path: Some(layer.path),
        })
    }

    fn commit_image(
        &self,
        config: &serde_json::Value,
        diff_ids: &[Digest],
        tags: &[String],
    ) -> Result<ImageRecord, LayersError> {
        // A build from the cache makes the image that its names already have: nothing has to be written then.
        if let Some(record) = self.known(config, tags)? {
            return Ok(record);
        }
        self.store
            .commit_image(config, diff_ids, tags)
            .map_err(LayersError::new)
    }
}
