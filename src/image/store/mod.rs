//! The image store: immutable blobs, unpacked layers, and one small index that says which images there are.
//!
//! ```text
//! <root>/images.json  images.lock      the index; its lock is held for single look-and-write steps only
//! <root>/images.lease                  shared by everyone who uses layers, exclusive for the sweep
//! <root>/blobs/sha256/<hex>            manifests, configs, compressed layers; read-only files
//! <root>/ingest/<hex>.part .lock       downloads that go on where they stopped
//! <root>/layers/<hex>/  chain-<hex>/   see `layer`
//! <root>/tmp/image-<pid>-<random>/     everything unfinished, locked by its owner
//! <root>/unsynced/<boot id>/           see `unsynced`
//! ```
//!
//! Everything is committed by a rename of something complete, so a process may be killed at any instruction: what is
//! visible is complete, and the next user of the store removes the rest. Readers take no locks. Nobody waits for the
//! disk either, but for the index: should the machine stop before the disk has it all, the next boot knows what to give up.

mod capture;
mod commit;
mod details;
mod diff;
mod export;
mod index;
mod ingest;
mod layer;
mod merged;
mod outgoing;
mod platforms;
mod record;
mod release;
mod remove;
mod select;
mod settle;
mod stream;
#[cfg(test)]
mod tests;
mod unsynced;
mod workspace;

use std::{
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use fs_err as fs;
use rustix::fs::{FlockOperation, flock};

use super::{
    config::{self, ConfigError},
    reference::{InvalidReference, Reference},
    unpack::UnpackError,
};
use crate::{
    model::{Digest, ImageId, ImageRecord, ImageSummary},
    store::{Root, StoreError, now},
};
use index::{ImageEntry, Index};

pub use commit::CommittedLayer;
pub(crate) use diff::member_header;
pub use export::export;
pub(crate) use ingest::Ingest;
pub(crate) use layer::{LayerMeta, Staged, stage};
pub(crate) use outgoing::{Outgoing, OutgoingBlob};
pub(crate) use platforms::{INDEX_TYPE, OutgoingIndex, platform_json};
pub(crate) use record::NewImage;
pub use remove::Kept;
pub(crate) use select::SavedImage;
pub(crate) use stream::RECORD;
pub use stream::{LayerBlob, LayerStream};
pub(crate) use workspace::Workspace;

/// Images, layers and blobs below a state root. Cheap to clone; opening it touches nothing.
#[derive(Debug, Clone)]
pub struct ImageStore {
    root: Root,
}

/// Keeps layers from being swept while it lives. Take one for as long as layers are used that no record names yet.
#[derive(Debug)]
pub struct Lease {
    _file: fs::File,
}

/// An operation on the store went wrong.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A record could not be read or written.
    #[error("image store")]
    Record(#[source] StoreError),
    /// A file operation failed; the source names the path.
    #[error("{intent}")]
    Io {
        /// What it was for.
        intent: &'static str,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The index was written by a newer program.
    #[error("`{path}` has version {version}, which this program does not know")]
    Version {
        /// The index.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// Text that names no image.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// No such image.
    #[error("no image `{0}`")]
    NotFound(String),
    /// A prefix of several ids.
    #[error("`{prefix}` is the start of {count} image ids")]
    Ambiguous {
        /// The prefix.
        prefix: String,
        /// How many.
        count: usize,
    },
    /// Containers use it.
    #[error("image `{0}` is used by a container")]
    InUse(String),
    /// An id with more than one name, removed without force.
    #[error("image `{id}` has several names ({names}): remove them one by one, or force it", names = .references.join(", "))]
    ManyNames {
        /// The id as given.
        id: String,
        /// Its names.
        references: Vec<String>,
    },
    /// A config does not have its form.
    #[error("image `{id}`")]
    Config {
        /// The image.
        id: ImageId,
        /// Why.
        #[source]
        source: ConfigError,
    },
    /// An image's config and its layers disagree.
    #[error("the config names {config} layers, {given} were given or differ")]
    Layers {
        /// Number in the config.
        config: usize,
        /// Number given.
        given: usize,
    },
    /// A layer is not in the store.
    #[error("layer {0} is not in the store")]
    LayerMissing(Digest),
    /// A layer cannot be completed from those below it.
    #[error("layer {diff_id}")]
    Layer {
        /// The layer.
        diff_id: Digest,
        /// Why.
        #[source]
        source: UnpackError,
    },
    /// More layers than one overlay mount takes.
    #[error("image `{name}` has {count} layers: overlayfs takes at most {most}")]
    TooManyLayers {
        /// Its name or id.
        name: String,
        /// Layers that show.
        count: usize,
        /// The kernel's limit.
        most: usize,
    },
    /// Files that cannot become a layer.
    #[error("make a layer")]
    Files(#[source] UnpackError),
    /// A container wrote a file whose name means "removed" in a layer.
    #[error("`{0}` cannot be stored in a layer: names that start with `.wh.` mean removed files")]
    WhiteoutName(String),
}

impl ImageError {
    /// Makes the mapping of an I/O error for `map_err`.
    pub(crate) fn io(intent: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { intent, source }
    }

    /// Tells whether the disk or quota is full.
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Io { source, .. } | Self::Record(StoreError::Io { source, .. }) => matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
            Self::Layer { source, .. } | Self::Files(source) => source.is_no_space(),
            _ => false,
        }
    }
}

impl ImageStore {
    /// Opens the store of a state root. Nothing is made or read by it.
    pub fn open(root: &Root) -> Self {
        Self { root: root.clone() }
    }

    /// Finds an image by name, id, or unique start of an id. One whose files are gone counts as absent.
    pub fn find(&self, reference_or_id: &str) -> Result<Option<ImageRecord>, ImageError> {
        let index = self.index()?;
        let Some(id) = resolve(&index, reference_or_id)? else {
            return Ok(None);
        };
        match index.images.get(&id) {
            Some(entry) => self.record(&id, entry),
            None => Ok(None),
        }
    }

    /// Lists all images, the latest fetched first.
    pub fn list(&self) -> Result<Vec<ImageSummary>, ImageError> {
        let index = self.index()?;
        let mut images: Vec<ImageSummary> = index
            .images
            .iter()
            .map(|(id, entry)| details::summary(&index, id, entry))
            .collect();
        images.sort_by(|a, b| b.fetched.cmp(&a.fetched).then_with(|| a.id.cmp(&b.id)));
        Ok(images)
    }

    /// Gives an image another name; a name that named another image moves.
    pub fn tag(&self, source: &str, target: &str) -> Result<(), ImageError> {
        let target: Reference = target.parse()?;
        let _lock = self.lock_index()?;
        let mut index = self.index()?;
        let id = resolve(&index, source)?.ok_or_else(|| ImageError::NotFound(source.to_owned()))?;
        let entry = index::ReferenceEntry {
            image: id,
            digest: None,
            fetched: now(),
            platforms: Vec::new(),
        };
        index.references.insert(target.to_string(), entry);
        index.write(&self.index_path())
    }

    /// Returns the config of an image as it came, every field included.
    pub fn config_json(&self, id: &ImageId) -> Result<serde_json::Value, ImageError> {
        let bytes = self
            .read_blob(id)?
            .ok_or_else(|| ImageError::NotFound(id.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|error| ImageError::Config {
            id: id.clone(),
            source: ConfigError::Malformed(error),
        })
    }

    /// Keeps layers from being swept for as long as the lease lives.
    pub fn lease(&self) -> Result<Lease, ImageError> {
        self.recover()?;
        let file = self.open_lease()?;
        loop {
            match flock(file.as_fd(), FlockOperation::LockShared) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(()) => return Ok(Lease { _file: file }),
                Err(errno) => return Err(ImageError::io("lease the image store")(errno.into())),
            }
        }
    }

    /// Returns the state directory, for messages.
    pub(crate) fn state(&self) -> &Path {
        self.root.state()
    }

    /// Makes a work directory, after removing what killed processes left.
    pub(crate) fn workspace(&self) -> Result<Workspace, ImageError> {
        self.prepare()?;
        self.sweep_parts()?;
        Workspace::create(&self.root.tmp(), Some(self.clone()))
    }

    /// Returns the digest behind a reference when it was last fetched.
    pub(crate) fn digest_of(&self, reference: &Reference) -> Result<Option<Digest>, ImageError> {
        let index = self.index()?;
        Ok(index
            .references
            .get(&reference.to_string())
            .and_then(|entry| entry.digest.clone()))
    }

    /// Makes the record of an image; `None` when a layer or its config is gone.
    fn record(&self, id: &ImageId, entry: &ImageEntry) -> Result<Option<ImageRecord>, ImageError> {
        let layers = self.mountable(&entry.layers, entry.hidden);
        let Some(bytes) = self.read_blob(id)? else {
            return Ok(None);
        };
        if layers.iter().any(|layer| !layer.exists()) {
            return Ok(None);
        }
        let parsed = config::parse(&bytes).map_err(|source| ImageError::Config {
            id: id.clone(),
            source,
        })?;
        Ok(Some(ImageRecord {
            id: id.clone(),
            manifest: entry.manifest.clone(),
            config: parsed.config,
            platform: entry.platform.clone(),
            layers,
            diff_ids: entry.diff_ids.clone(),
            created: entry.created,
            size_bytes: entry.size_bytes,
        }))
    }

    fn index(&self) -> Result<Index, ImageError> {
        Index::read(&self.index_path())
    }

    fn lock_index(&self) -> Result<crate::store::Lock, ImageError> {
        crate::store::lock(&self.root.state().join("images.lock")).map_err(ImageError::Record)
    }

    fn open_lease(&self) -> Result<fs::File, ImageError> {
        fs::create_dir_all(self.root.state())
            .map_err(ImageError::io("make the state directory"))?;
        (fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true))
        .open(self.root.state().join("images.lease"))
        .map_err(ImageError::io("lease the image store"))
    }

    fn index_path(&self) -> PathBuf {
        self.root.state().join("images.json")
    }

    fn layers(&self) -> PathBuf {
        self.root.state().join("layers")
    }

    fn ingest(&self) -> PathBuf {
        self.root.state().join("ingest")
    }

    fn blobs(&self) -> PathBuf {
        self.root.state().join("blobs").join("sha256")
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        blob_path(self.root.state(), digest)
    }
}

/// Finds the id that a text means: a name, then an id or its start.
fn resolve(index: &Index, text: &str) -> Result<Option<ImageId>, ImageError> {
    if let Ok(reference) = text.parse::<Reference>() {
        if let Some(entry) = index.references.get(&reference.to_string()) {
            return Ok(Some(entry.image.clone()));
        }
        // `redis@sha256:…` is there if `redis:7` was pulled and meant that content.
        if let Some(digest) = reference.digest() {
            let same_name = |name: &String| {
                name.parse::<Reference>()
                    .is_ok_and(|other| other.name() == reference.name())
            };
            let means = |entry: &index::ReferenceEntry| {
                let image = index.images.get(&entry.image);
                entry.digest.as_ref() == Some(digest)
                    || image.is_some_and(|image| image.manifest.as_ref() == Some(digest))
            };
            let mut found = index
                .references
                .iter()
                .filter(|(name, entry)| means(entry) && same_name(name));
            if let Some((_, entry)) = found.next() {
                return Ok(Some(entry.image.clone()));
            }
        }
    }
    match index.ids_starting_with(text)[..] {
        [] => Ok(None),
        [id] => Ok(Some(id.clone())),
        ref ids => Err(ImageError::Ambiguous {
            prefix: text.to_owned(),
            count: ids.len(),
        }),
    }
}

fn blob_path(state: &Path, digest: &Digest) -> PathBuf {
    state.join("blobs").join("sha256").join(digest.hex())
}
