//! Why an archive could not be loaded or saved.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    image::{
        config::ConfigError,
        manifest::ManifestError,
        pipeline::LayerError,
        reference::InvalidReference,
        store::ImageError,
        unpack::{TarError, UnpackError},
    },
    model::Digest,
};

/// An archive could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The archive cannot be read.
    #[error("load `{path}`")]
    Read {
        /// The archive.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no tar archive.
    #[error("load `{path}`")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Why.
        #[source]
        source: UnpackError,
    },
    /// It is neither of the forms.
    #[error("`{0}` holds neither `manifest.json` (docker save) nor `index.json` (OCI layout)")]
    Unknown(PathBuf),
    /// More files than any archive of images has.
    #[error("the archive has more than {0} members")]
    TooManyMembers(usize),
    /// More of small files than any archive of images has.
    #[error("the archive has more than {0} bytes of manifests and configs")]
    TooMuchMetadata(u64),
    /// There is no image of this tag or digest.
    #[error("`{path}` has no image `{wanted}`")]
    NoImage {
        /// The file or directory.
        path: PathBuf,
        /// The tag or digest.
        wanted: String,
    },
    /// A file in it does not have its form.
    #[error("`{file}` of the archive")]
    Malformed {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A file in it is missing or cannot be read.
    #[error("`{file}` of the archive")]
    File {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A blob is not what its name says.
    #[error("blob {wanted} of the archive is corrupt: its digest is {found}")]
    Corrupt {
        /// Its name.
        wanted: Digest,
        /// Its digest.
        found: Digest,
    },
    /// A layer is not what the config says.
    #[error("layer `{layer}` of the archive is corrupt: its diff id is {found}, not {wanted}")]
    DiffId {
        /// The file.
        layer: String,
        /// In the config.
        wanted: Digest,
        /// Found.
        found: Digest,
    },
    /// Manifest and config contradict each other.
    #[error("an image of the archive has {layers} layers, its config {diff_ids}")]
    LayerCount {
        /// In the manifest.
        layers: usize,
        /// In the config.
        diff_ids: usize,
    },
    /// A manifest is unusable.
    #[error("a manifest of the archive")]
    Manifest(#[from] ManifestError),
    /// A config is unusable.
    #[error("a config of the archive")]
    Config(#[from] ConfigError),
    /// A name in it is none.
    #[error("a name in the archive")]
    Reference(#[from] InvalidReference),
    /// No image in it runs here.
    #[error("no image of the archive is made for {wanted}; they are for {}", .offered.join(", "))]
    NoPlatform {
        /// This machine.
        wanted: String,
        /// What there is.
        offered: Vec<String>,
    },
    /// A layer could not be unpacked.
    #[error("layer `{layer}` of the archive")]
    Layer {
        /// The file.
        layer: String,
        /// Why.
        #[source]
        source: LayerError,
    },
    /// The disk is full. Nothing of the image is there.
    #[error("load `{path}`: no space left on the disk of `{state}`")]
    NoSpace {
        /// The archive.
        path: PathBuf,
        /// The state directory.
        state: PathBuf,
    },
    /// The store could not keep it.
    #[error("load an image")]
    Store(#[source] ImageError),
}

impl From<ImageError> for LoadError {
    fn from(source: ImageError) -> Self {
        Self::Store(source)
    }
}

impl From<TarError> for LoadError {
    fn from(source: TarError) -> Self {
        Self::Archive {
            path: PathBuf::new(),
            source: source.into(),
        }
    }
}

impl LoadError {
    /// Names the archive, and tells a full disk apart.
    pub(super) fn of_archive(self, archive: &Path, state: &Path) -> Self {
        if self.is_no_space() {
            return Self::NoSpace {
                path: archive.to_owned(),
                state: state.to_owned(),
            };
        }
        match self {
            Self::Archive { source, .. } => Self::Archive {
                path: archive.to_owned(),
                source,
            },
            Self::Unknown(_) => Self::Unknown(archive.to_owned()),
            other => other,
        }
    }

    pub(super) fn is_no_space(&self) -> bool {
        match self {
            Self::Archive { source, .. } => source.is_no_space(),
            Self::Layer { source, .. } => source.is_no_space(),
            Self::Store(source) => source.is_no_space(),
            Self::NoSpace { .. } => true,
            _ => false,
        }
    }
}

/// Images could not be written into an archive.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// An image or one of its layers cannot be read.
    #[error("save images")]
    Store(#[source] ImageError),
    /// A layer cannot be read as it came.
    #[error("read layer {layer} of `{image}`")]
    Layer {
        /// The image.
        image: String,
        /// Its diff id.
        layer: Digest,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The archive cannot be written.
    #[error("write the archive")]
    Write(#[source] io::Error),
}

impl From<ImageError> for SaveError {
    fn from(source: ImageError) -> Self {
        Self::Store(source)
    }
}
