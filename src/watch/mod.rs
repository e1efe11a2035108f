//! Files of this machine that containers follow: which changes count by `develop.watch`, and when there are some (`stack watch`).
//!
//! [`Rule`] is a rule of one service with its patterns, pure but for the `.dockerignore` that it reads once. [`Tree`] knows what lies below the
//! watched paths. inotify(7) only says which of them to look at again: what has changed is found by comparing, so that no editor's way of saving a file
//! (write beside, rename over) matters, and after an overflown queue everything is looked at.

mod error;
mod rule;
#[cfg(test)]
mod tests;
mod tree;

pub use error::TreeError;
pub use rule::{Rule, RuleError};
pub use tree::{Change, Tree};
