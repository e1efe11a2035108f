//! What went wrong, as people are told it.

use std::error::Error;

use serde::{Deserialize, Serialize};

/// Kind of a failure; the CLI's exit codes follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Anything else: exit code 1.
    Operation,
    /// Pull or build: 4.
    Image,
    /// A service did not become ready: 5.
    Unhealthy,
    /// Time is up: 6.
    Timeout,
    /// A port, name, subnet or lock is taken: 7.
    Conflict,
    /// The host cannot do it, or does not permit it: 8.
    Unsupported,
}

/// Returns the messages of an error and its sources, outermost first.
///
/// A source whose message the error before it already ends with is left out: some libraries show their source themselves.
pub fn chain(error: &dyn Error) -> Vec<String> {
    let mut messages: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let message = error.to_string();
        let is_shown = |outer: &String| outer.ends_with(&message);
        if !messages.last().is_some_and(is_shown) {
            messages.push(message);
        }
        next = error.source();
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("start service `web`")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error("bind 0.0.0.0:80: {0}")]
    struct Middle(#[source] std::fmt::Error);

    #[test]
    fn each_message_stands_once() {
        let error = Outer(Middle(std::fmt::Error));
        let inner = std::fmt::Error.to_string();
        assert_eq!(
            chain(&error),
            [
                "start service `web`".to_owned(),
                format!("bind 0.0.0.0:80: {inner}")
            ]
        );
    }
}
