//! The keys that leave an attached container running: `ctrl-p,ctrl-q` unless told otherwise.

use std::str::FromStr;

/// A sequence of keys, as bytes that a terminal in raw mode sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct DetachKeys(Vec<u8>);

impl Default for DetachKeys {
    fn default() -> Self {
        // Ctrl-P, Ctrl-Q.
        Self(vec![0x10, 0x11])
    }
}

impl FromStr for DetachKeys {
    type Err = String;

    /// Reads docker's form: keys with commas between them, each a character or `ctrl-` and one of `a`-`z`, `@`, `[`, `\`, `]`, `^`, `_`. An empty text
    /// switches it off.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        text.split(',')
            .map(|key| {
                key_byte(key).ok_or_else(|| {
                    format!(
                        "`{key}` is no key: write a character, or ctrl- and one of a-z @ [ \\ ] ^ _"
                    )
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn key_byte(key: &str) -> Option<u8> {
    let byte = |text: &str| match text.as_bytes() {
        [byte] if byte.is_ascii_graphic() => Some(*byte),
        _ => None,
    };
    match key.strip_prefix("ctrl-") {
        None => byte(key),
        Some(letter) => {
            let letter = byte(letter)?.to_ascii_uppercase();
            // What a terminal sends for control and a key of the columns 4 and 5 of ASCII.
            (0x40..0x60).contains(&letter).then(|| letter - 0x40)
        }
    }
}

/// Looks for the sequence in what the user types.
#[derive(Debug)]
pub(in crate::cli) struct Detector {
    keys: DetachKeys,
    /// How many keys of the sequence came last.
    matched: usize,
}

impl Detector {
    pub(in crate::cli) fn new(keys: DetachKeys) -> Self {
        Self { keys, matched: 0 }
    }

    /// Takes input and returns what of it is for the container, and whether the sequence is complete. Keys that may begin the sequence are held back
    /// until the next key tells.
    pub(in crate::cli) fn filter(&mut self, input: &[u8]) -> (Vec<u8>, bool) {
        let keys = &self.keys.0;
        if keys.is_empty() {
            return (input.to_vec(), false);
        }
        let mut passed = Vec::with_capacity(input.len());
        for byte in input {
            if *byte == keys[self.matched] {
                self.matched += 1;
                if self.matched == keys.len() {
                    self.matched = 0;
                    return (passed, true);
                }
                continue;
            }
            passed.extend_from_slice(&keys[..self.matched]);
            self.matched = usize::from(*byte == keys[0] && keys.len() > 1);
            if self.matched == 0 {
                passed.push(*byte);
            }
        }
        (passed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_as_docker_writes_them() {
        for (text, bytes) in [
            ("ctrl-p,ctrl-q", &[0x10, 0x11][..]),
            ("ctrl-@", &[0]),
            ("ctrl-[", &[0x1b]),
            ("ctrl-\\,a", &[0x1c, b'a']),
            ("~,.", b"~."),
            ("", b""),
        ] {
            assert_eq!(text.parse::<DetachKeys>().unwrap().0, bytes, "{text}");
        }
        for text in ["ctrl-", "ctrl-1", "ab", ",", "é", "ctrl-p,"] {
            assert!(text.parse::<DetachKeys>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_sequence_is_found_across_chunks_and_the_rest_passes() {
        let mut detector = Detector::new(DetachKeys::default());
        assert_eq!(detector.filter(b"ls\x10"), (b"ls".to_vec(), false));
        assert_eq!(detector.filter(b"x\x11"), (b"\x10x\x11".to_vec(), false));
        assert_eq!(detector.filter(b"\x10\x10"), (b"\x10".to_vec(), false));
        assert_eq!(detector.filter(b"\x11rest"), (Vec::new(), true));
        let mut off = Detector::new("".parse().unwrap());
        assert_eq!(off.filter(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
        let mut single = Detector::new("ctrl-d".parse().unwrap());
        assert_eq!(single.filter(b"a\x04"), (b"a".to_vec(), true));
    }
}
