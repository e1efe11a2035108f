//! What is to be built.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use compose_spec::model::ExtraHost;
use indexmap::IndexMap;
use runtime::spec::Rlimit;

use super::{
    error::BuildError,
    ignore::Ignore,
    solve::{platform, read_file},
};
use crate::image::SendTo;

/// One build.
#[derive(Debug, Clone)]
pub struct BuildInput {
    /// Directory that COPY reads.
    pub context: PathBuf,
    /// Address of the context, which is fetched before the build; `None` = it is at `context`.
    pub remote: Option<String>,
    /// Directories that were fetched for this build.
    pub fetched: BTreeSet<PathBuf>,
    /// The Dockerfile.
    pub dockerfile: DockerfileSource,
    /// Stage to build; `None` = the last.
    pub target: Option<String>,
    /// Build arguments.
    pub args: IndexMap<String, String>,
    /// Labels of the image, over those of the Dockerfile.
    pub labels: IndexMap<String, String>,
    /// References that will name the image.
    pub tags: Vec<String>,
    /// `os/arch[/variant]`; `None` = the host's.
    pub platform: Option<String>,
    /// Further platforms that the image is made for.
    pub other_platforms: Vec<String>,
    /// Ignore the cache.
    pub no_cache: bool,
    /// Ignore the cache in these stages.
    pub no_cache_filter: Vec<String>,
    /// Ask the registry for newer bases.
    pub pull: bool,
    /// Network of RUN.
    pub network: BuildNetwork,
    /// Extra lines of /etc/hosts in RUN.
    pub extra_hosts: Vec<ExtraHost>,
    /// Size of /dev/shm in RUN; `None` = 64 MiB.
    pub shm_size_bytes: Option<u64>,
    /// Resource limits of RUN.
    pub rlimits: Vec<Rlimit>,
    /// Named contexts for `FROM` and `--from`.
    pub additional_contexts: IndexMap<String, NamedContext>,
    /// Secrets by id. Their values are in no key, layer or log.
    pub secrets: BTreeMap<String, Secret>,
    /// Memory limit of RUN in bytes; `None` = none.
    pub memory_bytes: Option<u64>,
    /// `RUN --security=insecure` is allowed.
    pub allow_insecure: bool,
    /// `RUN --network=host` is allowed.
    pub allow_host_network: bool,
    /// Devices that `RUN --device` may ask for.
    pub allow_devices: AllowedDevices,
    /// Every RUN has all rights.
    pub privileged: bool,
    /// Who signs for ssh, by id: the socket of an agent, or key files.
    pub ssh: BTreeMap<String, Vec<PathBuf>>,
    /// Caches that were made elsewhere, the first that knows a step wins.
    pub cache_from: Vec<CacheFrom>,
    /// Where the cache of this build goes besides this machine.
    pub cache_to: Vec<CacheTo>,
    /// The image carries the cache of its own steps.
    pub inline_cache: bool,
    /// What the caller asked for and will not get, one sentence each.
    pub notes: Vec<String>,
    /// Time of the image and upper limit of all times in it, in seconds since the Unix epoch.
    pub source_date_epoch: Option<i64>,
}

/// Where the Dockerfile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerfileSource {
    /// A file; relative to the context.
    Path(PathBuf),
    /// The text itself.
    Inline {
        /// What messages call it.
        name: String,
        /// The text.
        text: String,
    },
}

/// What RUN may reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BuildNetwork {
    /// What lies outside of the host, through a network of its own; neither the host's loopback nor other steps.
    #[default]
    Bridge,
    /// Loopback only.
    None,
    /// All that the host reaches, in its own network namespace.
    Host,
}

/// A named context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// A directory of the host.
    Directory(PathBuf),
    /// A repository or an archive of a web server, fetched before the build.
    Address(String),
    /// An image of a registry, or of the store.
    Image(String),
    /// An image that was built here: it is in the store, and no registry is asked for it.
    Built(String),
    /// An image of an OCI layout directory.
    Layout {
        /// The directory.
        path: PathBuf,
        /// Tag or digest in it; `None` = `latest`.
        reference: Option<String>,
    },
}

/// Devices that steps may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedDevices {
    /// Every one.
    pub all: bool,
    /// These, by their full names.
    pub names: BTreeSet<String>,
}

/// Where a cache comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheFrom {
    /// An image at a registry: one that is a cache, or carries that of its own steps.
    Registry(String),
    /// An OCI layout directory, and a tag or digest in it; `None` = `latest`.
    Directory(PathBuf, Option<String>),
}

/// Where a cache goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheTo {
    /// The place.
    pub to: SendTo,
    /// Steps of every stage (`mode=max`), not only those that the image is made of.
    pub all_stages: bool,
    /// A cache that cannot be written is a warning, not an error.
    pub ignore_error: bool,
}

/// A secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Contents of a file, read when a step needs it.
    File(PathBuf),
    /// The value itself.
    Value(Vec<u8>),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Value(_) => f.write_str("Value(***)"),
        }
    }
}

impl BuildInput {
    /// Makes a build of a context with its `Dockerfile`, with nothing else set.
    pub fn new(context: impl Into<PathBuf>) -> Self {
        Self {
            context: context.into(),
            remote: None,
            fetched: BTreeSet::new(),
            dockerfile: DockerfileSource::Path("Dockerfile".into()),
            target: None,
            args: IndexMap::new(),
            labels: IndexMap::new(),
            tags: Vec::new(),
            platform: None,
            other_platforms: Vec::new(),
            no_cache: false,
            no_cache_filter: Vec::new(),
            pull: false,
            network: BuildNetwork::Bridge,
            extra_hosts: Vec::new(),
            shm_size_bytes: None,
            rlimits: Vec::new(),
            additional_contexts: IndexMap::new(),
            secrets: BTreeMap::new(),
            memory_bytes: None,
            allow_insecure: false,
            allow_host_network: false,
            allow_devices: AllowedDevices::default(),
            privileged: false,
            ssh: BTreeMap::new(),
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            inline_cache: false,
            notes: Vec::new(),
            source_date_epoch: None,
        }
    }
}

impl BuildInput {
    /// Returns the platform that is built: `os/architecture[/variant]`.
    ///
    /// # Errors
    ///
    /// One that has not that form.
    pub fn platform(&self) -> Result<String, BuildError> {
        platform(self)
    }
}

/// Reads what a build leaves out of a directory of this machine; `dockerfile` is the file that the build is described by, if it is one.
pub(crate) fn ignore_of(directory: &Path, dockerfile: Option<&Path>) -> Result<Ignore, BuildError> {
    ignore_beside(dockerfile, |path| read_file(&directory.join(path)))
}

/// Reads the ignore file of a build: the one beside the Dockerfile wins over that of the context.
pub(super) fn ignore_beside(
    dockerfile: Option<&Path>,
    read: impl Fn(&Path) -> Result<Option<Vec<u8>>, BuildError>,
) -> Result<Ignore, BuildError> {
    let beside = dockerfile.map(|path| {
        let mut beside = path.to_owned().into_os_string();
        beside.push(".dockerignore");
        PathBuf::from(beside)
    });
    for path in beside.into_iter().chain([".dockerignore".into()]) {
        if let Some(bytes) = read(&path)? {
            let name = path.file_name().unwrap_or_default().display().to_string();
            return Ok(Ignore::parse(&name, &bytes)?);
        }
    }
    Ok(Ignore::default())
}
