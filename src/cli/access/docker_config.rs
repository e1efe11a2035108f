//! The user's Docker configuration as a file: where it lies, and how it is changed without losing what others keep in it.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use fs_err as fs;
use serde_json::{Map, Value, json};

use super::helper::{Helper, HelperError, TOKEN_USER};
use crate::model::{
    Credential, Secret, base64,
    docker_config::{DockerConfig, DockerConfigError, Lookup, key_of},
};

/// `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`, as it was read; `$DOCKER_AUTH_CONFIG`, which goes before it; and the
/// `auth.json` of podman, skopeo and buildah, which is asked where Docker's files know nothing, and never written.
pub(in crate::cli) struct DockerFile<'a> {
    /// `None` when there is no home either.
    path: Option<PathBuf>,
    parsed: DockerConfig,
    /// From the environment (GitLab's runners and docker >= 28 know it).
    given: Option<DockerConfig>,
    /// What was read of containers-auth.json(5), in the order of asking.
    containers: Vec<(PathBuf, DockerConfig)>,
    environment: &'a BTreeMap<String, String>,
}

/// The configuration cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum FileError {
    /// Neither `$DOCKER_CONFIG` nor `$HOME` is set.
    #[error("no place for credentials: neither DOCKER_CONFIG nor HOME is set")]
    NoPlace,
    /// A file operation failed; the source names the path.
    #[error("{intent}")]
    Io {
        /// What it was for.
        intent: &'static str,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// It does not have its form.
    #[error("`{place}`")]
    Malformed {
        /// The file or variable.
        place: String,
        /// Why.
        #[source]
        source: DockerConfigError,
    },
    /// The helper that keeps them failed.
    #[error(transparent)]
    Helper(#[from] HelperError),
}

impl FileError {
    fn io(intent: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { intent, source }
    }
}

/// Where a login was kept.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum Kept {
    /// In the file, readable for its owner only, but not encrypted.
    File(PathBuf),
    /// By a helper.
    Helper(String),
}

/// What is kept of a login besides the user name.
#[derive(Debug)]
pub(in crate::cli) enum Proof {
    /// What the user typed.
    Password(Secret<String>),
    /// What the registry gave instead of it: it can be taken back there, and opens nothing else.
    Identity(Secret<String>),
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "password",
            Self::Identity(_) => "identity token",
        })
    }
}

impl<'a> DockerFile<'a> {
    /// Reads the file; an absent one is empty.
    pub(in crate::cli) fn open(
        environment: &'a BTreeMap<String, String>,
    ) -> Result<Self, FileError> {
        let text = |name: &str| environment.get(name).filter(|text| !text.is_empty());
        let own = text("DOCKER_CONFIG").map(PathBuf::from);
        let directory = own.or_else(|| Some(Path::new(text("HOME")?).join(".docker")));
        let path = directory.map(|directory| directory.join("config.json"));
        let bytes = path.as_deref().map(read).transpose()?.flatten();
        let parsed = match (&bytes, &path) {
            (Some(bytes), Some(path)) => {
                DockerConfig::parse(bytes).map_err(|source| FileError::Malformed {
                    place: path.display().to_string(),
                    source,
                })?
            }
            _ => DockerConfig::default(),
        };
        let given = text("DOCKER_AUTH_CONFIG").map(|text| DockerConfig::parse(text.as_bytes()));
        let given = given.transpose().map_err(|source| FileError::Malformed {
            place: "$DOCKER_AUTH_CONFIG".to_owned(),
            source,
        })?;
        Ok(Self {
            path,
            parsed,
            given,
            containers: containers_files(environment)?,
            environment,
        })
    }

    /// Returns every registry that something is known about.
    pub(in crate::cli) fn registries(&self) -> Vec<String> {
        let given = self.given.iter().flat_map(DockerConfig::registries);
        let containers = self.containers.iter();
        let containers = containers.flat_map(|(_, file)| file.registries());
        given
            .chain(self.parsed.registries())
            .chain(containers)
            .collect()
    }

    /// Finds a registry's credentials, without running a helper.
    pub(in crate::cli) fn look_up(&self, registry: &str) -> Result<Lookup, FileError> {
        let malformed = |place: String| move |source| FileError::Malformed { place, source };
        if let Some(given) = &self.given {
            let found = given.look_up(registry);
            let found = found.map_err(malformed("$DOCKER_AUTH_CONFIG".to_owned()))?;
            if matches!(found, Lookup::Found(_)) {
                return Ok(found);
            }
        }
        let place = self
            .path
            .as_deref()
            .unwrap_or_else(|| Path::new(""))
            .display()
            .to_string();
        let found = self.parsed.look_up(registry).map_err(malformed(place))?;
        if found != Lookup::None {
            return Ok(found);
        }
        for (path, file) in &self.containers {
            let found = file.look_up(registry);
            let found = found.map_err(malformed(path.display().to_string()))?;
            if found != Lookup::None {
                return Ok(found);
            }
        }
        Ok(Lookup::None)
    }

    /// Returns the user name that is known for a registry, to offer it again.
    pub(in crate::cli) fn user(&self, registry: &str) -> Option<String> {
        let credential = match self.look_up(registry).ok()? {
            Lookup::Found(credential) => credential,
            Lookup::Helper(name) => Helper::new(&name, self.environment).get(registry).ok()??,
            Lookup::None => return None,
        };
        match credential {
            Credential::Password { user, .. } => Some(user),
            Credential::RefreshToken(_) | Credential::BearerToken(_) => None,
        }
    }

    /// Keeps a login: with the registry's helper, else in the file.
    pub(in crate::cli) fn store(
        &self,
        registry: &str,
        user: &str,
        proof: &Proof,
    ) -> Result<Kept, FileError> {
        let path = self.path.as_ref().ok_or(FileError::NoPlace)?;
        let key = key_of(registry);
        if let Some(name) = self.parsed.keeper(registry) {
            let (user, secret) = match proof {
                Proof::Password(password) => (user, password),
                Proof::Identity(token) => (TOKEN_USER, token),
            };
            Helper::new(name, self.environment).store(registry, user, secret.reveal())?;
            // An empty entry tells other clients that the helper knows this registry.
            change(path, |auths| {
                auths.insert(key.to_owned(), json!({}));
            })?;
            return Ok(Kept::Helper(name.to_owned()));
        }
        let entry = match proof {
            Proof::Password(password) => {
                let auth = format!("{user}:{}", password.reveal());
                json!({ "auth": base64::encode(auth.as_bytes()) })
            }
            // As Docker's client writes it: the user name stays where others look for it.
            Proof::Identity(token) => {
                let auth = base64::encode(format!("{user}:").as_bytes());
                json!({ "auth": auth, "identitytoken": token.reveal() })
            }
        };
        let old = self.parsed.keys_of(registry);
        change(path, |auths| {
            for key in &old {
                auths.shift_remove(key);
            }
            auths.insert(key.to_owned(), entry);
        })?;
        Ok(Kept::File(path.clone()))
    }

    /// Forgets a registry; returns whether anything was known about it.
    pub(in crate::cli) fn erase(&self, registry: &str) -> Result<bool, FileError> {
        let path = self.path.as_ref().ok_or(FileError::NoPlace)?;
        let known = self.parsed.keys_of(registry);
        let keeper = self.parsed.keeper(registry);
        if let Some(name) = keeper {
            Helper::new(name, self.environment).erase(registry)?;
        }
        if !known.is_empty() {
            change(path, |auths| {
                for key in &known {
                    auths.shift_remove(key);
                }
            })?;
        }
        Ok(keeper.is_some() || !known.is_empty())
    }
}

/// Reads the files that containers-auth.json(5) names, those that are there: `$REGISTRY_AUTH_FILE` alone if it is set, else the one
/// that goes with the session and the one that stays.
fn containers_files(
    environment: &BTreeMap<String, String>,
) -> Result<Vec<(PathBuf, DockerConfig)>, FileError> {
    let text = |name: &str| environment.get(name).filter(|text| !text.is_empty());
    let path = |name: &str| text(name).map(PathBuf::from);
    let own = || {
        let user = rustix::process::getuid().as_raw();
        PathBuf::from(format!("/run/containers/{user}"))
    };
    let session = || match path("XDG_RUNTIME_DIR") {
        Some(directory) => directory.join("containers/auth.json"),
        None => own().join("auth.json"),
    };
    let config = || path("XDG_CONFIG_HOME").or_else(|| Some(path("HOME")?.join(".config")));
    let lasting = || config().map(|config| config.join("containers/auth.json"));
    let paths: Vec<PathBuf> = match path("REGISTRY_AUTH_FILE") {
        Some(file) => vec![file],
        None => std::iter::once(session()).chain(lasting()).collect(),
    };
    let mut found = Vec::new();
    for path in paths {
        if let Some(bytes) = read(&path)? {
            let parsed = DockerConfig::parse(&bytes).map_err(|source| FileError::Malformed {
                place: path.display().to_string(),
                source,
            })?;
            found.push((path, parsed.of_whole_registries()));
        }
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::io("read the Docker configuration")(error)),
    }
}

/// Changes the entries, keeps everything else as it is, and replaces the file in one step.
fn change(path: &Path, edit: impl FnOnce(&mut Map<String, Value>)) -> Result<(), FileError> {
    // A link that people made into their dotfiles stays a link.
    let path = &fs::canonicalize(path).unwrap_or_else(|_absent| path.to_owned());
    let malformed = |line| FileError::Malformed {
        place: path.display().to_string(),
        source: DockerConfigError::Malformed { line },
    };
    let mut file: Value = match read(path)? {
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| malformed(error.line()))?,
        None => json!({}),
    };
    let whole = file.as_object_mut().ok_or_else(|| malformed(1))?;
    let auths = whole.entry("auths").or_insert_with(|| json!({}));
    edit(auths.as_object_mut().ok_or_else(|| malformed(1))?);
    if auths.as_object().is_some_and(Map::is_empty) {
        whole.shift_remove("auths");
    }
    let mut text = serde_json::to_vec_pretty(&file).expect("it was JSON before");
    text.push(b'\n');
    replace(path, &text).map_err(FileError::io("write the Docker configuration"))
}

/// Replaces a file that only its owner may read, and leaves it to whom it belonged.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or_else(|| Path::new("/"));
    if !directory.exists() {
        fs::create_dir_all(directory)?;
        fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
    }
    // A new file of tempfile is 0600 from its first moment.
    let mut file = tempfile::Builder::new()
        .prefix(".config.json-")
        .tempfile_in(directory)?;
    file.write_all(text)?;
    file.as_file().sync_data()?;
    let owner = fs::metadata(path).or_else(|_absent| fs::metadata(directory))?;
    let made = file.as_file().metadata()?;
    if (owner.uid(), owner.gid()) != (made.uid(), made.gid()) {
        chown(file.path(), Some(owner.uid()), Some(owner.gid()))?;
    }
    file.persist(path).map_err(|error| error.error)?;
    fs::File::open(directory)?.sync_all()
}
