//! Tests without root.

mod layering;
