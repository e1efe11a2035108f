//! The files of a database: records one by one, whatever they are packed in.

use std::{
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use fs_err as fs;
use serde::Serialize;

use super::frames::{DOCUMENT_BYTES_MAX, FrameError, documents};
use crate::inventory::{Archive, ReadAt, ReadError, StoredFile};

/// Directories in each other that are searched.
const DEPTH_MAX: usize = 16;

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

/// Problems that are named; all are counted.
const PROBLEMS_MAX: usize = 20;

/// A database could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A file or directory; the message names it.
    #[error("read the database")]
    Io(#[source] io::Error),
    /// A file that is no database.
    #[error("`{path}` is not a database of OSV records")]
    Form {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: FormError,
    },
    /// There is nothing in it.
    #[error("no OSV record in `{0}`")]
    Empty(PathBuf),
}

/// Why a file is no database.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// It is not JSON, or breaks off.
    #[error("{0}")]
    Json(String),
    /// A damaged archive.
    #[error("{0}")]
    Zip(String),
}

/// What a database is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DatabaseFacts {
    /// Records in it.
    pub records: u64,
    /// The latest change of a record, RFC 3339; `None` = no record says.
    pub latest: Option<String>,
    /// Documents that are no records, and damaged files in archives.
    pub unread: u64,
    /// The first of them.
    pub problems: Vec<String>,
}

/// What became of a document.
pub(super) enum Taken {
    /// A record that changed at this time.
    Record { modified: String },
    /// No record, because of this.
    Other(String),
}

/// Gives every document at a path and says what the database is.
pub(super) fn read(
    path: &Path,
    take: &mut dyn FnMut(&[u8]) -> Taken,
) -> Result<DatabaseFacts, DatabaseError> {
    let mut reading = Reading {
        facts: DatabaseFacts::default(),
        take,
    };
    let metadata = fs::metadata(path).map_err(DatabaseError::Io)?;
    if metadata.is_dir() {
        reading.directory(path, 0)?;
    } else {
        reading.file(path)?;
    }
    if reading.facts.records == 0 {
        return Err(DatabaseError::Empty(path.to_owned()));
    }
    Ok(reading.facts)
}

struct Reading<'a> {
    facts: DatabaseFacts,
    take: &'a mut dyn FnMut(&[u8]) -> Taken,
}

impl Reading<'_> {
    /// Reads the files of a directory that look like records, in the order of their names, and the directories in it; symbolic
    /// links are followed once, for files.
    fn directory(&mut self, path: &Path, depth: usize) -> Result<(), DatabaseError> {
        if depth > DEPTH_MAX {
            self.problem(&format!("`{}` is too deep", path.display()));
            return Ok(());
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(path).map_err(DatabaseError::Io)? {
            let entry = entry.map_err(DatabaseError::Io)?;
            let kind = entry.file_type().map_err(DatabaseError::Io)?;
            entries.push((entry.path(), kind.is_dir()));
        }
        entries.sort();
        for (path, is_directory) in entries {
            if is_directory {
                self.directory(&path, depth + 1)?;
            } else if is_database(&path) {
                self.file(&path)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), DatabaseError> {
        let mut file = fs::File::open(path).map_err(DatabaseError::Io)?;
        let mut magic = Vec::new();
        (&mut file)
            .take(4)
            .read_to_end(&mut magic)
            .map_err(DatabaseError::Io)?;
        let malformed = |source| DatabaseError::Form {
            path: path.to_owned(),
            source,
        };
        if magic.starts_with(b"PK\x03\x04") || magic.starts_with(b"PK\x05\x06") {
            let size = file.metadata().map_err(DatabaseError::Io)?.len();
            let file = StoredFile::new(file.into_file(), size);
            return self.archive(&file).map_err(|error| match error {
                ReadError::Io(error) => DatabaseError::Io(error),
                error => malformed(FormError::Zip(error.to_string())),
            });
        }
        let start = io::Cursor::new(magic.clone()).chain(file);
        let read = match magic[..] {
            [0x1f, 0x8b, ..] => self.documents(flate2::read::MultiGzDecoder::new(start)),
            [0x28, 0xb5, 0x2f, 0xfd] => {
                let decoder = zstd::stream::read::Decoder::new(start).map_err(DatabaseError::Io)?;
                self.documents(decoder)
            }
            _ => self.documents(start),
        };
        read.map_err(|error| match error {
            FrameError::Io(error) => DatabaseError::Io(error),
            error => malformed(FormError::Json(error.to_string())),
        })
    }

    fn documents(&mut self, stream: impl Read) -> Result<(), FrameError> {
        documents(BufReader::with_capacity(CHUNK, stream), &mut |document| {
            self.document(document);
        })
    }

    /// `all.zip` has a file for each record. A damaged one is a problem, a damaged directory an error.
    fn archive(&mut self, file: &dyn ReadAt) -> Result<(), ReadError> {
        let archive = Archive::open(file)?;
        for entry in archive.entries() {
            let entry = entry?;
            if !entry.name.ends_with(b".json") {
                continue;
            }
            match archive.read(&entry, DOCUMENT_BYTES_MAX as u64) {
                Ok(document) => self.document(&document),
                Err(ReadError::Io(error)) => return Err(ReadError::Io(error)),
                Err(error) => {
                    let name = String::from_utf8_lossy(&entry.name);
                    self.problem(&format!("`{name}`: {error}"));
                }
            }
        }
        Ok(())
    }

    fn document(&mut self, document: &[u8]) {
        match (self.take)(document) {
            Taken::Record { modified } => {
                self.facts.records += 1;
                // Times are in UTC, so that their text has their order, but for parts of a second.
                if self
                    .facts
                    .latest
                    .as_ref()
                    .is_none_or(|latest| *latest < modified)
                    && !modified.is_empty()
                {
                    self.facts.latest = Some(modified);
                }
            }
            Taken::Other(reason) => self.problem(&reason),
        }
    }

    fn problem(&mut self, text: &str) {
        self.facts.unread += 1;
        if self.facts.problems.len() < PROBLEMS_MAX {
            let text = text.replace(char::is_control, "\u{fffd}");
            self.facts.problems.push(text);
        }
    }
}

fn is_database(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name
        .strip_suffix(".gz")
        .or_else(|| name.strip_suffix(".zst"))
        .unwrap_or(&name);
    [".json", ".jsonl", ".ndjson", ".zip"]
        .iter()
        .any(|end| name.ends_with(end))
}
