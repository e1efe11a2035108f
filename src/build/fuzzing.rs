//! Doors for the fuzz targets in `tests/fuzz`: readers of foreign bytes, without anything around them. Nothing else calls them.

use std::path::Path;

use super::{dockerfile, exchange::steps_of, git::GitSource, ignore::Ignore};

/// Parses a Dockerfile and, when it is one, expands every word of it.
pub fn parse_dockerfile(bytes: &[u8]) {
    struct Names;
    impl dockerfile::Variables for Names {
        fn value(&self, name: &str) -> Option<String> {
            (name.len() % 2 == 0).then(|| name.to_owned())
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
