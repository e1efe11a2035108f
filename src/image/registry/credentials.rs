//! Who we are at which registry: what the caller of the command gave, or else a Docker client's `config.json`.
//!
//! The file is read at the moment a registry asks, never cached, never logged. Credential helpers are the user's programs
//! and run as the calling command; here nothing is run.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use fs_err as fs;

use crate::model::{
    Credential, RegistryAccess, base64,
    docker_config::{DockerConfig, DockerConfigError, Lookup},
};

/// Where credentials are looked up.
#[derive(Debug, Clone, Default)]
pub(super) struct Credentials {
    given: Option<Arc<RegistryAccess>>,
    config_json: Option<PathBuf>,
}

/// What is known about us at a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// This proves it.
    Credential(Credential),
    /// Nothing.
    Nothing,
    /// The program `docker-credential-<name>` keeps it, and no command was there to run it.
    Helper(String),
    /// It is kept somewhere, but could not be had.
    Problem(String),
}

/// Credentials that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("read registry credentials")]
    Io(#[source] io::Error),
    /// The file does not have its form.
    #[error("registry credentials `{path}`")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why; never what it says.
        #[source]
        source: DockerConfigError,
    },
}

impl Credentials {
    pub(super) fn of_file(config_json: &Path) -> Self {
        Self {
            config_json: Some(config_json.to_owned()),
            given: None,
        }
    }

    pub(super) fn of_caller(access: &Arc<RegistryAccess>) -> Self {
        Self {
            given: Some(Arc::clone(access)),
            config_json: None,
        }
    }

    /// Looks a registry's credentials up.
    pub(super) fn look_up(&self, registry: &str) -> Result<Known, CredentialsError> {
        if let Some(given) = &self.given {
            let credential = given.credentials.get(registry).cloned();
            let problem = given.problems.get(registry).cloned();
            return Ok(match (credential, problem) {
                (Some(credential), _) => Known::Credential(credential),
                (None, Some(problem)) => Known::Problem(problem),
                (None, None) => Known::Nothing,
            });
        }
        let Some(path) = &self.config_json else {
            return Ok(Known::Nothing);
        };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Known::Nothing),
            Err(error) => return Err(CredentialsError::Io(error)),
        };
        let found = DockerConfig::parse(&bytes).and_then(|file| file.look_up(registry));
        let found = found.map_err(|source| CredentialsError::Malformed {
            path: path.clone(),
            source,
        })?;
        Ok(match found {
            Lookup::Found(credential) => Known::Credential(credential),
            Lookup::Helper(name) => Known::Helper(name),
            Lookup::None => Known::Nothing,
        })
    }
}

/// Makes the value of a `Basic` authorization (RFC 7617).
pub(super) fn basic(user: &str, password: &str) -> String {
    format!(
        "Basic {}",
        base64::encode(format!("{user}:{password}").as_bytes())
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_the_caller_gave_counts_alone() {
        let access = Arc::new(RegistryAccess {
            credentials: BTreeMap::from([("a.example".into(), Credential::password("u", "p"))]),
            problems: BTreeMap::from([("b.example".into(), "no such helper".into())]),
            ..RegistryAccess::default()
        });
        let credentials = Credentials::of_caller(&access);
        for (registry, known) in [
            (
                "a.example",
                Known::Credential(Credential::password("u", "p")),
            ),
            ("b.example", Known::Problem("no such helper".into())),
            ("c.example", Known::Nothing),
        ] {
            assert_eq!(credentials.look_up(registry).unwrap(), known);
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), r#"{"auths": {"a": {"auth": "hunter2%"}}}"#).unwrap();
        let credentials = Credentials::of_file(file.path());
        let error = credentials.look_up("a").unwrap_err();
        assert!(error.to_string().contains(file.path().to_str().unwrap()));
        assert!(!format!("{error:?}").contains("hunter2"));
        let absent = Credentials::of_file(Path::new("/nonexistent/config.json"));
        assert_eq!(absent.look_up("a").unwrap(), Known::Nothing);
    }
}
