//! What is asked for, and the only way to the disk.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    diagnostic::{Diagnostic, Severity, Sources},
    locations::Locations,
    model::{Project, ServiceName},
};

/// Reads files. The crate never touches the disk in another way, so that it can be tested and fuzzed without one.
pub trait Files {
    /// Returns the bytes of a file.
    ///
    /// `-` is standard input, which is only asked for when [`Request::stdin`] has nothing.
    ///
    /// A file with more than `most` bytes is refused, so an implementation need not read more than one byte beyond: then a
    /// path such as `/dev/zero` costs little.
    fn read(&self, path: &Path, most: usize) -> io::Result<Vec<u8>>;

    /// Returns what is at a path, following links; `None` when nothing is.
    fn kind(&self, path: &Path) -> Option<FileKind>;
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A device, socket or pipe.
    Other,
}

/// What is asked for: the flags and the environment of a command.
#[derive(Clone, Default)]
pub struct Request {
    /// Current directory; absolute.
    pub working_dir: PathBuf,
    /// `--project-directory`
    pub project_directory: Option<PathBuf>,
    /// `-p`
    pub project_name: Option<String>,
    /// `-f`, in order; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// What was read from standard input. `None`: [`Files`] is asked for `-` when that is among the files, which a `.env`
    /// may say.
    pub stdin: Option<Vec<u8>>,
    /// `--env-file`, in order.
    pub env_files: Vec<PathBuf>,
    /// Environment variables of the caller.
    pub environment: BTreeMap<String, String>,
    /// `--profile`
    pub profiles: Vec<String>,
    /// Services named on the command line: their profiles are on.
    pub services: Vec<String>,
}

/// The values of variables are left out: debug output ends in logs.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("working_dir", &self.working_dir)
            .field("project_directory", &self.project_directory)
            .field("project_name", &self.project_name)
            .field("files", &self.files)
            .field("env_files", &self.env_files)
            .field("profiles", &self.profiles)
            .field("services", &self.services)
            .finish_non_exhaustive()
    }
}

/// A project that was read without errors.
#[derive(Debug)]
pub struct Loaded {
    /// The canonical project: every service of an active profile.
    pub project: Project,
    /// Services that exist but that no active profile turns on, by name.
    pub inactive: Vec<ServiceName>,
    /// What `config` prints; restricted to the services asked for and what they need.
    pub canonical: Value,
    /// What is accepted but has no effect, or is deprecated.
    pub warnings: Vec<Diagnostic>,
    /// The files that the warnings point into.
    pub sources: Sources,
    /// Where each value was written: `services.web.image`.
    pub locations: Locations,
}

/// A project that cannot be used: every error of its files.
#[derive(Debug)]
pub struct LoadError {
    /// Errors, then warnings, each in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
    /// The files that they point into.
    pub sources: Sources,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self
            .diagnostics
            .iter()
            .filter(|found| found.severity == Severity::Error);
        for (index, diagnostic) in errors.enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            if let Some(label) = &diagnostic.primary {
                let place = self.sources.location(label.span);
                write!(f, "{}:{}:{}: ", place.file, place.line, place.column)?;
            }
            f.write_str(&diagnostic.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}
