//! Files of contexts and layers: what COPY selects, what its digest is, and how it is written into an image.

mod chmod;
mod digest;
mod overlay;
mod place;
mod select;
mod stubs;
mod tree;

pub(crate) use chmod::Chmod;
pub(crate) use digest::digest;
pub use overlay::OverlayError;
pub(crate) use overlay::mount;
pub use place::PlaceError;
pub(crate) use place::{Destination, Owner, Placer, clamp_times};
pub use select::SelectError;
pub(crate) use select::{Item, Selector};
pub(crate) use stubs::{remove_stubs, stubs};
pub(crate) use tree::Tree;
