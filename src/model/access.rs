//! How the caller of a command reaches registries: what its environment and its files say, as data.
//!
//! The supervisor that pulls and pushes may have been started from another environment, so every call that needs
//! registries carries this. It lives in memory only and is never written to the disk.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::Secret;

/// The registry that a name without one means.
pub const DEFAULT_REGISTRY: &str = "docker.io";

/// What a caller's environment says about registries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegistryAccess {
    /// By registry, as names of images have it: `docker.io`, `registry.example:5000`.
    pub credentials: BTreeMap<String, Credential>,
    /// Registries whose credentials exist but could not be had, and why: a credential helper that is missing or failed.
    pub problems: BTreeMap<String, String>,
    /// `HTTP_PROXY` or its lower-case form. It may hold a password.
    pub http_proxy: Option<Secret<String>>,
    /// `HTTPS_PROXY`.
    pub https_proxy: Option<Secret<String>>,
    /// `NO_PROXY`.
    pub no_proxy: Option<String>,
    /// The user's own `registries.toml`, read by the caller.
    pub settings: Option<SettingsText>,
    /// The user's own folders of the form `certs.d/<host>/`, asked before those of the machine.
    pub certificates: Vec<PathBuf>,
}

/// A settings file as the caller read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsText {
    /// Where it lies, for messages and relative paths in it.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// What proves who we are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// User name and password.
    Password {
        /// The name.
        user: String,
        /// The password, or an access token that stands for it.
        password: Secret<String>,
    },
    /// Exchanged for an access token at the token server (`identitytoken`).
    RefreshToken(Secret<String>),
    /// Sent as it is (`registrytoken`).
    BearerToken(Secret<String>),
}

impl Credential {
    /// Makes a password.
    pub fn password(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Password {
            user: user.into(),
            password: Secret::new(password.into()),
        }
    }
}

/// Returns the registry that an image's name is about, by the rule of Docker's reference grammar: the first component
/// is a host when it has a dot or a colon, or is `localhost`.
pub fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => {
            normal_registry(first)
        }
        _ => DEFAULT_REGISTRY,
    }
}

/// Returns the name of a registry without what older clients wrote around it: scheme, path, and the Hub's other hosts.
pub fn normal_registry(key: &str) -> &str {
    let key = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    match key.split('/').next().unwrap_or(key) {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => DEFAULT_REGISTRY,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_of_a_name() {
        for (image, registry) in [
            ("redis", "docker.io"),
            ("redis:7", "docker.io"),
            ("grafana/loki:2", "docker.io"),
            ("index.docker.io/library/redis", "docker.io"),
            ("localhost/app", "localhost"),
            ("localhost:5000/app:1@sha256:00", "localhost:5000"),
            ("ghcr.io/a/b/c", "ghcr.io"),
            ("[::1]:5000/a", "[::1]:5000"),
        ] {
            assert_eq!(registry_of(image), registry, "{image}");
        }
        assert_eq!(normal_registry("https://index.docker.io/v1/"), "docker.io");
        assert_eq!(normal_registry("http://lan:5000/v2/"), "lan:5000");
    }

    #[test]
    fn no_secret_shows() {
        let access = RegistryAccess {
            credentials: BTreeMap::from([
                ("a".to_owned(), Credential::password("me", "hunter2")),
                (
                    "b".to_owned(),
                    Credential::RefreshToken(Secret::new("hunter2".to_owned())),
                ),
            ]),
            http_proxy: Some(Secret::new("http://u:hunter2@proxy".to_owned())),
            ..RegistryAccess::default()
        };
        assert!(!format!("{access:?} {access:#?}").contains("hunter2"));
        let text = serde_json::to_string(&access).unwrap();
        assert_eq!(
            serde_json::from_str::<RegistryAccess>(&text).unwrap(),
            access
        );
        assert_eq!(
            serde_json::from_str::<RegistryAccess>("{}").unwrap(),
            RegistryAccess::default()
        );
    }
}
