//! Why a pull did not succeed. Name, tag, access, network, TLS and rate limit are told apart in [`Failures`].

use crate::{
    image::{
        config::ConfigError,
        manifest::ManifestError,
        pipeline::LayerError,
        platform::{InvalidPlatform, Platform},
        reference::InvalidReference,
        registry::Failures,
        store::ImageError,
    },
    model::Digest,
};

/// A pull did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Not the name of an image.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// Not a platform.
    #[error(transparent)]
    Platform(#[from] InvalidPlatform),
    /// No registry gave it.
    #[error("pull `{reference}`: {failures}")]
    Registry {
        /// The image as people write it.
        reference: String,
        /// What each registry asked said.
        failures: Failures,
    },
    /// The image is not made for the platform.
    #[error("`{reference}` is not made for {wanted}; it is for {}", if .offered.is_empty() { "nothing".to_owned() } else { .offered.join(", ") })]
    NoPlatform {
        /// The image.
        reference: String,
        /// What was asked for.
        wanted: Platform,
        /// What there is.
        offered: Vec<String>,
    },
    /// Its manifest is unusable.
    #[error("pull `{reference}`")]
    Manifest {
        /// The image.
        reference: String,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// Its config is unusable.
    #[error("pull `{reference}`")]
    Config {
        /// The image.
        reference: String,
        /// Why.
        #[source]
        source: ConfigError,
    },
    /// Manifest and config contradict each other.
    #[error("pull `{reference}`: the manifest has {layers} layers, the config {diff_ids}")]
    LayerCount {
        /// The image.
        reference: String,
        /// In the manifest.
        layers: usize,
        /// In the config.
        diff_ids: usize,
    },
    /// A layer is not what the manifest or config says.
    #[error("pull `{reference}`: layer {layer} is corrupt: its {what} is {found}, not {wanted}")]
    Corrupt {
        /// The image.
        reference: String,
        /// The layer.
        layer: Digest,
        /// `digest` or `diff id`.
        what: &'static str,
        /// Announced.
        wanted: Digest,
        /// Found.
        found: Digest,
    },
    /// A layer could not be unpacked.
    #[error("pull `{reference}`: layer {layer}")]
    Layer {
        /// The image.
        reference: String,
        /// The layer.
        layer: Digest,
        /// Why.
        #[source]
        source: LayerError,
    },
    /// The disk is full. Nothing of the image is there; what was downloaded is kept for the next try.
    #[error("pull `{reference}`: no space left on the disk of `{path}`")]
    NoSpace {
        /// The image.
        reference: String,
        /// The state directory.
        path: String,
    },
    /// The store could not keep it.
    #[error("pull `{reference}`")]
    Store {
        /// The image.
        reference: String,
        /// Why.
        #[source]
        source: ImageError,
    },
}

impl PullError {
    /// Returns the next things to do.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Registry { failures, .. } => failures.hints(),
            Self::NoPlatform { offered, .. } if !offered.is_empty() => {
                vec!["`platform:` of the service, or --platform, chooses another".to_owned()]
            }
            Self::NoSpace { .. } => vec!["stack image prune, or a larger disk".to_owned()],
            _ => Vec::new(),
        }
    }
}
