//! Which registries are reached how: mirrors, plain HTTP, certificates, credentials.
//!
//! ```json
//! {"mirrors": {"docker.io": ["http://127.0.0.1:5000", "https://mirror.example"]}, "insecure": ["registry.lan:5000"]}
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use fs_err as fs;
use serde::Deserialize;

use super::{credentials::Credentials, proxy::Proxies, url::Url};
use crate::image::reference::DEFAULT_REGISTRY;

/// Where Docker Hub really answers.
const HUB_HOST: &str = "registry-1.docker.io";
/// System-wide settings.
const SETTINGS_PATH: &str = "/etc/stack/registries.json";
/// Certificates per registry, as Docker keeps them: `<host:port>/{ca.crt,client.cert,client.key}`.
const CERTIFICATES_PATH: &str = "/etc/docker/certs.d";

/// Everything that pulling depends on besides the image's name.
#[derive(Debug, Clone)]
pub struct Registries {
    /// Registry -> base addresses asked before it, in this order.
    mirrors: BTreeMap<String, Vec<Url>>,
    /// Registries and mirrors whose certificate is not checked, and that may speak plain HTTP.
    insecure: BTreeSet<String>,
    /// Who we are where.
    pub(super) credentials: Credentials,
    /// What goes through which proxy.
    pub(super) proxies: Proxies,
    /// Certificates per registry.
    pub(super) certificates: PathBuf,
    /// Patience.
    pub(super) timing: Timing,
    /// Layers fetched at the same time.
    pub(in crate::image) parallel: usize,
}

/// How long to wait and how often to try again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// For a connection and its TLS handshake.
    pub(super) connect: Duration,
    /// For the head of an answer.
    pub(super) response: Duration,
    /// For the next byte of a body.
    pub(super) stall: Duration,
    /// First pause between tries; doubled each time, and drawn at random below that.
    pub(super) backoff: Duration,
    /// Longest pause, also of those a registry asks for.
    pub(super) backoff_max: Duration,
    /// Tries of one request, the first included.
    pub(super) attempts_max: u32,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            response: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            backoff: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            attempts_max: 5,
        }
    }
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("read the registry settings")]
    Io(#[source] io::Error),
    /// The file does not have its form.
    #[error("registry settings `{path}`")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A mirror is no address.
    #[error("mirror `{0}` of the registry settings is not an http or https address")]
    Mirror(String),
    /// A proxy is no address that we can use.
    #[error("proxy `{0}` is not an http address (without user name or password)")]
    Proxy(String),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    mirrors: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    insecure: BTreeSet<String>,
}

impl Default for Registries {
    fn default() -> Self {
        Self {
            mirrors: BTreeMap::new(),
            insecure: BTreeSet::new(),
            credentials: Credentials::default(),
            proxies: Proxies::default(),
            certificates: CERTIFICATES_PATH.into(),
            timing: Timing::default(),
            parallel: 4,
        }
    }
}

impl Registries {
    /// Reads `/etc/stack/registries.json`; absent = defaults.
    pub fn system() -> Result<Self, SettingsError> {
        Self::read(Path::new(SETTINGS_PATH))
    }

    /// Reads a settings file; absent = defaults.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let file: File = match fs::read(path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|source| SettingsError::Malformed {
                    path: path.to_owned(),
                    source,
                })?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::default(),
            Err(error) => return Err(SettingsError::Io(error)),
        };
        let mut registries = Self {
            insecure: file.insecure,
            ..Self::default()
        };
        for (registry, mirrors) in file.mirrors {
            for mirror in mirrors {
                registries.add_mirror(&registry, &mirror)?;
            }
        }
        Ok(registries)
    }

    /// Adds mirrors from the text of an environment variable: `[registry=]address`, separated by commas.
    ///
    /// Without a registry it is `docker.io`. These are asked before those of the file.
    pub fn with_mirrors(mut self, text: &str) -> Result<Self, SettingsError> {
        let mut named: BTreeMap<&str, Vec<Url>> = BTreeMap::new();
        for item in text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            let (registry, address) = match item.split_once('=') {
                Some((registry, address)) if !registry.contains("://") => (registry, address),
                _ => (DEFAULT_REGISTRY, item),
            };
            let url = address
                .parse()
                .map_err(|_invalid| SettingsError::Mirror(address.to_owned()))?;
            named.entry(registry).or_default().push(url);
        }
        for (registry, mut urls) in named {
            let known = self.mirrors.entry(registry.to_owned()).or_default();
            urls.append(known);
            *known = urls;
        }
        Ok(self)
    }

    /// Uses the credentials of a Docker client's `config.json`; an absent file has none.
    #[must_use]
    pub fn with_credentials(mut self, config_json: &Path) -> Self {
        self.credentials = Credentials::new(config_json);
        self
    }

    /// Uses the proxies of the environment: the values of `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.
    pub fn with_proxies(
        mut self,
        http: Option<&str>,
        https: Option<&str>,
        no_proxy: Option<&str>,
    ) -> Result<Self, SettingsError> {
        let parse = |text: Option<&str>| match text.filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => {
                let full = if text.contains("://") {
                    text.to_owned()
                } else {
                    format!("http://{text}")
                };
                let url = full.parse::<Url>().ok().filter(|url| !url.is_secure());
                // The text may hold a password: only what is behind it is told.
                let shown = || text.rsplit('@').next().unwrap_or_default().to_owned();
                url.map(Some).ok_or_else(|| SettingsError::Proxy(shown()))
            }
        };
        self.proxies = Proxies {
            http: parse(http)?,
            https: parse(https)?,
            direct: no_proxy
                .unwrap_or_default()
                .split(',')
                .map(str::to_owned)
                .collect(),
        };
        Ok(self)
    }

    /// Looks for certificates of registries in another directory than `/etc/docker/certs.d`.
    #[must_use]
    pub fn with_certificates(mut self, directory: &Path) -> Self {
        directory.clone_into(&mut self.certificates);
        self
    }

    /// Adds a registry or mirror (`host[:port]`) that may have a bad certificate or speak plain HTTP.
    #[must_use]
    pub fn with_insecure(mut self, host: &str) -> Self {
        self.insecure.insert(host.to_owned());
        self
    }

    fn add_mirror(&mut self, registry: &str, address: &str) -> Result<(), SettingsError> {
        let url = address
            .parse()
            .map_err(|_invalid| SettingsError::Mirror(address.to_owned()))?;
        self.mirrors
            .entry(registry.to_owned())
            .or_default()
            .push(url);
        Ok(())
    }

    /// Waits and tries less, for tests.
    #[cfg(test)]
    pub(in crate::image) fn impatient(mut self) -> Self {
        self.timing = Timing {
            connect: Duration::from_secs(5),
            response: Duration::from_secs(5),
            stall: Duration::from_millis(500),
            backoff: Duration::from_millis(1),
            backoff_max: Duration::from_millis(20),
            attempts_max: 3,
        };
        self
    }

    /// Returns where a registry's content is asked for: its mirrors, then itself.
    pub(super) fn endpoints(&self, registry: &str) -> Vec<Endpoint> {
        let mirrors = self.mirrors.get(registry).into_iter().flatten();
        let mut endpoints: Vec<Endpoint> = mirrors
            .map(|url| Endpoint {
                base: url.clone(),
                registry: url.authority(),
            })
            .collect();
        let host = if registry == DEFAULT_REGISTRY {
            HUB_HOST
        } else {
            registry
        };
        let (secure, plain) = (Url::new(true, host), Url::new(false, host));
        // A registry on this machine speaks plain HTTP unless a mirror entry says otherwise; one that is called
        // insecure may speak either, as with Docker.
        let bases = match (secure.is_loopback(), self.is_insecure(&secure)) {
            (true, _) => vec![plain],
            (false, true) => vec![secure, plain],
            (false, false) => vec![secure],
        };
        let own = |base| Endpoint {
            base,
            registry: registry.to_owned(),
        };
        endpoints.extend(bases.into_iter().map(own));
        endpoints
    }

    /// Tells whether a host's certificate goes unchecked.
    pub(super) fn is_insecure(&self, url: &Url) -> bool {
        self.insecure.contains(&url.authority()) || self.insecure.contains(url.host())
    }
}

/// A place that has a registry's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Scheme, host, port, and a path before `/v2/`.
    pub(super) base: Url,
    /// Under what name its credentials are kept.
    pub(super) registry: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(registries: &Registries, registry: &str) -> Vec<String> {
        registries
            .endpoints(registry)
            .iter()
            .map(|e| e.base.to_string())
            .collect()
    }

    #[test]
    fn mirrors_come_before_the_registry() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("registries.json");
        fs::write(
            &path,
            r#"{"mirrors": {"docker.io": ["http://a:1"]}, "insecure": ["lan:5000"]}"#,
        )
        .unwrap();
        let registries = Registries::read(&path).unwrap();
        assert_eq!(
            bases(&registries, "docker.io"),
            ["http://a:1", "https://registry-1.docker.io"]
        );
        let registries = registries
            .with_mirrors("http://b:2, ghcr.io=https://c/x")
            .unwrap();
        assert_eq!(
            bases(&registries, "docker.io"),
            ["http://b:2", "http://a:1", "https://registry-1.docker.io"]
        );
        assert_eq!(
            bases(&registries, "ghcr.io"),
            ["https://c/x", "https://ghcr.io"]
        );
        assert_eq!(
            bases(&registries, "127.0.0.1:5000"),
            ["http://127.0.0.1:5000"]
        );
        assert_eq!(
            bases(&registries, "localhost:5000"),
            ["http://localhost:5000"]
        );
        assert_eq!(
            bases(&registries, "lan:5000"),
            ["https://lan:5000", "http://lan:5000"]
        );
        assert!(registries.is_insecure(&"https://lan:5000".parse().unwrap()));
        assert!(!registries.is_insecure(&"https://lan:5001".parse().unwrap()));
    }

    #[test]
    fn bad_settings_are_errors_and_absent_ones_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("registries.json");
        assert!(Registries::read(&path).is_ok());
        for bad in [
            r#"{"mirror": {}}"#,
            "{",
            r#"{"mirrors": {"a": ["ftp://x"]}}"#,
        ] {
            fs::write(&path, bad).unwrap();
            assert!(Registries::read(&path).is_err(), "{bad}");
        }
        assert!(Registries::default().with_mirrors("nonsense").is_err());
    }
}
