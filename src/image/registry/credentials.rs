//! Credentials of a Docker client's `config.json`.
//!
//! Read at the moment a registry asks for them, never cached, never logged. Credential helpers are programs, and
//! `stack` starts no foreign programs: a registry whose credentials are kept by one is reported as such.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
};

use fs_err as fs;
use serde::Deserialize;

use crate::image::{reference::DEFAULT_REGISTRY, unpack::base64};

/// What Docker calls the Hub in its file.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// Where credentials are looked up.
#[derive(Debug, Clone, Default)]
pub(super) struct Credentials {
    config_json: Option<PathBuf>,
}

/// What proves who we are. Its text never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credential {
    /// User name and password.
    Password { user: String, password: String },
    /// Exchanged for an access token at the token server.
    RefreshToken(String),
    /// Sent as it is.
    BearerToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Password(***)",
            Self::RefreshToken(_) => "RefreshToken(***)",
            Self::BearerToken(_) => "BearerToken(***)",
        })
    }
}

/// The answer to a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lookup {
    Found(Credential),
    None,
    /// A program keeps them.
    Helper(String),
}

/// Credentials that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("read registry credentials")]
    Io(#[source] io::Error),
    /// The file does not have its form. What it says stays unsaid: it holds secrets.
    #[error("registry credentials `{path}`: not a Docker client configuration (line {line})")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
    },
    /// An entry is not base64 of `user:password`.
    #[error(
        "registry credentials `{path}`: the entry of `{registry}` is not base64 of user:password"
    )]
    Entry {
        /// The file.
        path: PathBuf,
        /// The entry.
        registry: String,
    },
}

#[derive(Deserialize, Default)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
struct Entry {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default, rename = "identitytoken")]
    identity_token: Option<String>,
    #[serde(default, rename = "registrytoken")]
    registry_token: Option<String>,
}

impl Credentials {
    pub(super) fn new(config_json: &Path) -> Self {
        Self {
            config_json: Some(config_json.to_owned()),
        }
    }

    /// Looks a registry's credentials up.
    pub(super) fn look_up(&self, registry: &str) -> Result<Lookup, CredentialsError> {
        let Some(path) = &self.config_json else {
            return Ok(Lookup::None);
        };
        match fs::read(path) {
            Ok(bytes) => look_up(&bytes, path, registry),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Lookup::None),
            Err(error) => Err(CredentialsError::Io(error)),
        }
    }
}

fn look_up(bytes: &[u8], path: &Path, registry: &str) -> Result<Lookup, CredentialsError> {
    let file: File =
        serde_json::from_slice(bytes).map_err(|error| CredentialsError::Malformed {
            path: path.to_owned(),
            line: error.line(),
        })?;
    let is_it = |key: &str| {
        (registry == DEFAULT_REGISTRY && key == HUB_KEY) || normal(key) == normal(registry)
    };
    if let Some((_, helper)) = file.helpers.iter().find(|(key, _)| is_it(key)) {
        return Ok(Lookup::Helper(helper.clone()));
    }
    // The exact key first: `https://host/v1/` and `host` may both be there.
    let exact = file.auths.get_key_value(registry);
    let entry = exact.or_else(|| file.auths.iter().find(|(key, _)| is_it(key)));
    let found = match entry {
        Some((key, entry)) => entry.credential().map_err(|()| CredentialsError::Entry {
            path: path.to_owned(),
            registry: key.clone(),
        })?,
        None => None,
    };
    Ok(match (found, file.store) {
        (Some(credential), _) => Lookup::Found(credential),
        (None, Some(helper)) => Lookup::Helper(helper),
        (None, None) => Lookup::None,
    })
}

impl Entry {
    fn credential(&self) -> Result<Option<Credential>, ()> {
        let text = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
        if let Some(token) = text(&self.registry_token) {
            return Ok(Some(Credential::BearerToken(token)));
        }
        if let Some(token) = text(&self.identity_token) {
            return Ok(Some(Credential::RefreshToken(token)));
        }
        if let Some(auth) = text(&self.auth) {
            let plain = base64(auth.trim().as_bytes()).ok_or(())?;
            let plain = String::from_utf8(plain).map_err(|_invalid| ())?;
            let (user, password) = plain.split_once(':').ok_or(())?;
            let password = password.trim_end_matches('\0').to_owned();
            return Ok(Some(Credential::Password {
                user: user.to_owned(),
                password,
            }));
        }
        Ok(match (text(&self.username), text(&self.password)) {
            (Some(user), Some(password)) => Some(Credential::Password { user, password }),
            _ => None,
        })
    }
}

/// Strips what Docker's older versions wrote around the host.
fn normal(key: &str) -> &str {
    let key = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let host = key.split('/').next().unwrap_or(key);
    match host {
        "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY,
        other => other,
    }
}

/// Makes the value of a `Basic` authorization.
pub(super) fn basic(user: &str, password: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let plain = format!("{user}:{password}");
    let mut text = "Basic ".to_owned();
    for group in plain.as_bytes().chunks(3) {
        let byte = |at: usize| group.get(at).copied().map_or(0, usize::from);
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS[bits >> (18 - 6 * place) & 63];
            text.push(if place > group.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(user: &str, password: &str) -> Lookup {
        Lookup::Found(Credential::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }

    #[test]
    fn the_forms_of_docker_and_its_heirs() {
        let auth = &basic("me", "se:cret")["Basic ".len()..];
        let file = serde_json::json!({
            "auths": {
                "https://index.docker.io/v1/": {"auth": auth},
                "ghcr.io": {"identitytoken": "refresh"},
                "https://old.example/v2/": {"username": "u", "password": "p"},
                "quay.io": {"registrytoken": "token"},
                "empty.example": {},
                "bad.example": {"auth": "%%"},
            },
            "credHelpers": {"gcr.io": "gcloud"},
        })
        .to_string();
        let find = |registry: &str| look_up(file.as_bytes(), Path::new("config.json"), registry);
        assert_eq!(find("docker.io").unwrap(), password("me", "se:cret"));
        assert_eq!(
            find("ghcr.io").unwrap(),
            Lookup::Found(Credential::RefreshToken("refresh".to_owned()))
        );
        assert_eq!(find("old.example").unwrap(), password("u", "p"));
        assert_eq!(
            find("quay.io").unwrap(),
            Lookup::Found(Credential::BearerToken("token".to_owned()))
        );
        assert_eq!(find("gcr.io").unwrap(), Lookup::Helper("gcloud".to_owned()));
        assert_eq!(find("empty.example").unwrap(), Lookup::None);
        assert_eq!(find("other.example").unwrap(), Lookup::None);
        assert!(
            find("bad.example")
                .unwrap_err()
                .to_string()
                .contains("bad.example")
        );
    }

    #[test]
    fn a_store_of_credentials_is_named_and_secrets_never_show() {
        let file = br#"{"auths": {"a.example": {}}, "credsStore": "desktop"}"#;
        let found = look_up(file, Path::new("c"), "a.example").unwrap();
        assert_eq!(found, Lookup::Helper("desktop".to_owned()));
        let error = look_up(br#"{"auths": {"a": "secret"}}"#, Path::new("c"), "a").unwrap_err();
        assert!(!format!("{error:?} {error}").contains("secret"));
        assert!(!format!("{:?}", password("me", "secret")).contains("secret"));
    }

    #[test]
    fn basic_is_padded_base64() {
        for (user, password, text) in [
            ("a", "b", "YTpi"),
            ("a", "", "YTo="),
            ("", "", "Og=="),
            ("user", "pass", "dXNlcjpwYXNz"),
        ] {
            assert_eq!(basic(user, password), format!("Basic {text}"));
        }
    }
}
