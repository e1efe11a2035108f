//! Tests of the whole pipeline, on files in memory.

mod agreement;
mod compose;
mod discovery;
mod elements;
mod explain;
mod model;
mod output;
mod random;
mod readme;
mod without_effect;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use crate::{FileKind, Files, LoadError, Loaded, Request, load, plain};

/// The directory of the tests' projects.
const HOME: &str = "/home/u/shop";

/// Files in memory.
#[derive(Default)]
struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Files for Memory {
    fn read(&self, path: &Path, _: usize) -> io::Result<Vec<u8>> {
        self.0
            .get(path)
            .cloned()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        if self.0.contains_key(path) {
            return Some(FileKind::File);
        }
        self.0
            .keys()
            .any(|known| known.starts_with(path))
            .then_some(FileKind::Directory)
    }
}

/// Files relative to [`HOME`].
fn memory(files: &[(&str, &str)]) -> Memory {
    let files = files.iter();
    Memory(
        files
            .map(|(name, text)| (Path::new(HOME).join(name), text.as_bytes().to_vec()))
            .collect(),
    )
}

/// A request in [`HOME`].
fn request() -> Request {
    Request {
        working_dir: PathBuf::from(HOME),
        environment: BTreeMap::from([("HOME".to_owned(), "/home/u".to_owned())]),
        ..Request::default()
    }
}

/// Loads files found by discovery.
fn load_files(files: &[(&str, &str)]) -> Result<Loaded, LoadError> {
    load(&request(), &memory(files))
}

/// Loads one file, which must be right.
fn loaded(text: &str) -> Loaded {
    load_files(&[("compose.yaml", text)]).unwrap_or_else(|error| panic!("{error}"))
}

/// Returns every finding about one file as text.
fn findings(text: &str) -> String {
    findings_of(load_files(&[("compose.yaml", text)]))
}

fn findings_of(outcome: Result<Loaded, LoadError>) -> String {
    let (diagnostics, sources) = match outcome {
        Ok(loaded) => (loaded.warnings, loaded.sources),
        Err(error) => (error.diagnostics, error.sources),
    };
    diagnostics
        .iter()
        .map(|diagnostic| plain(diagnostic, &sources))
        .collect()
}
