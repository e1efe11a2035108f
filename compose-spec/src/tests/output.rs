//! What `config` prints can be read again, and means the same.

use serde_json::{Value, json};

use super::{load_files, loaded, memory, request};
use crate::{emit, load};

#[test]
fn yaml_and_json_are_read_back_as_the_same_project() {
    let full = include_str!("full.yaml");
    let first = load_files(&[("compose.yaml", full), ("web.env", "A=$$x")]).unwrap();
    for text in [emit::yaml(&first.canonical), emit::json(&first.canonical)] {
        let again = load_files(&[("compose.yaml", text.as_str())])
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut expected = first.project.clone();
        if !text.contains("x-note") {
            expected.services["web"].extensions.clear();
        }
        expected.extensions.clear();
        let mut found = again.project;
        found.extensions.clear();
        assert_eq!(found, expected, "{text}");
    }
}

/// Texts that YAML readers like to take for something else.
const HARD: &[&str] = &[
    "",
    " ",
    "a b",
    " lead",
    "trail ",
    "yes",
    "no",
    "on",
    "off",
    "y",
    "n",
    "true",
    "null",
    "~",
    "Null",
    "0777",
    "0o17",
    "0O17",
    "0x1F",
    "0X1F",
    "0x_1",
    "0b1",
    "1_000",
    "1_000.5",
    "-1_000",
    "0_",
    "1e3",
    "1.0",
    ".5",
    ".inf",
    "-.inf",
    ".nan",
    "22:22",
    "190:20:30",
    "2001-12-14",
    "2020-1-1",
    "2001-12-14t21:59:43.10-05:00",
    "<<",
    "=",
    "-",
    "- a",
    "? a",
    ": a",
    "a: b",
    "a #b",
    "#a",
    "&a",
    "*a",
    "!a",
    "!!str a",
    "|",
    ">",
    "%a",
    "@a",
    "`a",
    "[a]",
    "{a}",
    "a,b",
    "'",
    "\"",
    "\\",
    "a'b",
    "a\"b",
    "line\nline",
    "\nlead",
    "trail\n",
    "two\n\n",
    "\ttab",
    "a\tb",
    "\u{7}",
    "\u{7f}",
    "\u{feff}x",
    "\u{85}",
    "\u{2028}",
    "é",
    "😀",
    "---",
    "...",
    "--- a",
    "99999999999999999999",
    "$",
    "$$",
    "${A}",
    "$A",
];

#[test]
fn hard_texts_survive_as_values_and_keys() {
    let labels: serde_json::Map<String, Value> = HARD
        .iter()
        .enumerate()
        .map(|(index, text)| (format!("k{index}"), json!(text.replace('$', "$$"))))
        .collect();
    let keys: serde_json::Map<String, Value> = HARD
        .iter()
        .map(|text| ((*text).to_owned(), json!(1)))
        .collect();
    let project = json!({
        "services": {"a": {"image": "i", "labels": labels}},
        "x-keys": keys,
    });
    for text in [emit::yaml(&project), emit::json(&project)] {
        let read = load_files(&[("compose.yaml", text.as_str())])
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
        let labels = &read.project.services["a"].labels;
        for (index, wanted) in HARD.iter().enumerate() {
            assert_eq!(labels[&format!("k{index}")], **wanted, "{text}");
        }
        let keys = read.project.extensions["x-keys"].as_object().unwrap();
        for wanted in HARD {
            assert!(keys.contains_key(*wanted), "{wanted:?}\n{text}");
        }
    }
}

#[test]
fn long_lines_are_folded_and_read_back() {
    for long in [
        "word ".repeat(100),
        "a: b  c ".repeat(40),
        "\u{7} x  y ".repeat(40),
    ] {
        let text = emit::yaml(&json!({"services": {}, "x-a": long}));
        assert!(text.lines().count() > 2, "{text}");
        let read = load_files(&[("compose.yaml", text.as_str())]).unwrap();
        assert_eq!(read.project.extensions["x-a"], long, "{text}");
    }
}

#[test]
fn the_top_level_has_the_order_of_compose() {
    let full = include_str!("full.yaml");
    let loaded = load_files(&[("compose.yaml", full), ("web.env", "")]).unwrap();
    let text = emit::yaml(&loaded.canonical);
    let keys: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with([' ', '-']))
        .filter_map(|line| line.split(':').next())
        .collect();
    let wanted = [
        "name", "services", "networks", "volumes", "secrets", "configs", "x-shared",
    ];
    assert_eq!(keys, wanted);
}

#[test]
fn named_services_are_printed_with_what_they_need() {
    let mut asked = request();
    asked.services = vec!["a".to_owned()];
    let text = "services:
  a: {image: i, depends_on: [b]}
  b: {image: i, networks: [n]}
  c: {image: i, networks: [m]}
networks: {n: , m: }
";
    let loaded = load(&asked, &memory(&[("compose.yaml", text)])).unwrap();
    let names = |section: &str| {
        let section = loaded.canonical[section].as_object().unwrap();
        section.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(names("services"), ["a", "b"]);
    assert_eq!(names("networks"), ["default", "n"]);
    assert_eq!(
        loaded.project.services.len(),
        3,
        "the model keeps the whole project"
    );
}

#[test]
fn empty_and_default_values_are_left_out() {
    let canonical =
        loaded("services: {a: {image: i, tty: false, scale: 0, mem_limit: 0}}").canonical;
    let wanted = json!({
        "name": "shop",
        "networks": {"default": {"name": "shop_default", "ipam": {}}},
        "services": {"a": {
            "command": null, "entrypoint": null, "image": "i", "networks": {"default": null}, "scale": 0
        }},
    });
    assert_eq!(canonical, wanted);
}
