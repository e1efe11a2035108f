//! One layer out of an archive: unpacked while it is read, before it is known which image it belongs to.

use std::{
    cell::Cell,
    io::{self, Cursor, Read, Write},
    path::PathBuf,
};

use fs_err as fs;

use super::LoadError;
use crate::{
    image::{
        decode::Format,
        digest::Hashing,
        pipeline::{LayerError, unpack_layer_recording, unpack_plain_recording},
        store::{ImageError, ImageStore, LayerMeta, Staged, Workspace, stage},
        unpack::Unpacked,
    },
    model::Digest,
};

/// Bytes that tell what a member of an archive is.
pub(super) const HEAD_BYTES: usize = 512;

/// A layer that was read.
pub(super) struct Candidate {
    /// Digest of its bytes as they were, compressed or not.
    pub(super) digest: Digest,
    /// What it holds, or why it is no layer: that only matters once an image names it.
    pub(super) content: Result<Content, LayerError>,
    /// Its compressed form, which the store keeps.
    pub(super) blob: Option<PathBuf>,
}

/// What a layer holds.
pub(super) struct Content {
    /// Digest of its uncompressed stream.
    pub(super) diff_id: Digest,
    /// Its files; `None` when the store has them.
    pub(super) staged: Option<Staged>,
}

/// Where layers are put.
pub(super) struct Intake<'a> {
    pub(super) store: &'a ImageStore,
    pub(super) workspace: &'a Workspace,
    blobs: Cell<usize>,
}

impl<'a> Intake<'a> {
    pub(super) fn new(store: &'a ImageStore, workspace: &'a Workspace) -> Self {
        Self {
            store,
            workspace,
            blobs: Cell::new(0),
        }
    }

    /// Reads a layer to its end. `claimed`: what its name says about its digest, which is not believed but looked up.
    pub(super) fn read(
        &self,
        source: &mut dyn Read,
        size: u64,
        claimed: Option<&Digest>,
    ) -> Result<Candidate, LoadError> {
        let mut head = Vec::with_capacity(HEAD_BYTES);
        let reading = ImageError::io("read a layer of an archive");
        (&mut *source)
            .take(HEAD_BYTES as u64)
            .read_to_end(&mut head)
            .map_err(&reading)?;
        let format = Format::of(&head);
        let mut whole = Cursor::new(head).chain(source);
        if format != Format::Plain {
            return self.read_compressed(&mut whole, size);
        }
        if let Some(known) = claimed.filter(|digest| self.store.has_layer(digest)) {
            let mut stream = Hashing::new(whole);
            io::copy(&mut stream, &mut io::sink()).map_err(reading)?;
            let (digest, _, _) = stream.finish();
            // A file that is not what its name says is found out by whoever asks for it.
            let staged = None;
            let content = if digest == *known {
                let diff_id = digest.clone();
                Ok(Content { diff_id, staged })
            } else {
                Err(LayerError::Read(io::ErrorKind::InvalidData.into()))
            };
            return Ok(Candidate {
                digest,
                content,
                blob: None,
            });
        }
        self.read_plain(&mut whole, size)
    }

    fn read_plain(&self, source: &mut dyn Read, size: u64) -> Result<Candidate, LoadError> {
        // Hashed where it is read, beside the thread that unpacks: the sum is digest and diff id at once.
        let mut stream = Hashing::new(source);
        let (directory, _) = stage(self.workspace)?;
        let unpacked = unpack_plain_recording(&mut stream, size, &directory);
        let unpacked = self.finish(&mut stream, unpacked)?;
        let (digest, _, _) = stream.finish();
        Ok(Candidate {
            content: unpacked.map(|unpacked| content(directory, digest.clone(), unpacked)),
            digest,
            blob: None,
        })
    }

    fn read_compressed(&self, source: &mut dyn Read, size: u64) -> Result<Candidate, LoadError> {
        let keeping = ImageError::io("keep a compressed layer");
        let number = self.blobs.replace(self.blobs.get() + 1);
        let blob = self.workspace.path().join(format!("blob-{number}"));
        let file = fs::File::create(&blob).map_err(keeping)?;
        let mut stream = Hashing::new(Tee { source, file });
        let (directory, _) = stage(self.workspace)?;
        let unpacked = unpack_layer_recording(&mut stream, size, &directory);
        let unpacked = self.finish(&mut stream, unpacked)?;
        let (digest, _, _) = stream.finish();
        Ok(Candidate {
            digest,
            content: unpacked.map(|(diff_id, unpacked)| content(directory, diff_id, unpacked)),
            blob: Some(blob),
        })
    }

    /// A full disk ends the load; what does not unpack is read to its end, because a wrong digest is the better message.
    fn finish<T>(
        &self,
        stream: &mut dyn Read,
        unpacked: Result<T, LayerError>,
    ) -> Result<Result<T, LayerError>, LoadError> {
        if let Err(error) = &unpacked
            && error.is_no_space()
        {
            return Err(LoadError::NoSpace {
                path: PathBuf::new(),
                state: self.store.state().to_owned(),
            });
        }
        io::copy(stream, &mut io::sink()).map_err(ImageError::io("read a layer of an archive"))?;
        Ok(unpacked)
    }
}

/// Describes what was unpacked, with the record from which it can be saved and pushed as it came.
fn content(directory: PathBuf, diff_id: Digest, unpacked: Unpacked) -> Content {
    for note in &unpacked.notes {
        tracing::warn!(note, "unpacked with a difference");
    }
    let meta = LayerMeta::new(diff_id.clone(), &unpacked);
    Content {
        diff_id,
        staged: Some(Staged {
            directory,
            meta,
            links: unpacked.external_links,
        }),
    }
}

/// Keeps what is read.
struct Tee<'a> {
    source: &'a mut dyn Read,
    file: fs::File,
}

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.file.write_all(&buffer[..count])?;
        Ok(count)
    }
}
