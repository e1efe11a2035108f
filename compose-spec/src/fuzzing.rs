//! The readers of foreign text, each as one function that must answer whatever it is given.
//!
//! The property tests of this crate and the fuzz targets in `fuzz/` call the same functions. Each checks what must hold
//! of every answer; it never looks at whether the input is accepted.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use crate::{
    FileKind, Files, Passes, Request, configuration,
    diagnostic::{Sink, Sources},
    emit,
    env::{Scope, parse, parse_raw},
    interpolate::{substitute, variables},
    load, plain, yaml,
};

/// Loads a project: parts between NUL bytes are `compose.yaml`, `compose.override.yaml`, `.env`, `other.yaml`, `a.env`.
pub fn load_project(bytes: &[u8]) {
    let names = [
        "compose.yaml",
        "compose.override.yaml",
        ".env",
        "other.yaml",
        "a.env",
    ];
    let home = Path::new("/home/u/shop");
    let parts = bytes.split(|byte| *byte == 0);
    let files = names.iter().zip(parts);
    let files = Memory(
        files
            .map(|(name, part)| (home.join(name), part.to_vec()))
            .collect(),
    );
    let request = Request {
        working_dir: home.to_path_buf(),
        ..Request::default()
    };
    match load(&request, &files) {
        // What is printed is drawn from places in the files: drawing finds a place outside of them.
        Ok(loaded) => {
            for warning in &loaded.warnings {
                drop(plain(warning, &loaded.sources));
            }
        }
        Err(error) => {
            assert!(!error.diagnostics.is_empty(), "a refusal has a reason");
            for diagnostic in &error.diagnostics {
                drop(plain(diagnostic, &error.sources));
            }
        }
    }
    show(&request, &files);
}

/// Shows the project as each flag of `config` does. A model is never larger than its files allow.
fn show(request: &Request, files: &Memory) {
    let all = Passes::default();
    for passes in [
        Passes {
            interpolation: false,
            ..all
        },
        Passes {
            normalization: false,
            ..all
        },
        Passes {
            path_resolution: false,
            ..all
        },
    ] {
        match configuration(request, passes, files) {
            Ok(shown) => {
                drop(emit::model_yaml(&shown.canonical));
                drop(crate::variables(&shown.canonical));
            }
            Err(error) => assert!(!error.diagnostics.is_empty(), "a refusal has a reason"),
        }
    }
}

/// Substitutes variables in a text. A text without `$` is as it was, and every variable has a name of its grammar.
pub fn interpolate(text: &str) {
    let lookup = |name: &str| (name.len() % 2 == 1).then(|| name.to_lowercase());
    let mut places = Vec::new();
    let result = substitute(text, &lookup, &mut |found| places.push(found));
    if !text.contains('$') {
        assert_eq!(result.ok().as_deref(), Some(text));
    }
    for (_, start, end) in places {
        assert!(start <= end && end <= text.len());
    }
    for variable in variables(text) {
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
        assert!(variable.name.chars().all(valid), "{:?}", variable.name);
    }
}

/// Reads an environment file in both formats. A line that is refused lies within the text.
pub fn read_dotenv(text: &str) {
    let outer = |name: &str| (name.len() % 2 == 1).then(|| name.to_lowercase());
    let scope = Scope::alone(&outer);
    for outcome in [parse(text, scope), parse_raw(text, scope)] {
        if let Err(error) = outcome {
            assert!(error.start <= error.end && error.end <= text.len());
            assert!(text.is_char_boundary(error.start) && text.is_char_boundary(error.end));
        }
    }
}

/// Reads YAML. Every node has a place within the text.
pub fn read_yaml(text: &str) {
    let mut sources = Sources::default();
    let mut sink = Sink::default();
    let id = sources.add("fuzz.yaml", text);
    let mut open = yaml::parse(id, text, &mut sink);
    while let Some(node) = open.pop() {
        let (start, end) = (node.span.start as usize, node.span.end as usize);
        assert!(
            start <= end && end <= text.len(),
            "{start}..{end} of {}",
            text.len()
        );
        match node.value {
            yaml::Value::Sequence(items) => open.extend(items),
            yaml::Value::Mapping(mapping) => open.extend(mapping.into_iter().map(|(_, e)| e.value)),
            _ => {}
        }
    }
}

/// Files in memory.
struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Files for Memory {
    fn read(&self, path: &Path, _: usize) -> io::Result<Vec<u8>> {
        let bytes = self.0.get(path).cloned();
        bytes.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        self.0.contains_key(path).then_some(FileKind::File)
    }
}
