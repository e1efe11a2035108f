//! The layer table of `src/lib.rs`, enforced: every `crate::x` in a module of the root package must be an allowed arrow, and
//! pure modules know no files, clocks, processes or tokio.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Module -> the modules of this crate that it may use. The supporting crates are checked by name below.
const ALLOWED: [(&str, &[&str]); 19] = [
    ("model", &[]),
    ("store", &["model"]),
    ("plan", &["model"]),
    ("image", &["store", "model"]),
    ("inventory", &["model"]),
    ("scan", &["inventory", "model"]),
    ("volume", &["store", "model"]),
    ("network", &["store", "model"]),
    ("container", &["store", "model"]),
    ("protocol", &["model"]),
    ("build", &["image", "container", "store", "model"]),
    ("watch", &["build"]),
    (
        "observe",
        &[
            "build",
            "image",
            "inventory",
            "network",
            "volume",
            "container",
            "store",
            "model",
        ],
    ),
    (
        "apply",
        &[
            "plan",
            "observe",
            "build",
            "image",
            "network",
            "volume",
            "container",
            "store",
            "model",
            "protocol",
        ],
    ),
    (
        "supervisor",
        &[
            "observe",
            "plan",
            "apply",
            "build",
            "image",
            "network",
            "container",
            "store",
            "model",
            "protocol",
        ],
    ),
    ("oci", &["plan"]),
    ("client", &["model", "protocol", "store"]),
    ("ui", &["model", "protocol", "plan"]),
    (
        "cli",
        &[
            "client",
            "ui",
            "inventory",
            "scan",
            "watch",
            "plan",
            "observe",
            "container",
            "store",
            "model",
            "protocol",
            "oci",
        ],
    ),
];

/// Pure code: values in, values out.
const PURE: [&str; 4] = ["src/model", "src/plan", "src/protocol", "compose-spec/src"];

/// What pure code must not mention.
const IMPURE: [&str; 12] = [
    "tokio",
    "std::fs",
    "fs_err",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime::now",
    "Instant::now",
    "rustix",
    "nix::",
    "libc::",
    "unsafe ",
];

#[test]
fn modules_use_only_the_layers_below_them() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    let mut violations = Vec::new();
    for (path, text) in sources(&repository().join("src")) {
        let Some(module) = module_of(&path) else {
            continue;
        };
        let uses = allowed
            .get(module.as_str())
            .unwrap_or_else(|| panic!("module `{module}` is not in the layer table"));
        for used in crate_paths(&text) {
            if used != module && !uses.contains(&used.as_str()) {
                violations.push(format!("{}: {module} -> {used}", path.display()));
            }
        }
    }
    assert!(
        violations.is_empty(),
        "forbidden arrows:\n{}",
        violations.join("\n")
    );
}

#[test]
fn every_module_of_the_crate_is_in_the_layer_table() {
    let lib = fs_err::read_to_string(repository().join("src/lib.rs")).unwrap();
    let declared = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    for module in declared {
        assert!(
            ALLOWED.iter().any(|(name, _)| *name == module),
            "`{module}` has no layer"
        );
    }
}

#[test]
fn pure_modules_touch_nothing() {
    let mut violations = Vec::new();
    for directory in PURE {
        for (path, text) in sources(&repository().join(directory)) {
            if path.components().any(|part| part.as_os_str() == "tests")
                || path
                    .file_name()
                    .is_some_and(|name| name.to_string_lossy().contains("test"))
            {
                continue;
            }
            for (number, line) in code_lines(&text) {
                for word in IMPURE {
                    if line.contains(word) {
                        violations.push(format!("{}:{number}: {word}", path.display()));
                    }
                }
            }
        }
    }
    assert!(
        violations.is_empty(),
        "impure code:\n{}",
        violations.join("\n")
    );
}

#[test]
fn unsafe_code_is_only_in_the_runtimes_sys() {
    let mut violations = Vec::new();
    for directory in ["src", "runtime/src", "compose-spec/src"] {
        for (path, text) in sources(&repository().join(directory)) {
            if path.starts_with(repository().join("runtime/src/sys")) {
                continue;
            }
            for (number, line) in code_lines(&text) {
                if line.contains("unsafe {") || line.contains("unsafe fn") {
                    violations.push(format!("{}:{number}", path.display()));
                }
            }
        }
    }
    assert!(
        violations.is_empty(),
        "unsafe outside runtime::sys:\n{}",
        violations.join("\n")
    );
}

#[test]
fn the_crates_below_know_nothing_of_each_other() {
    for (directory, forbidden) in [
        ("runtime", "compose_spec"),
        ("runtime", "tokio"),
        ("compose-spec", "runtime::"),
    ] {
        for (path, text) in sources(&repository().join(directory).join("src")) {
            for (number, line) in code_lines(&text) {
                assert!(
                    !line.contains(forbidden),
                    "{}:{number}: {forbidden}",
                    path.display()
                );
            }
        }
    }
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs_err::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs_err::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {}", directory.display());
    found
}

/// The first component below `src/`, without `.rs`; `None` for the crate's roots.
fn module_of(path: &Path) -> Option<String> {
    let relative = path.strip_prefix(repository().join("src")).unwrap();
    let first = relative
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_string_lossy()
        .into_owned();
    let name = first.strip_suffix(".rs").unwrap_or(&first).to_owned();
    (!matches!(name.as_str(), "lib" | "main" | "role")).then_some(name)
}

/// Lines of code with their numbers: comments left out, and everything from a test module on.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(number, line)| (number + 1, line.split("//").next().unwrap_or_default()))
}

/// First components of all `crate::` paths, in plain and in grouped imports.
fn crate_paths(text: &str) -> Vec<String> {
    let code: String = code_lines(text)
        .map(|(_, line)| format!("{line}\n"))
        .collect();
    let mut found = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        let rest = &code[start + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(top_level_names(group)),
            None => found.push(leading_name(rest)),
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

fn leading_name(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// Names that begin an item of a `{…}` group, not those of groups inside it.
fn top_level_names(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0;
    let mut at_item = true;
    for (index, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_item = true,
            c if at_item && depth == 0 && (c.is_alphanumeric() || c == '_') => {
                names.push(leading_name(&group[index..]));
                at_item = false;
            }
            _ => {}
        }
    }
    names
}

#[test]
fn grouped_imports_are_understood() {
    let text = "use crate::{\n    apply::{self, Context},\n    store,\n};\nfn f() { crate::plan::x(); } // crate::cli\n";
    assert_eq!(crate_paths(text), ["apply", "store", "plan"]);
}
