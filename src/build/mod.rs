//! Builds images from Dockerfiles.
//!
//! [`build`] is the table of contents: parse ([`dockerfile`], pure), plan (which stages, which bases), then run the stages, the
//! independent ones at the same time. A step is found in the cache by its key, or it is done: COPY writes into a fresh overlay upper
//! over its stage, RUN runs a container on one; the upper becomes the layer. The builder does not know the image store but through
//! [`Layers`], and does not start processes but through [`StepRunner`].
//!
//! What surprises: the overlays of the builder itself are never attached to any mount table; an image that is built again from the cache
//! has the same id, because lines of history take the time of the cached layer.

mod bases;
mod cache;
mod cache_entry;
mod change;
mod compose;
mod context;
mod copy_out;
pub mod dockerfile;
mod document;
mod emulation;
mod engine;
mod error;
mod event;
mod exchange;
mod explain;
mod fetch;
mod files;
pub mod fuzzing;
mod git;
mod housekeeping;
mod ignore;
mod imports;
mod input;
mod layers;
mod lint;
mod path;
mod plan;
mod review;
mod runner;
mod schedule;
mod scope;
mod solve;
mod ssh;
mod stage;
mod steps;
mod store;
mod vertex;
mod workspace;

pub use cache::cached_layers;
pub use change::{ChangeError, change_config};
pub use compose::Surroundings;
pub use copy_out::copy_out;
pub use engine::Engine;
pub use error::{BuildError, StepError, StepFailure};
pub use event::{BuildEvent, Progress, StepName};
pub use exchange::{CachedStep, FetchLayer, ImportedCache, MadeStep, cache_config, steps_of};
pub use fetch::FetchedContexts;
pub use files::{OverlayError, PlaceError, SelectError};
pub use git::GitError;
pub use housekeeping::{HousekeepingError, prune, prune_sometimes, sizes, usage};
pub(crate) use ignore::Ignore;
pub use ignore::IgnoreError;
pub(crate) use input::ignore_of;
pub use input::{
    BuildInput, BuildNetwork, CacheFrom, CacheTo, DockerfileSource, NamedContext, Secret,
};
pub use layers::{Layer, Layers, LayersError};
pub use lint::{CheckOptionError, Finding, Rule};
pub use review::check;
pub use runner::{RunnerError, StepDevice, StepNetwork, StepNetworkError, StepRunner, Write};
pub use solve::{BuildHost, Built, build};
pub use ssh::{KeyError, SshError};
pub use store::{Pull, StoreLayers};

#[cfg(test)]
mod tests;
