//! Layers out of what is still in use or comes as a stream: `commit` and `import`.

use std::{io::Read, path::Path};

use super::{
    CommittedLayer, ImageError, ImageStore, LayerMeta, Staged, layer::stage, stream::Written,
};
use crate::image::{
    pipeline::{LayerError, unpack_layer_recording},
    unpack::UnpackError,
};

impl ImageStore {
    /// Makes a layer of an upper directory that stays as it is, for instance because its container goes on.
    ///
    /// A file that becomes shorter while it is read is an error: pause the container, or try again.
    pub fn copy_layer(&self, upper: &Path) -> Result<CommittedLayer, ImageError> {
        self.stream_layer(&mut Written::spawn(upper.to_owned())?)
    }

    /// Makes a layer of a tar stream, compressed or not. It must stand on its own.
    pub fn stream_layer(&self, source: &mut dyn Read) -> Result<CommittedLayer, ImageError> {
        let _lease = self.lease()?;
        let workspace = self.workspace()?;
        let (directory, _) = stage(&workspace)?;
        // The size of a stream is not known before its end: the floor of the limits holds.
        let unpacked = unpack_layer_recording(source, 0, &directory);
        let (diff_id, unpacked) = unpacked.map_err(|error| match error {
            LayerError::Read(source) => ImageError::io("read the files of a layer")(source),
            LayerError::Unpack(source) => ImageError::Files(source),
        })?;
        for note in &unpacked.notes {
            tracing::warn!(note, "unpacked with a difference");
        }
        if let Some(link) = unpacked.external_links.first() {
            return Err(ImageError::Files(UnpackError::Refused {
                entry: crate::image::unpack::display(&link.path),
                rule: "a hard link to a file that is not in the archive",
            }));
        }
        let (size_bytes, meta) = (unpacked.bytes, LayerMeta::new(diff_id.clone(), &unpacked));
        if !self.has_layer(&diff_id) {
            self.commit_layers(&[Staged {
                directory,
                meta,
                links: Vec::new(),
            }])?;
        }
        Ok(CommittedLayer {
            path: self.layers().join(diff_id.hex()).join("fs"),
            diff_id,
            size_bytes,
        })
    }
}
