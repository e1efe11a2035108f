//! Manifests and indexes, in their OCI and Docker forms. The bytes themselves are kept elsewhere: they are the digest.

use std::{io::Read, path::Path};

use fs_err as fs;
use serde::Deserialize;

use super::{platform::Platform, store::ImageError};
use crate::model::Digest;

/// What a registry may answer to a request for a manifest.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";
/// Largest manifest or index that is read.
pub(super) const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// Largest config that is read.
pub(super) const CONFIG_BYTES_MAX: u64 = 8 << 20;
/// Most layers of an image: what one overlay mount takes (kernel limit 500).
pub(super) const LAYERS_MAX: usize = 500;

/// A parsed manifest document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Document {
    /// One manifest per platform.
    Index(Vec<Descriptor>),
    /// An image of one platform.
    Image(Box<Manifest>),
}

/// An image of one platform: its config and layers, the lowest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    /// The config; its digest is the image's id.
    pub(super) config: Descriptor,
    /// Compressed layers, the lowest first.
    pub(super) layers: Vec<Descriptor>,
}

/// Points to a blob or manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    /// What it is; often wrong, so layers are told by their magic.
    #[serde(default)]
    pub(super) media_type: String,
    /// Digest of the bytes.
    pub(super) digest: Digest,
    /// Their number.
    pub(super) size: u64,
    /// In an index: where it runs.
    #[serde(default)]
    pub(super) platform: Option<OfferedPlatform>,
    /// Where a foreign layer can be had.
    #[serde(default)]
    pub(super) urls: Vec<String>,
    #[serde(default)]
    annotations: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Descriptor {
    /// Tells whether an index entry describes another entry instead of being an image.
    pub(super) fn is_attestation(&self) -> bool {
        self.annotation("vnd.docker.reference.type").is_some()
    }

    /// Tells whether a layer may not be pushed: it is to be had from its own addresses (`foreign`, `nondistributable`).
    pub(super) fn is_foreign(&self) -> bool {
        !self.urls.is_empty()
            && (self.media_type.contains("foreign") || self.media_type.contains("nondistributable"))
    }

    /// Returns an annotation's text.
    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key)?.as_str()
    }
}

/// A platform as an index writes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct OfferedPlatform {
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
}

impl OfferedPlatform {
    /// Returns it with aliases resolved.
    pub(super) fn normal(&self) -> Platform {
        Platform::new(&self.os, &self.architecture, self.variant.as_deref())
    }
}

/// Bytes that are no manifest that we can use.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or a field has the wrong form.
    #[error("malformed manifest")]
    Malformed(#[source] serde_json::Error),
    /// Docker's format of before 2016.
    #[error(
        "schema 1 manifest: the image was pushed by a very old client and must be pushed again"
    )]
    SchemaOne,
    /// Both an index and an image: readers would disagree about what it is.
    #[error("ambiguous manifest: it has both `manifests` and `layers` or `config`")]
    Ambiguous,
    /// A manifest of something that is no container image.
    #[error("not a container image but `{0}`")]
    NotAnImage(String),
    /// A layer that we cannot read.
    #[error("layer {digest} has the unsupported media type `{media_type}`")]
    LayerType {
        /// Its digest.
        digest: Digest,
        /// Its media type.
        media_type: String,
    },
    /// More layers than overlayfs takes.
    #[error("{0} layers: overlayfs takes at most 500")]
    TooManyLayers(usize),
}

/// Who defined the media types of a manifest. Members of a family only point to members of the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// The OCI image specification.
    Oci,
    /// Docker's schema 2.
    Docker,
}

impl Family {
    /// Tells a manifest's family by its config, which always has a media type.
    pub(super) fn of(bytes: &[u8]) -> Self {
        match parse(bytes, None) {
            Ok(Document::Image(manifest))
                if manifest
                    .config
                    .media_type
                    .starts_with("application/vnd.docker.") =>
            {
                Self::Docker
            }
            _ => Self::Oci,
        }
    }

    pub(super) fn manifest(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.manifest.v1+json",
            Self::Docker => "application/vnd.docker.distribution.manifest.v2+json",
        }
    }

    pub(super) fn config(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.config.v1+json",
            Self::Docker => "application/vnd.docker.container.image.v1+json",
        }
    }

    /// Returns the media type of a layer in a file, whose compression is told by its magic.
    pub(super) fn layer(self, path: &Path) -> Result<&'static str, ImageError> {
        let mut magic = Vec::new();
        let file = fs::File::open(path).map_err(ImageError::io("read a compressed layer"))?;
        let read = file.take(4).read_to_end(&mut magic);
        read.map_err(ImageError::io("read a compressed layer"))?;
        Ok(match (self, &magic[..]) {
            (Self::Oci, [0x1f, 0x8b, ..]) => "application/vnd.oci.image.layer.v1.tar+gzip",
            (Self::Docker, [0x1f, 0x8b, ..]) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            // A frame, or a skippable one as zstd:chunked writes.
            (Self::Oci, [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18]) => {
                "application/vnd.oci.image.layer.v1.tar+zstd"
            }
            (Self::Docker, [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18]) => {
                "application/vnd.docker.image.rootfs.diff.tar.zstd"
            }
            (Self::Oci, _) => "application/vnd.oci.image.layer.v1.tar",
            (Self::Docker, _) => "application/vnd.docker.image.rootfs.diff.tar",
        })
    }
}

/// Returns what a manifest calls itself, else what its family is called.
pub(super) fn media_type(bytes: &[u8]) -> String {
    let raw = serde_json::from_slice::<Raw>(bytes).ok();
    raw.and_then(|raw| raw.media_type)
        .unwrap_or_else(|| Family::of(bytes).manifest().to_owned())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    schema_version: u64,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    fs_layers: Option<serde_json::Value>,
}

/// Parses a manifest or index. `content_type` is what the registry called it, which only decides about schema 1.
pub(super) fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Document, ManifestError> {
    let raw: Raw = serde_json::from_slice(bytes).map_err(ManifestError::Malformed)?;
    let kind = raw
        .media_type
        .as_deref()
        .or(content_type)
        .unwrap_or_default();
    if raw.schema_version == 1
        || raw.fs_layers.is_some()
        || kind.contains("docker.distribution.manifest.v1+")
    {
        return Err(ManifestError::SchemaOne);
    }
    match (raw.manifests, raw.config) {
        (Some(_), Some(_)) => Err(ManifestError::Ambiguous),
        (Some(_), None) if raw.layers.is_some() => Err(ManifestError::Ambiguous),
        (Some(entries), None) => Ok(Document::Index(entries)),
        (None, Some(config)) => image(config, raw.layers.unwrap_or_default())
            .map(|manifest| Document::Image(Box::new(manifest))),
        (None, None) if kind.is_empty() => {
            Err(ManifestError::NotAnImage("something else".to_owned()))
        }
        (None, None) => Err(ManifestError::NotAnImage(kind.to_owned())),
    }
}

fn image(config: Descriptor, layers: Vec<Descriptor>) -> Result<Manifest, ManifestError> {
    match config.media_type.as_str() {
        ""
        | "application/vnd.oci.image.config.v1+json"
        | "application/vnd.docker.container.image.v1+json" => {}
        other => return Err(ManifestError::NotAnImage(other.to_owned())),
    }
    if layers.len() > LAYERS_MAX {
        return Err(ManifestError::TooManyLayers(layers.len()));
    }
    // The compression is told by magic, whatever the media type says; encrypted and non-tar layers cannot be.
    let unusable = |layer: &&Descriptor| {
        let kind = layer.media_type.as_str();
        kind.contains("+encrypted")
            || !(kind.is_empty() || kind.contains("tar") || kind.ends_with("octet-stream"))
    };
    if let Some(layer) = layers.iter().find(unusable) {
        return Err(ManifestError::LayerType {
            digest: layer.digest.clone(),
            media_type: layer.media_type.clone(),
        });
    }
    Ok(Manifest { config, layers })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn descriptor(media_type: &str) -> serde_json::Value {
        json!({"mediaType": media_type, "digest": format!("sha256:{:064x}", 7), "size": 3})
    }

    const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

    #[test]
    fn both_families_are_read() {
        for (config, layer) in [
            (CONFIG, "application/vnd.oci.image.layer.v1.tar+gzip"),
            (CONFIG, "application/vnd.oci.image.layer.v1.tar+zstd"),
            (
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            ),
        ] {
            let text = json!({"schemaVersion": 2, "config": descriptor(config), "layers": [descriptor(layer)]});
            let Document::Image(manifest) = parse(text.to_string().as_bytes(), None).unwrap()
            else {
                panic!("an image");
            };
            assert_eq!(manifest.layers.len(), 1);
            assert_eq!(manifest.config.size, 3);
        }
    }

    #[test]
    fn what_is_no_image_is_refused_with_its_kind() {
        let image = |config: &str, layer: &str| json!({"schemaVersion": 2, "config": descriptor(config), "layers": [descriptor(layer)]});
        for (value, part) in [
            (json!({"schemaVersion": 1, "fsLayers": []}), "schema 1"),
            (json!({"schemaVersion": 2}), "not a container image"),
            (
                json!({"schemaVersion": 2, "manifests": [], "layers": []}),
                "ambiguous",
            ),
            (
                json!({"manifests": [], "config": descriptor(CONFIG)}),
                "ambiguous",
            ),
            (
                image("application/vnd.cncf.helm.config.v1+json", "x.tar"),
                "helm",
            ),
            (
                image(
                    CONFIG,
                    "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
                ),
                "encrypted",
            ),
            (image(CONFIG, "application/vnd.in-toto+json"), "in-toto"),
            (json!("text"), "malformed"),
            (
                json!({"config": {"digest": "md5:1", "size": 1}}),
                "malformed",
            ),
        ] {
            let error = parse(value.to_string().as_bytes(), None).unwrap_err();
            assert!(error.to_string().contains(part), "{value}: {error}");
        }
        let old = Some("application/vnd.docker.distribution.manifest.v1+prettyjws");
        assert!(matches!(parse(b"{}", old), Err(ManifestError::SchemaOne)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let outcome = parse(&bytes, None);
            prop_assert!(outcome.is_ok() || outcome.is_err());
        }
    }
}
