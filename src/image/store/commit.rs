//! What the builder puts into the store: an upper directory as a layer, and an image of layers that are there.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    path::{Path, PathBuf},
};

use fs_err as fs;

use super::{ImageError, ImageStore, LayerMeta, Staged, diff, layer::stage};
use crate::{
    image::{config, digest::Hashing, reference::Reference, unpack::Unpacked},
    model::{Digest, ImageRecord},
};

/// A layer that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedLayer {
    /// Digest of its canonical tar stream.
    pub diff_id: Digest,
    /// The directory to mount.
    pub path: PathBuf,
    /// Bytes of file content.
    pub size_bytes: u64,
}

impl ImageStore {
    /// Turns an overlay's upper directory into a layer. The directory is moved, not copied: it is gone afterwards.
    ///
    /// It must lie on the file system of the store, and its root must have the attributes that `/` shall have.
    pub fn commit_layer(&self, upper: &Path) -> Result<CommittedLayer, ImageError> {
        let _lease = self.lease()?;
        let workspace = self.workspace()?;
        let (directory, fs_path) = stage(&workspace)?;
        fs::rename(upper, &fs_path).map_err(ImageError::io("take over a layer"))?;
        let mut sink = Hashing::new(io::sink());
        let written = diff::write_stream(&fs_path, &mut sink)?;
        let (diff_id, stream_bytes, _) = sink.finish();
        if !self.has_layer(&diff_id) {
            let unpacked = Unpacked {
                entries: written.entries,
                bytes: written.bytes,
                stream_bytes,
                ..Unpacked::default()
            };
            let meta = LayerMeta::new(diff_id.clone(), &unpacked);
            self.commit_layers(&[Staged {
                directory,
                meta,
                links: Vec::new(),
            }])?;
        }
        Ok(CommittedLayer {
            path: self.layers().join(diff_id.hex()).join("fs"),
            diff_id,
            size_bytes: written.bytes,
        })
    }

    /// Finds a layer that stands on its own; `None` when it is not there, for instance because it was pruned.
    pub fn layer(&self, diff_id: &Digest) -> Option<CommittedLayer> {
        let name = diff_id.hex();
        let meta = self.meta(name).ok().flatten()?;
        Some(CommittedLayer {
            diff_id: diff_id.clone(),
            path: self.layers().join(name).join("fs"),
            size_bytes: meta.bytes,
        })
    }

    /// Records an image of layers that are in the store. `config` is the whole OCI config; its diff ids must be `diff_ids`.
    pub fn commit_image(
        &self,
        config: &serde_json::Value,
        diff_ids: &[Digest],
        tags: &[String],
    ) -> Result<ImageRecord, ImageError> {
        let references: Vec<String> = tags
            .iter()
            .map(|tag| {
                tag.parse::<Reference>()
                    .map(|reference| reference.to_string())
            })
            .collect::<Result<_, _>>()?;
        let bytes = config.to_string().into_bytes();
        let parsed = config::parse(&bytes).map_err(|source| ImageError::Config {
            id: crate::image::digest::of(&bytes),
            source,
        })?;
        if parsed.diff_ids != diff_ids {
            let (config, given) = (parsed.diff_ids.len(), diff_ids.len());
            return Err(ImageError::Layers { config, given });
        }
        let _lease = self.lease()?;
        let image = super::NewImage {
            config: bytes,
            manifest: None,
            digest: None,
            blobs: BTreeSet::new(),
            references,
            origin: None,
        };
        self.add_image(&self.workspace()?, image, HashMap::new())
    }
}
