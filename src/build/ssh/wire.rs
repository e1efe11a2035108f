//! The data types of ssh (RFC 4251 section 5): numbers, strings, and positive integers.

use super::arithmetic::trimmed;

/// Reads from the front; everything is `None` once the bytes do not suffice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn number(&mut self) -> Option<u32> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*head))
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }

    /// Reads a positive `mpint` and returns it without leading zeros.
    pub(super) fn integer(&mut self) -> Option<&'a [u8]> {
        let bytes = self.string()?;
        // The first bit is the sign.
        let is_positive = bytes.first().is_none_or(|byte| *byte < 0x80);
        is_positive.then(|| trimmed(bytes))
    }
}

pub(super) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("everything written here is small");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Writes a positive `mpint`.
pub(super) fn put_integer(out: &mut Vec<u8>, number: &[u8]) {
    let mut bytes = trimmed(number).to_vec();
    if bytes.first().is_some_and(|byte| *byte >= 0x80) {
        bytes.insert(0, 0);
    }
    put_string(out, &bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        put_string(&mut out, b"x");
        put_integer(&mut out, &[0, 0x80, 1]);
        put_integer(&mut out, &[0]);
        assert_eq!(out[5..12], [0, 0, 0, 3, 0, 0x80, 1]);
        let mut reader = Reader(&out);
        assert_eq!(reader.string(), Some(&b"x"[..]));
        assert_eq!(reader.integer(), Some(&[0x80, 1][..]));
        assert_eq!(reader.integer(), Some(&[][..]));
        assert_eq!((reader.0.len(), reader.number()), (0, None));
    }

    #[test]
    fn lengths_beyond_the_end_and_negative_numbers_are_nothing() {
        assert_eq!(Reader(&[0, 0, 0, 2, 1]).string(), None);
        assert_eq!(Reader(&[255; 8]).string(), None);
        assert_eq!(Reader(&[0, 0, 0, 1, 0x80]).integer(), None);
    }
}
