//! The pages of `stack explain`: there is one for each code, and its examples are what it says they are.

use std::path::Path;

use fs_err as fs;

use super::load_files;
use crate::Code;

/// Returns the YAML block below a heading of a page.
fn example<'p>(page: &'p str, heading: &str) -> Option<&'p str> {
    let (_, rest) = page.split_once(&format!("\n{heading}:\n\n```yaml\n"))?;
    Some(rest.split_once("```")?.0)
}

#[test]
fn every_page_belongs_to_a_code_and_is_complete() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("explain");
    let mut pages = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let code = name.strip_suffix(".md").unwrap();
        assert!(
            Code::ALL.iter().any(|known| known.as_str() == code),
            "{name} belongs to no code"
        );
        pages += 1;
    }
    assert_eq!(pages, Code::ALL.len());
    for code in Code::ALL {
        let page = code.explanation();
        assert!(page.starts_with(&format!("# {code}: ")), "{code}");
        assert!(
            !code.title().is_empty() && page.contains("\nSee also: "),
            "{code}"
        );
        assert!(
            page.lines().all(|line| line.chars().count() <= 130),
            "{code}"
        );
        let both = (
            example(page, "Wrong").is_some(),
            example(page, "Right").is_some(),
        );
        assert!(matches!(both, (true, true) | (false, false)), "{code}");
        for other in page
            .match_indices('S')
            .filter_map(|(at, _)| page.get(at..at + 5))
        {
            let is_code = other[1..].chars().all(|c| c.is_ascii_digit());
            assert!(
                !is_code || Code::ALL.iter().any(|known| known.as_str() == other),
                "{code} names {other}"
            );
        }
    }
}

#[test]
fn wrong_examples_are_found_and_right_ones_are_right() {
    for code in Code::ALL {
        let page = code.explanation();
        if let Some(wrong) = example(page, "Wrong") {
            let found = match load_files(&[("compose.yaml", wrong)]) {
                Ok(loaded) => loaded.warnings,
                Err(error) => error.diagnostics,
            };
            assert!(
                found.iter().any(|found| found.code == *code),
                "{code}: {found:?}"
            );
        }
        if let Some(right) = example(page, "Right") {
            let env = "DB_PASSWORD=x\n";
            let outcome = load_files(&[("compose.yaml", right), (".env", env)]);
            let loaded = outcome.unwrap_or_else(|error| panic!("{code}: {error}"));
            assert!(
                loaded.warnings.iter().all(|found| found.code != *code),
                "{code}"
            );
        }
    }
}

/// A code that nothing reports would promise what is not there.
#[test]
fn every_code_is_used() {
    let mut sources = String::new();
    read_all(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut sources,
    );
    for code in Code::ALL {
        let name = format!("Code::{code:?}");
        assert!(sources.contains(&name), "{name} is never reported");
    }
}

fn read_all(directory: &Path, into: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name == "tests") {
            continue;
        }
        if path.is_dir() {
            read_all(&path, into);
        } else if path.file_name().is_some_and(|name| name != "code.rs") {
            into.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}
