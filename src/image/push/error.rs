//! Why a push did not succeed.

use crate::{
    image::{reference::InvalidReference, registry::Failures, store::ImageError},
    model::Digest,
};

/// A push did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Not the name of an image.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// The store has no image of that name.
    #[error("push `{0}`: there is no image of that name here")]
    NotHere(String),
    /// The name pins other content than the image has.
    #[error("push `{reference}`: the image's own manifest is {found}")]
    Pinned {
        /// The image as people write it.
        reference: String,
        /// What would be pushed.
        found: Digest,
    },
    /// The registry did not take it.
    #[error("push `{reference}`: {failures}")]
    Registry {
        /// The image.
        reference: String,
        /// What it said.
        failures: Failures,
    },
    /// The registry took it for something else.
    #[error("push `{reference}`: the registry says that it got {found}, not {wanted}")]
    Altered {
        /// The image.
        reference: String,
        /// What was sent.
        wanted: Digest,
        /// What it says.
        found: Digest,
    },
    /// The store could not give it.
    #[error("push `{reference}`")]
    Store {
        /// The image.
        reference: String,
        /// Why.
        #[source]
        source: ImageError,
    },
}

impl PushError {
    /// Returns the next things to do.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::NotHere(_) => vec![
                "stack image ls".to_owned(),
                "stack image tag SOURCE NAME".to_owned(),
            ],
            Self::Registry { failures, .. } => failures.hints(),
            _ => Vec::new(),
        }
    }
}
