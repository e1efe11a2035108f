//! The blocking half of a layer's fetch: kept bytes and those of the network, through the pipeline into files.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use fs_err as fs;
use tokio::sync::mpsc;

use crate::{
    image::{
        digest::Hashing,
        pipeline::{LayerError, unpack_layer},
        store::{ImageError, Ingest, Workspace, stage},
        unpack::Unpacked,
    },
    model::Digest,
};

/// Where a layer's compressed bytes come from: a kept file, then the network.
pub(super) struct Source {
    ingest: Ingest,
    /// Bytes that are there already.
    pub(super) kept: u64,
    /// They are the whole blob, under its final name.
    is_blob: bool,
}

impl Source {
    pub(super) fn open(ingest: Ingest, size: u64) -> Result<Self, ImageError> {
        let length = |path: &Path| fs::metadata(path).map(|file| file.len()).ok();
        if length(ingest.blob()) == Some(size) {
            return Ok(Self {
                ingest,
                kept: size,
                is_blob: true,
            });
        }
        let kept = match length(ingest.part()) {
            Some(length) if length <= size => length,
            Some(_) => {
                ingest.discard()?;
                0
            }
            None => 0,
        };
        Ok(Self {
            ingest,
            kept,
            is_blob: false,
        })
    }
}

/// The blocking half of a fetch.
pub(super) struct Job {
    pub(super) workspace: Arc<Workspace>,
    pub(super) source: Source,
    pub(super) receiver: mpsc::Receiver<Result<Bytes, ()>>,
    pub(super) size: u64,
}

/// What the thread found, before it is compared with what was announced.
pub(super) struct Done {
    pub(super) ingest: Ingest,
    pub(super) directory: PathBuf,
    /// Of the compressed bytes.
    pub(super) digest: Digest,
    pub(super) unpacked: Result<(Digest, Unpacked), LayerError>,
}

pub(super) enum JobError {
    Layer(LayerError),
    Store(ImageError),
}

impl From<ImageError> for JobError {
    fn from(error: ImageError) -> Self {
        Self::Store(error)
    }
}

impl Job {
    pub(super) fn run(self) -> Result<Done, JobError> {
        let (directory, fs_path) = stage(&self.workspace)?;
        let bytes = Compressed::open(&self.source, self.receiver)?;
        let mut stream = Hashing::new(bytes);
        let unpacked = unpack_layer(&mut stream, self.size, &fs_path);
        match unpacked {
            Err(error) if error.is_no_space() => return Err(JobError::Layer(error)),
            // Content that does not unpack is read to its end as well: a wrong digest is the better message.
            _ => drop(
                io::copy(&mut stream, &mut io::sink())
                    .map_err(LayerError::Read)
                    .map_err(JobError::Layer)?,
            ),
        }
        let (digest, _, _) = stream.finish();
        Ok(Done {
            ingest: self.source.ingest,
            directory,
            digest,
            unpacked,
        })
    }
}

/// Reads the kept bytes, then those of the network, which are kept as well.
struct Compressed {
    kept: Option<io::Take<fs::File>>,
    part: Option<fs::File>,
    receiver: mpsc::Receiver<Result<Bytes, ()>>,
    chunk: Bytes,
}

impl Compressed {
    fn open(
        source: &Source,
        receiver: mpsc::Receiver<Result<Bytes, ()>>,
    ) -> Result<Self, ImageError> {
        let part = if source.is_blob {
            None
        } else {
            let file = fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(source.ingest.part());
            Some(file.map_err(ImageError::io("keep a download"))?)
        };
        let path = if source.is_blob {
            source.ingest.blob()
        } else {
            source.ingest.part()
        };
        let kept = fs::File::open(path).map_err(ImageError::io("read a kept download"))?;
        Ok(Self {
            kept: Some(kept.take(source.kept)),
            part,
            receiver,
            chunk: Bytes::new(),
        })
    }
}

impl Read for Compressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(kept) = &mut self.kept {
            match kept.read(buffer)? {
                0 => self.kept = None,
                count => return Ok(count),
            }
        }
        while self.chunk.is_empty() {
            match self.receiver.blocking_recv() {
                Some(Ok(chunk)) => {
                    if let Some(part) = &mut self.part {
                        part.write_all(&chunk)?;
                    }
                    self.chunk = chunk;
                }
                // The network's error is reported by whoever had it.
                Some(Err(())) => return Err(io::ErrorKind::ConnectionAborted.into()),
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.chunk.len());
        buffer[..count].copy_from_slice(&self.chunk.split_to(count));
        Ok(count)
    }
}
