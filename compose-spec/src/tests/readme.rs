//! The table of elements in the README comes from the schema, so that it is true.

use std::{fmt::Write as _, path::Path};

use fs_err as fs;

use super::load_files;
use crate::{
    Code,
    schema::{Effect, Field, Kind, Section, TOP},
};

const BEGIN: &str = "<!-- elements: written by a test, see src/tests/readme.rs -->\n";
const END: &str = "<!-- end of elements -->";

/// Elements that are understood and refused when the project is to run: what they ask for would be missed.
const REFUSED: &[(&str, &str)] = &[(
    "services.*.provider",
    "programs that run services are not called",
)];

/// Values that are refused at load, in the words of the README, with an example.
const REFUSED_VALUES: &[&str] = &[
    "services: {web: {image: i, volumes: ['d:/d']}}\nvolumes: {d: {driver: rexray}}\n",
    "services: {web: {image: i}}\nnetworks: {default: {driver: overlay}}\n",
];

/// Returns the section inside of a kind, with what stands between.
pub(super) fn inner(kind: &Kind) -> Option<(&'static Section, &'static str)> {
    match kind {
        Kind::Section(section) | Kind::OptionalSection(section) | Kind::Either(_, section) => {
            Some((section, ""))
        }
        Kind::Short(short) => inner(&short.long),
        Kind::Map(map) => inner(&map.value).map(|(section, _)| (section, ".*")),
        Kind::List(list) => inner(&list.item).map(|(section, _)| (section, "[]")),
        Kind::Items(items) => Some((items.long, "[]")),
        _ => None,
    }
}

fn state(path: &str, field: &Field) -> String {
    if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == path) {
        return format!("refused: {reason}");
    }
    match field.effect {
        Effect::Full => "acts".to_owned(),
        Effect::Nothing(reason) => format!("warns: {reason}"),
        Effect::Only(word, reason) => format!("acts as `{word}`, else warns: {reason}"),
    }
}

fn rows(section: &'static Section, path: &str, outer: &str, out: &mut String) {
    let mut fields: Vec<&Field> = section.fields.iter().collect();
    fields.sort_by_key(|field| field.name);
    for field in fields {
        let dot = if path.is_empty() { "" } else { "." };
        let here = format!("{path}{dot}{}", field.name);
        let own = state(&here, field);
        // What is inside of something without effect has none either, whatever the table says of it elsewhere.
        let told = if outer == "acts" {
            own
        } else {
            outer.to_owned()
        };
        let required = if field.required { " (required)" } else { "" };
        let forms = field.kind.expects().replace('|', "\\|");
        writeln!(out, "| `{here}`{required} | {forms} | {told} |").unwrap();
        let deep = path.matches('.').count() < 6;
        if let (true, Some((section, between))) = (deep, inner(&field.kind)) {
            let outer = if told.starts_with("acts as") {
                "acts"
            } else {
                &told
            };
            rows(section, &format!("{here}{between}"), outer, out);
        }
    }
}

fn table() -> String {
    let mut out = String::from("| element | forms | state |\n|---|---|---|\n");
    rows(&TOP, "", "acts", &mut out);
    out
}

#[test]
fn the_readme_has_every_element_with_its_state() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(BEGIN).unwrap();
    let (written, tail) = rest.split_once(END).unwrap();
    let table = table();
    let bless = std::env::var_os("BLESS").is_some();
    if bless && written != table {
        fs::write(&path, format!("{head}{BEGIN}{table}{END}{tail}")).unwrap();
        return;
    }
    assert!(
        written == table,
        "the table is stale: BLESS=1 cargo test -p compose-spec readme"
    );
}

#[test]
fn other_drivers_are_refused() {
    for text in REFUSED_VALUES {
        let error = load_files(&[("compose.yaml", text)]).unwrap_err();
        assert!(
            error
                .diagnostics
                .iter()
                .any(|found| found.code == Code::Unsupported),
            "{text}"
        );
    }
}
