//! An image at a registry whose layers are fetched one at a time, when somebody wants them.

use std::sync::Arc;

use super::{Pull, PullError, PullEvent};
use crate::{
    image::{
        config,
        manifest::Manifest,
        platform::Platform,
        reference::Reference,
        registry::{Registries, Repository},
        store::ImageStore,
    },
    model::Digest,
};

/// An image of which manifest and config are here.
#[derive(Debug)]
pub(crate) struct RegistryImage {
    reference: Reference,
    wanted: Platform,
    manifest: Manifest,
    pub(crate) config: Vec<u8>,
    diff_ids: Vec<Digest>,
}

impl RegistryImage {
    /// Reads manifest and config.
    pub(crate) async fn open(
        store: &ImageStore,
        reference: &str,
        platform: &str,
        registries: &Registries,
        tell: &(dyn Fn(PullEvent) + Sync),
    ) -> Result<Self, PullError> {
        let reference: Reference = reference.parse()?;
        let wanted: Platform = platform.parse()?;
        let warn = |text| tell(PullEvent::Warning(text));
        let progress = |progress| tell(PullEvent::Layer(progress));
        let pull = Pull {
            store,
            registries,
            reference: &reference,
            wanted: wanted.clone(),
            repository: Repository::new(registries, &reference, &warn),
            progress: &progress,
        };
        let target = Box::pin(pull.find_manifest()).await?;
        let config = Box::pin(pull.fetch_config(&target.manifest)).await?;
        drop(pull);
        let parsed = config::parse(&config).map_err(|source| PullError::Config {
            reference: reference.familiar(),
            source,
        })?;
        if parsed.diff_ids.len() != target.manifest.layers.len() {
            return Err(PullError::LayerCount {
                reference: reference.familiar(),
                layers: target.manifest.layers.len(),
                diff_ids: parsed.diff_ids.len(),
            });
        }
        Ok(Self {
            reference,
            wanted,
            manifest: *target.manifest,
            config,
            diff_ids: parsed.diff_ids,
        })
    }

    /// Brings one layer into the store; false when the image has none with this diff id that stands on its own.
    ///
    /// The caller holds a lease for as long as it needs the layer.
    pub(crate) async fn fetch_layer(
        &self,
        store: &ImageStore,
        diff_id: &Digest,
        registries: &Registries,
        tell: &(dyn Fn(PullEvent) + Sync),
    ) -> Result<bool, PullError> {
        let Some(at) = self.diff_ids.iter().position(|other| other == diff_id) else {
            return Ok(false);
        };
        let warn = |text| tell(PullEvent::Warning(text));
        let progress = |progress| tell(PullEvent::Layer(progress));
        let pull = Pull {
            store,
            registries,
            reference: &self.reference,
            wanted: self.wanted.clone(),
            repository: Repository::new(registries, &self.reference, &warn),
            progress: &progress,
        };
        let workspace = Arc::new(pull.blocking(ImageStore::workspace).await?);
        let layers = &self.manifest.layers[at..=at];
        let fetched = pull.run_layers(layers, &self.diff_ids[at..=at], &workspace);
        let pending = Box::pin(fetched).await?;
        Ok(pending.is_empty())
    }
}
