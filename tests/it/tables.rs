//! Tables of what is tested name tests that exist.

use std::path::{Path, PathBuf};

/// Tables in tests/, and rows that each has at least: one that is lost would be something that nobody looks at.
const TABLES: [(&str, usize); 3] = [
    ("attributes.md", 28),
    ("fallbacks.md", 11),
    ("old-holes.md", 21),
];

#[test]
fn every_test_that_a_table_names_exists() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = String::new();
    for directory in ["src", "runtime/src", "runtime/tests", "tests/kernel"] {
        for file in rust_files(&top.join(directory)) {
            sources.push_str(&fs_err::read_to_string(file).unwrap());
        }
    }
    let mut missing = Vec::new();
    for (table, rows_min) in TABLES {
        let table = fs_err::read_to_string(top.join("tests").join(table)).unwrap();
        // The first one is the head.
        let rows: Vec<_> = table
            .lines()
            .filter(|line| line.starts_with("| "))
            .skip(1)
            .collect();
        assert!(rows.len() >= rows_min, "{} rows", rows.len());
        for row in rows {
            let tests = row.rsplit('|').nth(1).unwrap();
            let names: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
            assert!(!names.is_empty(), "no test in {row}");
            let is_missing = |name: &&str| !sources.contains(&format!("fn {name}("));
            missing.extend(names.into_iter().filter(is_missing).map(str::to_owned));
        }
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
