//! What work is about: the same words in plans, progress and errors.

use serde::{Deserialize, Serialize};

/// What a step works on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// Kind.
    pub kind: SubjectKind,
    /// Name as people know it: `shop-web-1`, `shop_default`, `redis:7-alpine`.
    pub name: String,
}

/// Kinds of subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// An image.
    Image,
    /// A layer of an image that is being pulled; its name starts with the image's reference.
    Layer,
    /// A step of a build.
    BuildStep,
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// A container.
    Container,
}
