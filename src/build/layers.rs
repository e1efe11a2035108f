//! What the builder needs of an image store.

use std::{fmt, path::PathBuf};

use crate::model::{Digest, ImageRecord};

/// The image store as the builder sees it.
pub trait Layers: Sync {
    /// Finds an image by reference, without asking a registry.
    fn find(&self, reference: &str, platform: &str) -> Result<Option<ImageRecord>, LayersError>;

    /// Fetches an image from its registry, or confirms that the store's one is current.
    fn pull(&self, reference: &str, platform: &str) -> Result<ImageRecord, LayersError>;

    /// Returns the whole config document of an image, unknown fields included.
    fn config(&self, image: &ImageRecord) -> Result<serde_json::Value, LayersError>;

    /// Returns the directory of a layer that was committed before; `None` when it is gone.
    fn layer(&self, diff_id: &Digest) -> Result<Option<PathBuf>, LayersError>;

    /// Makes a layer of an overlay upper directory, which is moved into the store.
    fn commit_layer(&self, upper: &std::path::Path) -> Result<Layer, LayersError>;

    /// Makes an image of a config document and layers, and tags it.
    fn commit_image(
        &self,
        config: &serde_json::Value,
        diff_ids: &[Digest],
        tags: &[String],
    ) -> Result<ImageRecord, LayersError>;
}

/// A layer of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Digest of its canonical tar stream.
    pub diff_id: Digest,
    /// Overlay-ready directory; `None` = it comes from a cache, and who reads it waits for it.
    pub path: Option<PathBuf>,
}

/// The store could not do it.
#[derive(Debug)]
pub struct LayersError(pub Box<dyn std::error::Error + Send + Sync>);

impl LayersError {
    /// Wraps an error of a store.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for LayersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for LayersError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
