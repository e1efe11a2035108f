//! One rule of `develop.watch`, ready to judge paths.

use std::path::{Path, PathBuf};

use compose_spec::model::{Build, ServiceName, WatchAction, WatchRule};

use crate::build::{BuildError, Ignore, ignore_of};

/// What editors, version control and file managers write beside the files that matter; never of interest.
const EPHEMERAL: [&str; 13] = [
    "**/.git",
    "**/.hg",
    "**/.svn",
    "**/.idea",
    "**/.DS_Store",
    "**/*~",
    "**/.#*",
    "**/#*#",
    "**/.*.sw[a-p]",
    "**/.*.swx",
    "**/4913",
    "**/*___jb_*___",
    "**/.stack-*",
];

/// A rule cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// A pattern is not one.
    #[error("service `{service}`: `{pattern}` in `develop.watch` is not a pattern")]
    Pattern {
        /// The service.
        service: ServiceName,
        /// As written.
        pattern: String,
    },
    /// The ignore file of its build cannot be read.
    #[error("service `{service}`: read what its build ignores")]
    IgnoreFile {
        /// The service.
        service: ServiceName,
        /// Why.
        #[source]
        source: Box<BuildError>,
    },
}

/// A rule of a service with its patterns.
#[derive(Debug)]
pub struct Rule {
    /// The service.
    pub service: ServiceName,
    /// Absolute file or directory.
    pub path: PathBuf,
    /// What a change leads to.
    pub action: WatchAction,
    /// Containers are brought up to date when watching begins.
    pub initial_sync: bool,
    /// Patterns that hide, each with the directory that they start from.
    ignored: Vec<(PathBuf, Ignore)>,
    /// Patterns of which one must match; `None` = everything counts.
    included: Option<Ignore>,
}

impl Rule {
    /// Makes a rule ready. What the build of the service leaves out of its context does not count either.
    ///
    /// # Errors
    /// [`RuleError`]
    pub fn new(
        service: &ServiceName,
        rule: &WatchRule,
        build: Option<&Build>,
    ) -> Result<Self, RuleError> {
        let patterns = |texts: &[String]| {
            Ignore::of_patterns(texts.iter().map(String::as_str)).map_err(|pattern| {
                RuleError::Pattern {
                    service: service.clone(),
                    pattern,
                }
            })
        };
        let ephemeral = Ignore::of_patterns(EPHEMERAL).expect("these are patterns");
        let mut ignored = vec![
            (rule.path.clone(), ephemeral),
            (rule.path.clone(), patterns(&rule.ignore)?),
        ];
        if let Some(build) = build.filter(|build| Path::new(&build.context).is_absolute()) {
            let context = PathBuf::from(&build.context);
            let dockerfile = build.dockerfile.as_deref().unwrap_or("Dockerfile");
            let dockerfile = (build.dockerfile_inline.is_none()).then(|| Path::new(dockerfile));
            let ignore =
                ignore_of(&context, dockerfile).map_err(|source| RuleError::IgnoreFile {
                    service: service.clone(),
                    source: Box::new(source),
                })?;
            ignored.push((context, ignore));
        }
        let included = match &rule.include[..] {
            [] => None,
            texts => Some(patterns(texts)?),
        };
        Ok(Self {
            service: service.clone(),
            path: rule.path.clone(),
            action: rule.action.clone(),
            initial_sync: rule.initial_sync,
            ignored,
            included,
        })
    }

    /// Returns where a path lies below the rule's; `None` when it does not, or does not count.
    pub fn place_of<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        let relative = path.strip_prefix(&self.path).ok()?;
        // What the rule names itself always counts.
        if relative.as_os_str().is_empty() {
            return Some(relative);
        }
        let is_ignored = self.ignored.iter().any(|(base, ignore)| {
            let below = path.strip_prefix(base).ok();
            below.is_some_and(|below| ignore.hides(below))
        });
        let is_included = (self.included.as_ref()).is_none_or(|include| include.hides(relative));
        (is_included && !is_ignored).then_some(relative)
    }

    /// Tells whether something in a directory may count, or the way to it leads through it.
    pub fn enters(&self, directory: &Path) -> bool {
        if self.path.starts_with(directory) {
            return true;
        }
        if !directory.starts_with(&self.path) {
            return false;
        }
        !self.ignored.iter().any(|(base, ignore)| {
            let below = directory.strip_prefix(base).ok();
            below.is_some_and(|below| ignore.hides(below) && ignore.prunes(below))
        })
    }
}
