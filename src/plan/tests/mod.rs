//! Plans as text for chosen situations, and properties of plans of random projects.

pub(in crate::plan) mod fixture;
mod lifecycle;
mod prop;
mod refusals;
mod up;
mod world;
