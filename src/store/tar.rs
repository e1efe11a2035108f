//! Headers of tar members as stack writes them: the old header (POSIX.1-1988), and PAX records (POSIX.1-2001) for what it cannot hold.
//!
//! Only bytes; who writes them where is the caller's. Reading foreign archives is `image::unpack`'s.

/// Bytes of a block: headers and data are padded to it.
pub const TAR_BLOCK: usize = 512;
/// Largest number that the header's octal fields of 8 bytes hold.
const ID_MAX: u32 = 0o7_777_777;
/// Largest size and time that the header's octal fields of 12 bytes hold.
const SIZE_MAX: u64 = 0o77_777_777_777;
/// Bytes of a name that the header holds.
const NAME_BYTES_MAX: usize = 100;

/// What the header of one member says.
#[derive(Debug, Clone, Default)]
pub struct TarMember<'a> {
    /// Name; of a directory with a slash at its end.
    pub path: &'a [u8],
    /// Target of a link.
    pub link: &'a [u8],
    /// `0` file, `1` hard link, `2` symbolic link, `3` character device, `4` block device, `5` directory, `6` fifo.
    pub kind: u8,
    /// Permission bits with set-id and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of data that follow the header.
    pub size: u64,
    /// Seconds since 1970, rounded down.
    pub mtime: i64,
    /// The rest of the time, 0 to 999,999,999.
    pub mtime_nanos: u32,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes: name and value.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Size of a file with holes; the data begins with the map of what is there (GNU's PAX sparse format 1.0).
    pub sparse_size: Option<u64>,
}

impl TarMember<'_> {
    /// Returns the header, with the PAX records before it where it needs some.
    pub fn header(&self) -> Vec<u8> {
        let records = self.pax_records();
        let mut bytes = Vec::with_capacity(TAR_BLOCK);
        if !records.is_empty() {
            let extension = TarMember {
                path: b"PaxHeaders/0",
                kind: b'x',
                mode: 0o644,
                size: records.len() as u64,
                ..TarMember::default()
            };
            bytes.extend(extension.block());
            bytes.extend(&records);
            bytes.resize(bytes.len().next_multiple_of(TAR_BLOCK), 0);
        }
        bytes.extend(self.block());
        bytes
    }

    /// Returns the records for what the block cannot hold, sorted by key.
    fn pax_records(&self) -> Vec<u8> {
        let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut add =
            |key: &str, value: &[u8]| records.push((key.as_bytes().to_vec(), value.to_vec()));
        if let Some(size) = self.sparse_size {
            add("GNU.sparse.major", b"1");
            add("GNU.sparse.minor", b"0");
            add("GNU.sparse.name", self.path);
            add("GNU.sparse.realsize", size.to_string().as_bytes());
        } else if self.path.len() > NAME_BYTES_MAX || !self.path.is_ascii() {
            add("path", self.path);
        }
        if self.link.len() > NAME_BYTES_MAX || !self.link.is_ascii() {
            add("linkpath", self.link);
        }
        if self.size > SIZE_MAX {
            add("size", self.size.to_string().as_bytes());
        }
        if self.uid > ID_MAX {
            add("uid", self.uid.to_string().as_bytes());
        }
        if self.gid > ID_MAX {
            add("gid", self.gid.to_string().as_bytes());
        }
        if self.mtime_nanos > 0 || self.mtime < 0 || self.mtime.unsigned_abs() > SIZE_MAX {
            add("mtime", pax_time(self.mtime, self.mtime_nanos).as_bytes());
        }
        for (key, value) in &self.xattrs {
            records.push(([b"SCHILY.xattr.", &key[..]].concat(), value.clone()));
        }
        records.sort();
        records
            .iter()
            .flat_map(|(key, value)| record(key, value))
            .collect()
    }

    fn block(&self) -> [u8; TAR_BLOCK] {
        let mut block = [0; TAR_BLOCK];
        // Programs that do not know the sparse format unpack the map and the data under a name that says so.
        let condensed = [b"GNUSparseFile.0/", file_name(self.path)].concat();
        let path = if self.sparse_size.is_some() {
            &condensed
        } else {
            self.path
        };
        copy(&mut block[..NAME_BYTES_MAX], path);
        octal(&mut block[100..108], u64::from(self.mode));
        octal(&mut block[108..116], u64::from(self.uid.min(ID_MAX)));
        octal(&mut block[116..124], u64::from(self.gid.min(ID_MAX)));
        octal(&mut block[124..136], self.size.min(SIZE_MAX));
        octal(
            &mut block[136..148],
            u64::try_from(self.mtime).unwrap_or(0).min(SIZE_MAX),
        );
        block[156] = self.kind;
        copy(&mut block[157..257], self.link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        octal(&mut block[329..337], u64::from(self.device.0));
        octal(&mut block[337..345], u64::from(self.device.1));
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        octal(&mut block[148..155], sum);
        block
    }
}

/// Returns how many zero bytes follow data of a size.
pub fn tar_padding(size: u64) -> usize {
    let padding = size.next_multiple_of(TAR_BLOCK as u64) - size;
    usize::try_from(padding).expect("less than a block")
}

/// Seconds with a fraction; before 1970 both count downwards.
fn pax_time(seconds: i64, nanos: u32) -> String {
    let (sign, whole, nanos) = match (seconds, nanos) {
        (..0, 1..) => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanos),
        (..0, 0) => ("-", seconds.unsigned_abs(), 0),
        _ => ("", seconds.unsigned_abs(), nanos),
    };
    if nanos == 0 {
        return format!("{sign}{whole}");
    }
    let text = format!("{sign}{whole}.{nanos:09}");
    text.trim_end_matches('0').to_owned()
}

/// Makes a PAX record, whose length counts its own digits.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

fn copy(field: &mut [u8], bytes: &[u8]) {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
}

/// Writes octal digits and a NUL.
fn octal(field: &mut [u8], value: u64) {
    let digits = format!("{value:0width$o}", width = field.len() - 1);
    copy(field, digits.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_with_a_fraction() {
        for (time, text) in [
            ((0, 0), "0"),
            ((1, 500_000_000), "1.5"),
            ((1_700_000_000, 123_456_789), "1700000000.123456789"),
            ((-1, 0), "-1"),
            ((-2, 750_000_000), "-1.25"),
            ((-1, 1), "-0.999999999"),
        ] {
            assert_eq!(pax_time(time.0, time.1), text);
        }
    }

    #[test]
    fn a_record_counts_its_own_length() {
        assert_eq!(record(b"path", b"abc"), b"12 path=abc\n");
        let long = record(b"k", &[b'x'; 95]);
        assert_eq!(long.len(), 102);
        assert!(long.starts_with(b"102 k="));
    }

    #[test]
    fn what_fits_has_one_block() {
        let member = TarMember {
            path: b"a",
            kind: b'0',
            ..TarMember::default()
        };
        assert_eq!(member.header().len(), TAR_BLOCK);
        let sparse = TarMember {
            sparse_size: Some(1 << 40),
            ..member
        };
        assert_eq!(sparse.header().len(), 3 * TAR_BLOCK);
    }
}
