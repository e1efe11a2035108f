//! Reads a tar stream entry by entry, from any writer that images are made with.
//!
//! Own code and not the `tar` crate, because that one reads long names without a limit, knows no PAX sparse files,
//! and stops before the bytes behind the end mark, which belong to the diff id.

use std::io::Read;

use super::{
    TarError,
    header::{self, BLOCK, Header, Time},
    record::Recorder,
    sparse::SparseRecords,
};

/// Most bytes of PAX records or of a long name.
const EXTENSION_BYTES_MAX: u64 = 1 << 20;
/// Most extension blocks in front of one entry.
const EXTENSIONS_MAX: usize = 16;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

/// One member of the archive, its extensions applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Name as written; may be absolute, may climb.
    pub(crate) path: Vec<u8>,
    /// Target of a link, as written.
    pub(crate) link: Vec<u8>,
    pub(crate) kind: Kind,
    /// Permission bits with set-id and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
    /// Major and minor number of a device.
    pub(crate) device: (u32, u32),
    /// Size of the file as it will be.
    pub(crate) size: u64,
    /// Where the data goes, in ascending order; `None` = all of it, from 0.
    pub(crate) segments: Option<Vec<(u64, u64)>>,
    /// Extended attributes: name and value.
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Everything that extension blocks said about the next entry.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<Time>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: SparseRecords,
}

/// Reads entries off a stream.
pub(crate) struct TarReader<'a, R> {
    source: R,
    /// Keeps what is needed to write the same stream again.
    recorder: Option<Recorder<'a>>,
    /// Data bytes of the current entry that were not read yet.
    pub(super) left: u64,
    /// Zero bytes after them.
    padding: u64,
    /// No header was read yet.
    is_first: bool,
}

impl<'a, R: Read> TarReader<'a, R> {
    pub(crate) fn new(source: R) -> Self {
        Self::recording(source, None)
    }

    /// Returns what the stream is read from.
    pub(super) fn source(&self) -> &R {
        &self.source
    }

    /// Reads entries and has everything but the content of files recorded.
    pub(super) fn recording(source: R, recorder: Option<Recorder<'a>>) -> Self {
        Self {
            source,
            recorder,
            left: 0,
            padding: 0,
            is_first: true,
        }
    }

    /// Returns the next entry; `None` after the last, when the stream has been read to its very end.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extensions = Extensions::default();
        for round in 0..=EXTENSIONS_MAX {
            self.skip_data()?;
            let Some(block) = self.next_header()? else {
                return if round == 0 {
                    Ok(None)
                } else {
                    Err(TarError::Truncated)
                };
            };
            let header = Header(&block);
            match header.kind() {
                b'x' => {
                    let records = self.read_extension(&header)?;
                    extensions.add_pax(&records)?;
                }
                b'L' => extensions.path = Some(self.read_long(&header)?),
                b'K' => extensions.link = Some(self.read_long(&header)?),
                // Global records and Solaris' extension say nothing that images use.
                b'g' | b'X' => self.begin_data(header.size()?)?,
                _ => return self.entry(&header, extensions).map(Some),
            }
        }
        Err(TarError::Field("chain of extension headers"))
    }

    /// Reads data of the current entry; 0 at its end.
    pub(crate) fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        let count = self.take(&mut buffer[..most])?;
        if count == 0 {
            return Err(TarError::Truncated);
        }
        self.left -= count as u64;
        Ok(count)
    }

    /// Announces that the next `length` bytes of data become the content of a file, from `offset` on.
    pub(super) fn begin_content(
        &mut self,
        path: &[u8],
        offset: u64,
        length: u64,
    ) -> Result<(), TarError> {
        match &mut self.recorder {
            Some(recorder) => recorder
                .content(path, offset, length)
                .map_err(TarError::Record),
            None => Ok(()),
        }
    }

    /// Ends the recording after the last entry.
    pub(super) fn finish_record(&mut self) -> Result<(), TarError> {
        match self.recorder.take() {
            Some(recorder) => recorder.finish().map_err(TarError::Record),
            None => Ok(()),
        }
    }

    /// Reads from the source, and shows it to the recorder.
    fn take(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let count = read_some(&mut self.source, buffer)?;
        if let Some(recorder) = &mut self.recorder {
            recorder.read(&buffer[..count]).map_err(TarError::Record)?;
        }
        Ok(count)
    }

    fn entry(&mut self, header: &Header<'_>, extensions: Extensions) -> Result<Entry, TarError> {
        let path = extensions.path.unwrap_or_else(|| header.path());
        let kind = match header.kind() {
            // The oldest format has no type for directories but a slash at the end of the name.
            0 | b'0' if path.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => return Err(TarError::Type(char::from(other))),
        };
        // Whatever the size field of a link or directory says, no data follows: so read Go's and GNU's readers.
        let stored = match kind {
            Kind::File => extensions.size.map_or_else(|| header.size(), Ok)?,
            _ => 0,
        };
        self.begin_data(stored)?;
        let (uid, gid) = match (extensions.uid, extensions.gid) {
            (Some(uid), Some(gid)) => (uid, gid),
            (uid, gid) => {
                let owner = header.owner()?;
                (uid.unwrap_or(owner.0), gid.unwrap_or(owner.1))
            }
        };
        let device = match kind {
            Kind::CharDevice | Kind::BlockDevice => header.device()?,
            _ => (0, 0),
        };
        let mut entry = Entry {
            path,
            link: extensions.link.unwrap_or_else(|| header.link()),
            kind,
            mode: header.mode()?,
            uid,
            gid,
            mtime: extensions.mtime.map_or_else(|| header.mtime(), Ok)?,
            device,
            size: stored,
            segments: None,
            xattrs: extensions.xattrs,
        };
        if entry.kind == Kind::File {
            self.read_sparse(header, extensions.sparse, &mut entry)?;
        }
        Ok(entry)
    }

    fn begin_data(&mut self, size: u64) -> Result<(), TarError> {
        if size > i64::MAX.unsigned_abs() - BLOCK as u64 {
            return Err(TarError::Field("size"));
        }
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        Ok(())
    }

    fn read_extension(&mut self, header: &Header<'_>) -> Result<Vec<u8>, TarError> {
        let size = header.size()?;
        if size > EXTENSION_BYTES_MAX {
            return Err(TarError::Field("size of an extension header"));
        }
        self.begin_data(size)?;
        let mut data = vec![0; usize::try_from(size).unwrap_or(0)];
        let mut filled = 0;
        while filled < data.len() {
            filled += self.read_data(&mut data[filled..])?;
        }
        Ok(data)
    }

    fn read_long(&mut self, header: &Header<'_>) -> Result<Vec<u8>, TarError> {
        self.read_extension(header)
            .map(|data| header::text(&data).to_vec())
    }

    /// Skips what is left of the current entry.
    fn skip_data(&mut self) -> Result<(), TarError> {
        let mut scratch = [0; 8 * BLOCK];
        while self.left > 0 {
            self.read_data(&mut scratch)?;
        }
        self.left = std::mem::take(&mut self.padding);
        while self.left > 0 {
            self.read_data(&mut scratch)?;
        }
        Ok(())
    }

    /// Reads a header block; `None` at the end mark or the end of the stream, which is then read to its very end.
    fn next_header(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let zero = |block: &[u8; BLOCK]| block.iter().all(|b| *b == 0);
        let is_first = std::mem::replace(&mut self.is_first, false);
        let block = match self.read_block() {
            Ok(Some(block)) => block,
            Ok(None) => return Ok(None),
            Err(TarError::Truncated) if is_first => return Err(TarError::NoArchive),
            Err(error) => return Err(error),
        };
        if zero(&block) {
            if self.read_block()?.is_some_and(|second| !zero(&second)) {
                return Err(TarError::Field("end mark"));
            }
            let mut scratch = [0; 8 * BLOCK];
            while self.take(&mut scratch)? > 0 {}
            return Ok(None);
        }
        if !Header(&block).is_intact() {
            return Err(if is_first {
                TarError::NoArchive
            } else {
                TarError::Field("checksum")
            });
        }
        Ok(Some(block))
    }

    pub(super) fn read_block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.take(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(TarError::Truncated),
                count => filled += count,
            }
        }
        Ok(Some(block))
    }
}

impl Extensions {
    fn add_pax(&mut self, data: &[u8]) -> Result<(), TarError> {
        for (key, value) in header::pax_records(data)? {
            self.add_record(key, value)?;
        }
        Ok(())
    }

    fn add_record(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarError> {
        let number = || header::decimal(value).ok_or(TarError::Field("PAX record"));
        let id = || {
            let id = number()?;
            u32::try_from(id).map_err(|_too_large| TarError::Field("PAX owner"))
        };
        let own = || (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => self.path = own().or_else(|| self.path.take()),
            b"linkpath" => self.link = own().or_else(|| self.link.take()),
            b"size" => self.size = Some(number()?),
            b"uid" => self.uid = Some(id()?),
            b"gid" => self.gid = Some(id()?),
            b"mtime" => {
                self.mtime = Some(header::pax_time(value).ok_or(TarError::Field("PAX mtime"))?);
            }
            b"GNU.sparse.major" => self.sparse.major = Some(number()?),
            b"GNU.sparse.name" => self.sparse.name = own(),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.size = Some(number()?),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse.numbers.push(number()?),
            b"GNU.sparse.map" if !value.is_empty() => {
                for number in value.split(|b| *b == b',') {
                    let number = header::decimal(number).ok_or(TarError::Field("sparse map"))?;
                    self.sparse.numbers.push(number);
                }
            }
            _ => self.add_xattr(key, value)?,
        }
        Ok(())
    }

    fn add_xattr(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarError> {
        let (name, value) = if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            (name.to_vec(), value.to_vec())
        } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
            let value =
                crate::model::base64::decode(value).ok_or(TarError::Field("extended attribute"))?;
            (url_decode(name), value)
        } else {
            return Ok(());
        };
        // Writers that know both conventions write both; the first one stands.
        if !self.xattrs.iter().any(|(known, _)| *known == name) {
            self.xattrs.push((name, value));
        }
        Ok(())
    }
}

/// libarchive writes attribute names in URL encoding.
fn url_decode(name: &[u8]) -> Vec<u8> {
    let hex = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((byte, tail)) = rest.split_first() {
        if *byte == b'%'
            && let [high, low, tail @ ..] = tail
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            decoded.push(high << 4 | low);
            rest = tail;
        } else {
            decoded.push(*byte);
            rest = tail;
        }
    }
    decoded
}

fn read_some<R: Read>(source: &mut R, buffer: &mut [u8]) -> Result<usize, TarError> {
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result.map_err(TarError::Read),
        }
    }
}
