//! Tests without root.

#![expect(
    clippy::unwrap_used,
    clippy::format_collect,
    reason = "helpers of tests are not in test functions"
)]

mod elements;
mod layering;
mod tables;
