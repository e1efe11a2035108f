//! An archive read once, from its first byte to its last: layers are unpacked as they come by, small files are kept.
//!
//! Which member is what is only known at the end (`docker save` writes `manifest.json` last), so everything that looks
//! like a layer is taken for one. Nothing of the archive is written under a name that the archive chose.

use std::{
    collections::HashMap,
    io::{self, Cursor, Read},
};

use super::{
    LoadError,
    intake::{Candidate, HEAD_BYTES, Intake},
};
use crate::{
    image::{
        decode::{Decoder, Format},
        manifest::CONFIG_BYTES_MAX,
        store::ImageError,
        unpack::{Kind, TarError, TarReader, clean, is_header},
    },
    model::Digest,
};

/// Most bytes of all small files together.
const SMALL_BYTES_MAX: u64 = 32 << 20;
/// Most members of an archive.
const MEMBERS_MAX: usize = 100_000;
/// Links followed from one name to the next.
const LINKS_MAX: usize = 8;

/// What was found.
#[derive(Default)]
pub(super) struct Scan {
    small: HashMap<Vec<u8>, Vec<u8>>,
    small_bytes: u64,
    links: HashMap<Vec<u8>, Vec<u8>>,
    layers: HashMap<Vec<u8>, Candidate>,
}

impl Scan {
    /// Reads an archive, compressed or not.
    pub(super) fn read(source: impl Read, intake: &Intake<'_>) -> Result<Self, LoadError> {
        let decoder = Decoder::new(source).map_err(TarError::Read)?;
        let mut reader = TarReader::new(decoder);
        let mut scan = Self::default();
        for _member in 0..MEMBERS_MAX {
            let Some(entry) = reader.next_entry()? else {
                return Ok(scan);
            };
            let path = clean(&entry.path);
            match entry.kind {
                Kind::File if entry.segments.is_none() => {
                    let mut data = Data {
                        reader: &mut reader,
                        broken: None,
                    };
                    let taken = scan.take(path.0, entry.size, &mut data, intake);
                    // The end of the archive is the reason for whatever went wrong after it.
                    if let Some(error) = data.broken {
                        return Err(error.into());
                    }
                    taken?;
                }
                Kind::Symlink => {
                    let parent = path.split().map_or(&b""[..], |(parent, _)| parent);
                    let target = clean(&[parent, b"/", &entry.link].concat());
                    scan.links.insert(path.0, target.0);
                }
                Kind::HardLink => {
                    scan.links.insert(path.0, clean(&entry.link).0);
                }
                _ => {}
            }
        }
        Err(LoadError::TooManyMembers(MEMBERS_MAX))
    }

    /// Returns a small file.
    pub(super) fn small(&self, name: &[u8]) -> Option<&[u8]> {
        self.small.get(&self.resolve(name)).map(Vec::as_slice)
    }

    /// Takes a layer out.
    pub(super) fn layer(&mut self, name: &[u8]) -> Option<Candidate> {
        self.layers.remove(&self.resolve(name))
    }

    /// Follows the links of the archive, by their names alone.
    fn resolve(&self, name: &[u8]) -> Vec<u8> {
        let mut path = clean(name).0;
        for _link in 0..LINKS_MAX {
            match self.links.get(&path) {
                Some(target) => path.clone_from(target),
                None => break,
            }
        }
        path
    }

    fn take(
        &mut self,
        path: Vec<u8>,
        size: u64,
        data: &mut dyn Read,
        intake: &Intake<'_>,
    ) -> Result<(), LoadError> {
        let reading = ImageError::io("read a member of an archive");
        let mut head = Vec::with_capacity(HEAD_BYTES);
        (&mut *data)
            .take(HEAD_BYTES as u64)
            .read_to_end(&mut head)
            .map_err(&reading)?;
        if is_layer(&head) || size > CONFIG_BYTES_MAX {
            let claimed = claimed(&path);
            let mut whole = Cursor::new(head).chain(data);
            let candidate = intake.read(&mut whole, size, claimed.as_ref())?;
            self.small.remove(&path);
            self.layers.insert(path, candidate);
            return Ok(());
        }
        self.small_bytes += size;
        if self.small_bytes > SMALL_BYTES_MAX {
            return Err(LoadError::TooMuchMetadata(SMALL_BYTES_MAX));
        }
        data.read_to_end(&mut head).map_err(reading)?;
        self.layers.remove(&path);
        self.small.insert(path, head);
        Ok(())
    }
}

/// Tells whether a file may be a layer: a tar stream, or something compressed. An empty tar stream is all zeros.
fn is_layer(head: &[u8]) -> bool {
    Format::of(head) != Format::Plain
        || (head.len() == HEAD_BYTES && (is_header(head) || head.iter().all(|byte| *byte == 0)))
}

/// Finds the digest that a name speaks of: `blobs/sha256/<hex>`, `<hex>.tar`, `<hex>/layer.tar`.
fn claimed(path: &[u8]) -> Option<Digest> {
    let path = std::str::from_utf8(path).ok()?;
    let name = path.strip_suffix("/layer.tar").unwrap_or(path);
    let name = name.rsplit('/').next().unwrap_or(name);
    let name = name.strip_suffix(".tar").unwrap_or(name);
    format!("sha256:{name}").parse().ok()
}

/// The data of the current member.
struct Data<'a, 'b, R> {
    reader: &'a mut TarReader<'b, R>,
    /// Why the archive ended.
    broken: Option<TarError>,
}

impl<R: Read> Read for Data<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read_data(buffer).map_err(|error| {
            let source = io::Error::new(io::ErrorKind::UnexpectedEof, error.to_string());
            self.broken = Some(error);
            source
        })
    }
}
