//! `images.json`: which images there are and what names them.
//!
//! ```text
//! {"version": 1,
//!  "references": {"docker.io/library/redis:7": {"image": "sha256:…", "digest": "sha256:…", "fetched": 1700000000000}},
//!  "images": {"sha256:<config>": {"manifest": …, "platform": "linux/amd64", "layers": ["<hex>", "chain-<hex>"], …}},
//!  "orphans": ["<hex>"]}
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::ImageError;
use crate::{
    model::{Digest, ImageId, Timestamp},
    store::{read_json, write_json},
};

/// The schema version that this build writes.
const VERSION: u32 = 1;

/// The whole file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Index {
    version: u32,
    /// Full references.
    pub(super) references: BTreeMap<String, ReferenceEntry>,
    /// Images by id; one without a reference is dangling.
    pub(super) images: BTreeMap<ImageId, ImageEntry>,
    /// Layer directories that belonged to removed images and could not be removed yet.
    #[serde(default)]
    pub(super) orphans: BTreeSet<String>,
    /// Blobs that belonged to removed images and could not be removed yet.
    #[serde(default)]
    pub(super) orphan_blobs: BTreeSet<Digest>,
}

/// What a reference names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReferenceEntry {
    /// The image.
    pub(super) image: ImageId,
    /// What the registry called it: digest of the index or manifest behind the tag. Absent for built images.
    pub(super) digest: Option<Digest>,
    /// When it was last pulled, loaded, built or tagged.
    pub(super) fetched: Timestamp,
    /// Images of other platforms that were built together with this one: a push sends them all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) platforms: Vec<ImageId>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ImageEntry {
    /// Digest of its manifest, if it came with one.
    pub(super) manifest: Option<Digest>,
    /// Where it runs.
    pub(super) platform: String,
    /// Directories in `layers/`, the lowest first.
    pub(super) layers: Vec<String>,
    /// How many of the lowest are hidden by an opaque root above them, and need not be mounted.
    #[serde(default)]
    pub(super) hidden: usize,
    /// Diff ids, the lowest first.
    pub(super) diff_ids: Vec<Digest>,
    /// When it was made.
    pub(super) created: Timestamp,
    /// Unpacked size in bytes.
    pub(super) size_bytes: u64,
    /// When it was last pulled, loaded or built.
    pub(super) fetched: Timestamp,
    /// Everything in `blobs/` that belongs to it: index, manifest, config, compressed layers.
    pub(super) blobs: BTreeSet<Digest>,
    /// Repositories that have its blobs.
    #[serde(default)]
    pub(super) origins: BTreeSet<String>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            version: VERSION,
            references: BTreeMap::new(),
            images: BTreeMap::new(),
            orphans: BTreeSet::new(),
            orphan_blobs: BTreeSet::new(),
        }
    }
}

impl Index {
    /// Reads the file; absent = no images.
    pub(super) fn read(path: &Path) -> Result<Self, ImageError> {
        let index: Self = read_json(path)
            .map_err(ImageError::Record)?
            .unwrap_or_default();
        if index.version > VERSION {
            return Err(ImageError::Version {
                path: path.to_owned(),
                version: index.version,
            });
        }
        Ok(index)
    }

    /// Writes the file durably.
    pub(super) fn write(&self, path: &Path) -> Result<(), ImageError> {
        write_json(path, self).map_err(ImageError::Record)
    }

    /// Returns the references that name an image.
    pub(super) fn references_of(&self, id: &ImageId) -> Vec<String> {
        self.references
            .iter()
            .filter(|(_, entry)| entry.image == *id)
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Whether a name stands for an image, alone or among those of other platforms.
    pub(super) fn is_named(&self, id: &ImageId) -> bool {
        self.references
            .values()
            .any(|entry| entry.image == *id || entry.platforms.contains(id))
    }

    /// Finds the ids that start with some hexadecimal digits, with or without `sha256:`.
    pub(super) fn ids_starting_with(&self, text: &str) -> Vec<&ImageId> {
        let (digits, shortest) = match text.strip_prefix("sha256:") {
            Some(digits) => (digits, 1),
            None => (text, 4),
        };
        if digits.len() < shortest || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Vec::new();
        }
        let digits = digits.to_ascii_lowercase();
        self.images
            .keys()
            .filter(|id| id.hex().starts_with(&digits))
            .collect()
    }
}
