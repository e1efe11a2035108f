//! One difference between what is and what is wanted, told without giving secrets away.

use std::fmt;

/// Longest value that is shown.
const SHOWN_CHARS_MAX: usize = 60;
/// Parts of names whose values are not shown.
const SENSITIVE: [&str; 9] = [
    "PASS",
    "SECRET",
    "TOKEN",
    "KEY",
    "CREDENTIAL",
    "AUTH",
    "PRIVATE",
    "SALT",
    "COOKIE",
];

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Path below the service: `environment.LOG_LEVEL`.
    pub path: String,
    /// For people: `environment.LOG_LEVEL "info" -> "debug"`.
    pub text: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Change {
    /// Makes a change with its own words.
    pub(super) fn new(path: &str, text: String) -> Self {
        Self {
            path: path.to_owned(),
            text,
        }
    }

    /// Makes a change of a text.
    pub(super) fn between(path: &str, old: &str, new: &str) -> Self {
        let quoted = |text: &str| match text {
            "" => "(none)".to_owned(),
            text => format!("{text:?}"),
        };
        Self::of_values(path, &quoted(old), &quoted(new))
    }

    /// Makes a change of two values as they are written; `sensitive` names keep theirs.
    pub(super) fn of_values(path: &str, old: &str, new: &str) -> Self {
        let text = if is_sensitive(path) || has_credentials(old) || has_credentials(new) {
            format!("{path} (sensitive, changed)")
        } else if old.chars().count().max(new.chars().count()) > SHOWN_CHARS_MAX {
            format!("{path} changed")
        } else {
            format!("{path} {old} -> {new}")
        };
        Self::new(path, text)
    }
}

fn is_sensitive(path: &str) -> bool {
    let name = path
        .strip_prefix("environment.")
        .or_else(|| path.strip_prefix("labels."))
        .unwrap_or_default()
        .to_ascii_uppercase();
    SENSITIVE.iter().any(|part| name.contains(part))
}

/// `scheme://user:password@host`.
fn has_credentials(value: &str) -> bool {
    value.split_once("://").is_some_and(|(_, rest)| {
        let authority = rest.split('/').next().unwrap_or_default();
        authority
            .split_once('@')
            .is_some_and(|(user, _)| user.contains(':'))
    })
}
