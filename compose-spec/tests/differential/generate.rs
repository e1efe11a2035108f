//! Random projects over every attribute of the format: one to three files, some with tags that steer the merge.

use std::fmt::Write as _;

use proptest::{prelude::*, sample::select};

use crate::fragments::{SERVICE, TOP};

/// Files, in the order of `-f`, and what the caller sets.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// Compose files: `f0.yaml`, ….
    pub files: Vec<String>,
    /// Text of `.env`.
    pub dotenv: String,
    /// `--profile`
    pub profiles: Vec<&'static str>,
}

/// Files that every case can name.
pub(crate) const FIXED: &[(&str, &str)] = &[
    (
        "e.env",
        "A=from_e\nB=\"two words\"\n# comment\nexport D=d # tail\nE='$V'\nF=$V-${U:-u}\n",
    ),
    ("f.env", "A=from_f\nV\nG=${A}\n"),
    ("l.env", "a=file\nl=1\n"),
    (
        "base.yaml",
        "services:\n  c:\n    image: base\n    environment: {FROM: base, A: base}\n    volumes: ['./rel:/rel']\n    \
         env_file: e.env\n    labels: {base: '1'}\n    ports: ['1:1']\n  b:\n    build: ./ctx\n    command: [base]\n",
    ),
];

/// One attribute with its value.
type Entry = (&'static str, String);

fn entry(
    table: &'static [(&'static str, &'static [&'static str])],
) -> impl Strategy<Value = Entry> {
    select(table).prop_flat_map(|(key, values)| {
        let tag = prop_oneof![12 => Just(""), 1 => Just("!reset "), 1 => Just("!override ")];
        (Just(key), tag, select(values)).prop_map(|(key, tag, value)| (key, tagged(tag, value)))
    })
}

/// A tag in front of a number or boolean makes a text of it in compose: only collections carry `!override`, and what
/// names or describes the whole file no tag at all.
fn tagged(tag: &str, value: &str) -> String {
    let collection = value.starts_with(['[', '{']);
    if tag.is_empty() || (tag == "!override " && !collection) {
        value.to_owned()
    } else {
        format!("{tag}{value}")
    }
}

fn once(entries: Vec<Entry>) -> Vec<Entry> {
    let mut seen = std::collections::HashSet::new();
    entries
        .into_iter()
        .filter(|(key, _)| seen.insert(*key))
        .collect()
}

/// A file with three services, `a` with up to `most` attributes; the first file of a case also has images.
fn file(first: bool, most: usize) -> impl Strategy<Value = String> {
    let service = || prop::collection::vec(entry(SERVICE), 0..=most);
    let plain = |(key, values): (&'static str, &'static [&'static str])| {
        select(values).prop_map(move |value| (key, value.to_owned()))
    };
    let top = prop::collection::vec(select(TOP).prop_flat_map(plain), 0..3);
    (service(), prop::collection::vec(entry(SERVICE), 0..2), top).prop_map(move |(a, b, top)| {
        let mut text = String::from("services:\n");
        for (name, entries) in [("a", a), ("b", b), ("c", Vec::new())] {
            let mut lines = String::new();
            if first {
                writeln!(lines, "    image: {name}").expect("a String takes all");
            }
            for (key, value) in once(entries) {
                writeln!(lines, "    {key}: {value}").expect("a String takes all");
            }
            if !lines.is_empty() {
                write!(text, "  {name}:\n{lines}").expect("a String takes all");
            }
        }
        if text.ends_with("services:\n") {
            "services: {}\n".clone_into(&mut text);
        }
        let mut top = once(top);
        if first {
            // What services name must be there, or most cases fail for the same reason.
            let sections = TOP
                .iter()
                .filter(|(key, _)| !matches!(*key, "name" | "version" | "x-top"));
            for (section, values) in sections {
                if !top.iter().any(|(key, _)| key == section) {
                    top.push((section, values[0].to_owned()));
                }
            }
        }
        for (key, value) in top {
            writeln!(text, "{key}: {value}").expect("a String takes all");
        }
        text
    })
}

/// A project.
pub(crate) fn case() -> impl Strategy<Value = Case> {
    let files = prop_oneof![
        3 => file(true, 4).prop_map(|one| vec![one]),
        4 => (file(true, 2), file(false, 2)).prop_map(|(one, two)| vec![one, two]),
        1 => (file(true, 2), file(false, 2), file(false, 1)).prop_map(|(a, b, c)| vec![a, b, c]),
        2 => merge(),
    ];
    let dotenv = prop_oneof![
        Just(""),
        Just("V=dot\nX=y z\n"),
        Just("V='a$b'\nCOMPOSE_PROFILES=p\n")
    ];
    let profiles = prop_oneof![3 => Just(vec![]), 1 => Just(vec!["p"]), 1 => Just(vec!["*"])];
    (files, dotenv, profiles).prop_map(|(files, dotenv, profiles)| Case {
        files,
        dotenv: dotenv.to_owned(),
        profiles,
    })
}

/// One attribute in two files.
fn merge() -> impl Strategy<Value = Vec<String>> {
    let both = select(SERVICE).prop_flat_map(|(key, values)| {
        let tag = prop_oneof![8 => Just(""), 1 => Just("!reset "), 1 => Just("!override ")];
        (Just(key), select(values), tag, select(values))
    });
    both.prop_map(|(key, base, tag, over)| {
        let resources = TOP.iter().filter(|(name, _)| !matches!(*name, "name" | "version" | "x-top"));
        let resources: String =
            resources.map(|(name, values)| format!("{name}: {}\n", values[0])).collect();
        vec![
            format!("services:\n  a:\n    image: a\n    {key}: {base}\n  b: {{image: b}}\n  c: {{image: c}}\n{resources}"),
            format!("services:\n  a:\n    {key}: {}\n", tagged(tag, over)),
        ]
    })
}
