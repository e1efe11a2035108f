//! Encoding and decoding of netlink messages: attributes are `length, type, payload, padding to four bytes`, nested at will.

use std::borrow::Cow;

/// Bytes of `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// Marks an attribute that contains attributes.
const NESTED: u16 = 0x8000;
/// The kind without its flag bits.
const KIND_MASK: u16 = 0x3fff;

/// `NLM_F_REQUEST`: set on every message that the kernel shall handle.
pub(crate) const REQUEST: u16 = 0x01;
/// `NLM_F_ACK`: ask for an acknowledgement.
pub(crate) const ACK: u16 = 0x04;
/// `NLM_F_EXCL`: fail when it exists.
pub(crate) const EXCLUSIVE: u16 = 0x200;
/// `NLM_F_REPLACE`: replace what exists.
pub(crate) const REPLACE: u16 = 0x100;
/// `NLM_F_CREATE`: make it when it does not exist.
pub(crate) const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`: put a rule at the end of its chain.
pub(crate) const APPEND: u16 = 0x800;
/// `NLM_F_DUMP`: all objects of the kind.
pub(crate) const DUMP: u16 = 0x300;

/// Messages that go to the kernel in one `sendmsg`.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    starts: Vec<usize>,
    subjects: Vec<Cow<'static, str>>,
}

impl Batch {
    /// Appends a message. `subject` says in an error what it was for: `add address 10.1.0.2/24`.
    pub(crate) fn message(
        &mut self,
        subject: impl Into<Cow<'static, str>>,
        kind: u16,
        flags: u16,
        family_header: &[u8],
        fill: impl FnOnce(&mut Attributes<'_>),
    ) -> &mut Self {
        let start = self.bytes.len();
        self.starts.push(start);
        self.subjects.push(subject.into());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes
            .extend_from_slice(&(flags | REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
        self.bytes.extend_from_slice(family_header);
        pad(&mut self.bytes);
        fill(&mut Attributes(&mut self.bytes));
        let length = u32::try_from(self.bytes.len() - start).expect("a message is small");
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        self
    }

    /// Returns how many messages there are.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Returns what message `index` is for.
    pub(crate) fn subject(&self, index: usize) -> &str {
        self.subjects
            .get(index)
            .map_or("netlink request", |subject| subject.as_ref())
    }

    /// Sets sequence numbers from `first`, asks for an acknowledgement of message `acknowledged`, and returns the bytes.
    pub(super) fn finish(&mut self, first: u32, acknowledged: usize) -> &[u8] {
        for (index, start) in self.starts.iter().enumerate() {
            let sequence =
                first.wrapping_add(u32::try_from(index).expect("a batch has few messages"));
            self.bytes[start + 8..start + 12].copy_from_slice(&sequence.to_ne_bytes());
        }
        if let Some(start) = self.starts.get(acknowledged) {
            let at = start + 6;
            let flags = u16::from_ne_bytes([self.bytes[at], self.bytes[at + 1]]) | ACK;
            self.bytes[at..at + 2].copy_from_slice(&flags.to_ne_bytes());
        }
        &self.bytes
    }
}

/// Appends attributes to a message.
#[derive(Debug)]
pub(crate) struct Attributes<'a>(&'a mut Vec<u8>);

impl Attributes<'_> {
    /// Appends an attribute with raw bytes.
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(value.len() + 4).expect("an attribute is small");
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        pad(self.0);
        self
    }

    /// Appends one byte.
    pub(crate) fn u8(&mut self, kind: u16, value: u8) -> &mut Self {
        self.bytes(kind, &[value])
    }

    /// Appends a number in the machine's byte order.
    pub(crate) fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// Appends a number in network byte order.
    pub(crate) fn be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// Appends text with its terminating zero.
    pub(crate) fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    /// Appends an attribute that contains others.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Attributes<'_>)) -> &mut Self {
        self.nest_after(kind, &[], fill)
    }

    /// Appends an attribute that contains a fixed header and then others.
    pub(crate) fn nest_after(
        &mut self,
        kind: u16,
        header: &[u8],
        fill: impl FnOnce(&mut Attributes<'_>),
    ) -> &mut Self {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 2]);
        self.0.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        self.0.extend_from_slice(header);
        pad(self.0);
        fill(&mut Attributes(self.0));
        let length = u16::try_from(self.0.len() - start).expect("a nest is below 64 KiB");
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// One received message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    /// `nlmsg_type`.
    pub(crate) kind: u16,
    /// `nlmsg_flags`.
    pub(crate) flags: u16,
    /// `nlmsg_seq`.
    pub(crate) sequence: u32,
    /// Everything after the header.
    pub(crate) payload: &'a [u8],
}

/// Splits a datagram into messages; a length that does not fit ends it.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        if length < HEADER_BYTES || length > bytes.len() {
            return None;
        }
        let received = Received {
            kind: u16_at(bytes, 4)?,
            flags: u16_at(bytes, 6)?,
            sequence: u32_at(bytes, 8)?,
            payload: &bytes[HEADER_BYTES..length],
        };
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
        Some(received)
    })
}

/// Walks attributes as (kind without flags, payload); a length that does not fit ends it.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & KIND_MASK;
        if length < 4 || length > bytes.len() {
            return None;
        }
        let payload = &bytes[4..length];
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
        Some((kind, payload))
    })
}

/// Returns the payload of the first attribute of a kind.
pub(crate) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes)
        .find(|(found, _)| *found == kind)
        .map(|(_, payload)| payload)
}

/// Returns text up to its terminating zero.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Returns a number in the machine's byte order.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Returns a number in the machine's byte order.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Returns a number in network byte order.
pub(crate) fn be32(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn encodes_headers_attributes_nests_and_padding() {
        let mut batch = Batch::default();
        batch.message("first", 16, CREATE, &[0xaa; 4], |a| {
            a.text(3, "eth0").nest(18, |a| {
                a.u8(1, 7);
            });
        });
        let bytes = batch.finish(9, 0);
        #[rustfmt::skip]
        let expected: &[u8] = &[
            40, 0, 0, 0,  16, 0,  5, 4,  9, 0, 0, 0,  0, 0, 0, 0,
            0xaa, 0xaa, 0xaa, 0xaa,
            9, 0,  3, 0,  b'e', b't', b'h', b'0',  0, 0, 0, 0,
            12, 0, 18, 0x80,  5, 0, 1, 0,  7, 0, 0, 0,
        ];
        // The total is 16 + 4 + 12 + 12 = 44 bytes.
        assert_eq!(bytes.len(), 44);
        assert_eq!(&bytes[4..], &expected[4..]);
        assert_eq!(u32_at(bytes, 0), Some(44));
    }

    #[test]
    fn decodes_what_it_encodes() {
        let mut batch = Batch::default();
        for value in 0..3 {
            batch.message("x", 20, 0, &[], |a| {
                a.u32(1, value).nest(2, |a| {
                    a.be32(5, value);
                });
            });
        }
        let bytes = batch.finish(100, 2).to_vec();
        let all: Vec<_> = messages(&bytes).collect();
        assert_eq!(all.len(), 3);
        for (value, message) in (0..3).zip(&all) {
            assert_eq!(message.sequence, 100 + value);
            assert_eq!(message.flags & ACK != 0, value == 2);
            assert_eq!(attribute(message.payload, 1).unwrap(), value.to_ne_bytes());
            let nest = attribute(message.payload, 2).unwrap();
            assert_eq!(attribute(nest, 5).and_then(be32), Some(value));
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for message in messages(&bytes) {
                for (_, payload) in attributes(message.payload) {
                    attributes(payload).count();
                }
            }
        }
    }
}
