//! Unpacks a layer's tar stream into a directory that overlayfs takes as a lower layer as it is.
//!
//! The stream is hostile. Nothing it says reaches a path outside the directory: parents are opened by
//! `openat2(RESOLVE_IN_ROOT)`, the last component is only touched by `*at()` calls that do not follow links, and
//! nothing existing is ever opened for writing. Whiteouts become what overlayfs wants: character devices 0:0 and
//! `trusted.overlay.opaque`; those attributes in the stream itself are dropped, since forging them is an escape.
//! Mount the result with `redirect_dir=off,metacopy=off`.
//!
//! Surprise: a layer is unpacked without its parents. What depends on them is reported in [`Unpacked`]: hard links
//! to files of lower layers and directories that the stream does not describe (see `store/settle.rs`).

mod attributes;
mod files;
mod header;
mod parents;
mod pending;
mod reader;
mod record;
mod replaced;
mod sealed;
mod sparse;
#[cfg(test)]
pub(super) mod tests;
mod whiteout;
mod writer;

use std::{
    io::{Read, Write},
    os::fd::BorrowedFd,
};

use rustix::io::Errno;

pub(crate) use attributes::{
    OPAQUE, copy_attributes, is_opaque, read_xattrs, set_time_of, through,
};
pub(crate) use files::{copy_file, is_whiteout, remove_any};
pub(crate) use parents::{clean, open_directory};
pub(crate) use reader::{Kind, TarReader};
use record::Recorder;
pub(crate) use record::Replay;
use replaced::Aside;
pub(crate) use replaced::{REPLACED, Replaced};
pub use sealed::{Seal, Sealed, unpack_sealed};

/// Ceilings against streams that unpack to more than anyone wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most entries.
    pub(crate) entries: u64,
    /// Most bytes of file content.
    pub(crate) bytes: u64,
    /// Most components of a path.
    pub(crate) depth: usize,
    /// Most directories whose times wait to be set, and most links and directories that the layer's record names: about
    /// 150 bytes of memory each, where images have hundreds.
    pub(crate) remembered: usize,
    /// What names beginning with `.wh.` are.
    pub(crate) whiteouts: Whiteouts,
}

/// What names beginning with `.wh.` are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whiteouts {
    /// Removals from lower layers.
    Layer,
    /// Refused, and so are devices 0:0: in an archive that people unpack into an image they would remove its files unseen.
    Refused,
    /// Names as any other; devices 0:0 and overlayfs's attributes are kept as well. Only for trees that never become a lower layer.
    Plain,
}

impl Limits {
    /// Every layer may unpack to this much.
    const BYTES_FLOOR: u64 = 16 << 30;
    /// Beyond that, real layers shrink 3 to 20 times; DEFLATE ends at 1032.
    const RATIO_MAX: u64 = 200;

    /// Returns the ceilings for a layer of that many compressed bytes.
    pub(crate) fn for_compressed(bytes: u64) -> Self {
        Self {
            entries: 5_000_000,
            bytes: Self::BYTES_FLOOR.max(bytes.saturating_mul(Self::RATIO_MAX)),
            depth: 1024,
            remembered: 100_000,
            whiteouts: Whiteouts::Layer,
        }
    }

    /// Returns the ceilings for an archive that is no layer.
    fn for_archive(bytes: u64) -> Self {
        Self {
            whiteouts: Whiteouts::Refused,
            ..Self::for_compressed(bytes)
        }
    }
}

/// What was written, and what is still open because it depends on the layers below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// Entries in the stream.
    pub(crate) entries: u64,
    /// Bytes of file content.
    pub(crate) bytes: u64,
    /// Bytes of the whole stream, where it was counted.
    pub(crate) stream_bytes: u64,
    /// Hard links whose target is not in this layer, in the order of the stream.
    pub(crate) external_links: Vec<ExternalLink>,
    /// Directories that were made only because something lies in them; `""` is the root.
    pub(crate) implied: Vec<Vec<u8>>,
    /// The layer hides everything below it.
    pub(crate) opaque_root: bool,
    /// What entries took the place of while a record was kept, in the order of the stream.
    pub(crate) replaced: Vec<Replaced>,
    /// What could not be kept, one sentence each: device nodes or attributes that this host refuses.
    pub(crate) notes: Vec<String>,
}

/// A hard link to a file of a lower layer; both paths are clean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExternalLink {
    /// Where the link belongs.
    pub(crate) path: Vec<u8>,
    /// What it is a link to.
    pub(crate) target: Vec<u8>,
}

/// A stream that is no tar archive that we read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The source of the stream broke.
    #[error("read the layer")]
    Read(#[source] std::io::Error),
    /// It does not begin as an archive does.
    #[error("it is no tar archive")]
    NoArchive,
    /// The stream ends within an entry.
    #[error("the archive ends in the middle of an entry")]
    Truncated,
    /// What is needed to write the stream again could not be kept.
    #[error("keep the form of the layer")]
    Record(#[source] std::io::Error),
    /// A header does not have its form.
    #[error("malformed archive: bad {0}")]
    Field(&'static str),
    /// A member of unknown type; ignoring it would lose data.
    #[error("the archive has a member of unknown type `{0}`")]
    Type(char),
}

/// A layer could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The stream is unusable.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// An entry asks for something that is refused.
    #[error("entry `{entry}`: {rule}")]
    Refused {
        /// Its name.
        entry: String,
        /// Why.
        rule: &'static str,
    },
    /// The kernel refused an operation.
    #[error("entry `{entry}`: {step}")]
    Kernel {
        /// Its name.
        entry: String,
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        #[source]
        errno: Errno,
    },
    /// The archive is not of the kind that was asked for, or not whole.
    #[error("{0}")]
    Unsealed(&'static str),
    /// More than the ceiling.
    #[error("the layer unpacks to more than {limit} {what}")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// The ceiling.
        limit: u64,
    },
}

impl UnpackError {
    /// Tells whether the disk or quota is full.
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Kernel { errno, .. } => *errno == Errno::NOSPC || *errno == Errno::DQUOT,
            Self::Tar(TarError::Record(error)) => matches!(
                error.kind(),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
            ),
            _ => false,
        }
    }
}

/// Where to keep what [`Replay`] needs to make the same stream again out of the files.
pub(crate) struct Recording<'a> {
    /// Gets everything but the content of files.
    pub(crate) out: &'a mut (dyn Write + Send),
    /// Gets a directory [`REPLACED`] when an entry takes the place of an earlier one: both contents belong to the stream.
    pub(crate) beside: BorrowedFd<'a>,
}

/// Unpacks a stream into an empty directory, and reads the stream to its very end.
pub(crate) fn unpack(
    source: impl Read,
    root: BorrowedFd<'_>,
    limits: &Limits,
    recording: Option<Recording<'_>>,
) -> Result<Unpacked, UnpackError> {
    let (recorder, aside) = match recording {
        Some(Recording { out, beside }) => {
            let aside = Aside::new(root, beside).map_err(|errno| TarError::Record(errno.into()))?;
            let recorder = Recorder::new(out).map_err(TarError::Record)?;
            (Some(recorder), Some(aside))
        }
        None => (None, None),
    };
    let mut reader = TarReader::recording(source, recorder);
    let mut writer = writer::Writer::new(root, *limits, aside);
    while let Some(entry) = reader.next_entry()? {
        writer.apply(&entry, &mut reader)?;
    }
    reader.finish_record()?;
    writer.finish()
}

/// Tells whether a block is the header of an entry.
pub(crate) fn is_header(block: &[u8]) -> bool {
    let block = block.first_chunk::<{ header::BLOCK }>();
    block.is_some_and(|block| block[0] != 0 && header::Header(block).is_intact())
}

/// Unpacks an archive that is no layer, of `size` bytes as it lies there, into an empty directory.
///
/// # Errors
///
/// As for layers; and names that overlayfs takes for removals, and hard links to files that are not in the archive.
pub fn unpack_archive(
    source: impl Read,
    directory: BorrowedFd<'_>,
    size: u64,
) -> Result<(), UnpackError> {
    let decoder = super::decode::Decoder::new(source).map_err(TarError::Read)?;
    let unpacked = unpack(decoder, directory, &Limits::for_archive(size), None)?;
    match unpacked.external_links.first() {
        Some(link) => Err(UnpackError::Refused {
            entry: display(&link.path),
            rule: "a hard link to a file that is not in the archive",
        }),
        None => Ok(()),
    }
}

/// Tells whether a source is a tar archive, compressed or not, by its first header. What cannot be read is none.
pub fn is_archive(source: impl Read) -> bool {
    let Ok(decoder) = super::decode::Decoder::new(source) else {
        return false;
    };
    let mut block = Vec::with_capacity(header::BLOCK);
    let read = decoder.take(header::BLOCK as u64).read_to_end(&mut block);
    match (read, block.first_chunk()) {
        (Ok(_), Some(block)) => header::Header(block).is_intact(),
        _ => false,
    }
}

/// Turns the bytes of a path into text for messages.
pub(crate) fn display(path: &[u8]) -> String {
    if path.is_empty() {
        return ".".to_owned();
    }
    match std::str::from_utf8(path) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => path.escape_ascii().to_string(),
    }
}

fn refuse(entry: &reader::Entry, rule: &'static str) -> UnpackError {
    UnpackError::Refused {
        entry: display(&entry.path),
        rule,
    }
}

fn kernel(entry: &reader::Entry, step: &'static str) -> impl FnOnce(Errno) -> UnpackError {
    kernel_at(&entry.path, step)
}

/// The text of the path is only made when there is an error: this is called several times an entry.
fn kernel_at(path: &[u8], step: &'static str) -> impl FnOnce(Errno) -> UnpackError {
    move |errno| UnpackError::Kernel {
        entry: display(path),
        step,
        errno,
    }
}
