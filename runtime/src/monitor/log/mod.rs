//! Writes the log of a container: what its process prints, and what happens to it. The format is drawn at [`LogPlace`].
//!
//! Never fails and never blocks the container for the sake of the log: what a full disk does not take is dropped, and counted in
//! one `event` line as soon as the disk takes something again.

mod lines;
mod time;

use std::{
    io::{self, ErrorKind, Write},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use fs_err as fs;

use self::lines::{Piece, Splitter};
use crate::spec::LogPlace;

/// Bytes after which a batch is written; one chunk of many short lines grows a lot.
const BATCH_BYTES: usize = 64 * 1024;

/// A stream of the container's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The log of one container.
#[derive(Debug)]
pub(super) struct Log {
    /// `None` = the spec wants no log.
    files: Option<Files>,
    stdout: Splitter,
    stderr: Splitter,
    /// Lines to write at once; empty between calls.
    batch: Vec<u8>,
}

impl Log {
    /// Opens the log, and goes on with what is there: it belongs to the service, not to one container.
    pub(super) fn open(place: &LogPlace) -> io::Result<Log> {
        Ok(Log {
            files: place.dir.as_ref().map(|_| Files::open(place)).transpose()?,
            stdout: Splitter::default(),
            stderr: Splitter::default(),
            batch: Vec::new(),
        })
    }

    /// Takes bytes that the process printed.
    pub(super) fn output(&mut self, stream: Stream, chunk: &[u8]) {
        self.feed(stream, Some(chunk));
    }

    /// Takes the end of a stream: a last line without newline is written.
    pub(super) fn end(&mut self, stream: Stream) {
        self.feed(stream, None);
    }

    /// Writes a line of the pseudo stream `event`.
    pub(super) fn event(&mut self, text: &str) {
        if let Some(files) = &mut self.files {
            line(
                &mut self.batch,
                "event",
                &now(),
                true,
                text.replace('\n', " ").as_bytes(),
            );
            files.write(&mut self.batch);
        }
    }

    fn feed(&mut self, stream: Stream, chunk: Option<&[u8]>) {
        let Some(files) = &mut self.files else {
            return;
        };
        let (splitter, name) = match stream {
            Stream::Stdout => (&mut self.stdout, "stdout"),
            Stream::Stderr => (&mut self.stderr, "stderr"),
        };
        let time = now();
        let batch = &mut self.batch;
        let emit = |piece: Piece<'_>| {
            line(batch, name, &time, piece.ends, piece.text);
            if batch.len() >= BATCH_BYTES {
                files.write(batch);
            }
        };
        match chunk {
            Some(chunk) => splitter.push(chunk, emit),
            None => splitter.finish(emit),
        }
        if !self.batch.is_empty() {
            files.write(&mut self.batch);
        }
    }
}

fn now() -> [u8; time::TIME_LENGTH] {
    let since_epoch = SystemTime::UNIX_EPOCH.elapsed();
    time::rfc3339(since_epoch.unwrap_or(Duration::ZERO))
}

fn line(batch: &mut Vec<u8>, stream: &str, time: &[u8], ends: bool, text: &[u8]) {
    batch.extend_from_slice(time);
    batch.push(b' ');
    batch.extend_from_slice(stream.as_bytes());
    batch.extend_from_slice(if ends { b" F " } else { b" P " });
    batch.extend_from_slice(text);
    batch.push(b'\n');
}

/// The files of a log.
#[derive(Debug)]
struct Files {
    dir: PathBuf,
    /// `current.log`, opened for appending.
    current: fs::File,
    /// Its size.
    bytes: u64,
    /// 0 = never rotate.
    bytes_max: u64,
    kept_max: u32,
    /// Lines dropped since the last successful write.
    lost: u64,
    /// Why.
    lost_because: ErrorKind,
}

impl Files {
    fn open(place: &LogPlace) -> io::Result<Files> {
        let dir = place.dir.clone().unwrap_or_default();
        fs::create_dir_all(&dir)?;
        let current = append(&dir)?;
        let bytes = current.metadata()?.len();
        Ok(Files {
            dir,
            current,
            bytes,
            bytes_max: place.file_bytes_max,
            kept_max: place.files_max.max(1),
            lost: 0,
            lost_because: ErrorKind::Other,
        })
    }

    /// Writes and empties a batch of whole lines.
    fn write(&mut self, batch: &mut Vec<u8>) {
        if self.bytes_max > 0
            && self.bytes >= self.bytes_max
            && let Err(error) = self.rotate()
        {
            // The file grows beyond its limit rather than that lines are lost.
            self.lost_because = error.kind();
        }
        if self.lost > 0 {
            // Tried alone first: as long as the disk is full, the note must not be counted itself.
            let mut note = Vec::new();
            let text = format!("{} lines lost: {}", self.lost, self.lost_because);
            // The time of the batch, so that times in the file never go back.
            line(
                &mut note,
                "event",
                &batch[..time::TIME_LENGTH],
                true,
                text.as_bytes(),
            );
            if self.append(&note) == note.len() {
                self.lost = 0;
            }
        }
        let written = if self.lost == 0 {
            self.append(batch)
        } else {
            0
        };
        self.lost += batch[written..].split(|byte| *byte == b'\n').count() as u64 - 1;
        batch.clear();
        batch.shrink_to(BATCH_BYTES);
    }

    /// Writes whole lines as far as the disk takes them; returns the bytes of the lines written.
    fn append(&mut self, lines: &[u8]) -> usize {
        let mut written = 0;
        while written < lines.len() {
            match self.current.write(&lines[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.lost_because = error.kind();
                    break;
                }
            }
        }
        let whole = match lines[..written].iter().rposition(|byte| *byte == b'\n') {
            Some(newline) => newline + 1,
            None => 0,
        };
        self.bytes += whole as u64;
        if whole < written && self.current.set_len(self.bytes).is_err() {
            // The rest of a line stays and spoils the next one, which is better than to lose more.
            self.bytes += (written - whole) as u64;
        }
        whole
    }

    /// Makes `current.log` the file `1.log`, that one `2.log`, and so on; the oldest one goes.
    fn rotate(&mut self) -> io::Result<()> {
        if self.kept_max == 1 {
            self.current.set_len(0)?;
        } else {
            let numbered = |number: u32| self.dir.join(format!("{number}.log"));
            for number in (1..self.kept_max - 1).rev() {
                match fs::rename(numbered(number), numbered(number + 1)) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            fs::rename(self.dir.join("current.log"), numbered(1))?;
            self.current = append(&self.dir)?;
        }
        self.bytes = 0;
        Ok(())
    }
}

fn append(dir: &std::path::Path) -> io::Result<fs::File> {
    fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(dir.join("current.log"))
}

#[cfg(test)]
mod tests;
