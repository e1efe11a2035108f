//! Files made to hurt cost little memory: each is read in a process of its own, whose largest size the kernel tells.
//!
//! How long it takes is for the benchmarks; a reader without bounds meets the runner's limit of time instead.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that starts itself as a child"
)]

use std::{
    fmt::Write as _,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::Command,
};

use compose_spec::{FileKind, Files, LoadError, Request, load};

/// Names the file that the child reads.
const CHILD: &str = "COMPOSE_SPEC_HOSTILE";

/// What a process may take for any of the files, in KiB. The test program itself takes about 10 MiB; a tree at the limits
/// of size takes most of the rest.
const KIB_MAX: u64 = 192 << 10;

/// The disk, read as far as it is asked for.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let most = most as u64 + 1;
        std::fs::File::open(path)?
            .take(most)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        path.exists().then_some(FileKind::File)
    }
}

fn numbered(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, index| {
        writeln!(text, "{}", line(index)).unwrap();
        text
    })
}

/// A file, by the name of its case.
fn hostile() -> Vec<(&'static str, String)> {
    let bomb = numbered(12, |i| match i {
        0 => "x-0: &a0 [1,2,3,4,5,6,7,8,9,0]".to_owned(),
        _ => format!(
            "x-{i}: &a{i} [{}]",
            vec![format!("*a{}", i - 1); 10].join(",")
        ),
    });
    let merges = numbered(40, |i| match i {
        0 => "x-0: &a0 {a: 1}".to_owned(),
        _ => format!(
            "x-{i}: &a{i} {{<<: *a{p}, q{i}: *a{p}, r{i}: *a{p}}}",
            p = i - 1
        ),
    });
    let text = format!(
        "x-t: &t \"{}\"\nx-u: [{}]\n",
        "x".repeat(1 << 20),
        vec!["*t"; 500].join(",")
    );
    let keys = format!(
        "services:\n{}",
        numbered(200_000, |i| format!("  s{i}: {{}}"))
    );
    let labels = numbered(3000, |i| format!("      k{i}: v"));
    let star = numbered(300, |i| format!("  b{}: {{extends: b0}}", i + 1));
    let copies = format!("services:\n  b0:\n    image: i\n    labels:\n{labels}{star}");
    let ports = numbered(20, |i| {
        format!("  s{i}: {{image: i, ports: ['1-65535:1-65535']}}")
    });
    let nested = format!(
        "x-a: \"{}v{}\"\n",
        "${A:-".repeat(50_000),
        "}".repeat(50_000)
    );
    vec![
        ("100 MB", format!("x-a: '{}'\n", "x".repeat(100 << 20))),
        ("200,000 keys", keys),
        ("50,000 brackets", "[".repeat(50_000)),
        ("50,000 braces", "{a: ".repeat(50_000)),
        ("alias bomb", bomb),
        ("merge bomb", merges),
        ("long text 500 times", text),
        ("3000 labels in 300 services", copies),
        ("20 times all ports", format!("services:\n{ports}")),
        ("50,000 defaults", nested),
        (
            "7 MB of one list",
            format!("x-a: [{}]\n", "1,".repeat(3_500_000)),
        ),
    ]
}

#[test]
fn hostile_files_take_little_memory() {
    if let Some(path) = std::env::var_os(CHILD) {
        return read_as_child(Path::new(&path));
    }
    for (what, text) in hostile() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("compose.yaml");
        std::fs::write(&path, text).unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "hostile_files_take_little_memory", "--nocapture"])
            .env(CHILD, &path)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        let (codes, kib) =
            answer(&told).unwrap_or_else(|| panic!("{what}: {}\n{told}", output.status));
        println!("{what}: {codes} in {kib} KiB");
        assert!(!codes.is_empty(), "{what} is refused");
        assert!(kib < KIB_MAX, "{what}: {kib} KiB");
    }
}

/// Returns the codes and the size that a child told.
fn answer(told: &str) -> Option<(&str, u64)> {
    let (_, line) = told.split_once("answer: ")?;
    let (codes, kib) = line.lines().next()?.split_once(';')?;
    Some((codes, kib.trim().parse().ok()?))
}

fn read_as_child(path: &Path) {
    let request = Request {
        working_dir: path.parent().unwrap().to_path_buf(),
        files: vec![PathBuf::from(path)],
        ..Request::default()
    };
    let error = load(&request, &Disk).err();
    let codes = error.as_ref().map(codes).unwrap_or_default();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    println!("answer: {codes}; {}", peak.trim().trim_end_matches(" kB"));
}

fn codes(error: &LoadError) -> String {
    let mut codes: Vec<String> = error
        .diagnostics
        .iter()
        .map(|found| found.code.to_string())
        .collect();
    codes.dedup();
    codes.join(" ")
}
