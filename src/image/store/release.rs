//! Layers that only the build cache needed.

use std::collections::BTreeSet;

use super::{ImageError, ImageStore};
use crate::model::Digest;

impl ImageStore {
    /// Returns the diff ids of all layers of all images.
    pub fn image_layers(&self) -> Result<BTreeSet<Digest>, ImageError> {
        let index = self.index()?;
        let images = index.images.into_values();
        Ok(images.flat_map(|image| image.diff_ids).collect())
    }

    /// Removes layers that neither an image has nor, of `cached`, the build cache. While a build or pull uses the store they stay, and go with the next sweep.
    pub fn release_layers(&self, layers: &[Digest], cached: &[Digest]) -> Result<(), ImageError> {
        let lock = self.lock_index()?;
        let mut index = self.index()?;
        let names = layers.iter().map(|layer| layer.hex().to_owned());
        index
            .orphans
            .extend(names.filter(|name| self.layers().join(name).exists()));
        index.write(&self.index_path())?;
        let trash = self.sweep(&mut index, cached)?;
        drop(lock);
        // The slow part: unlinking what was put aside.
        drop(trash);
        Ok(())
    }
}
