//! Groups on this kernel, and in plain directories.

mod fake;
mod kernel;
