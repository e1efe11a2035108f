//! Tests without root: see CONTRIBUTING.md.
