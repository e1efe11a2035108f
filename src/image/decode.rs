//! Decompression told by magic, because media types and file names lie. Layers are gzip, zstd or plain; archives that people make are
//! bzip2 and xz as well.

use std::io::{self, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

/// Bytes that tell the formats apart.
const MAGIC_BYTES: usize = 6;
/// Compressed bytes that the inflater gets at a time. It copies its window of 32 KiB at the end of every call: with a small buffer, as
/// flate2's own, that is as much as the input.
const GZIP_BUFFER: usize = 128 << 10;
/// The xz decoder asks for single bytes.
const XZ_BUFFER: usize = 64 << 10;
/// Memory that an xz stream may ask for: `xz -9` has a dictionary of 64 MiB.
const XZ_MEMORY_KIB_MAX: u32 = 80 << 10;

type Source<R> = Chain<Cursor<Vec<u8>>, R>;

/// How bytes are compressed, as their first ones tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Plain,
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Format {
    /// Tells the format by the first six bytes; fewer are plain.
    pub(super) fn of(magic: &[u8]) -> Self {
        match magic {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or a skippable one, which zstd:chunked and pzstd write.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            _ => Self::Plain,
        }
    }
}

/// Reads the plain bytes of a source that is gzip, zstd, xz, bzip2 or plain.
pub(super) enum Decoder<R: Read> {
    Plain(Source<R>),
    Gzip(Box<MultiGzDecoder<BufReader<Source<R>>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, BufReader<Source<R>>>>),
    Xz(Box<lzma_rust2::XzReader<BufReader<Source<R>>>>),
    Bzip2(Box<bzip2::read::MultiBzDecoder<Source<R>>>),
}

impl<R: Read> Decoder<R> {
    /// Looks at the first bytes and picks the format.
    pub(super) fn new(mut source: R) -> io::Result<Self> {
        let mut magic = Vec::with_capacity(MAGIC_BYTES);
        source
            .by_ref()
            .take(MAGIC_BYTES as u64)
            .read_to_end(&mut magic)?;
        let format = Format::of(&magic);
        let whole = Cursor::new(magic).chain(source);
        Ok(match format {
            Format::Plain => Self::Plain(whole),
            Format::Gzip => {
                let source = BufReader::with_capacity(GZIP_BUFFER, whole);
                Self::Gzip(Box::new(MultiGzDecoder::new(source)))
            }
            Format::Zstd => Self::Zstd(Box::new(zstd::stream::read::Decoder::new(whole)?)),
            Format::Xz => {
                let source = BufReader::with_capacity(XZ_BUFFER, whole);
                Self::Xz(Box::new(lzma_rust2::XzReader::new_mem_limit(
                    source,
                    true,
                    XZ_MEMORY_KIB_MAX,
                )))
            }
            Format::Bzip2 => Self::Bzip2(Box::new(bzip2::read::MultiBzDecoder::new(whole))),
        })
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(source) => source.read(buffer),
            Self::Gzip(source) => source.read(buffer),
            Self::Zstd(source) => source.read(buffer),
            Self::Xz(source) => source.read(buffer),
            Self::Bzip2(source) => source.read(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    /// `one`, as the usual programs compress it.
    const BZIP2: &[u8] = b"\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\xbb\x70\x1b\x10\x00\x00\x01\x01\x00\x02\x01\xa0\x00\x21\x98\x19\x81\x61\x77\x24\x53\x85\x09\x0b\xb7\x01\xb1\x00";
    const XZ: &[u8] = b"\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x10\x00\x00\x00\xa8\x70\x8e\x86\x01\x00\x02\x6f\x6e\x65\x00\x00\x7e\xe5\x10\xc5\xd5\x6a\x6c\x9a\x00\x01\x1b\x03\x0b\x2f\xb9\x10\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a";

    #[test]
    fn every_format_is_read_to_its_end() {
        let zstd = |bytes: &[u8]| zstd::stream::encode_all(bytes, 1).unwrap();
        let skippable = [
            &[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..],
            &zstd(b"one"),
            &zstd(b"two"),
            &[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0],
        ]
        .concat();
        for (bytes, plain) in [
            (b"plain bytes".to_vec(), &b"plain bytes"[..]),
            (b"".to_vec(), b""),
            (b"x".to_vec(), b"x"),
            (gzip(b"one"), b"one"),
            ([gzip(b"one"), gzip(b""), gzip(b"two")].concat(), b"onetwo"),
            (zstd(b"one"), b"one"),
            (skippable, b"onetwo"),
            (BZIP2.to_vec(), b"one"),
            (XZ.to_vec(), b"one"),
            ([BZIP2, BZIP2].concat(), b"oneone"),
            ([XZ, XZ].concat(), b"oneone"),
        ] {
            let mut read = Vec::new();
            Decoder::new(&bytes[..])
                .unwrap()
                .read_to_end(&mut read)
                .unwrap();
            assert_eq!(read, plain, "{bytes:?}");
        }
    }

    #[test]
    fn broken_and_foreign_streams_are_errors() {
        let cut = gzip(b"some bytes");
        let mut sink = Vec::new();
        assert!(
            Decoder::new(&cut[..cut.len() - 3])
                .unwrap()
                .read_to_end(&mut sink)
                .is_err()
        );
        assert!(
            Decoder::new(&[&gzip(b"x")[..], b"garbage"].concat()[..])
                .unwrap()
                .read_to_end(&mut sink)
                .is_err()
        );
        for broken in [
            &b"\xfd7zXZ\0rest"[..],
            b"BZh91AY",
            &XZ[..XZ.len() - 4],
            &BZIP2[..20],
        ] {
            let read = Decoder::new(broken).and_then(|mut decoder| decoder.read_to_end(&mut sink));
            assert!(read.is_err(), "{broken:?}");
        }
    }
}
