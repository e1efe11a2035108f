//! Files of contexts and layers: what COPY selects, what its digest is, and how it is written into an image.

mod chmod;
mod digest;
mod overlay;
mod place;
mod select;
mod stubs;
mod tree;

pub use overlay::OverlayError;
pub(crate) use chmod::Chmod;
pub(crate) use digest::digest;
pub(crate) use overlay::mount;
pub(crate) use place::{Destination, Owner, Placer, clamp_times};
pub use place::PlaceError;
pub(crate) use select::{Item, Selector};
pub use select::SelectError;
pub(crate) use stubs::{remove_stubs, stubs};
pub(crate) use tree::Tree;
