//! Where JSON documents begin and end in a stream: one, several one after the other (NDJSON too), or the elements of an array.
//!
//! Only braces and strings are looked at, so that a stream of any length takes the memory of its largest document.

use std::io::{self, BufRead};

/// Largest document: those of the kernel with all their versions have some MB.
pub(super) const DOCUMENT_BYTES_MAX: usize = 64 << 20;

/// Why a stream has no further documents.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("a document of more than 64 MiB")]
    TooBig,
    #[error("it ends in the middle of a document")]
    Cut,
    #[error("it is not JSON: `{0}` where an object should begin")]
    NotJson(char),
}

/// Gives every document of a stream.
pub(super) fn documents(
    mut stream: impl BufRead,
    each: &mut dyn FnMut(&[u8]),
) -> Result<(), FrameError> {
    let mut document = Vec::new();
    let mut place = Place::default();
    loop {
        let buffer = stream.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        let length = buffer.len();
        let mut start = 0;
        for (at, byte) in buffer.iter().enumerate() {
            match place.step(*byte)? {
                Step::Between => start = at + 1,
                Step::Inside => {}
                Step::End => {
                    document.extend_from_slice(&buffer[start..=at]);
                    each(&document);
                    document.clear();
                    start = at + 1;
                }
            }
        }
        document.extend_from_slice(&buffer[start..]);
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(FrameError::TooBig);
        }
        stream.consume(length);
    }
    if place.depth > 0 {
        return Err(FrameError::Cut);
    }
    Ok(())
}

#[derive(Default)]
struct Place {
    /// Open braces.
    depth: usize,
    in_string: bool,
    is_escaped: bool,
}

enum Step {
    Between,
    Inside,
    End,
}

impl Place {
    fn step(&mut self, byte: u8) -> Result<Step, FrameError> {
        if self.in_string {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return Ok(Step::Inside);
        }
        match byte {
            b'{' => self.depth += 1,
            b'}' if self.depth > 0 => {
                self.depth -= 1;
                if self.depth == 0 {
                    return Ok(Step::End);
                }
            }
            b'"' if self.depth > 0 => self.in_string = true,
            // Between documents there may be blanks, the commas and brackets of an array, and a byte order mark.
            b' ' | b'\t' | b'\r' | b'\n' | b',' | b'[' | b']' | 0xef | 0xbb | 0xbf
                if self.depth == 0 =>
            {
                return Ok(Step::Between);
            }
            other if self.depth == 0 => return Err(FrameError::NotJson(char::from(other))),
            _ => {}
        }
        Ok(Step::Inside)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &[u8]) -> Result<Vec<String>, FrameError> {
        let mut found = Vec::new();
        // A small buffer: documents are cut anywhere.
        let stream = io::BufReader::with_capacity(3, text);
        documents(stream, &mut |document| {
            found.push(String::from_utf8_lossy(document).into_owned());
        })?;
        Ok(found)
    }

    #[test]
    fn documents_are_found_in_every_form() {
        let one = r#"{"a":{"b":"}\"{"}}"#;
        for text in [
            one.to_owned(),
            format!("{one}\n"),
            format!("\u{feff} {one} "),
        ] {
            assert_eq!(split(text.as_bytes()).unwrap(), [one], "{text}");
        }
        for text in [
            format!("{one}\n{one}\n"),
            format!("[{one},\n {one}]"),
            format!("{one}{one}"),
        ] {
            assert_eq!(split(text.as_bytes()).unwrap(), [one, one], "{text}");
        }
        assert!(split(b"").unwrap().is_empty());
        assert!(matches!(split(b"{\"a\":"), Err(FrameError::Cut)));
        assert!(matches!(split(b"hello"), Err(FrameError::NotJson('h'))));
        assert!(matches!(split(b"}"), Err(FrameError::NotJson('}'))));
    }

    proptest! {
        #[test]
        fn what_was_written_is_found(values in proptest::collection::vec(".{0,12}", 0..8)) {
            let written: Vec<String> = (values.iter())
                .map(|text| serde_json::json!({"text": text, "more": {"x": [text]}}).to_string())
                .collect();
            prop_assert_eq!(split(written.join("\n").as_bytes()).unwrap(), written);
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(split(&bytes));
        }
    }
}
