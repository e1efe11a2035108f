//! Files of this machine that containers follow: which changes count by `develop.watch`, and when there are some (`stack watch`).
//!
//! [`Rule`] is a rule of one service with its patterns, pure but for the `.dockerignore` that it reads once. [`Tree`] knows what lies below the
//! watched paths. inotify(7) only wakes it up: what has changed is found by looking again and comparing, so that neither an overflown queue nor an
//! editor's way of saving a file (write beside, rename over) can make it miss anything.

mod rule;
#[cfg(test)]
mod tests;
mod tree;

pub use rule::{Rule, RuleError};
pub use tree::{Change, Tree, TreeError};
