//! Which registries are reached how: mirrors, plain HTTP, certificates, proxies, credentials.
//!
//! What the caller's own files and environment say comes first, then what the machine's `registries.toml` says (see [`file`]).

mod file;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use fs_err as fs;

use super::{
    credentials::Credentials,
    proxy::{Proxies, Proxy},
    url::Url,
};
use crate::{
    image::reference::DEFAULT_REGISTRY,
    model::{RegistryAccess, Secret},
};
use file::Entry;
pub(super) use file::HostCertificates;

/// Where Docker Hub really answers.
const HUB_HOST: &str = "registry-1.docker.io";
/// The machine's settings.
const SETTINGS_PATH: &str = "/etc/stack/registries.toml";
/// Certificates per registry, `<host:port>/{*.crt,*.cert,*.key}`: ours, then where Docker and its heirs keep them (certs.d(5)).
const CERTIFICATES_PATHS: [&str; 3] = [
    "/etc/stack/certs.d",
    "/etc/docker/certs.d",
    "/etc/containers/certs.d",
];

/// Everything that pulling and pushing depends on besides the image's name.
#[derive(Debug, Clone)]
pub struct Registries {
    /// By registry or mirror, `host[:port]`.
    entries: BTreeMap<String, Entry>,
    /// Who we are where.
    pub(super) credentials: Credentials,
    /// What goes through which proxy.
    pub(super) proxies: Proxies,
    /// Folders with certificates per registry; the first one that has a folder for a host counts.
    pub(super) certificates: Vec<PathBuf>,
    /// Patience.
    pub(super) timing: Timing,
    /// Layers moved at the same time.
    pub(in crate::image) parallel: usize,
    /// Size of the pieces of an upload, and of the largest blob that goes in one; `None` = the usual ones. For tests.
    pub(super) upload_piece: Option<u64>,
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
    /// For a whole manifest, config, token or error text.
    pub(super) document: Duration,
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
            document: Duration::from_secs(120),
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
    #[error("{path}:{line}: {reason}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A mirror is no address.
    #[error("mirror `{0}` is not an http or https address")]
    Mirror(String),
    /// A proxy is no address that we can use.
    #[error("{variable}: `{shown}` is not the address of an http or https proxy")]
    Proxy {
        /// The variable of the environment.
        variable: &'static str,
        /// What it says, without user name and password.
        shown: String,
    },
}

impl Default for Registries {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            credentials: Credentials::default(),
            proxies: Proxies::default(),
            certificates: CERTIFICATES_PATHS.map(PathBuf::from).to_vec(),
            timing: Timing::default(),
            parallel: 4,
            upload_piece: None,
        }
    }
}

impl Registries {
    /// Reads `/etc/stack/registries.toml`; absent = defaults.
    pub fn system() -> Result<Self, SettingsError> {
        Self::read(Path::new(SETTINGS_PATH))
    }

    /// Reads a settings file; absent = defaults.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let entries = match fs::read_to_string(path) {
            Ok(text) => file::parse(path, &text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(SettingsError::Io(error)),
        };
        Ok(Self {
            entries,
            ..Self::default()
        })
    }

    /// Lets what a caller brought along come first: credentials, proxies, its own settings and certificates.
    pub fn for_caller(mut self, access: &Arc<RegistryAccess>) -> Result<Self, SettingsError> {
        self.credentials = Credentials::of_caller(access);
        if let Some(settings) = &access.settings {
            for (name, mut own) in file::parse(&settings.path, &settings.text)? {
                let entry = self.entries.entry(name).or_default();
                own.mirrors.append(&mut entry.mirrors);
                own.insecure |= entry.insecure;
                own.serves_many |= entry.serves_many;
                let theirs = &entry.certificates;
                let authorities = theirs.authorities.iter().cloned();
                own.certificates.authorities.extend(authorities);
                own.certificates.client = own.certificates.client.or_else(|| theirs.client.clone());
                *entry = own;
            }
        }
        let machine = std::mem::take(&mut self.certificates);
        self.certificates = access.certificates.iter().cloned().chain(machine).collect();
        let text =
            |proxy: &Option<Secret<String>>| proxy.as_ref().map(|text| text.reveal().clone());
        self.with_proxies(
            text(&access.http_proxy).as_deref(),
            text(&access.https_proxy).as_deref(),
            access.no_proxy.as_deref(),
        )
    }

    /// Uses the credentials of a Docker client's `config.json`; an absent file has none.
    #[must_use]
    pub fn with_credentials(mut self, config_json: &Path) -> Self {
        self.credentials = Credentials::of_file(config_json);
        self
    }

    /// Uses the proxies of an environment: the values of `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.
    pub fn with_proxies(
        mut self,
        http: Option<&str>,
        https: Option<&str>,
        no_proxy: Option<&str>,
    ) -> Result<Self, SettingsError> {
        let parse = |variable: &'static str, text: Option<&str>| match text
            .filter(|text| !text.is_empty())
        {
            None => Ok(None),
            // The text may hold a password: only what is behind it is told.
            Some(text) => (text.parse::<Proxy>().map(Some)).map_err(|_invalid| {
                let shown = text.rsplit('@').next().unwrap_or_default().to_owned();
                SettingsError::Proxy { variable, shown }
            }),
        };
        self.proxies = Proxies {
            http: parse("HTTP_PROXY", http)?,
            https: parse("HTTPS_PROXY", https)?,
            direct: no_proxy
                .unwrap_or_default()
                .split(',')
                .map(str::to_owned)
                .collect(),
        };
        Ok(self)
    }

    /// Adds a mirror after those that a registry has.
    #[cfg(test)]
    pub(in crate::image) fn with_mirror(
        mut self,
        registry: &str,
        address: &str,
    ) -> Result<Self, SettingsError> {
        let url = address
            .parse()
            .map_err(|_invalid| SettingsError::Mirror(address.to_owned()))?;
        let entry = self.entries.entry(registry.to_owned()).or_default();
        entry.mirrors.push(url);
        Ok(self)
    }

    /// Looks for certificates of registries in another directory only.
    #[cfg(test)]
    #[must_use]
    pub(in crate::image) fn with_certificates(mut self, directory: &Path) -> Self {
        self.certificates = vec![directory.to_owned()];
        self
    }

    /// Adds a registry or mirror (`host[:port]`) that may have a bad certificate or speak plain HTTP.
    #[cfg(test)]
    #[must_use]
    pub(in crate::image) fn with_insecure(mut self, host: &str) -> Self {
        self.entries.entry(host.to_owned()).or_default().insecure = true;
        self
    }

    /// Uploads in small pieces, for tests.
    #[cfg(test)]
    pub(in crate::image) fn with_upload_piece(mut self, bytes: u64) -> Self {
        self.upload_piece = Some(bytes);
        self
    }

    /// Waits and tries less, for tests.
    #[cfg(test)]
    pub(in crate::image) fn impatient(mut self) -> Self {
        self.timing = Timing {
            connect: Duration::from_secs(5),
            response: Duration::from_secs(5),
            stall: Duration::from_millis(500),
            document: Duration::from_secs(2),
            backoff: Duration::from_millis(1),
            backoff_max: Duration::from_millis(20),
            attempts_max: 3,
        };
        self
    }

    /// Returns where a registry's content is asked for: its mirrors, then itself.
    pub(super) fn endpoints(&self, registry: &str) -> Vec<Endpoint> {
        let mirrors = self.entries.get(registry).into_iter();
        let mut endpoints: Vec<Endpoint> = mirrors
            .flat_map(|entry| &entry.mirrors)
            .map(|url| Endpoint {
                base: url.clone(),
                registry: url.authority(),
                namespace: self.serves_many(url).then(|| registry.to_owned()),
            })
            .collect();
        endpoints.extend(self.own_endpoints(registry));
        endpoints
    }

    /// Returns the registry itself: what is pushed goes past the mirrors.
    pub(super) fn own_endpoints(&self, registry: &str) -> Vec<Endpoint> {
        let host = if registry == DEFAULT_REGISTRY {
            HUB_HOST
        } else {
            registry
        };
        let (secure, plain) = (Url::new(true, host), Url::new(false, host));
        // A registry on this machine speaks plain HTTP unless its certificate is configured; one that is called
        // insecure may speak either, as with Docker.
        let bases = match (secure.is_loopback(), self.is_insecure(&secure)) {
            (true, _) if self.has_certificates(&secure) => vec![secure, plain],
            (true, _) => vec![plain],
            (false, true) => vec![secure, plain],
            (false, false) => vec![secure],
        };
        let own = |base| Endpoint {
            base,
            registry: registry.to_owned(),
            namespace: None,
        };
        bases.into_iter().map(own).collect()
    }

    /// Tells whether a host's certificate goes unchecked.
    pub(super) fn is_insecure(&self, url: &Url) -> bool {
        let says = |name: &str| self.entries.get(name).is_some_and(|entry| entry.insecure);
        says(&url.authority()) || says(url.host())
    }

    fn serves_many(&self, mirror: &Url) -> bool {
        let says = |name: &str| {
            self.entries
                .get(name)
                .is_some_and(|entry| entry.serves_many)
        };
        says(&mirror.authority()) || says(mirror.host())
    }

    /// Returns the certificates that the settings name for a host.
    pub(super) fn host_certificates(&self, url: &Url) -> Option<&HostCertificates> {
        let named = |name: &str| self.entries.get(name).map(|entry| &entry.certificates);
        named(&url.authority()).or_else(|| named(url.host()))
    }

    /// Returns the folder with a host's certificates, if there is one.
    pub(super) fn certificates_folder(&self, url: &Url) -> Option<PathBuf> {
        let folders = self.certificates.iter().flat_map(|folder| {
            // docker also takes the host alone; a colon in a name is no trouble on Linux.
            [folder.join(url.authority()), folder.join(url.host())]
        });
        folders.into_iter().find(|folder| folder.is_dir())
    }

    fn has_certificates(&self, url: &Url) -> bool {
        self.host_certificates(url)
            .is_some_and(|named| *named != HostCertificates::default())
            || self.certificates_folder(url).is_some()
    }
}

/// A place that has a registry's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Scheme, host, port, and a path before `/v2/`.
    pub(super) base: Url,
    /// Under what name its credentials are kept.
    pub(super) registry: String,
    /// The registry that a mirror of several has to be told of, by the query parameter `ns` (as containerd tells it).
    pub(super) namespace: Option<String>,
}
