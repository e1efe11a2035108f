//! Docker's client configuration (`config.json`): who we are at which registry. Pure; reading and running helpers is done by others.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    Credential, Secret,
    access::{DEFAULT_REGISTRY, normal_registry},
    base64,
};

/// What Docker calls the Hub in its file, and at credential helpers.
pub const HUB_KEY: &str = "https://index.docker.io/v1/";

/// The parts of the file that are about registries.
#[derive(Deserialize, Default)]
pub struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

/// The answer to a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The file has them.
    Found(Credential),
    /// There are none.
    None,
    /// The program `docker-credential-<name>` keeps them.
    Helper(String),
}

/// A file that cannot be used. What it says stays unsaid: it holds secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DockerConfigError {
    /// Not JSON of this form.
    #[error("not a Docker client configuration (line {line})")]
    Malformed {
        /// Where.
        line: usize,
    },
    /// An entry is not base64 of `user:password`.
    #[error("the entry of `{registry}` is not base64 of user:password")]
    Entry {
        /// The entry's key.
        registry: String,
    },
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

impl std::fmt::Debug for DockerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DockerConfig")
            .field("auths", &self.auths.keys())
            .field("store", &self.store)
            .field("helpers", &self.helpers)
            .finish()
    }
}

impl DockerConfig {
    /// Reads the file's text.
    pub fn parse(bytes: &[u8]) -> Result<Self, DockerConfigError> {
        serde_json::from_slice(bytes)
            .map_err(|error| DockerConfigError::Malformed { line: error.line() })
    }

    /// Leaves out entries of containers' files that are for a part of a registry (`quay.io/team`): sent for another part of it,
    /// they would be refused where nobody needs to log in.
    #[must_use]
    pub fn of_whole_registries(mut self) -> Self {
        let is_whole = |key: &str| {
            let path = key.trim_start_matches("https://").split_once('/');
            path.is_none_or(|(_, path)| matches!(path, "" | "v1" | "v1/" | "v2" | "v2/"))
        };
        self.auths.retain(|key, _| is_whole(key));
        self
    }

    /// Finds a registry's credentials. A helper of its own goes before its entry, its entry before the common store, as in Docker.
    pub fn look_up(&self, registry: &str) -> Result<Lookup, DockerConfigError> {
        let registry = normal_registry(registry);
        if let Some((_, helper)) = self
            .helpers
            .iter()
            .find(|(key, _)| is_key_of(key, registry))
        {
            return Ok(Lookup::Helper(helper.clone()));
        }
        // The exact key first: `https://host/v1/` and `host` may both be there.
        let exact = self.auths.get_key_value(registry);
        let entry = exact.or_else(|| self.auths.iter().find(|(key, _)| is_key_of(key, registry)));
        let found = match entry {
            Some((key, entry)) => entry.credential(key)?,
            None => None,
        };
        Ok(match (found, &self.store) {
            (Some(credential), _) => Lookup::Found(credential),
            (None, Some(helper)) => Lookup::Helper(helper.clone()),
            (None, None) => Lookup::None,
        })
    }

    /// Returns the helper that keeps what is logged in to at a registry; `None` = the file itself.
    pub fn keeper(&self, registry: &str) -> Option<&str> {
        let registry = normal_registry(registry);
        let own = self
            .helpers
            .iter()
            .find(|(key, _)| is_key_of(key, registry));
        let helper = own.map(|(_, helper)| helper).or(self.store.as_ref());
        helper.map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Returns every registry that the file says anything about.
    pub fn registries(&self) -> Vec<String> {
        let mut names: Vec<String> = (self.auths.keys().chain(self.helpers.keys()))
            .map(|key| normal_registry(key).to_owned())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Returns the keys under which the file's `auths` has a registry.
    pub fn keys_of(&self, registry: &str) -> Vec<String> {
        let registry = normal_registry(registry);
        let keys = self.auths.keys().filter(|key| is_key_of(key, registry));
        keys.cloned().collect()
    }
}

impl Entry {
    fn credential(&self, key: &str) -> Result<Option<Credential>, DockerConfigError> {
        let text = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
        if let Some(token) = text(&self.registry_token) {
            return Ok(Some(Credential::BearerToken(Secret::new(token))));
        }
        if let Some(token) = text(&self.identity_token) {
            return Ok(Some(Credential::RefreshToken(Secret::new(token))));
        }
        if let Some(auth) = text(&self.auth) {
            return user_and_password(&auth)
                .map(Some)
                .ok_or_else(|| DockerConfigError::Entry {
                    registry: key.to_owned(),
                });
        }
        Ok(match (text(&self.username), text(&self.password)) {
            (Some(user), Some(password)) => Some(Credential::password(user, password)),
            _ => None,
        })
    }
}

fn user_and_password(auth: &str) -> Option<Credential> {
    let plain = String::from_utf8(base64::decode(auth.trim().as_bytes())?).ok()?;
    let (user, password) = plain.split_once(':')?;
    // Old clients padded with zeros.
    Some(Credential::password(user, password.trim_end_matches('\0')))
}

/// Returns the key under which Docker's clients keep a registry.
pub fn key_of(registry: &str) -> &str {
    match normal_registry(registry) {
        DEFAULT_REGISTRY => HUB_KEY,
        other => other,
    }
}

fn is_key_of(key: &str, registry: &str) -> bool {
    normal_registry(key) == registry
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: &serde_json::Value) -> DockerConfig {
        DockerConfig::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_forms_of_docker_and_its_heirs() {
        let auth = base64::encode(b"me:se:cret");
        let file = parse(&json!({
            "auths": {
                "https://index.docker.io/v1/": {"auth": auth},
                "ghcr.io": {"identitytoken": "refresh"},
                "https://old.example/v2/": {"username": "u", "password": "p"},
                "quay.io": {"registrytoken": "token"},
                "empty.example": {},
                "bad.example": {"auth": "%%"},
            },
            "credHelpers": {"gcr.io": "gcloud"},
        }));
        for (registry, found) in [
            (
                "docker.io",
                Lookup::Found(Credential::password("me", "se:cret")),
            ),
            (
                "ghcr.io",
                Lookup::Found(Credential::RefreshToken(Secret::new("refresh".to_owned()))),
            ),
            ("old.example", Lookup::Found(Credential::password("u", "p"))),
            (
                "quay.io",
                Lookup::Found(Credential::BearerToken(Secret::new("token".to_owned()))),
            ),
            ("gcr.io", Lookup::Helper("gcloud".to_owned())),
            ("empty.example", Lookup::None),
            ("other.example", Lookup::None),
        ] {
            assert_eq!(file.look_up(registry).unwrap(), found, "{registry}");
        }
        let error = file.look_up("bad.example").unwrap_err();
        assert!(error.to_string().contains("bad.example"));
        assert_eq!(file.keys_of("docker.io"), [HUB_KEY]);
        assert!(file.registries().contains(&"gcr.io".to_owned()));
    }

    #[test]
    fn a_common_store_keeps_what_has_neither_entry_nor_helper() {
        let file = parse(&json!({
            "auths": {"a.example": {}, "b.example": {"username": "u", "password": "p"}},
            "credsStore": "desktop", "credHelpers": {"c.example": "own"},
        }));
        assert_eq!(
            file.look_up("a.example").unwrap(),
            Lookup::Helper("desktop".to_owned())
        );
        assert_eq!(
            file.look_up("b.example").unwrap(),
            Lookup::Found(Credential::password("u", "p"))
        );
        assert_eq!(file.keeper("b.example"), Some("desktop"));
        assert_eq!(file.keeper("c.example"), Some("own"));
        assert_eq!(parse(&json!({})).keeper("a"), None);
    }

    #[test]
    fn a_malformed_file_says_nothing_of_what_is_in_it() {
        let error = DockerConfig::parse(br#"{"auths": {"a": "hunter2"}}"#)
            .err()
            .unwrap();
        assert!(!format!("{error:?} {error}").contains("hunter2"));
        assert_eq!(key_of("docker.io"), HUB_KEY);
        assert_eq!(key_of("https://lan:5000/"), "lan:5000");
    }
}
