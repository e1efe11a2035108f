//! `registries.toml`: how registries are reached. Pure.
//!
//! ```toml
//! [registry."docker.io"]
//! mirrors = ["https://mirror.example", "http://127.0.0.1:5000"]   # asked before the registry, in this order
//!
//! [registry."cache.lan:5000"]           # a registry or a mirror, as `host[:port]`
//! serves-many = true                    # a mirror of several registries: told with `?ns=` which one is meant
//!
//! [registry."registry.lan:5000"]
//! insecure = true                       # the certificate is not checked, plain HTTP is allowed
//! ca = "lan-ca.crt"                     # PEM; relative to this file
//! client-cert = "client.cert"
//! client-key = "client.key"
//! ```

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;

use super::SettingsError;
use crate::{image::registry::url::Url, model::normal_registry};

/// What a file says about one registry or mirror.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) mirrors: Vec<Url>,
    pub(super) insecure: bool,
    /// As a mirror it has the content of several registries, and has to be told whose is wanted.
    pub(super) serves_many: bool,
    pub(super) certificates: HostCertificates,
}

/// Certificates of one host that the settings name themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::image::registry) struct HostCertificates {
    /// Authorities to trust besides those of the machine.
    pub(in crate::image::registry) authorities: Vec<PathBuf>,
    /// Our own certificate and its key.
    pub(in crate::image::registry) client: Option<(PathBuf, PathBuf)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    registry: BTreeMap<Spanned<String>, Raw>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    #[serde(default)]
    mirrors: Vec<Spanned<String>>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    serves_many: bool,
    ca: Option<PathBuf>,
    client_cert: Option<Spanned<PathBuf>>,
    client_key: Option<PathBuf>,
}

/// Reads the text of a settings file. Errors name the line.
pub(super) fn parse(path: &Path, text: &str) -> Result<BTreeMap<String, Entry>, SettingsError> {
    let at = |offset: usize, reason: String| SettingsError::Malformed {
        path: path.to_owned(),
        line: text
            .bytes()
            .take(offset)
            .filter(|byte| *byte == b'\n')
            .count()
            + 1,
        reason,
    };
    let file: File = toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        at(offset, error.message().trim().replace('\n', " "))
    })?;
    let directory = path.parent().unwrap_or_else(|| Path::new("/"));
    let mut entries = BTreeMap::new();
    for (name, raw) in file.registry {
        let registry = normal_registry(name.get_ref());
        let host = Url::new(true, registry);
        if registry.is_empty() || host.to_string().parse::<Url>().is_err() {
            let reason = format!("`{}` is not a registry's `host[:port]`", name.get_ref());
            return Err(at(name.span().start, reason));
        }
        let mut entry = Entry {
            insecure: raw.insecure,
            serves_many: raw.serves_many,
            ..Entry::default()
        };
        for mirror in raw.mirrors {
            let url = mirror.get_ref().parse().map_err(|_invalid| {
                let reason = format!(
                    "mirror `{}` is not an http or https address",
                    mirror.get_ref()
                );
                at(mirror.span().start, reason)
            })?;
            entry.mirrors.push(url);
        }
        entry.certificates.authorities = raw.ca.iter().map(|ca| directory.join(ca)).collect();
        entry.certificates.client = match (raw.client_cert, raw.client_key) {
            (Some(certificate), Some(key)) => {
                Some((directory.join(certificate.get_ref()), directory.join(key)))
            }
            (None, None) => None,
            (certificate, _) => {
                let offset = certificate
                    .map_or_else(|| name.span(), |found| found.span())
                    .start;
                let reason = "`client-cert` and `client-key` go together".to_owned();
                return Err(at(offset, reason));
            }
        };
        entries.insert(registry.to_owned(), entry);
    }
    Ok(entries)
}
