//! What is to be built.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use compose_spec::model::{Build, ExtraHost, Ulimit};
use indexmap::IndexMap;
use runtime::spec::Rlimit;

use super::error::BuildError;

/// One build.
#[derive(Debug, Clone)]
pub struct BuildInput {
    /// Directory that COPY reads.
    pub context: PathBuf,
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
    /// Time of the image and upper limit of all times in it, in seconds since the Unix epoch.
    pub source_date_epoch: Option<i64>,
}

/// Where the Dockerfile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerfileSource {
    /// A file; relative to the context.
    Path(PathBuf),
    /// The text itself.
    Inline(String),
}

/// What RUN may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum BuildNetwork {
    /// What the host reaches, in its own network namespace.
    #[default]
    Host,
    /// Loopback only.
    None,
    /// A prepared namespace.
    Namespace {
        /// Where it is pinned.
        path: PathBuf,
        /// Text of /etc/resolv.conf there.
        resolv_conf: String,
    },
}

/// A named context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// A directory of the host.
    Directory(PathBuf),
    /// An image.
    Image(String),
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
            dockerfile: DockerfileSource::Path("Dockerfile".into()),
            target: None,
            args: IndexMap::new(),
            labels: IndexMap::new(),
            tags: Vec::new(),
            platform: None,
            no_cache: false,
            no_cache_filter: Vec::new(),
            pull: false,
            network: BuildNetwork::Host,
            extra_hosts: Vec::new(),
            shm_size_bytes: None,
            rlimits: Vec::new(),
            additional_contexts: IndexMap::new(),
            secrets: BTreeMap::new(),
            source_date_epoch: None,
        }
    }

    /// Lowers a `build:` section. Secrets are the caller's to add: their files are named at the top of the project.
    pub fn from_compose(build: &Build, tag: &str) -> Result<Self, BuildError> {
        let unsupported = |key: &str, value: &str| BuildError::UnsupportedKey {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        if build.context.contains("://") || build.context.starts_with("git@") {
            return Err(unsupported("context", &build.context));
        }
        let mut input = Self::new(&build.context);
        if let Some(path) = &build.dockerfile {
            input.dockerfile = DockerfileSource::Path(path.into());
        }
        if let Some(text) = &build.dockerfile_inline {
            input.dockerfile = DockerfileSource::Inline(text.clone());
        }
        for (name, value) in &build.args {
            if let Some(value) = value {
                input.args.insert(name.clone(), value.clone());
            }
        }
        for (name, value) in &build.additional_contexts {
            let context = match value.split_once("://") {
                Some(("docker-image", image)) => NamedContext::Image(image.to_owned()),
                Some(_) => return Err(unsupported("additional_contexts", value)),
                None if value.starts_with("service:") => {
                    return Err(unsupported("additional_contexts", value));
                }
                None => NamedContext::Directory(Path::new(&build.context).join(value)),
            };
            input.additional_contexts.insert(name.clone(), context);
        }
        input.network = match build.network.as_deref() {
            None | Some("default" | "host" | "") => BuildNetwork::Host,
            Some("none") => BuildNetwork::None,
            Some(other) => return Err(unsupported("network", other)),
        };
        input.tags.push(tag.to_owned());
        input.tags.extend(build.tags.iter().cloned());
        input.target.clone_from(&build.target);
        input.labels.clone_from(&build.labels);
        input.no_cache = build.no_cache;
        input.pull = build.pull;
        input.shm_size_bytes = build.shm_size_bytes;
        input.extra_hosts.clone_from(&build.extra_hosts);
        input.no_cache_filter.clone_from(&build.no_cache_filter);
        match &build.platforms[..] {
            [] => {}
            [one] => input.platform = Some(one.clone()),
            several => return Err(unsupported("platforms", &several.join(", "))),
        }
        for (name, limit) in &build.ulimits {
            let rlimit = rlimit(name, *limit);
            let text = format!("{name}: {}:{}", limit.soft, limit.hard);
            input
                .rlimits
                .push(rlimit.ok_or_else(|| unsupported("ulimits", &text))?);
        }
        Ok(input)
    }
}

/// Lowers one limit; -1 = unlimited, other negative numbers are refused.
fn rlimit(name: &str, limit: Ulimit) -> Option<Rlimit> {
    let number = |value: i64| match value {
        -1 => Some(u64::MAX),
        number => u64::try_from(number).ok(),
    };
    Some(Rlimit {
        name: name.to_lowercase(),
        soft: number(limit.soft)?,
        hard: number(limit.hard)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(change: impl FnOnce(&mut Build)) -> Result<BuildInput, String> {
        let mut build = Build {
            tags: vec!["more:1".to_owned()],
            pull: true,
            ..Build::new("/ctx")
        };
        change(&mut build);
        BuildInput::from_compose(&build, "app").map_err(|error| error.to_string())
    }

    #[test]
    fn a_section_becomes_a_build() {
        let input = section(|build| {
            build.args.insert("SET".to_owned(), Some("1".to_owned()));
            build.args.insert("UNSET".to_owned(), None);
            build.network = Some("none".to_owned());
            let contexts = &mut build.additional_contexts;
            contexts.insert("base".to_owned(), "docker-image://alpine".to_owned());
            contexts.insert("lib".to_owned(), "../lib".to_owned());
            build.no_cache_filter.push("one".to_owned());
            build.platforms.push("linux/arm64".to_owned());
            let limit = |soft, hard| Ulimit { soft, hard };
            build.ulimits.insert("nofile".to_owned(), limit(1, -1));
            build.ulimits.insert("nproc".to_owned(), limit(5, 5));
        })
        .unwrap();
        assert_eq!(input.tags, ["app", "more:1"]);
        assert_eq!(input.args.len(), 1);
        assert_eq!(input.network, BuildNetwork::None);
        assert_eq!(input.platform.as_deref(), Some("linux/arm64"));
        assert_eq!(input.no_cache_filter, ["one"]);
        let image = NamedContext::Image("alpine".to_owned());
        assert_eq!(input.additional_contexts["base"], image);
        let directory = NamedContext::Directory("/ctx/../lib".into());
        assert_eq!(input.additional_contexts["lib"], directory);
        let limits: Vec<_> = input
            .rlimits
            .iter()
            .map(|limit| (limit.name.as_str(), limit.soft, limit.hard))
            .collect();
        assert_eq!(limits, [("nofile", 1, u64::MAX), ("nproc", 5, 5)]);
    }

    #[test]
    fn what_cannot_be_built_yet_is_named() {
        let refused = |change: fn(&mut Build)| section(change).map(drop).unwrap_err();
        assert_eq!(
            refused(|build| build.context = "https://example.org/x.git".to_owned()),
            "`build.context: https://example.org/x.git` is not supported yet"
        );
        assert_eq!(
            refused(|build| {
                let contexts = &mut build.additional_contexts;
                contexts.insert("x".to_owned(), "service:db".to_owned());
            }),
            "`build.additional_contexts: service:db` is not supported yet"
        );
        assert_eq!(
            refused(|build| {
                build.platforms = vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()];
            }),
            "`build.platforms: linux/amd64, linux/arm64` is not supported yet"
        );
    }
}
