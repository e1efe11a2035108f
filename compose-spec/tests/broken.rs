//! Every broken file in `tests/broken` with the words that its author reads.
//!
//! A case is a file `NAME.yaml` with `NAME.txt` beside it, or a folder with `expected.txt` in it and, where the command line
//! matters, a line of arguments in `arguments`. After a change of words run
//!
//! ```text
//! BLESS=1 cargo test -p compose-spec --test broken
//! ```
//!
//! and read the difference as the user who made the mistake.

#![expect(clippy::unwrap_used, reason = "a test that reads and blesses files")]

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use fs_err as fs;

use compose_spec::{Code, FileKind, Files, Request, Severity, json, load, plain, short};

/// Where the project of a case seems to be.
const HOME: &str = "/home/u/shop";
/// Fewest cases.
const CASES_MIN: usize = 120;

/// The files of a case.
struct Project(BTreeMap<PathBuf, Vec<u8>>);

impl Files for Project {
    fn read(&self, path: &Path, _: usize) -> io::Result<Vec<u8>> {
        let found = self.0.get(path).cloned();
        found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        if self.0.contains_key(path) {
            return Some(FileKind::File);
        }
        let mut known = self.0.keys();
        known
            .any(|known| known.starts_with(path))
            .then_some(FileKind::Directory)
    }
}

struct Case {
    name: String,
    files: Project,
    arguments: String,
    expected: PathBuf,
}

fn cases() -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let mut cases = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let mut files = BTreeMap::new();
            collect(&path, &path, &mut files);
            let arguments = fs::read_to_string(path.join("arguments")).unwrap_or_default();
            let expected = path.join("expected.txt");
            cases.push(Case {
                name,
                files: Project(files),
                arguments,
                expected,
            });
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let text = fs::read(&path).unwrap();
            let files = BTreeMap::from([(Path::new(HOME).join("compose.yaml"), text)]);
            let expected = path.with_extension("txt");
            cases.push(Case {
                name,
                files: Project(files),
                arguments: String::new(),
                expected,
            });
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

fn collect(root: &Path, directory: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap();
        if path.is_dir() {
            collect(root, &path, files);
        } else if !matches!(name.to_str(), Some("expected.txt" | "arguments")) {
            files.insert(Path::new(HOME).join(name), fs::read(&path).unwrap());
        }
    }
}

impl Case {
    fn request(&self) -> Request {
        let mut request = Request {
            working_dir: PathBuf::from(HOME),
            environment: BTreeMap::from([("HOME".to_owned(), "/home/u".to_owned())]),
            ..Request::default()
        };
        let mut words = self.arguments.split_whitespace().map(str::to_owned);
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap();
            match word.as_str() {
                "-f" => request.files.push(value().into()),
                "-p" => request.project_name = Some(value()),
                "--profile" => request.profiles.push(value()),
                "--env-file" => request.env_files.push(value().into()),
                _ => request.services.push(word),
            }
        }
        request
    }

    /// Returns what a user reads, and the codes in it. Every form of output is drawn.
    fn findings(&self) -> (String, Vec<Code>) {
        let Err(error) = load(&self.request(), &self.files) else {
            return (
                "it is not broken
"
                .to_owned(),
                Vec::new(),
            );
        };
        let mut text = String::new();
        let mut codes = Vec::new();
        for found in &error.diagnostics {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&plain(found, &error.sources));
            codes.push(found.code);
            assert_eq!(
                short(found, &error.sources).lines().count(),
                1,
                "{}",
                self.name
            );
            assert_eq!(json(found, &error.sources)["code"], found.code.as_str());
        }
        let errors = error.diagnostics.iter();
        assert!(
            errors
                .filter(|found| found.severity == Severity::Error)
                .count()
                > 0
        );
        (text, codes)
    }
}

#[test]
fn every_broken_file_is_answered_with_the_words_recorded() {
    let cases = cases();
    let bless = std::env::var_os("BLESS").is_some();
    let mut different = Vec::new();
    for case in &cases {
        let (found, _) = case.findings();
        if found == "it is not broken\n" {
            different.push(format!("== {}\n{found}", case.name));
            continue;
        }
        if fs::read_to_string(&case.expected).unwrap_or_default() == found {
            continue;
        }
        if bless {
            fs::write(&case.expected, &found).unwrap();
        } else {
            different.push(format!("== {}\n{found}", case.name));
        }
    }
    let hint = "to record them: BLESS=1 cargo test -p compose-spec --test broken";
    assert!(different.is_empty(), "{}\n{hint}", different.join("\n"));
    assert!(cases.len() >= CASES_MIN, "only {} cases", cases.len());
}

#[test]
fn every_code_of_an_error_has_a_broken_file() {
    // Found without a file, or warnings, which break nothing.
    let others = [
        Code::FileUnreadable,
        Code::SeveralComposeFiles,
        Code::UnsetVariable,
        Code::NoEffect,
        Code::Deprecated,
        // Forms are checked before files are merged, so this needs a form that only merging can show.
        Code::CannotMerge,
    ];
    let mut seen: Vec<Code> = cases().iter().flat_map(|case| case.findings().1).collect();
    seen.extend(others);
    let missing: Vec<&Code> = Code::ALL
        .iter()
        .filter(|code| !seen.contains(code))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
