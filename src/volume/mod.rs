//! Volumes on disk: made, filled from images, listed and removed.
//!
//! ```text
//! <root>/volumes/<name>/
//!   volume.json     the record; a directory without one is no volume yet
//!   _data           the data; a symlink to the host directory of a bound volume (`driver_opts: {type: none, o: bind}`)
//!   .lock           held while the volume is made, filled or removed
//!   .fill           content of an image on its way into an empty volume
//!   .fill-ready     `.fill` is complete: what was moved already stays, the rest follows (names the directory inside the volume)
//! ```
//!
//! Blocking; callers run it where blocking is allowed. It never decides which volumes there should be.

mod bind;
mod copy_up;
mod error;
mod local;
mod merged;
mod tree;

pub use bind::{BindOwner, prepare_bind};
pub use copy_up::Filled;
pub use error::VolumeError;
pub use local::Volumes;
