//! Reads Compose files: YAML in, one canonical project out, or every error of the files at once.
//!
//! ```text
//! discover     which files, which directory, which environment, what name
//! yaml         text -> tree with the place of every value; aliases and merge keys applied within limits
//! interpolate  ${VARIABLES} in values
//! canonical    every key and form checked by the table in `schema`; short forms become long
//! include, extends, merge   several documents become one
//! normalize    names, default network, implied dependencies
//! profiles     which services are on
//! validate     references, cycles, contradictions
//! project      the tree becomes `model::Project`; `render` makes what `config` prints
//! ```
//!
//! Values in, values out: files come through [`Files`], variables through [`Request`]. No clock, no environment, no
//! network. Findings carry codes and places; drawing them is the CLI's business.
//!
//! The README has the table of elements and an example; it is part of these pages.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod canonical;
mod configuration;
mod context;
mod diagnostic;
mod discover;
pub mod emit;
mod env;
mod extends;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod include;
mod interpolate;
mod load;
mod locations;
mod merge;
pub mod model;
mod normalize;
mod paths;
mod plain_yaml;
mod profiles;
mod project;
mod render;
mod request;
mod schema;
#[cfg(test)]
mod tests;
mod validate;
mod yaml;

pub use configuration::{Configuration, Passes, Variable, configuration, variables};
pub use context::FILE_BYTES_MAX;
pub use diagnostic::{
    Code, Diagnostic, Drawing, Label, Location, Severity, Source, SourceId, Sources, Span, json,
    plain, short,
};
pub use load::load;
pub use locations::Locations;
pub use plain_yaml::plain_yaml;
pub use request::{FileKind, Files, LoadError, Loaded, Request};
