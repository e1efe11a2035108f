//! The uncompressed tar stream of a layer, read again from what the store has of it.
//!
//! A layer that was pulled has its compressed blob, which is decoded. One that was loaded from a `docker save` archive
//! has a record of everything but the content of its files (see `unpack/record.rs`). One that was built has neither,
//! and its files are written again by the canonical writer, whose stream gave the diff id in the first place.
//! Whichever it is, the bytes are hashed on their way and the end of the stream is only reported when the sum is the
//! diff id: nothing that was damaged on the disk gets into an archive or a registry unnoticed.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
};

use fs_err as fs;

use super::{ImageError, ImageStore, Lease, diff};
use crate::{
    image::{
        decode::Decoder,
        digest::Hashing,
        manifest::{self, Document},
        unpack::Replay,
    },
    model::Digest,
};

/// Bytes handed over at a time by the writer's thread.
const CHUNK: usize = 256 << 10;
/// Chunks that may wait; bounds the memory of a stream to about 1 MiB.
const WAITING_MAX: usize = 3;

/// Name of a layer's record, beside its `fs`.
pub(crate) const RECORD: &str = "stream";

/// A layer's compressed form, as a registry gave it or an archive held it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerBlob {
    /// Digest of the compressed bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// The file.
    pub path: PathBuf,
}

/// The uncompressed tar stream of a layer. Its end is an error when the bytes were not those of the diff id.
#[derive(Debug)]
pub struct LayerStream {
    diff_id: Digest,
    /// `None` after the end was checked.
    source: Option<Hashing<Source>>,
    /// Nothing is swept while it is read.
    _lease: Lease,
}

/// Where the bytes come from.
enum Source {
    Blob(Box<Decoder<fs::File>>),
    Record(Box<Replay<fs::File>>),
    Files(Written),
}

/// The end of a layer's stream was reached, and it was another stream.
#[derive(Debug, thiserror::Error)]
#[error("the store's copy of layer {wanted} is damaged: its diff id is {found}")]
pub(crate) struct Damaged {
    wanted: Digest,
    found: Digest,
}

impl ImageStore {
    /// Opens the uncompressed tar stream of a layer, byte for byte as it was when its diff id was taken.
    ///
    /// Fails with [`ImageError::LayerMissing`] when the store has it in no form. Reading fails with
    /// [`io::ErrorKind::InvalidData`] at the end of a stream that is not the layer's.
    pub fn layer_stream(&self, diff_id: &Digest) -> Result<LayerStream, ImageError> {
        let lease = self.lease()?;
        let source = if let Some(blob) = self.layer_blob(diff_id)? {
            let file =
                fs::File::open(&blob.path).map_err(ImageError::io("read a compressed layer"))?;
            let decoder = Decoder::new(file).map_err(ImageError::io("read a compressed layer"))?;
            Source::Blob(Box::new(decoder))
        } else if let Some(replay) = self.replay(diff_id)? {
            Source::Record(Box::new(replay))
        } else {
            let layer = self
                .layer(diff_id)
                .ok_or_else(|| ImageError::LayerMissing(diff_id.clone()))?;
            Source::Files(Written::spawn(layer.path)?)
        };
        Ok(LayerStream {
            diff_id: diff_id.clone(),
            source: Some(Hashing::new(source)),
            _lease: lease,
        })
    }

    /// Returns the number of bytes of a layer's stream. Layers of older stores are read once to count them.
    pub fn layer_stream_bytes(&self, diff_id: &Digest) -> Result<u64, ImageError> {
        let counted = self
            .directories_of(diff_id)?
            .iter()
            .find_map(|name| self.meta(name).ok().flatten()?.stream_bytes);
        match counted {
            Some(bytes) => Ok(bytes),
            None => io::copy(&mut self.layer_stream(diff_id)?, &mut io::sink())
                .map_err(ImageError::io("read a layer")),
        }
    }

    /// Opens the record of a layer, if it has one.
    fn replay(&self, diff_id: &Digest) -> Result<Option<Replay<fs::File>>, ImageError> {
        let opened = ImageError::io("read the form of a layer");
        for name in self.directories_of(diff_id)? {
            let directory = self.layers().join(&name);
            let record = match fs::File::open(directory.join(RECORD)) {
                Ok(record) => record,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(opened(error)),
            };
            let replaced = match self.meta(&name)? {
                Some(meta) => meta.replaced(),
                None => continue,
            };
            let replay = Replay::open(record, &directory, replaced);
            return replay.map(Some).map_err(opened);
        }
        Ok(None)
    }

    /// Returns the directories in `layers/` that were made of a layer: on its own, and completed for some images.
    fn directories_of(&self, diff_id: &Digest) -> Result<Vec<String>, ImageError> {
        let mut names = vec![diff_id.hex().to_owned()];
        for image in self.index()?.images.values() {
            let layers = image.diff_ids.iter().zip(&image.layers);
            names.extend(
                layers
                    .filter(|(other, _)| *other == diff_id)
                    .map(|(_, name)| name.clone()),
            );
        }
        names.dedup();
        Ok(names)
    }

    /// Finds a layer's compressed form; `None` for layers that came without one, and when the file is gone.
    pub fn layer_blob(&self, diff_id: &Digest) -> Result<Option<LayerBlob>, ImageError> {
        let index = self.index()?;
        for image in index.images.values() {
            let (Some(at), Some(manifest)) = (
                image.diff_ids.iter().position(|other| other == diff_id),
                &image.manifest,
            ) else {
                continue;
            };
            let Some(bytes) = self.read_blob(manifest)? else {
                continue;
            };
            let Ok(Document::Image(manifest)) = manifest::parse(&bytes, None) else {
                continue;
            };
            let Some(layer) = manifest.layers.into_iter().nth(at) else {
                continue;
            };
            let path = self.blob(&layer.digest);
            if fs::metadata(&path).is_ok_and(|file| file.len() == layer.size) {
                return Ok(Some(LayerBlob {
                    digest: layer.digest,
                    size: layer.size,
                    path,
                }));
            }
        }
        self.blob_of_meta(diff_id)
    }

    /// Finds the blob that a layer says it came from: the images whose manifests named it may be gone.
    fn blob_of_meta(&self, diff_id: &Digest) -> Result<Option<LayerBlob>, ImageError> {
        for name in self.directories_of(diff_id)? {
            let Some(digest) = self.meta(&name)?.and_then(|meta| meta.blob) else {
                continue;
            };
            let path = self.blob(&digest);
            if let Ok(file) = fs::metadata(&path) {
                return Ok(Some(LayerBlob {
                    digest,
                    size: file.len(),
                    path,
                }));
            }
        }
        Ok(None)
    }
}

impl Read for LayerStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(source) = &mut self.source else {
            return Ok(0);
        };
        let count = source.read(buffer)?;
        if count > 0 || buffer.is_empty() {
            return Ok(count);
        }
        let Some((found, _, _)) = self.source.take().map(Hashing::finish) else {
            return Ok(0);
        };
        if found == self.diff_id {
            return Ok(0);
        }
        let wanted = self.diff_id.clone();
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            Damaged { wanted, found },
        ))
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Blob(decoder) => decoder.read(buffer),
            Self::Record(replay) => replay.read(buffer),
            Self::Files(written) => written.read(buffer),
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Blob(_) => "Blob",
            Self::Record(_) => "Record",
            Self::Files(_) => "Files",
        })
    }
}

/// The canonical writer on a thread of its own, read chunk by chunk.
pub(super) struct Written {
    /// `None` once it was dropped to make the writer stop.
    receiver: Option<Receiver<Vec<u8>>>,
    /// `None` once it was joined.
    writer: Option<JoinHandle<Result<(), ImageError>>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Written {
    pub(super) fn spawn(directory: PathBuf) -> Result<Self, ImageError> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let writer = std::thread::Builder::new()
            .name("layer stream".to_owned())
            .spawn(move || {
                let mut out = Chunks {
                    sender,
                    chunk: Vec::with_capacity(CHUNK),
                };
                diff::read_stream(&directory, &mut out)?;
                out.flush().map_err(ImageError::io("write a layer"))
            })
            .map_err(ImageError::io("start a thread"))?;
        Ok(Self {
            receiver: Some(receiver),
            writer: Some(writer),
            chunk: Vec::new(),
            at: 0,
        })
    }

    /// Waits for the writer's end and returns its error.
    fn join(&mut self) -> Result<(), ImageError> {
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        writer
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Read for Written {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            let next = self.receiver.as_ref().map(Receiver::recv);
            let Some(Ok(chunk)) = next else {
                self.join().map_err(io::Error::other)?;
                return Ok(0);
            };
            self.chunk = chunk;
            self.at = 0;
        }
        let count = buffer.len().min(self.chunk.len() - self.at);
        buffer[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // The writer cannot hand over any more and ends; its error is nobody's concern then.
        self.receiver = None;
        if let Err(error) = self.join() {
            tracing::debug!(%error, "a layer was not read to its end");
        }
    }
}

/// Collects small writes into chunks.
struct Chunks {
    sender: SyncSender<Vec<u8>>,
    chunk: Vec<u8>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() + bytes.len() > CHUNK {
            self.flush()?;
        }
        self.chunk.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        let closed = |_closed| io::Error::from(io::ErrorKind::BrokenPipe);
        self.sender.send(chunk).map_err(closed)
    }
}
