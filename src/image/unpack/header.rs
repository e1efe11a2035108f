//! The 512-byte block in front of every tar entry, and PAX records. Pure: bytes in, values out.
//!
//! ```text
//! name 0+100  mode 100+8  uid 108+8  gid 116+8  size 124+12  mtime 136+12  checksum 148+8  type 156  link 157+100
//! magic 257+6 version 263+2  …  major 329+8  minor 337+8  prefix 345+155 (ustar)
//! GNU sparse: 4 × (offset 12, length 12) from 386, "more follows" 482, real size 483+12
//! ```

use super::TarError;

/// Size of a block; headers and data are padded to it.
pub(super) const BLOCK: usize = 512;

/// Seconds and nanoseconds since the epoch; may be before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Time {
    /// Whole seconds, rounded down.
    pub(crate) seconds: i64,
    /// The rest, 0 to 999,999,999.
    pub(crate) nanos: u32,
}

/// Old GNU sparse fields: pairs of offset and length, whether more blocks follow, the real size.
type OldSparse = (Vec<(u64, u64)>, bool, u64);
/// Key and value of a PAX record.
type PaxRecord<'a> = (&'a [u8], &'a [u8]);

/// One header block.
pub(super) struct Header<'a>(pub(super) &'a [u8; BLOCK]);

impl Header<'_> {
    /// Checks the sum over the block; old writers summed signed bytes.
    pub(super) fn is_intact(&self) -> bool {
        let Some(expected) = octal(&self.0[148..156]) else {
            return false;
        };
        let byte = |(at, byte): (usize, &u8)| {
            if (148..156).contains(&at) {
                b' '
            } else {
                *byte
            }
        };
        let unsigned: i64 = self.0.iter().enumerate().map(|b| i64::from(byte(b))).sum();
        let signed: i64 = (self.0.iter().enumerate())
            .map(|b| i64::from(byte(b).cast_signed()))
            .sum();
        expected == unsigned || expected == signed
    }

    pub(super) fn kind(&self) -> u8 {
        self.0[156]
    }

    /// Returns the name, with the prefix that ustar splits off.
    pub(super) fn path(&self) -> Vec<u8> {
        let name = text(&self.0[..100]);
        let prefix = text(&self.0[345..500]);
        // GNU's magic ends in a blank, and it keeps other things where ustar has its prefix.
        if &self.0[257..263] == b"ustar\0" && !prefix.is_empty() {
            [prefix, b"/", name].concat()
        } else {
            name.to_vec()
        }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.0[157..257]).to_vec()
    }

    pub(super) fn mode(&self) -> Result<u32, TarError> {
        let mode = number(&self.0[100..108]).ok_or(TarError::Field("mode"))?;
        // Some writers put the file type in; only the permission bits are wanted.
        Ok(u32::try_from(mode & 0o7777).unwrap_or(0))
    }

    pub(super) fn owner(&self) -> Result<(u32, u32), TarError> {
        let id = |range: std::ops::Range<usize>| {
            number(&self.0[range]).and_then(|id| u32::try_from(id).ok())
        };
        let uid = id(108..116).ok_or(TarError::Field("uid"))?;
        let gid = id(116..124).ok_or(TarError::Field("gid"))?;
        Ok((uid, gid))
    }

    pub(super) fn size(&self) -> Result<u64, TarError> {
        number(&self.0[124..136])
            .and_then(|size| u64::try_from(size).ok())
            .ok_or(TarError::Field("size"))
    }

    pub(super) fn mtime(&self) -> Result<Time, TarError> {
        let seconds = number(&self.0[136..148]).ok_or(TarError::Field("mtime"))?;
        Ok(Time { seconds, nanos: 0 })
    }

    pub(super) fn device(&self) -> Result<(u32, u32), TarError> {
        let part = |range: std::ops::Range<usize>| {
            number(&self.0[range]).and_then(|part| u32::try_from(part).ok())
        };
        let major = part(329..337).ok_or(TarError::Field("device number"))?;
        let minor = part(337..345).ok_or(TarError::Field("device number"))?;
        Ok((major, minor))
    }

    /// Returns old GNU sparse fields: pairs, whether more blocks follow, the real size.
    pub(super) fn sparse(&self) -> Result<OldSparse, TarError> {
        let real = number(&self.0[483..495]).and_then(|size| u64::try_from(size).ok());
        Ok((
            sparse_pairs(&self.0[386..482])?,
            self.0[482] != 0,
            real.ok_or(TarError::Field("sparse size"))?,
        ))
    }
}

/// Reads pairs of offset and length until an empty one.
pub(super) fn sparse_pairs(fields: &[u8]) -> Result<Vec<(u64, u64)>, TarError> {
    let mut pairs = Vec::new();
    for pair in fields.chunks_exact(24) {
        if pair[0] == 0 && pair[12] == 0 {
            break;
        }
        let value = |field: &[u8]| {
            number(field)
                .and_then(|value| u64::try_from(value).ok())
                .ok_or(TarError::Field("sparse map"))
        };
        pairs.push((value(&pair[..12])?, value(&pair[12..])?));
    }
    Ok(pairs)
}

/// Cuts a field at its first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    &field[..end]
}

/// Reads octal digits, or the base-256 form that GNU uses for what does not fit; an empty field is 0.
fn number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 == 0 {
        return octal(field);
    }
    // Two's complement, most significant byte first; bit 7 of the first byte only marks the form.
    let negative = field[0] & 0x40 != 0;
    let mut value: i64 = if negative { -1 } else { 0 };
    for (at, byte) in field.iter().enumerate() {
        let byte = match (at, negative) {
            (0, false) => byte & 0x7f,
            (0, true) => byte | 0x80,
            _ => *byte,
        };
        value = value
            .checked_mul(256)?
            .checked_add(i64::from(byte) & 0xff)?;
        // The leading 0xff bytes of a negative number stay -1.
        if negative && at == 0 {
            value = i64::from(byte.cast_signed());
        }
    }
    Some(value)
}

fn octal(field: &[u8]) -> Option<i64> {
    let digits = text(field).trim_ascii();
    digits.iter().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// Splits PAX data into records: `"<length> <key>=<value>\n"`, the length counting itself.
pub(super) fn pax_records(mut data: &[u8]) -> Result<Vec<PaxRecord<'_>>, TarError> {
    let mut records = Vec::new();
    while !data.is_empty() {
        // Padding with NUL after the last record is seen in the wild.
        if data.iter().all(|b| *b == 0) {
            break;
        }
        let record = (|| {
            let blank = data.iter().take(20).position(|b| *b == b' ')?;
            let length = decimal(&data[..blank]).and_then(|n| usize::try_from(n).ok())?;
            let body = data.get(blank + 1..length)?.strip_suffix(b"\n")?;
            let equals = body.iter().position(|b| *b == b'=')?;
            Some((length, &body[..equals], &body[equals + 1..]))
        })();
        let (length, key, value) = record.ok_or(TarError::Field("PAX record"))?;
        records.push((key, value));
        data = &data[length..];
    }
    Ok(records)
}

/// Reads an unsigned decimal number.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Reads a PAX time: seconds with an optional fraction, maybe negative.
pub(super) fn pax_time(text: &[u8]) -> Option<Time> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = digits.splitn(2, |b| *b == b'.');
    let seconds = i64::try_from(decimal(parts.next()?)?).ok()?;
    let mut nanos = 0_u32;
    if let Some(fraction) = parts.next() {
        if !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        for place in 0..9 {
            nanos = nanos * 10
                + fraction
                    .get(place)
                    .map_or(0, |digit| u32::from(digit - b'0'));
        }
    }
    Some(match (negative, nanos) {
        (false, _) => Time { seconds, nanos },
        (true, 0) => Time {
            seconds: -seconds,
            nanos: 0,
        },
        (true, _) => Time {
            seconds: -seconds - 1,
            nanos: 1_000_000_000 - nanos,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"12345678", None),
            (b"\x80\0\0\0\0\x20\0\0", Some(1 << 21)),
            (b"\x80\0\0\0\0\0\0\x01\0\0\0\0", Some(1 << 32)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x38",
                Some(-200),
            ),
            (b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
        ] {
            assert_eq!(number(field), value, "{field:?}");
        }
    }

    #[test]
    fn pax_times_have_fractions_and_signs() {
        let time = |seconds, nanos| Some(Time { seconds, nanos });
        for (text, value) in [
            (&b"0"[..], time(0, 0)),
            (b"1700000000.123456789123", time(1_700_000_000, 123_456_789)),
            (b"1.5", time(1, 500_000_000)),
            (b"-1", time(-1, 0)),
            (b"-1.25", time(-2, 750_000_000)),
            (b"5000000000", time(5_000_000_000, 0)),
            (b"", None),
            (b"1.x", None),
            (b"99999999999999999999", None),
        ] {
            assert_eq!(pax_time(text), value, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn pax_records_count_their_own_length() {
        assert_eq!(
            pax_records(b"12 path=abc\n20 uid=12=3\x004567890\n\0\0").unwrap(),
            [(&b"path"[..], &b"abc"[..]), (b"uid", b"12=3\x004567890")]
        );
        for bad in [
            &b"13 path=abc\n"[..],
            b"12 path=abc",
            b"x",
            b"0 =\n",
            b"4 a\n",
            b"99999999999999999999999 a=b\n",
        ] {
            assert!(pax_records(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
