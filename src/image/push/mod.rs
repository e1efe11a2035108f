//! Pushing: from an image in the store to a registry.
//!
//! First everything is made ready (see `store::outgoing`), then the layers go side by side, each only if the registry does not have
//! it, then the config, and last the manifest, which makes the image visible there. What broke off is gone on with.

mod error;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use fs_err as fs;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::{task::spawn_blocking, time::interval};

use super::{
    reference::Reference,
    registry::{Arrival, Blob, Destination, Failures, Registries, Sent},
    store::{ImageError, ImageStore, Outgoing, OutgoingBlob, OutgoingIndex},
};
use crate::model::Digest;

pub use error::PushError;

/// Time between two reports of a layer's bytes.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// What happens during a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushEvent {
    /// A layer moved on.
    Layer(PushProgress),
    /// The user should know, although the push goes on.
    Warning(String),
}

/// How far a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushProgress {
    /// The layer: by its diff id while it is compressed, then by the digest of its compressed form.
    pub layer: Digest,
    /// Where it is.
    pub phase: PushPhase,
}

/// Where a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushPhase {
    /// It is being compressed, for the first time.
    Compressing,
    /// That is done.
    Compressed,
    /// It is being sent.
    Sending {
        /// Bytes sent; more than the total when some had to be sent again.
        current_bytes: u64,
        /// Bytes in all.
        total_bytes: u64,
    },
    /// The registry had it.
    Exists,
    /// Another repository of the registry had it.
    Mounted,
    /// The registry has it now.
    Done,
}

/// What was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The name, as people write it.
    pub reference: String,
    /// Digest of the manifest at the registry.
    pub digest: Digest,
    /// Bytes of the manifest.
    pub size_bytes: u64,
}

/// Returns the names that a push of all tags of a repository means.
pub fn all_tags(store: &ImageStore, name: &str) -> Result<Vec<String>, PushError> {
    let reference: Reference = name.parse()?;
    let tags = store.tags_of(&reference);
    let tags = tags.map_err(|source| PushError::Store {
        reference: name.to_owned(),
        source,
    })?;
    if tags.is_empty() {
        return Err(PushError::NotHere(name.to_owned()));
    }
    Ok(tags.iter().map(Reference::to_string).collect())
}

/// Sends an image of the store to the registry in its name.
pub async fn push(
    store: &ImageStore,
    reference: &str,
    registries: &Registries,
    tell: &(dyn Fn(PushEvent) + Send + Sync),
) -> Result<Pushed, PushError> {
    let reference: Reference = reference.parse()?;
    let push = Push {
        store,
        reference: &reference,
        registries,
        tell,
    };
    // Boxed, because the futures of all layers are large and every caller would carry them.
    Box::pin(push.run()).await
}

/// Sends blobs and their manifest that are ready to the registry in a name. The caller holds a lease.
pub(crate) async fn push_outgoing(
    store: &ImageStore,
    outgoing: &Outgoing,
    reference: &str,
    registries: &Registries,
    tell: &(dyn Fn(PushEvent) + Send + Sync),
) -> Result<(), PushError> {
    let reference: Reference = reference.parse()?;
    let push = Push {
        store,
        reference: &reference,
        registries,
        tell,
    };
    Box::pin(push.deliver(outgoing)).await
}

struct Push<'a> {
    store: &'a ImageStore,
    reference: &'a Reference,
    registries: &'a Registries,
    tell: &'a (dyn Fn(PushEvent) + Send + Sync),
}

impl Push<'_> {
    async fn run(&self) -> Result<Pushed, PushError> {
        // Nothing that is sent goes away meanwhile.
        let _lease = self.blocking(ImageStore::lease).await?;
        let outgoing = self.prepare().await?;
        let reference = self.reference.clone();
        let index = self.blocking(move |store| store.outgoing_index(&reference));
        let outgoing = match index.await? {
            None => {
                self.deliver(&outgoing).await?;
                outgoing
            }
            Some(index) => {
                self.deliver_index(&index).await?;
                // What the tag means there from now on.
                Outgoing {
                    digest: index.digest,
                    manifest: index.bytes,
                    ..outgoing
                }
            }
        };
        let record = (self.reference.clone(), outgoing.clone());
        let recorded = move |store: &ImageStore| store.record_pushed(&record.0, &record.1);
        self.blocking(recorded).await?;
        Ok(Pushed {
            reference: self.reference.familiar(),
            size_bytes: outgoing.manifest.len() as u64,
            digest: outgoing.digest,
        })
    }

    /// Sends the images of all platforms by digest, and last the index, which makes them visible under the name.
    async fn deliver_index(&self, index: &OutgoingIndex) -> Result<(), PushError> {
        for image in &index.images {
            let name = format!("{}@{}", self.reference.name(), image.digest);
            let reference: Reference = name.parse()?;
            let push = Push {
                reference: &reference,
                ..*self
            };
            Box::pin(push.deliver(image)).await?;
        }
        let warn = |text| (self.tell)(PushEvent::Warning(text));
        let nothing = BTreeSet::new();
        let destination = Destination::open(self.registries, self.reference, nothing, &warn)
            .await
            .map_err(|failures| self.refused(failures))?;
        let bytes = Bytes::from(index.bytes.clone());
        self.put_manifest(&destination, (index.media_type, bytes), &index.digest)
            .await
    }

    /// Writes a manifest or index under the name; it must have the digest there that it has here.
    async fn put_manifest(
        &self,
        destination: &Destination<'_>,
        (media_type, bytes): (&str, Bytes),
        wanted: &Digest,
    ) -> Result<(), PushError> {
        let selector = self.reference.selector();
        let found = destination.put_manifest(selector, media_type, bytes).await;
        let found = found.map_err(|failures| self.refused(failures))?;
        match found.filter(|found| found != wanted) {
            None => Ok(()),
            Some(found) => Err(PushError::Altered {
                reference: self.reference.familiar(),
                wanted: wanted.clone(),
                found,
            }),
        }
    }

    /// Sends what is ready to the registry, and last its manifest.
    async fn deliver(&self, outgoing: &Outgoing) -> Result<(), PushError> {
        if let Some(pinned) = self.reference.digest()
            && *pinned != outgoing.digest
        {
            return Err(PushError::Pinned {
                reference: self.reference.familiar(),
                found: outgoing.digest.clone(),
            });
        }
        let registry = self.reference.registry().to_owned();
        let mut origins = self.blocking(move |store| store.origins(&registry)).await?;
        let sent = outgoing.layers.iter().chain([&outgoing.config]);
        let wanted: BTreeSet<&Digest> = sent.map(|blob| &blob.digest).collect();
        origins.retain(|blob, _| wanted.contains(blob));
        for paths in origins.values_mut() {
            paths.remove(self.reference.repository());
        }
        let mounts = origins.values().flatten().cloned().collect();
        let warn = |text| (self.tell)(PushEvent::Warning(text));
        let destination = Destination::open(self.registries, self.reference, mounts, &warn)
            .await
            .map_err(|failures| self.refused(failures))?;
        self.send(&destination, outgoing, &origins).await
    }

    /// Has the store make everything ready, and tells what it compresses on the way.
    async fn prepare(&self) -> Result<Outgoing, PushError> {
        let reference = self.reference.clone();
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let prepare = self.blocking(move |store| {
            store.outgoing(&reference, &|_at, _layers, diff_id, done| {
                // Nobody listens any more only when the push was given up.
                drop(sender.send((diff_id.clone(), done)));
            })
        });
        let told = async {
            while let Some((layer, done)) = receiver.recv().await {
                let phase = if done {
                    PushPhase::Compressed
                } else {
                    PushPhase::Compressing
                };
                self.report(&layer, phase);
            }
        };
        let (prepared, ()) = tokio::join!(prepare, told);
        prepared?.ok_or_else(|| PushError::NotHere(self.reference.familiar()))
    }

    async fn send(
        &self,
        destination: &Destination<'_>,
        outgoing: &Outgoing,
        origins: &BTreeMap<Digest, BTreeSet<String>>,
    ) -> Result<(), PushError> {
        // The same layer twice in one image is sent once.
        let mut seen = BTreeSet::new();
        let layers = outgoing
            .layers
            .iter()
            .filter(|layer| seen.insert(&layer.digest));
        let layers: Vec<_> = layers
            .map(|layer| self.send_layer(destination, layer, origins.get(&layer.digest)))
            .collect();
        let mut sending = stream::iter(layers).buffer_unordered(self.registries.parallel);
        while sending.try_next().await?.is_some() {}
        let config = &outgoing.config;
        let config = blob(config, origins.get(&config.digest), Sent::default());
        let config = config.map_err(|source| self.store_error(source))?;
        let put = destination.put_blob(&config).await;
        put.map_err(|failures| self.refused(failures))?;
        let bytes = Bytes::from(outgoing.manifest.clone());
        let manifest = (outgoing.media_type.as_str(), bytes);
        self.put_manifest(destination, manifest, &outgoing.digest)
            .await
    }

    async fn send_layer(
        &self,
        destination: &Destination<'_>,
        layer: &OutgoingBlob,
        origins: Option<&BTreeSet<String>>,
    ) -> Result<(), PushError> {
        let sent = Sent::default();
        let blob = blob(layer, origins, sent.clone());
        let blob = blob.map_err(|source| self.store_error(source))?;
        let put = destination.put_blob(&blob);
        let mut put = std::pin::pin!(put);
        let mut ticks = interval(REPORT_INTERVAL);
        let mut before = 0;
        let arrival = loop {
            tokio::select! {
                arrival = &mut put => break arrival,
                _tick = ticks.tick() => {
                    let current_bytes = sent.get();
                    if current_bytes > before {
                        before = current_bytes;
                        let total_bytes = layer.size;
                        self.report(&layer.digest, PushPhase::Sending { current_bytes, total_bytes });
                    }
                }
            }
        };
        let phase = match arrival.map_err(|failures| self.refused(failures))? {
            Arrival::Exists => PushPhase::Exists,
            Arrival::Mounted => PushPhase::Mounted,
            Arrival::Sent => PushPhase::Done,
        };
        self.report(&layer.digest, phase);
        Ok(())
    }

    fn report(&self, layer: &Digest, phase: PushPhase) {
        let layer = layer.clone();
        (self.tell)(PushEvent::Layer(PushProgress { layer, phase }));
    }

    /// Does something with the store on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ImageStore) -> Result<T, ImageError> + Send + 'static,
    ) -> Result<T, PushError> {
        let store = self.store.clone();
        let done = spawn_blocking(move || work(&store)).await;
        super::joined(done).map_err(|source| self.store_error(source))
    }

    fn store_error(&self, source: ImageError) -> PushError {
        PushError::Store {
            reference: self.reference.familiar(),
            source,
        }
    }

    fn refused(&self, failures: Failures) -> PushError {
        PushError::Registry {
            reference: self.reference.familiar(),
            failures,
        }
    }
}

/// Opens a blob of the store for sending.
fn blob(
    from: &OutgoingBlob,
    origins: Option<&BTreeSet<String>>,
    sent: Sent,
) -> Result<Blob, ImageError> {
    let file = fs::File::open(&from.path).map_err(ImageError::io("read a blob to send"))?;
    Ok(Blob {
        digest: from.digest.clone(),
        size: from.size,
        file: Arc::new(file),
        mounts: origins.into_iter().flatten().cloned().collect(),
        sent,
    })
}
