//! Files made to hurt: each is refused in a moment, in little memory, without a stack overflow.
//!
//! The tests run on threads with a small stack, so that recursion without a bound is seen.

use std::fmt::Write as _;

use super::{findings, load_files};

/// Loads a file on a thread with 2 MiB of stack and returns the codes of its errors.
fn codes(text: String) -> Vec<&'static str> {
    let thread = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || match load_files(&[("compose.yaml", &text)]) {
            Ok(_) => Vec::new(),
            Err(error) => error
                .diagnostics
                .iter()
                .map(|found| found.code.as_str())
                .collect(),
        });
    // A reader without bounds meets the runner's own limit (.config/nextest.toml); how long it took is for benchmarks.
    thread.unwrap().join().expect("no panic")
}

fn numbered(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, index| {
        writeln!(text, "{}", line(index)).unwrap();
        text
    })
}

#[test]
fn alias_bombs_are_refused() {
    let lists = numbered(10, |i| match i {
        0 => "x-0: &a0 [1,2,3,4,5,6,7,8,9,0]".to_owned(),
        _ => format!(
            "x-{i}: &a{i} [{}]",
            vec![format!("*a{}", i - 1); 10].join(",")
        ),
    });
    let maps = numbered(31, |i| match i {
        0 => "x-0: &a0 {a: 1}".to_owned(),
        _ => format!("x-{i}: &a{i} {{a: *a{p}, b: *a{p}}}", p = i - 1),
    });
    let merges = numbered(31, |i| match i {
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
    for bomb in [lists, maps, merges, text] {
        assert_eq!(codes(bomb), ["S0106"]);
    }
}

#[test]
fn deep_nesting_is_refused() {
    let indented = numbered(3000, |i| format!("{}a:", " ".repeat(i)));
    let aliased = numbered(300, |i| match i {
        0 => "x-0: &a0 [1]".to_owned(),
        _ => format!("x-{i}: &a{i} [*a{}]", i - 1),
    });
    for text in [
        "[".repeat(50_000),
        "[".repeat(50_000) + &"]".repeat(50_000),
        "{a: ".repeat(50_000),
        "? ".repeat(50_000),
        "- ".repeat(50_000),
        indented,
        aliased,
    ] {
        assert_eq!(codes(text), ["S0106"]);
    }
}

#[test]
fn two_hundred_thousand_keys_are_refused() {
    let text = format!(
        "services:\n{}",
        numbered(200_000, |i| format!("  s{i}: {{}}"))
    );
    assert_eq!(codes(text), ["S0106"]);
}

#[test]
fn what_extends_and_ranges_multiply_is_bounded() {
    let labels = numbered(3000, |i| format!("      k{i}: v"));
    let chain = numbered(300, |i| format!("  b{}: {{extends: b{i}}}", i + 1));
    let star = numbered(300, |i| format!("  b{}: {{extends: b0}}", i + 1));
    for services in [chain, star] {
        let text = format!("services:\n  b0:\n    image: i\n    labels:\n{labels}{services}");
        let codes = codes(text);
        assert!(
            codes.iter().all(|code| matches!(*code, "S0106" | "S0403")),
            "{codes:?}"
        );
        assert!(!codes.is_empty());
    }
    let ports = numbered(20, |i| {
        format!("  s{i}: {{image: i, ports: ['1-65535:1-65535']}}")
    });
    assert!(
        codes(format!("services:\n{ports}"))
            .iter()
            .all(|code| matches!(*code, "S0106" | "S0511"))
    );
}

#[test]
fn variables_that_double_are_bounded() {
    let dotenv = numbered(40, |i| match i {
        0 => "V0=xxxxxxxxxxxxxxxx".to_owned(),
        _ => format!("V{i}=$V{p}$V{p}", p = i - 1),
    });
    let files = [
        ("compose.yaml", "services: {a: {image: \"$V39\"}}"),
        (".env", dotenv.as_str()),
    ];
    let error = load_files(&files).expect_err("refused");
    assert_eq!(error.diagnostics[0].code.as_str(), "S0204");
}

#[test]
fn includes_that_double_are_bounded() {
    let names: Vec<String> = (0..30).map(|i| format!("inc{i}.yaml")).collect();
    let texts: Vec<String> = (0..30)
        .map(|i| {
            format!(
                "include: [inc{n}.yaml, inc{n}.yaml]\nservices: {{}}\n",
                n = i + 1
            )
        })
        .collect();
    let mut files: Vec<(&str, &str)> = names
        .iter()
        .zip(&texts)
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    files.push(("inc30.yaml", "services: {}\n"));
    files.push(("compose.yaml", "include: [inc0.yaml]\nservices: {}\n"));
    let error = load_files(&files).expect_err("refused");
    assert!(
        error
            .diagnostics
            .iter()
            .any(|found| found.code.as_str() == "S0106")
    );
}

#[test]
fn a_long_chain_of_dependencies_is_walked_without_recursion() {
    let chain = numbered(4000, |i| {
        format!("  s{i}: {{image: i, depends_on: [s{}]}}", i + 1)
    });
    assert!(codes(format!("services:\n{chain}  s4000: {{image: i}}\n")).is_empty());
    let closed = format!("services:\n{chain}  s4000: {{image: i, depends_on: [s0]}}\n");
    assert_eq!(codes(closed), ["S0505"]);
}

#[test]
fn a_thousand_errors_are_told_in_part() {
    let text = format!(
        "services:\n{}",
        numbered(1000, |i| format!("  s{i}: {{imgae: i}}"))
    );
    let told = findings(&text).matches("S0301").count();
    assert_eq!(told, 200);
}

#[test]
fn an_ordinary_large_project_is_read() {
    let services = numbered(500, |i| {
        format!(
            "  s{i}: {{<<: *c, environment: {{<<: *e, N: '{i}'}}, ports: ['{p}:80']}}",
            p = 10_000 + i
        )
    });
    let text =
        format!("x-c: &c {{image: i, restart: always}}\nx-e: &e {{A: 1}}\nservices:\n{services}");
    assert!(codes(text).is_empty());
}
