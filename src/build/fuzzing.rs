//! Doors for the fuzz targets in `tests/fuzz`: readers of foreign bytes, without anything around them. Nothing else calls them.

use std::path::Path;

use super::{dockerfile, exchange::steps_of, git::GitSource, ignore::Ignore, ssh::read_key};

/// Parses a Dockerfile and, when it is one, expands every word of it.
pub fn parse_dockerfile(bytes: &[u8]) {
    struct Names;
    impl dockerfile::Variables for Names {
        fn value(&self, name: &str) -> Option<String> {
            name.len().is_multiple_of(2).then(|| name.to_owned())
        }
    }
    match dockerfile::parse("Dockerfile", bytes) {
        Ok(parsed) => {
            for instruction in parsed.stages.iter().flat_map(|stage| &stage.instructions) {
                drop(dockerfile::expand(
                    &instruction.text,
                    parsed.escape(),
                    &Names,
                ));
            }
        }
        Err(errors) => {
            for error in &errors.0 {
                // Places lie in the text, whatever it is.
                assert!(!error.to_string().is_empty());
                drop(error.place.excerpt());
            }
        }
    }
}

/// Reads an ignore file and asks it about a path; the first line is the path.
pub fn match_ignore(bytes: &[u8]) {
    let (path, rules) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &bytes[..0]),
    };
    if let (Ok(ignore), Ok(path)) = (
        Ignore::parse(".dockerignore", rules),
        std::str::from_utf8(path),
    ) {
        let _hidden = ignore.hides(Path::new(path));
    }
}

/// Reads the steps of a cache, and an address of a repository.
pub fn read_cache(bytes: &[u8]) {
    drop(steps_of(bytes));
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(GitSource::parse(text));
    }
}

/// Reads a private key of ssh, and signs with it when it is one.
pub fn read_ssh_key(bytes: &[u8]) {
    if let Ok(key) = read_key(bytes) {
        drop(key.sign(b"data", 2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutations of each file in an ordinary run; `STACK_FUZZ_ROUNDS` makes it more.
    const ROUNDS: usize = 40;

    /// A small generator of its own, so that a failure can be repeated.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % limit.max(1) as u64).unwrap()
        }
    }

    /// Changes a few places of a file: bytes, pieces of other files, repetitions, cuts.
    fn mutated(files: &[Vec<u8>], at: usize, numbers: &mut Numbers) -> Vec<u8> {
        let mut bytes = files[at].clone();
        for _ in 0..=numbers.below(4) {
            let place = numbers.below(bytes.len() + 1);
            let end = (place + numbers.below(24)).min(bytes.len());
            match numbers.below(5) {
                0 => bytes.truncate(place),
                1 => drop(bytes.drain(place..end)),
                2 => {
                    let piece = bytes[place..end].to_vec();
                    bytes.splice(place..place, piece);
                }
                3 => {
                    let other = &files[numbers.below(files.len())];
                    let from = numbers.below(other.len() + 1);
                    let to = (from + numbers.below(32)).min(other.len());
                    bytes.splice(place..end, other[from..to].to_vec());
                }
                _ => {
                    let odd = b"\\\"'`$${}<>[](),=:#|*?!-\n\t \0\xff";
                    bytes.insert(place, odd[numbers.below(odd.len())]);
                }
            }
        }
        bytes
    }

    #[test]
    fn mutated_files_never_panic() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/build-cases/cases");
        let mut paths: Vec<_> = fs_err::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        let files: Vec<Vec<u8>> = paths
            .iter()
            .map(|path| fs_err::read(path).unwrap())
            .flat_map(|bytes| {
                // Without the marks of the cases, each section is a file of its own.
                let text = String::from_utf8(bytes).unwrap();
                let sections = text.split("-- ").map(|section| {
                    let body = section
                        .split_once(" --\n")
                        .map_or(section, |(_, body)| body);
                    body.as_bytes().to_vec()
                });
                sections.collect::<Vec<_>>()
            })
            .filter(|file| !file.is_empty())
            .collect();
        #[expect(clippy::disallowed_methods, reason = "a longer run by hand")]
        let rounds = std::env::var("STACK_FUZZ_ROUNDS").ok();
        let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().unwrap());
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ rounds as u64);
        for _ in 0..rounds {
            for at in 0..files.len() {
                let bytes = mutated(&files, at, &mut numbers);
                let shown = String::from_utf8_lossy(&bytes).into_owned();
                let outcome = std::panic::catch_unwind(|| {
                    parse_dockerfile(&bytes);
                    match_ignore(&bytes);
                    read_cache(&bytes);
                });
                assert!(outcome.is_ok(), "{shown:?}");
            }
        }
    }
}
