//! One layer from compressed bytes to files, on two threads: one reads and inflates, one hashes and unpacks.

use std::{
    io::{self, Read},
    os::fd::AsFd,
    path::Path,
    sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
};

use fs_err as fs;

use super::{
    decode::Decoder,
    digest::Hashing,
    store::RECORD,
    unpack::{Limits, Recording, TarError, UnpackError, Unpacked, unpack},
};
use crate::model::Digest;

/// Plain bytes handed over at a time.
const CHUNK: usize = 512 << 10;
/// Chunks that may wait; bounds the memory of a layer to about 2 MiB.
const WAITING_MAX: usize = 4;

/// A layer could not be brought from its source into files.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The source broke, or is not compressed as it says.
    #[error("read the layer")]
    Read(#[source] io::Error),
    /// The content could not be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
}

impl LayerError {
    /// Tells whether the disk or quota is full.
    pub fn is_no_space(&self) -> bool {
        match self {
            // The bytes on their way are kept on the disk, so reading them can fail for lack of space.
            Self::Read(error) => {
                matches!(
                    error.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                )
            }
            Self::Unpack(error) => error.is_no_space(),
        }
    }
}

/// Inflates and unpacks a layer into an empty directory; returns its diff id and what was found.
///
/// Blocks. The source is read until the inflater has what it needs, which may be before its end.
pub(super) fn unpack_layer(
    source: &mut dyn Read,
    compressed_bytes: u64,
    directory: &Path,
) -> Result<(Digest, Unpacked), LayerError> {
    let (diff_id, unpacked) = run(source, compressed_bytes, directory, None, Sum::Wanted)?;
    Ok((diff_id.expect("it was wanted"), unpacked))
}

/// As [`unpack_layer`], into `fs` of a layer's directory, and writes the record beside it, from which the layer's stream
/// can be made again out of its files.
pub(super) fn unpack_layer_recording(
    source: &mut dyn Read,
    compressed_bytes: u64,
    layer: &Path,
) -> Result<(Digest, Unpacked), LayerError> {
    let (diff_id, unpacked) = record(source, compressed_bytes, layer, Sum::Wanted)?;
    Ok((diff_id.expect("it was wanted"), unpacked))
}

/// As [`unpack_layer_recording`], for a source that is not compressed and whose sum the caller takes: it is the diff id.
pub(super) fn unpack_plain_recording(
    source: &mut dyn Read,
    bytes: u64,
    layer: &Path,
) -> Result<Unpacked, LayerError> {
    Ok(record(source, bytes, layer, Sum::TakenElsewhere)?.1)
}

/// Who takes the sum of the plain stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sum {
    Wanted,
    TakenElsewhere,
}

fn record(
    source: &mut dyn Read,
    compressed_bytes: u64,
    layer: &Path,
    sum: Sum,
) -> Result<(Option<Digest>, Unpacked), LayerError> {
    let keep = |error| LayerError::Unpack(TarError::Record(error).into());
    let beside = fs::File::open(layer).map_err(keep)?;
    let mut out = fs::File::create(layer.join(RECORD)).map_err(keep)?;
    let recording = Recording {
        out: &mut out,
        beside: beside.as_fd(),
    };
    let directory = layer.join("fs");
    run(source, compressed_bytes, &directory, Some(recording), sum)
}

fn run(
    source: &mut dyn Read,
    compressed_bytes: u64,
    directory: &Path,
    recording: Option<Recording<'_>>,
    sum: Sum,
) -> Result<(Option<Digest>, Unpacked), LayerError> {
    let root = fs::File::open(directory).map_err(LayerError::Read)?;
    let limits = Limits::for_compressed(compressed_bytes);
    let (sender, receiver) = sync_channel(WAITING_MAX);
    let (spent, spare) = channel();
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let mut chunks = Chunks {
                receiver,
                spent,
                chunk: Vec::new(),
                at: 0,
                bytes: 0,
            };
            let (diff_id, mut unpacked) = if sum == Sum::Wanted {
                let mut stream = Hashing::new(&mut chunks);
                let unpacked = unpack(&mut stream, root.as_fd(), &limits, recording)?;
                (Some(stream.finish().0), unpacked)
            } else {
                (None, unpack(&mut chunks, root.as_fd(), &limits, recording)?)
            };
            unpacked.stream_bytes = chunks.bytes;
            Ok::<_, UnpackError>((diff_id, unpacked))
        });
        let inflated = inflate(source, &sender, &spare);
        if inflated.is_err() {
            // The writer must not take the early end for the end of the layer. It may be gone already.
            drop(sender.send(Err(())));
        }
        drop(sender);
        let written = writer
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (inflated, written) {
            (Err(error), _) => Err(LayerError::Read(error)),
            (Ok(()), written) => Ok(written?),
        }
    })
}

/// Sends plain bytes until the end of the source, or until the writer has given up, whose error then counts.
///
/// Chunks that the writer is done with are filled again: fresh memory would be mapped, zeroed and unmapped for every one.
fn inflate(
    source: &mut dyn Read,
    sender: &SyncSender<Result<Vec<u8>, ()>>,
    spare: &Receiver<Vec<u8>>,
) -> io::Result<()> {
    let mut decoder = Decoder::new(source)?;
    loop {
        let mut chunk = spare.try_recv().unwrap_or_default();
        chunk.resize(CHUNK, 0);
        let mut filled = 0;
        while filled < CHUNK {
            match decoder.read(&mut chunk[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if filled == 0 {
            return Ok(());
        }
        chunk.truncate(filled);
        if sender.send(Ok(chunk)).is_err() {
            return Ok(());
        }
    }
}

/// The reading end of the channel.
struct Chunks {
    receiver: Receiver<Result<Vec<u8>, ()>>,
    /// Takes chunks back that were read.
    spent: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
    /// Read so far.
    bytes: u64,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            match self.receiver.recv() {
                Ok(Ok(chunk)) => {
                    let read = std::mem::replace(&mut self.chunk, chunk);
                    // Whoever fills them may be at the end of the source already.
                    drop(self.spent.send(read));
                    self.at = 0;
                }
                Ok(Err(())) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(_closed) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.chunk.len() - self.at);
        buffer[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        self.bytes += count as u64;
        Ok(count)
    }
}
