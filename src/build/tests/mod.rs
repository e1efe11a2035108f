//! Whole builds on a store in a directory, with a runner that understands a few commands. They need root: overlays are mounted.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make files where they need them"
)]

mod add;
mod cache;
mod config;
mod contexts;
mod copy;
mod engine;
mod fakes;
mod fixture;
mod imports;
mod lint;
mod run;
mod stages;
mod store;
