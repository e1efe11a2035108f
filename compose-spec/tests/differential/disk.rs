//! Projects on the disk, and this crate's answer to them.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use compose_spec::{FileKind, Files, Request, Severity, emit};

use crate::{
    generate::{Case, FIXED},
    oracle::Answer,
};

/// The disk.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(match metadata.file_type() {
            kind if kind.is_file() => FileKind::File,
            kind if kind.is_dir() => FileKind::Directory,
            _ => FileKind::Other,
        })
    }
}

/// Writes a project's files into a new directory whose name is a good project name.
pub(crate) fn lay_out(case: &Case) -> tempfile::TempDir {
    let directory = tempfile::Builder::new()
        .prefix("d")
        .rand_bytes(6)
        .tempdir()
        .unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    for (index, text) in case.files.iter().enumerate() {
        write(&format!("f{index}.yaml"), text);
    }
    for (name, text) in FIXED {
        write(name, text);
    }
    write(".env", &case.dotenv);
    directory
}

/// Loads a project.
pub(crate) fn load_project(
    directory: &Path,
    case: &Case,
) -> Result<compose_spec::Loaded, compose_spec::LoadError> {
    let request = Request {
        working_dir: directory.to_path_buf(),
        files: (0..case.files.len())
            .map(|index| PathBuf::from(format!("f{index}.yaml")))
            .collect(),
        profiles: case.profiles.iter().map(|&name| name.to_owned()).collect(),
        environment: BTreeMap::from([("HOME".to_owned(), "/home/u".to_owned())]),
        ..Request::default()
    };
    compose_spec::load(&request, &Disk)
}

/// Returns what this crate says to a project.
pub(crate) fn load(directory: &Path, case: &Case) -> Answer {
    match load_project(directory, case) {
        Ok(loaded) => {
            Answer::Accepted(serde_json::from_str(&emit::json(&loaded.canonical)).unwrap())
        }
        Err(error) => {
            let found = error.diagnostics.iter();
            let errors = found.filter(|found| found.severity == Severity::Error);
            let told = errors.map(|found| format!("{} {}", found.code, found.message));
            Answer::Refused(told.collect::<Vec<_>>().join("\n"))
        }
    }
}
