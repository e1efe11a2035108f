//! Calls of the supervisor.

use std::{collections::BTreeMap, path::PathBuf};

use compose_spec::model::{Network, Project, ProjectName, ServiceName};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::model::{
    BuildCachePrune, ContainerId, DownOptions, LifecycleAction, PruneFilter, UpOptions,
};

/// Every call, tagged with its path below `/v1/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "call", content = "body")]
pub enum Request {
    /// Make the project true and keep it true.
    Up(Box<UpRequest>),
    /// Take the project away.
    Down(DownRequest),
    /// Start, stop, restart, kill, pause or remove containers that exist.
    Lifecycle(LifecycleRequest),
    /// Make and start a one-off container. `Outcome::container` tells which; the client then attaches to its monitor.
    Run(Box<RunRequest>),
    /// Pull images.
    Pull(PullRequest),
    /// Build images.
    Build(Box<BuildRequest>),
    /// Push images.
    Push(PushRequest),
    /// Find out whether a registry accepts the credential in the caller's access.
    Login(LoginRequest),
    /// Search a registry.
    Search(SearchRequest),
    /// Remove what is in the build cache. `Outcome::names` holds an id and the bytes it freed for each entry.
    BuilderPrune(BuildCachePrune),
    /// Make an image of a container's files.
    Commit(CommitRequest),
    /// Make an image of a tar archive of files.
    ImageImport(ImageImportRequest),
    /// Load an archive that the supervisor can open.
    ImageLoad(ImageLoadRequest),
    /// Remove images that nothing uses.
    ImagePrune(PruneFilter),
    /// Find the digests that registries have for names. `Outcome::names` are the names with digests, in their order.
    Pin(PinRequest),
    /// Remove images.
    ImageRemove(ImageRemoveRequest),
    /// Give an image another name.
    ImageTag(ImageTagRequest),
    /// Make or remove networks. `Outcome::names` are those it was done to.
    Network(NetworkRequest),
    /// Make, remove or change volumes. `Outcome::names` are those it was done to.
    Volume(VolumeRequest),
}

/// `stack up`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpRequest {
    /// The whole project; services not in `options.services` are left as they are.
    pub project: Project,
    /// How the user wants it. The supervisor sets `mode` and `since`.
    pub options: UpOptions,
    /// Give up after this many milliseconds (0 = never).
    pub wait_timeout_ms: u64,
}

/// `stack down`. Works without a Compose file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DownRequest {
    /// Name of the project.
    pub project: ProjectName,
    /// How the user wants it.
    pub options: DownOptions,
}

/// `stack start|stop|restart|kill|rm|pause|unpause`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleRequest {
    /// Name of the project.
    pub project: ProjectName,
    /// Services named by the user; empty = all.
    pub services: Vec<ServiceName>,
    /// What to do.
    pub action: LifecycleAction,
}

/// `stack run`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    /// The whole project. The service's entry is already changed as the flags say (command, environment, ports, tty, …).
    pub project: Project,
    /// The service.
    pub service: ServiceName,
    /// Leave dependencies alone.
    pub no_deps: bool,
    /// Remove the container when it has ended.
    pub remove: bool,
    /// Start at once; otherwise the monitor waits for the first `Attach` before it starts the process, so that no output is missed.
    pub detach: bool,
    /// Name in place of `<project>-<service>-run-<slug>`.
    pub name: Option<String>,
    /// Build before starting even when the image exists.
    pub build: bool,
}

/// `stack pull`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// References as written, with the platform that each service asks for.
    pub images: Vec<(String, Option<String>)>,
    /// Pull even when the store has it.
    pub always: bool,
}

/// `stack config --resolve-image-digests`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinRequest {
    /// References as written.
    pub images: Vec<String>,
}

/// `stack build`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildRequest {
    /// The whole project.
    pub project: Project,
    /// Services to build; empty = all with a `build:` section.
    pub services: Vec<ServiceName>,
    /// Ignore the cache.
    pub no_cache: bool,
    /// Ask the registry for newer bases.
    pub pull: bool,
    /// Build arguments over those of the file.
    pub args: BTreeMap<String, Option<String>>,
    /// Only check the Dockerfiles.
    #[serde(default)]
    pub check: bool,
    /// The images belong to no project (`stack image build`): they get the names of `tags` and no other.
    #[serde(default)]
    pub untagged: bool,
    /// Memory limit of RUN in bytes.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
}

/// `stack image load -i FILE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageLoadRequest {
    /// Absolute path of a docker-archive, an OCI archive or an OCI layout directory.
    pub path: PathBuf,
    /// The path is a named pipe that is removed once it is open; what comes through it is the client's standard input.
    #[serde(default)]
    pub is_pipe: bool,
}

/// `stack image import`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageImportRequest {
    /// Absolute path of the archive.
    pub path: PathBuf,
    /// As for `ImageLoadRequest`.
    #[serde(default)]
    pub is_pipe: bool,
    /// Name of the image.
    pub reference: Option<String>,
    /// Instructions that change its config.
    pub changes: Vec<String>,
    /// Comment in its history.
    pub message: Option<String>,
    /// `os/arch[/variant]`; `None` = this machine.
    pub platform: Option<String>,
}

/// `stack commit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRequest {
    /// The container.
    pub container: ContainerId,
    /// Name of the image.
    pub reference: Option<String>,
    /// Who made it.
    pub author: Option<String>,
    /// Comment in its history.
    pub message: Option<String>,
    /// Instructions that change its config.
    pub changes: Vec<String>,
    /// Freeze the container while its files are read.
    pub pause: bool,
}

/// `stack image rm`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRemoveRequest {
    /// References, ids or unique prefixes of ids.
    pub images: Vec<String>,
    /// Remove all names of an id, and images of stopped containers.
    pub force: bool,
}

/// `stack image tag`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageTagRequest {
    /// Reference, id or unique prefix of an id.
    pub source: String,
    /// The new reference.
    pub target: String,
}

/// `stack push`, `stack image push`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushRequest {
    /// References as written.
    pub images: Vec<String>,
    /// Every tag that the store has of each repository.
    #[serde(default)]
    pub all_tags: bool,
}

/// `stack login`. What is tried is in the caller's access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginRequest {
    /// The registry, `host[:port]`.
    pub registry: String,
}

/// `stack search`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchRequest {
    /// Text to look for; a registry's `host[:port]/` before it says where.
    pub term: String,
    /// Most results.
    pub limit: u32,
}

/// `stack network …`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum NetworkRequest {
    /// Make one; one that exists is an error.
    Create {
        /// As it is wanted.
        network: Box<Network>,
    },
    /// Remove networks; one that containers are on is an error.
    Remove {
        /// Names, or starts of ids.
        names: Vec<String>,
        /// One that does not exist is no error.
        force: bool,
    },
    /// Remove networks that nobody uses; one that is used by now, or of a project that is wanted, is left alone.
    Prune {
        /// Those that the user agreed to.
        names: Vec<String>,
    },
}

/// `stack volume …`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum VolumeRequest {
    /// Make one; one that exists and is the same is left as it is.
    Create {
        /// Its name; `None` = a random one, and it counts as anonymous.
        name: Option<String>,
        /// `local` or `None`.
        driver: Option<String>,
        /// Options of the driver.
        options: IndexMap<String, String>,
        /// Labels.
        labels: IndexMap<String, String>,
    },
    /// Remove volumes with their data; one that is used or protected is an error.
    Remove {
        /// Names.
        names: Vec<String>,
        /// One that does not exist is no error.
        force: bool,
    },
    /// Remove volumes that nothing uses; one that is used by now, protected, or of a project that is wanted, is left alone.
    Prune {
        /// Those that the user agreed to.
        names: Vec<String>,
    },
    /// Give a volume that nobody uses another name.
    Rename {
        /// Its name.
        from: String,
        /// Its new name.
        to: String,
    },
    /// Write volumes into one archive.
    Backup {
        /// Names; at least one.
        names: Vec<String>,
        /// Containers that have them go on meanwhile; otherwise they are frozen.
        live: bool,
        /// Absolute path of a named pipe that the client reads. The supervisor removes its name.
        pipe: PathBuf,
    },
    /// Make volumes of an archive of them. `Outcome::names` are the volumes.
    Restore {
        /// Absolute path of the archive.
        path: PathBuf,
        /// As for `ImageLoadRequest`.
        is_pipe: bool,
        /// Only these of the archive; empty = all.
        names: Vec<String>,
        /// Name of the volume, when it is one.
        rename: Option<String>,
        /// Put the data into volumes that exist; otherwise they are an error.
        replace: bool,
    },
    /// Copy a volume to a new one.
    Copy {
        /// Its name.
        from: String,
        /// Name of the new one.
        to: String,
        /// As for `Backup`.
        live: bool,
    },
    /// Forbid the removal of volumes, or allow it again.
    Protect {
        /// Names.
        names: Vec<String>,
        /// Whether it is forbidden.
        protected: bool,
    },
}
