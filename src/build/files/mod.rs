//! Files of contexts and layers: what COPY selects, what its digest is, and how it is written into an image.

mod attributes;
mod chmod;
mod digest;
mod overlay;
mod place;
mod select;
mod stubs;
mod tree;
mod walk;

pub(crate) use attributes::{Owner, clamp_times};
pub(crate) use chmod::Chmod;
pub(crate) use digest::digest;
pub use overlay::OverlayError;
pub(crate) use overlay::mount;
pub use place::PlaceError;
pub(crate) use place::{Destination, Placer};
pub use select::SelectError;
pub(crate) use select::{Entry, Item, Selector};
pub(crate) use stubs::{remove_stubs, stubs};
pub(crate) use tree::Tree;
