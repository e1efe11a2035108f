//! Projects on the disk, and this crate's answer to them.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use compose_spec::{FileKind, Files, Passes, Request, Severity, configuration, emit};

use crate::{
    case::{Case, FIXED},
    oracle::{Answer, Refusal, read},
};

/// The disk.
pub(crate) struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, _: usize) -> io::Result<Vec<u8>> {
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
    std::fs::create_dir(directory.path().join("sub")).unwrap();
    let own = case
        .files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()));
    for (name, text) in FIXED.iter().copied().chain(own) {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

/// Loads a project and returns what this crate says to it.
pub(crate) fn load(directory: &Path, case: &Case) -> Answer {
    load_in(directory, case, case.format)
}

/// Loads a project and returns what this crate prints in a format.
pub(crate) fn load_in(directory: &Path, case: &Case, format: &str) -> Answer {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let mut environment = BTreeMap::from([("HOME".to_owned(), "/home/u".to_owned())]);
    let path = std::env::var("PATH").unwrap_or_default();
    environment.insert("PATH".to_owned(), path);
    let shell = case.environment.iter();
    environment.extend(shell.map(|&(name, value)| (name.to_owned(), value.to_owned())));
    let request = Request {
        working_dir: directory.to_path_buf(),
        files: case.compose.iter().map(PathBuf::from).collect(),
        env_files: case.env_files.iter().map(PathBuf::from).collect(),
        profiles: owned(&case.profiles),
        services: owned(&case.services),
        environment,
        ..Request::default()
    };
    match configuration(&request, passes(case.pass), &Disk) {
        Ok(shown) => {
            let text = match (format, case.pass) {
                ("json", "--no-interpolate") => emit::model_json(&shown.canonical),
                ("json", _) => emit::json(&shown.canonical),
                (_, "--no-interpolate") => emit::model_yaml(&shown.canonical),
                _ => emit::yaml(&shown.canonical),
            };
            Answer::Accepted(read(format, &text))
        }
        Err(error) => {
            let found = error.diagnostics.iter();
            let errors = found.filter(|found| found.severity == Severity::Error);
            let refusal = |found: &compose_spec::Diagnostic| Refusal {
                code: found.code.to_string(),
                message: found.message.clone(),
                text: found
                    .primary
                    .as_ref()
                    .map_or("", |label| error.sources.slice(label.span))
                    .to_owned(),
            };
            Answer::Refused(errors.map(refusal).collect())
        }
    }
}

fn passes(flag: &str) -> Passes {
    let all = Passes::default();
    match flag {
        "--no-interpolate" => Passes {
            interpolation: false,
            ..all
        },
        "--no-normalize" => Passes {
            normalization: false,
            ..all
        },
        "--no-path-resolution" => Passes {
            path_resolution: false,
            ..all
        },
        "--no-consistency" => Passes {
            consistency: false,
            ..all
        },
        "--no-env-resolution" => Passes {
            env_resolution: false,
            ..all
        },
        _ => all,
    }
}
