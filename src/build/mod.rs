//! Builds images from Dockerfiles.

pub mod dockerfile;
mod ignore;
mod path;
