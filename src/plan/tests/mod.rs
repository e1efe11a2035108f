//! Plans as text for chosen situations, and properties of plans of random projects.

mod enforce;
pub(in crate::plan) mod fixture;
mod history;
mod hooks;
mod lifecycle;
mod prop;
mod refusals;
mod replace;
mod scene;
mod up;
mod world;
