//! Images that stay where they are: their config is read, and single layers are fetched when somebody wants them. And the way there: layers
//! of the store with a config of their own, sent without becoming an image of the store. Build caches travel so.

use std::path::{Path, PathBuf};

use super::{
    archive::{LayoutImage, LoadError, write_layout},
    pull::{PullError, PullEvent, RegistryImage},
    push::{PushError, PushEvent, push_outgoing},
    registry::Registries,
    store::{ImageError, ImageStore},
};
use crate::model::{Digest, ImageId};

/// An image at a registry or in a layout directory.
#[derive(Debug)]
pub struct RemoteImage(Kind);

#[derive(Debug)]
enum Kind {
    Registry(Box<RegistryImage>),
    Layout(LayoutImage),
}

/// A remote image could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The registry's.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// The directory's.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Layers could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The store's part.
    #[error("make the layers ready")]
    Store(#[from] ImageError),
    /// The registry's.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The directory's.
    #[error("write the layout directory `{}`", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Where layers go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendTo {
    /// A name at a registry.
    Registry(String),
    /// A layout directory, and the tag in it.
    Layout(PathBuf, String),
}

impl RemoteImage {
    /// Reads manifest and config of an image at a registry. `platform` is `os/architecture[/variant]`.
    pub async fn at_registry(
        store: &ImageStore,
        reference: &str,
        platform: &str,
        registries: &Registries,
        tell: &(dyn Fn(PullEvent) + Sync),
    ) -> Result<Self, RemoteError> {
        let opened = RegistryImage::open(store, reference, platform, registries, tell).await?;
        Ok(Self(Kind::Registry(Box::new(opened))))
    }

    /// Reads the config of an image in a layout directory: that of a tag or digest, else the latest or only one. Blocks.
    pub fn in_layout(
        store: &ImageStore,
        path: &Path,
        wanted: Option<&str>,
    ) -> Result<Self, RemoteError> {
        let opened = LayoutImage::open(store, path, wanted)?;
        Ok(Self(Kind::Layout(opened)))
    }

    /// Returns the bytes of its config.
    pub fn config(&self) -> &[u8] {
        match &self.0 {
            Kind::Registry(image) => &image.config,
            Kind::Layout(image) => &image.config,
        }
    }

    /// Brings one layer into the store; false when the image has none with this diff id that stands on its own.
    ///
    /// The caller holds a lease for as long as it needs the layer. Layers of a directory are read on the calling thread.
    pub async fn fetch_layer(
        &self,
        store: &ImageStore,
        diff_id: &Digest,
        registries: &Registries,
        tell: &(dyn Fn(PullEvent) + Sync),
    ) -> Result<bool, RemoteError> {
        match &self.0 {
            Kind::Registry(image) => {
                let fetched = image.fetch_layer(store, diff_id, registries, tell);
                Ok(fetched.await?)
            }
            Kind::Layout(image) => Ok(image.fetch_layer(store, diff_id)?),
        }
    }
}

/// Layers of the store, and the config that they go with.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// A whole image config; its diff ids are `diff_ids`.
    pub config: &'a [u8],
    /// The layers.
    pub diff_ids: &'a [Digest],
    /// An image of the store that has many of them: their compressed form is kept with it.
    pub image: &'a ImageId,
}

/// Sends layers of the store with a config of their own. The store has no such image afterwards.
pub async fn send_parts(
    store: &ImageStore,
    parts: Parts<'_>,
    to: &SendTo,
    registries: &Registries,
    tell: &(dyn Fn(PushEvent) + Send + Sync),
) -> Result<(), SendError> {
    let (owned, config) = (store.clone(), parts.config.to_vec());
    let (diff_ids, image) = (parts.diff_ids.to_vec(), parts.image.clone());
    let prepare = move || {
        let lease = owned.lease()?;
        owned.outgoing_image(&image, &|_, _, _, _| {})?;
        let outgoing = owned.outgoing_parts(&config, &diff_ids)?;
        Ok::<_, ImageError>((lease, outgoing))
    };
    let (_lease, outgoing) = super::joined(tokio::task::spawn_blocking(prepare).await)?;
    match to {
        SendTo::Registry(reference) => {
            Ok(push_outgoing(store, &outgoing, reference, registries, tell).await?)
        }
        SendTo::Layout(path, tag) => {
            let (path, tag) = (path.clone(), tag.clone());
            let write = move || {
                let written = write_layout(&outgoing, &path, &tag);
                written.map_err(|source| SendError::Write { path, source })
            };
            super::joined(tokio::task::spawn_blocking(write).await)
        }
    }
}
