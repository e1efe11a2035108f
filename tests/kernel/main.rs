//! Tests that need root.

mod network;
