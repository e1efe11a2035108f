//! Splits a stream of bytes into the lines of the log. Pure.

/// Longest piece of a line in bytes; a longer line is several pieces.
pub(super) const LINE_BYTES_MAX: usize = 16 * 1024;

/// A line, or a piece of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// Its bytes, without the newline.
    pub(super) text: &'a [u8],
    /// Whether the line ends with it.
    pub(super) ends: bool,
}

/// The state between two chunks of one stream.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// The beginning of a line that has not ended, at most [`LINE_BYTES_MAX`] bytes.
    open: Vec<u8>,
}

impl Splitter {
    /// Takes the next bytes of the stream and gives every piece that is complete.
    pub(super) fn push(&mut self, chunk: &[u8], mut emit: impl FnMut(Piece<'_>)) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let newline = rest.iter().position(|byte| *byte == b'\n');
            let (line, after) = match newline {
                Some(at) => (&rest[..at], &rest[at + 1..]),
                None => (rest, &rest[rest.len()..]),
            };
            rest = after;
            let tail = self.fill(line, &mut emit);
            if newline.is_none() {
                self.open.extend_from_slice(tail);
            } else if self.open.is_empty() {
                emit(Piece {
                    text: tail,
                    ends: true,
                });
            } else {
                self.open.extend_from_slice(tail);
                emit(Piece {
                    text: &self.open,
                    ends: true,
                });
                self.open.clear();
            }
        }
    }

    /// Gives what is open as a piece that does not end: the stream has ended.
    pub(super) fn finish(&mut self, mut emit: impl FnMut(Piece<'_>)) {
        if !self.open.is_empty() {
            emit(Piece {
                text: &self.open,
                ends: false,
            });
        }
        // Gives its memory back too.
        self.open = Vec::new();
    }

    /// Gives full-size pieces until open line and rest together fit into one; returns the rest.
    fn fill<'a>(&mut self, mut line: &'a [u8], emit: &mut impl FnMut(Piece<'_>)) -> &'a [u8] {
        while self.open.len() + line.len() > LINE_BYTES_MAX {
            let (head, tail) = line.split_at(LINE_BYTES_MAX - self.open.len());
            line = tail;
            if self.open.is_empty() {
                emit(Piece {
                    text: head,
                    ends: false,
                });
            } else {
                self.open.extend_from_slice(head);
                emit(Piece {
                    text: &self.open,
                    ends: false,
                });
                self.open.clear();
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Pieces = Vec<(Vec<u8>, bool)>;

    fn split(chunks: &[&[u8]]) -> Pieces {
        let mut pieces = Vec::new();
        let mut splitter = Splitter::default();
        let mut emit = |piece: Piece<'_>| pieces.push((piece.text.to_vec(), piece.ends));
        for chunk in chunks {
            splitter.push(chunk, &mut emit);
        }
        splitter.finish(&mut emit);
        pieces
    }

    fn pieces(expected: &[(&[u8], bool)]) -> Pieces {
        expected
            .iter()
            .map(|(text, ends)| (text.to_vec(), *ends))
            .collect()
    }

    #[test]
    fn lines_are_found_across_chunks() {
        assert_eq!(
            split(&[b"one\ntw", b"", b"o\n\nthree"]),
            pieces(&[
                (b"one", true),
                (b"two", true),
                (b"", true),
                (b"three", false)
            ])
        );
        assert_eq!(split(&[]), []);
        assert_eq!(split(&[b"\n"]), pieces(&[(b"", true)]));
    }

    #[test]
    fn a_line_of_the_limit_is_whole_and_a_longer_one_is_in_pieces() {
        let limit = vec![b'x'; LINE_BYTES_MAX];
        let mut exact = limit.clone();
        exact.push(b'\n');
        assert_eq!(split(&[&exact]), pieces(&[(&limit, true)]));
        let mut longer = limit.clone();
        longer.extend_from_slice(b"yz\n");
        assert_eq!(split(&[&longer]), pieces(&[(&limit, false), (b"yz", true)]));
        assert_eq!(
            split(&[&longer[..100], &longer[100..]]),
            pieces(&[(&limit, false), (b"yz", true)])
        );
    }

    proptest! {
        /// However the stream is cut, the pieces are the same, and put together they are the stream.
        #[test]
        fn pieces_depend_on_the_stream_only(
            lengths in proptest::collection::vec(0_usize..40_000, 0..6),
            cuts in proptest::collection::vec(1_usize..30_000, 1..8),
            ends in any::<bool>(),
        ) {
            let mut stream = lengths.iter().enumerate().flat_map(|(index, length)| {
                let mut line = vec![b"abcdef"[index]; *length];
                line.push(b'\n');
                line
            }).collect::<Vec<u8>>();
            if !ends {
                stream.pop();
            }
            let whole = split(&[&stream]);
            let mut chunks = Vec::new();
            let mut rest = stream.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                chunks.push(head);
                rest = tail;
            }
            prop_assert_eq!(&split(&chunks), &whole);
            let mut again = Vec::new();
            for (text, ends) in &whole {
                prop_assert!(text.len() <= LINE_BYTES_MAX);
                again.extend_from_slice(text);
                if *ends {
                    again.push(b'\n');
                }
            }
            prop_assert_eq!(again, stream);
        }
    }
}
