//! Tests without root.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::format_collect,
    reason = "helpers of tests are not in test functions"
)]

mod layering;
