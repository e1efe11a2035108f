//! What a layer's stream was besides the content of its files, so that the same bytes can be written again.
//!
//! A registry knows a layer by the digest of its stream, and a stream cannot be guessed from files: order, padding,
//! owners' names and PAX records are the writer's choice. So a layer that comes without a compressed form that is kept
//! (from `docker save`) gets a record: everything but the content, a few hundred bytes an entry before compression.
//!
//! ```text
//! zstd stream of: 0, length u32, bytes              as they were
//!                 1, length u32, path, offset u64, length u64    content of a file
//! ```
//!
//! Numbers are little-endian. A record is only read after the digest of its layer was verified while it was written,
//! and what is made of it is verified again, so a damaged one is noticed and cannot do harm.

use std::io::{self, Read, Write};

use super::replaced::Places;

/// Level of zstd: records shrink 20 times at the quickest one.
const LEVEL: i32 = 1;
/// Bytes collected before they are written as one piece.
const PIECE: usize = 64 << 10;
/// Longest path of a record that is believed.
const PATH_BYTES_MAX: usize = 1 << 20;

/// Writes a record while a stream is read.
pub(super) struct Recorder<'a> {
    out: zstd::stream::write::Encoder<'static, &'a mut (dyn Write + Send)>,
    piece: Vec<u8>,
    /// Bytes to come that are the content of a file.
    content: u64,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(out: &'a mut (dyn Write + Send)) -> io::Result<Self> {
        Ok(Self {
            out: zstd::stream::write::Encoder::new(out, LEVEL)?,
            piece: Vec::with_capacity(PIECE),
            content: 0,
        })
    }

    /// Takes bytes of the stream as they are read.
    pub(super) fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        let skipped = self.content.min(bytes.len() as u64);
        self.content -= skipped;
        let kept = &bytes[usize::try_from(skipped).unwrap_or(bytes.len())..];
        if self.piece.len() + kept.len() > PIECE {
            self.flush()?;
        }
        self.piece.extend_from_slice(kept);
        Ok(())
    }

    /// Notes that the next bytes are the content of a file.
    pub(super) fn content(&mut self, path: &[u8], offset: u64, length: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        self.flush()?;
        self.content = length;
        self.out.write_all(&[1])?;
        self.out.write_all(&size(path.len())?)?;
        self.out.write_all(path)?;
        self.out.write_all(&offset.to_le_bytes())?;
        self.out.write_all(&length.to_le_bytes())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.out.finish()?.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        self.out.write_all(&[0])?;
        self.out.write_all(&size(self.piece.len())?)?;
        self.out.write_all(&self.piece)?;
        self.piece.clear();
        Ok(())
    }
}

fn size(length: usize) -> io::Result<[u8; 4]> {
    u32::try_from(length)
        .map(u32::to_le_bytes)
        .map_err(|_too_long| io::ErrorKind::InvalidData.into())
}

/// The stream of a layer, made again of a record and the layer's files. The caller verifies its digest.
pub(crate) struct Replay<R: Read> {
    record: zstd::stream::read::Decoder<'static, io::BufReader<R>>,
    places: Places,
    /// Contents read so far.
    contents: u64,
    piece: Piece,
}

enum Piece {
    /// Bytes of the record.
    Bytes(u32),
    /// The content of a file.
    Content(io::Take<std::fs::File>),
}

impl<R: Read> Replay<R> {
    /// Opens a record of a layer whose directory is open.
    pub(super) fn of(record: R, places: Places) -> io::Result<Self> {
        Ok(Self {
            record: zstd::stream::read::Decoder::new(record)?,
            places,
            contents: 0,
            piece: Piece::Bytes(0),
        })
    }

    /// Moves on to the next piece; `false` at the end of the record.
    fn advance(&mut self) -> io::Result<bool> {
        let mut tag = [0];
        if self.record.read(&mut tag)? == 0 {
            return Ok(false);
        }
        let mut length = [0; 4];
        self.record.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        self.piece = match tag[0] {
            0 => Piece::Bytes(length),
            1 => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                if length > PATH_BYTES_MAX {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                let mut path = vec![0; length];
                self.record.read_exact(&mut path)?;
                let mut numbers = [[0; 8]; 2];
                self.record.read_exact(&mut numbers[0])?;
                self.record.read_exact(&mut numbers[1])?;
                let [offset, length] = numbers.map(u64::from_le_bytes);
                let mut file = std::fs::File::from(self.places.open(&path, self.contents)?);
                self.contents += 1;
                io::Seek::seek(&mut file, io::SeekFrom::Start(offset))?;
                Piece::Content(file.take(length))
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        Ok(true)
    }
}

impl<R: Read> Read for Replay<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match &mut self.piece {
                Piece::Bytes(0) => {}
                Piece::Bytes(left) => {
                    let most = usize::try_from(*left).map_or(buffer.len(), |l| l.min(buffer.len()));
                    let count = self.record.read(&mut buffer[..most])?;
                    if count == 0 && most > 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    *left -= u32::try_from(count).unwrap_or(*left);
                    return Ok(count);
                }
                Piece::Content(file) if file.limit() == 0 => {}
                Piece::Content(file) => {
                    let count = file.read(buffer)?;
                    if count == 0 && !buffer.is_empty() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    return Ok(count);
                }
            }
            if !self.advance()? {
                return Ok(0);
            }
        }
    }
}
