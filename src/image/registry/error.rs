//! What a registry can answer instead of content, told apart so that people know what to do.

use std::time::Duration;

use serde::Deserialize;

use super::{credentials::CredentialsError, transport::TransportError};
use crate::model::{DEFAULT_REGISTRY, Digest, normal_registry};

/// A registry did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It could not be talked to.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The connection broke in the middle of content, again and again.
    #[error("the download from {host} broke off at byte {at}")]
    Interrupted {
        /// Host and port.
        host: String,
        /// Bytes that had come.
        at: u64,
    },
    /// It has no such repository.
    #[error("{host} has no repository `{repository}`, or it is private")]
    NoRepository {
        /// Host and port.
        host: String,
        /// The repository.
        repository: String,
    },
    /// It has no such tag, manifest or blob.
    #[error("{host} has no `{what}` in `{repository}`")]
    NotFound {
        /// Host and port.
        host: String,
        /// The repository.
        repository: String,
        /// Tag or digest.
        what: String,
    },
    /// It wants to know who asks, or does not let them.
    #[error("{host} refused access{}: {reason}", if .repository.is_empty() { String::new() } else { format!(" to `{repository}`") })]
    Denied {
        /// Host and port.
        host: String,
        /// The repository.
        repository: String,
        /// What we showed, and what it said.
        reason: Denial,
    },
    /// Too many requests.
    #[error("{}", rate_text(.host, *.quota))]
    RateLimited {
        /// Host and port.
        host: String,
        /// The quota of pulls is used up; waiting a moment does not help.
        quota: bool,
        /// When it asks us to come back.
        after: Option<Duration>,
    },
    /// Any other answer.
    #[error("{host} answered {status}{}", message.as_ref().map(|text| format!(": {text}")).unwrap_or_default())]
    Status {
        /// Host and port.
        host: String,
        /// HTTP status.
        status: u16,
        /// What it said about it.
        message: Option<String>,
        /// When it asks us to come back.
        after: Option<Duration>,
    },
    /// It sends us in circles.
    #[error("{host} redirects without end or to an address that cannot be asked")]
    Redirect {
        /// Host and port.
        host: String,
    },
    /// Something answers, but no registry.
    #[error("{host} does not answer as a registry does")]
    NotARegistry {
        /// Host and port.
        host: String,
    },
    /// Its token server answered without a token.
    #[error("the token server of {host} answered without a token")]
    Token {
        /// Host and port of the registry.
        host: String,
    },
    /// Our credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// What it sent is not what was asked for.
    #[error("{host} sent other content than it announced: wanted {wanted}, got {found}")]
    Digest {
        /// Host and port.
        host: String,
        /// Digest asked for.
        wanted: Digest,
        /// Digest of what came.
        found: Digest,
    },
    /// Its size is not the announced one.
    #[error("{host} sent {found} bytes for {wanted}, which has {expected}")]
    Size {
        /// Host and port.
        host: String,
        /// What was asked for.
        wanted: Digest,
        /// Announced.
        expected: u64,
        /// Sent.
        found: u64,
    },
    /// A manifest or config beyond all measure.
    #[error("{host} sent more than {limit} bytes where a manifest or config should be")]
    TooLarge {
        /// Host and port.
        host: String,
        /// The ceiling.
        limit: u64,
    },
}

/// Why access was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// We have no credentials for it.
    NoCredentials,
    /// It did not accept ours.
    BadCredentials,
    /// A program keeps them, and no command that could run it is behind this.
    Helper(String),
    /// They are kept somewhere, but could not be had.
    Problem(String),
    /// They would have to go over a connection that anybody can read.
    Unprotected,
}

impl std::fmt::Display for Denial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoCredentials => f.write_str(
                "it is private or does not exist, and there are no credentials for this registry",
            ),
            Self::BadCredentials => {
                f.write_str("the credentials were not accepted, or do not cover it")
            }
            Self::Helper(name) => write!(
                f,
                "the credentials are kept by the program docker-credential-{name}, which only runs for a command; repeat it with `stack pull`"
            ),
            Self::Problem(problem) => write!(f, "the credentials could not be had: {problem}"),
            Self::Unprotected => f.write_str("it wants credentials over an unprotected connection"),
        }
    }
}

fn rate_text(host: &str, quota: bool) -> String {
    if quota {
        format!(
            "the quota of pulls from {host} is used up; it comes back within 6 hours, and is larger with credentials; a mirror helps too"
        )
    } else {
        format!("{host} gets too many requests")
    }
}

/// Returns what `stack login` is given for a host; nothing for the Hub, which is the default.
fn login_name(host: &str) -> &str {
    match normal_registry(host) {
        DEFAULT_REGISTRY => "",
        other => other,
    }
}

impl RegistryError {
    /// Tells whether the same request may succeed in a moment.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Transport(error) => error.is_passing(),
            Self::RateLimited { quota, .. } => !quota,
            Self::Status { status, .. } => matches!(status, 408 | 500..),
            Self::Interrupted { .. } => true,
            _ => false,
        }
    }

    /// Returns when the registry asks us to come back.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { after, .. } | Self::Status { after, .. } => *after,
            _ => None,
        }
    }

    /// Returns the next thing to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Transport(error) => return error.hint(),
            Self::NoRepository { host, .. } => {
                format!(
                    "check the name; a private repository needs `stack login {}`",
                    login_name(host)
                )
            }
            Self::NotFound { .. } => "check the tag or digest".to_owned(),
            Self::Denied {
                host,
                reason: Denial::NoCredentials | Denial::BadCredentials,
                ..
            } => format!("stack login {}", login_name(host))
                .trim()
                .to_owned(),
            Self::Denied {
                reason: Denial::Unprotected,
                host,
                ..
            } => format!("give {host} TLS; passwords are not sent without"),
            Self::RateLimited {
                quota: true, host, ..
            } => format!(
                "`stack login {}`, or name a mirror in /etc/stack/registries.toml",
                login_name(host)
            ),
            Self::RateLimited { quota: false, .. } => "try again in a minute".to_owned(),
            Self::Digest { .. } | Self::Size { .. } => {
                "a mirror or proxy on the way may be broken; try again without it".to_owned()
            }
            _ => return None,
        })
    }

    /// Tells whether an upload has to ask where it is: the registry has more or less than was thought.
    pub(super) fn is_out_of_step(&self) -> bool {
        matches!(self, Self::Status { status: 416, .. })
    }

    /// Tells whether the registry answered that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NoRepository { .. } | Self::NotFound { .. })
    }
}

/// What a registry says about an error: `{"errors": [{"code": …, "message": …}]}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) code: String,
    pub(super) message: String,
}

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    errors: Vec<Item>,
    /// Token servers use another form.
    #[serde(default)]
    details: Option<String>,
}

#[derive(Deserialize, Default)]
struct Item {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

/// Reads the body of an error; text that is not in the form counts as the message if it is short.
pub(super) fn complaint(body: &[u8]) -> Complaint {
    if let Ok(body) = serde_json::from_slice::<Body>(body) {
        let item = body.errors.into_iter().next().unwrap_or_default();
        return Complaint {
            code: item.code.unwrap_or_default(),
            message: printable(&item.message.or(body.details).unwrap_or_default()),
        };
    }
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let is_page = text.starts_with('<') || text.len() > 300;
    Complaint {
        code: String::new(),
        message: if is_page {
            String::new()
        } else {
            printable(text)
        },
    }
}

/// Text of strangers goes to a terminal: no control characters, no novel.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(300)
        .collect()
}

/// Reads `Retry-After`: seconds, or a date, or in the text of an answer as one big host writes it (`retry-after: 880µs`).
pub(super) fn retry_after(
    header: Option<&str>,
    body: &str,
    now: jiff::Timestamp,
) -> Option<Duration> {
    if let Some(text) = header.map(str::trim) {
        if let Ok(seconds) = text.parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        if let Ok(date) = jiff::fmt::rfc2822::parse(text) {
            let wait = date.timestamp().duration_since(now);
            return Some(Duration::try_from(wait).unwrap_or_default());
        }
    }
    let (_, rest) = body.split_once("retry-after:")?;
    let rest = rest.trim_start();
    let digits = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    let number: f64 = rest[..digits].parse().ok()?;
    let unit: String = rest[digits..]
        .chars()
        .take_while(|c| c.is_alphabetic())
        .collect();
    let seconds = match unit.as_str() {
        "ns" => number / 1e9,
        "us" | "µs" | "μs" => number / 1e6,
        "ms" => number / 1e3,
        "m" => number * 60.0,
        "s" | "" => number,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_has_three_forms() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let seconds = |n| Some(Duration::from_secs(n));
        for (header, body, wait) in [
            (Some("7"), "", seconds(7)),
            (Some("Thu, 01 Jan 2026 00:00:30 GMT"), "", seconds(30)),
            (Some("Wed, 31 Dec 2025 00:00:00 GMT"), "", seconds(0)),
            (
                None,
                "denied: retry-after: 880µs, allowed: 44000/minute",
                Some(Duration::from_micros(880)),
            ),
            (None, "retry-after: 1.5s", Some(Duration::from_millis(1500))),
            (None, "slow down", None),
            (Some("soon"), "", None),
        ] {
            assert_eq!(retry_after(header, body, now), wait, "{header:?} {body}");
        }
    }

    #[test]
    fn complaints_are_read_and_made_printable() {
        let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no\u001b[31m such","detail":{}}]}"#;
        assert_eq!(
            complaint(body),
            Complaint {
                code: "MANIFEST_UNKNOWN".to_owned(),
                message: "no[31m such".to_owned()
            }
        );
        assert_eq!(complaint(b"plain words").message, "plain words");
        assert_eq!(complaint(b"<html>").message, "");
        assert_eq!(
            complaint(br#"{"details": "incorrect username"}"#).message,
            "incorrect username"
        );
    }
}
