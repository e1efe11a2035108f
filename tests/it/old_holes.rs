//! The table of old holes names tests that exist.

use std::path::{Path, PathBuf};

/// Rows that the table has at least: one that is lost would be a hole that nobody looks at.
const ROWS_MIN: usize = 21;

#[test]
fn every_test_that_the_table_names_exists() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs_err::read_to_string(top.join("tests/old-holes.md")).unwrap();
    let mut sources = String::new();
    for directory in ["src", "runtime/src", "runtime/tests", "tests/kernel"] {
        for file in rust_files(&top.join(directory)) {
            sources.push_str(&fs_err::read_to_string(file).unwrap());
        }
    }
    let rows: Vec<_> = table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| Hole"))
        .collect();
    assert!(rows.len() >= ROWS_MIN, "{} rows", rows.len());
    let mut missing = Vec::new();
    for row in rows {
        let tests = row.rsplit('|').nth(1).unwrap();
        let names: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test in {row}");
        let is_missing = |name: &&str| !sources.contains(&format!("fn {name}("));
        missing.extend(names.into_iter().filter(is_missing));
    }
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
