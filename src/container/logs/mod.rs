//! Reads and follows the log files that monitors write; their format is drawn at [`runtime::spec::LogPlace`].
//!
//! A reader never misses or repeats a line, whatever the writer does meanwhile: it opens the files from the newest to the
//! oldest and tells them apart by inode, so a rotation in between gives it one file twice (which it notices) and none
//! zero times. Times are compared as text: they have a fixed width.

mod files;
mod line;
mod merge;
mod watch;

use std::{
    collections::VecDeque,
    io::{self, Read},
    path::{Path, PathBuf},
};

pub use line::{LogLine, LogStream, LogTime};
pub use merge::Merged;
pub use watch::{Changes, Watch};

use files::LogFile;
use line::{Assembler, Piece};

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Longest line that the reader waits for: writers cut lines at 16 KiB.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// A log could not be read.
#[derive(Debug, thiserror::Error)]
#[error("read the log in `{}`", directory.display())]
pub struct LogError {
    directory: PathBuf,
    #[source]
    source: io::Error,
}

/// Which lines are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Only lines of this time or later.
    pub since: Option<LogTime>,
    /// Only lines before this time.
    pub until: Option<LogTime>,
    /// Only the last lines, this many; `None` = all.
    pub tail: Option<usize>,
}

/// Reads one container's log, oldest line first. At the end it gives `None`; asked again later it goes on.
#[derive(Debug)]
pub struct LogReader {
    directory: PathBuf,
    query: Query,
    /// The file in work first, then newer ones.
    files: VecDeque<LogFile>,
    /// Bytes of the file in work that are no whole line yet.
    buffer: Vec<u8>,
    assembler: Assembler,
    lines: VecDeque<LogLine>,
    /// A line of `until` or later was met.
    ended: bool,
}

impl LogReader {
    /// Opens a log directory; a missing one is an empty log.
    pub fn open(directory: &Path, query: &Query) -> Result<Self, LogError> {
        let files = files::open_all(directory, None)
            .and_then(|files| files::start_at(files, query))
            .map_err(|source| error(directory, source))?;
        Ok(Self {
            directory: directory.to_owned(),
            query: query.clone(),
            files,
            buffer: Vec::new(),
            assembler: Assembler::default(),
            lines: VecDeque::new(),
            ended: false,
        })
    }

    /// Returns the next line that is wanted, if it was written.
    pub fn next_line(&mut self) -> Result<Option<LogLine>, LogError> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                if self.query.until.is_some_and(|until| line.time >= until) {
                    self.ended = true;
                    self.lines.clear();
                    return Ok(None);
                }
                if self.query.since.is_none_or(|since| line.time >= since) {
                    return Ok(Some(line));
                }
            } else if self.ended
                || !self
                    .read_more()
                    .map_err(|source| error(&self.directory, source))?
            {
                return Ok(None);
            }
        }
    }

    /// Returns what was written of a line that will get no end: its stream is over.
    pub fn flush(&mut self) -> Option<LogLine> {
        self.assembler.flush(&mut self.lines);
        self.lines.pop_front()
    }

    /// Reads a chunk, going on to the next file at the end of one. Returns false when everything written so far was read.
    fn read_more(&mut self) -> io::Result<bool> {
        if self.files.is_empty() {
            self.files = files::open_all(&self.directory, None)?;
        }
        let Some(file) = self.files.front_mut() else {
            return Ok(false);
        };
        if fill(file, &mut self.buffer)? {
            self.take_lines();
            return Ok(true);
        }
        if self.files.len() == 1 {
            let newer = files::open_all(&self.directory, Some(self.files[0].identity()))?;
            if newer.is_empty() {
                return Ok(false);
            }
            self.files.extend(newer);
            // The writer may have written between our last read and the rotation; after it, the file is complete.
            return Ok(true);
        }
        if self.files[0].complete {
            // What is left is a line whose end was never written.
            self.push_line_rest();
            self.files.pop_front();
        } else {
            self.files[0].complete = true;
        }
        Ok(true)
    }

    fn take_lines(&mut self) {
        let mut start = 0;
        while let Some(length) = self.buffer[start..].iter().position(|byte| *byte == b'\n') {
            let piece = Piece::parse(&self.buffer[start..start + length]);
            self.assembler.take(&piece, &mut self.lines);
            start += length + 1;
        }
        self.buffer.drain(..start);
        if self.buffer.len() > LINE_BYTES_MAX {
            self.push_line_rest();
        }
    }

    fn push_line_rest(&mut self) {
        if !self.buffer.is_empty() {
            let piece = Piece::parse(&self.buffer);
            self.assembler.take(&piece, &mut self.lines);
            self.buffer.clear();
        }
    }
}

/// Appends the next chunk of a file; false at its end.
fn fill(file: &mut LogFile, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let length = buffer.len();
    buffer.resize(length + CHUNK_BYTES, 0);
    let read = loop {
        match file.file.read(&mut buffer[length..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read,
        }
    };
    buffer.truncate(length + read.as_ref().copied().unwrap_or(0));
    read.map(|read| read > 0)
}

fn error(directory: &Path, source: io::Error) -> LogError {
    LogError {
        directory: directory.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
