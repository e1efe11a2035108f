//! Pulling: from a name to an image in the store.
//!
//! Every layer is a pipeline of its own, the largest first: bytes come over HTTP, are hashed and kept in the blob's
//! `.part`, inflated, hashed again, unpacked. Finished layers are made durable in groups and committed at once, so
//! that another pull can use them; only the last step, the index, makes the image visible.

mod error;
mod fetch;
mod job;
mod layers;
mod pinned;
mod remote;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use tokio::task::spawn_blocking;

use super::{
    config, joined,
    manifest::{self, CONFIG_BYTES_MAX, Document, Manifest, ManifestError},
    pipeline::LayerError,
    platform::{self, Platform},
    reference::Reference,
    registry::{Failures, Registries, Repository},
    store::{ImageError, ImageStore, Lease, NewImage},
};
use crate::model::{Digest, ImageRecord};

pub use error::PullError;
pub use pinned::pinned;
pub(crate) use remote::RegistryImage;

/// Indexes that may point to indexes.
const INDEX_DEPTH_MAX: usize = 3;

/// What happens during a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullEvent {
    /// A layer moved on.
    Layer(PullProgress),
    /// The user should know, although the pull goes on: a quota that runs low, a registry's own words.
    Warning(String),
}

/// How far a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullProgress {
    /// The layer, by the digest of its compressed form.
    pub layer: Digest,
    /// Its place, from 0, the lowest first.
    pub index: usize,
    /// Number of layers of the image.
    pub layers: usize,
    /// Where it is.
    pub phase: LayerPhase,
}

/// Where a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerPhase {
    /// Others go first.
    Waiting,
    /// It is being fetched and unpacked.
    Fetching {
        /// Bytes that have come.
        current_bytes: u64,
        /// Bytes in all.
        total_bytes: u64,
    },
    /// All of it has come; it is unpacked and written to the disk.
    Unpacking,
    /// The store had it.
    Exists,
    /// The store has it now.
    Done,
}

/// Fetches an image into the store, or returns the one that is there when the registry's is the same.
///
/// `platform` is `os/architecture[/variant]`; `None` means this machine's.
pub async fn pull(
    store: &ImageStore,
    reference: &str,
    platform: Option<&str>,
    registries: &Registries,
    tell: &(dyn Fn(PullEvent) + Sync),
) -> Result<ImageRecord, PullError> {
    let reference: Reference = reference.parse()?;
    let wanted = platform.map_or_else(|| Ok(Platform::host()), str::parse)?;
    let warn = |text| tell(PullEvent::Warning(text));
    let progress = |progress| tell(PullEvent::Layer(progress));
    let repository = Repository::new(registries, &reference, &warn);
    let pull = Pull {
        store,
        registries,
        reference: &reference,
        wanted,
        repository,
        progress: &progress,
    };
    // Boxed, because the futures of all layers are large and every caller would carry them.
    Box::pin(pull.run()).await
}

/// One pull.
struct Pull<'a> {
    store: &'a ImageStore,
    registries: &'a Registries,
    reference: &'a Reference,
    wanted: Platform,
    repository: Repository<'a>,
    progress: &'a (dyn Fn(PullProgress) + Sync),
}

/// What the reference turned out to mean.
struct Target {
    /// Digest of what the reference names: an index, or the manifest itself.
    named: Digest,
    /// Digest of the manifest.
    digest: Digest,
    manifest: Box<Manifest>,
    /// Everything read on the way.
    blobs: BTreeSet<Digest>,
}

impl Pull<'_> {
    async fn run(&self) -> Result<ImageRecord, PullError> {
        if let Some(record) = self.fresh().await? {
            return Ok(record);
        }
        // Before the first blob is written: a sweep must not take what no record names yet.
        let lease = self.blocking(ImageStore::lease).await?;
        let target = self.find_manifest().await?;
        let config = self.fetch_config(&target.manifest).await?;
        self.fetch_layers(target, config, lease).await
    }

    /// Returns the image in the store if the registry still means the same by its name.
    async fn fresh(&self) -> Result<Option<ImageRecord>, PullError> {
        let reference = self.reference.clone();
        let known = self.blocking(move |store| {
            let Some(digest) = store.digest_of(&reference)? else {
                return Ok(None);
            };
            Ok(store
                .find(&reference.to_string())?
                .map(|record| (digest, record)))
        });
        let Some((known, record)) = known.await? else {
            return Ok(None);
        };
        let platform = record.platform.parse::<Platform>();
        if !platform.is_ok_and(|platform| self.wanted.accepts(&platform)) {
            return Ok(None);
        }
        // A digest means the same for ever; a tag must be asked for.
        let current = match self.reference.digest() {
            Some(digest) => Some(digest.clone()),
            None => self.repository.head(self.reference.selector()).await,
        };
        Ok((current == Some(known)).then_some(record))
    }

    async fn find_manifest(&self) -> Result<Target, PullError> {
        let mut selector = self.reference.selector().to_owned();
        let mut blobs = BTreeSet::new();
        let mut named = None;
        for _depth in 0..INDEX_DEPTH_MAX {
            let (bytes, digest, content_type) = self.read_manifest(&selector).await?;
            blobs.insert(digest.clone());
            let named = named.get_or_insert_with(|| digest.clone());
            let parsed = manifest::parse(&bytes, content_type.as_deref());
            match parsed.map_err(|error| self.manifest_error(error))? {
                Document::Image(manifest) => {
                    return Ok(Target {
                        named: named.clone(),
                        digest,
                        manifest,
                        blobs,
                    });
                }
                Document::Index(entries) => {
                    let entry = platform::select(&entries, &self.wanted);
                    let entry =
                        entry.ok_or_else(|| self.no_platform(platform::offered(&entries)))?;
                    selector = entry.digest.to_string();
                }
            }
        }
        Err(self.no_platform(Vec::new()))
    }

    /// Reads a manifest: one that is named by digest may be in the store.
    async fn read_manifest(
        &self,
        selector: &str,
    ) -> Result<(Vec<u8>, Digest, Option<String>), PullError> {
        if let Ok(digest) = selector.parse::<Digest>() {
            let wanted = digest.clone();
            if let Some(bytes) = self.blocking(move |store| store.read_blob(&wanted)).await? {
                return Ok((bytes, digest, None));
            }
        }
        let fetched = self.repository.manifest(selector).await;
        let fetched = fetched.map_err(|failures| self.registry_error(failures))?;
        let bytes = fetched.bytes.clone();
        self.blocking(move |store| store.write_blob(&bytes)).await?;
        Ok((fetched.bytes.to_vec(), fetched.digest, fetched.content_type))
    }

    async fn fetch_config(&self, manifest: &Manifest) -> Result<Vec<u8>, PullError> {
        let wanted = manifest.config.digest.clone();
        if let Some(bytes) = self.blocking(move |store| store.read_blob(&wanted)).await? {
            return Ok(bytes);
        }
        let bytes = self
            .repository
            .small_blob(&manifest.config, CONFIG_BYTES_MAX)
            .await;
        bytes
            .map(|bytes| bytes.to_vec())
            .map_err(|failures| self.registry_error(failures))
    }

    async fn fetch_layers(
        &self,
        target: Target,
        config: Vec<u8>,
        lease: Lease,
    ) -> Result<ImageRecord, PullError> {
        let parsed = config::parse(&config).map_err(|source| PullError::Config {
            reference: self.reference.familiar(),
            source,
        })?;
        if parsed.diff_ids.len() != target.manifest.layers.len() {
            return Err(PullError::LayerCount {
                reference: self.reference.familiar(),
                layers: target.manifest.layers.len(),
                diff_ids: parsed.diff_ids.len(),
            });
        }
        // Chosen from an index or not, an image of another platform does not run here.
        if !self.wanted.accepts(&parsed.platform) {
            return Err(self.no_platform(vec![parsed.platform.to_string()]));
        }
        let workspace = Arc::new(self.blocking(ImageStore::workspace).await?);
        let pending = self
            .run_layers(&target.manifest.layers, &parsed.diff_ids, &workspace)
            .await?;
        let mut blobs = target.blobs;
        blobs.extend(target.manifest.layers.into_iter().map(|layer| layer.digest));
        let image = NewImage {
            config,
            manifest: Some(target.digest),
            digest: Some(target.named),
            blobs,
            references: vec![self.reference.to_string()],
            origin: Some(self.reference.name()),
        };
        let add = move |store: &ImageStore| {
            let added = store.add_image(&workspace, image, pending);
            drop((workspace, lease));
            added
        };
        self.blocking(add).await
    }

    /// Does something with the store on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ImageStore) -> Result<T, ImageError> + Send + 'static,
    ) -> Result<T, PullError> {
        let store = self.store.clone();
        let done = spawn_blocking(move || work(&store)).await;
        joined(done).map_err(|error| self.store_error(error))
    }

    /// Turns a failure of the store into ours; a full disk is told apart.
    fn store_error(&self, source: ImageError) -> PullError {
        if source.is_no_space() {
            return self.no_space();
        }
        PullError::Store {
            reference: self.reference.familiar(),
            source,
        }
    }

    fn layer_error(&self, layer: &Digest, source: LayerError) -> PullError {
        if source.is_no_space() {
            return self.no_space();
        }
        PullError::Layer {
            reference: self.reference.familiar(),
            layer: layer.clone(),
            source,
        }
    }

    fn corrupt(
        &self,
        layer: &Digest,
        what: &'static str,
        wanted: &Digest,
        found: Digest,
    ) -> PullError {
        PullError::Corrupt {
            reference: self.reference.familiar(),
            layer: layer.clone(),
            what,
            wanted: wanted.clone(),
            found,
        }
    }

    fn registry_error(&self, failures: Failures) -> PullError {
        PullError::Registry {
            reference: self.reference.familiar(),
            failures,
        }
    }

    fn no_space(&self) -> PullError {
        PullError::NoSpace {
            reference: self.reference.familiar(),
            path: self.store.state().display().to_string(),
        }
    }

    fn no_platform(&self, offered: Vec<String>) -> PullError {
        PullError::NoPlatform {
            reference: self.reference.familiar(),
            wanted: self.wanted.clone(),
            offered,
        }
    }

    fn manifest_error(&self, source: ManifestError) -> PullError {
        PullError::Manifest {
            reference: self.reference.familiar(),
            source,
        }
    }
}
