//! The `build:` section of a service.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{ExtraHost, Ulimit};

/// The `build:` section of a service (Compose Build Specification).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// Absolute directory, or a URL as written.
    pub context: String,
    /// Path of the Dockerfile relative to the context; `None` = `Dockerfile`.
    pub dockerfile: Option<String>,
    /// Text of the Dockerfile in its place.
    pub dockerfile_inline: Option<String>,
    /// Build arguments; `None` was not set in the environment.
    pub args: IndexMap<String, Option<String>>,
    /// Stage to build; `None` = the last.
    pub target: Option<String>,
    /// Labels of the image.
    pub labels: IndexMap<String, String>,
    /// Further tags.
    pub tags: Vec<String>,
    /// `default`, `none` or `host`.
    pub network: Option<String>,
    /// Ignore the cache.
    pub no_cache: bool,
    /// Ask the registry for newer bases.
    pub pull: bool,
    /// Size of /dev/shm in bytes.
    pub shm_size_bytes: Option<u64>,
    /// Extra lines for /etc/hosts.
    pub extra_hosts: Vec<ExtraHost>,
    /// Named contexts: name -> absolute path, `docker-image://…`, `oci-layout://…`, `service:x`, URL.
    pub additional_contexts: IndexMap<String, String>,
    /// Platforms to build for, `os/arch[/variant]`; empty = that of the service, else the host's.
    #[serde(default)]
    pub platforms: Vec<String>,
    /// Stages whose cache is ignored.
    #[serde(default)]
    pub no_cache_filter: Vec<String>,
    /// Where cached steps may come from, the first that has one wins.
    #[serde(default)]
    pub cache_from: Vec<CacheEntry>,
    /// Where cached steps go.
    #[serde(default)]
    pub cache_to: Vec<CacheEntry>,
    /// SSH agents and keys that `RUN --mount=type=ssh` may use, each id once.
    #[serde(default)]
    pub ssh: Vec<SshKey>,
    /// Secrets that `RUN --mount=type=secret` may read; `target` is the id.
    #[serde(default)]
    pub secrets: Vec<BuildSecret>,
    /// Resource limits of RUN by name (`nofile`).
    #[serde(default)]
    pub ulimits: IndexMap<String, Ulimit>,
    /// Rights that RUN may ask for (`network.host`, `security.insecure`, `device`).
    #[serde(default)]
    pub entitlements: Vec<String>,
    /// RUN has all capabilities and devices.
    #[serde(default)]
    pub privileged: bool,
    /// Record of how the image was made.
    #[serde(default)]
    pub provenance: Attestation,
    /// Software bill of materials.
    #[serde(default)]
    pub sbom: Attestation,
    /// `x-*` values as given.
    #[serde(default)]
    pub extensions: IndexMap<String, serde_json::Value>,
}

impl Build {
    /// Makes a build of a context's `Dockerfile` with nothing else set.
    pub fn new(context: impl Into<String>) -> Self {
        Self {
            context: context.into(),
            dockerfile: None,
            dockerfile_inline: None,
            args: IndexMap::new(),
            target: None,
            labels: IndexMap::new(),
            tags: Vec::new(),
            network: None,
            no_cache: false,
            pull: false,
            shm_size_bytes: None,
            extra_hosts: Vec::new(),
            additional_contexts: IndexMap::new(),
            platforms: Vec::new(),
            no_cache_filter: Vec::new(),
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            ssh: Vec::new(),
            secrets: Vec::new(),
            ulimits: IndexMap::new(),
            entitlements: Vec::new(),
            privileged: false,
            provenance: Attestation::Default,
            sbom: Attestation::Default,
            extensions: IndexMap::new(),
        }
    }
}

/// One cache of a build: `alpine:latest` is `{kind: registry, options: {ref: alpine:latest}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheEntry {
    /// `registry`, `local`, `inline`, `gha`, `s3`, `azblob`.
    pub kind: String,
    /// The other `key=value` parts, as written: `ref`, `src`, `dest`, `mode`, ….
    pub options: IndexMap<String, String>,
}

/// One entry of `build.ssh`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshKey {
    /// What `RUN --mount=type=ssh,id=…` names; `default` when it names none.
    pub id: String,
    /// Absolute path of a key or of an agent's socket; `None` = the agent at `$SSH_AUTH_SOCK`.
    pub path: Option<PathBuf>,
}

/// One entry of `build.secrets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSecret {
    /// Key of the secret under the top-level `secrets:`.
    pub source: String,
    /// What `RUN --mount=type=secret,id=…` names: `target`, else the key.
    pub id: String,
    /// Owner of the file; `None` = as RUN says.
    pub uid: Option<u32>,
    /// Group of the file; `None` = as RUN says.
    pub gid: Option<u32>,
    /// Mode of the file; `None` = as RUN says.
    pub mode: Option<u32>,
}

/// Whether a build attests something (`provenance`, `sbom`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attestation {
    /// The builder decides.
    #[default]
    Default,
    /// No.
    Off,
    /// Yes, with these `key=value` parts (`mode=max`, `generator=image`).
    On(IndexMap<String, String>),
}
