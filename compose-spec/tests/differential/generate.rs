//! Random projects over every attribute of the format: files that are laid over each other, include and extend, several
//! documents, anchors, tags that steer the merge, variables, profiles and flags.

use std::fmt::Write as _;

use proptest::{prelude::*, sample::select};

use crate::{
    case::Case,
    forms,
    fragments::{SERVICE, TOP},
    text,
};

const DOTENV: [&str; 4] = [
    "",
    "V=dot\nX=y z\n",
    "V='a$b'\nCOMPOSE_PROFILES=p\n",
    "V=\"q\\tr\"\nX=${V}-$N\nK=dot\n",
];

const PASSES: [&str; 5] = [
    "--no-interpolate",
    "--no-normalize",
    "--no-path-resolution",
    "--no-consistency",
    "--no-env-resolution",
];

/// One attribute with its value.
type Entry = (&'static str, String);

type Table = &'static [(&'static str, &'static [&'static str])];

/// A value of an attribute: seldom one that is wrong, or most projects would be refused by both for the first of them.
fn value(values: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    let (wrong, right): (Vec<&str>, Vec<&str>) =
        values.iter().partition(|value| value.starts_with('?'));
    let either = if wrong.is_empty() {
        right.clone()
    } else {
        wrong
    };
    prop_oneof![24 => select(right), 1 => select(either)]
        .prop_map(|value| value.trim_start_matches('?'))
}

fn entry(table: Table) -> impl Strategy<Value = Entry> {
    select(table)
        .prop_flat_map(|(key, values)| (Just(key), tag(10), value(values)).prop_map(tagged))
}

fn tag(plain: u32) -> impl Strategy<Value = &'static str> {
    prop_oneof![plain => Just(""), 1 => Just("!reset "), 1 => Just("!override ")]
}

/// A tag in front of a number or boolean makes a text of it in compose: only collections carry `!override`, and what
/// names or describes the whole file no tag at all.
fn tagged((key, tag, value): (&'static str, &str, &str)) -> Entry {
    let collection = value.starts_with(['[', '{']);
    let value = match tag {
        "!reset " if !value.starts_with('\n') => format!("{tag}{value}"),
        // docker compose does not look for tags below an `!override`.
        "!override " if collection && !value.contains("!reset") => format!("{tag}{value}"),
        _ => value.to_owned(),
    };
    (key, value)
}

fn attributes(most: usize) -> impl Strategy<Value = Vec<Entry>> {
    let one = prop_oneof![4 => entry(SERVICE), 1 => text::attribute(), 1 => forms::attribute()];
    prop::collection::vec(one, 0..=most).prop_map(once)
}

fn once(entries: Vec<Entry>) -> Vec<Entry> {
    let mut seen = std::collections::HashSet::new();
    entries
        .into_iter()
        .filter(|(key, _)| seen.insert(*key))
        .collect()
}

fn write_service(text: &mut String, name: &str, lines: &[Entry]) {
    if lines.is_empty() {
        return;
    }
    writeln!(text, "  {name}:").expect("a String takes all");
    for (key, value) in lines {
        writeln!(text, "    {key}: {value}").expect("a String takes all");
    }
}

fn with_image(name: &str, mut entries: Vec<Entry>) -> Vec<Entry> {
    if !entries.iter().any(|(key, _)| *key == "image") {
        entries.insert(0, ("image", name.to_owned()));
    }
    entries
}

/// What services name, which must be there, or most cases fail for the same reason.
fn complete(top: &mut Vec<Entry>) {
    let sections = TOP
        .iter()
        .filter(|(key, _)| !matches!(*key, "name" | "version" | "x-top"));
    for (section, values) in sections {
        if !top.iter().any(|(key, _)| key == section) {
            top.push((section, values[0].to_owned()));
        }
    }
}

fn write_top(text: &mut String, top: &[Entry]) {
    for (key, value) in top {
        writeln!(text, "{key}: {value}").expect("a String takes all");
    }
}

/// A file with three services, `a` with up to `most` attributes, some of them behind an anchor; the first file of a case
/// also has images.
fn file(first: bool, most: usize) -> impl Strategy<Value = String> {
    let plain = |(key, values): (&'static str, &'static [&'static str])| {
        value(values).prop_map(move |value| (key, value.to_owned()))
    };
    let top = prop::collection::vec(select(TOP).prop_flat_map(plain), 0..3);
    let anchored = prop_oneof![4 => Just(Vec::new()), 1 => attributes(2)];
    (attributes(most), attributes(1), top, anchored).prop_map(move |(a, b, top, anchored)| {
        let mut text = String::new();
        let mut top = once(top);
        let mut a = if first { with_image("a", a) } else { a };
        let mut b = if first { with_image("b", b) } else { b };
        if !anchored.is_empty() {
            writeln!(text, "x-anchor: &base").expect("a String takes all");
            for (key, value) in &anchored {
                writeln!(text, "    {key}: {value}").expect("a String takes all");
            }
            for service in [&mut a, &mut b] {
                service.push(("<<", "*base".to_owned()));
            }
        }
        text.push_str("services:\n");
        let empty = text.len();
        write_service(&mut text, "a", &a);
        write_service(&mut text, "b", &b);
        write_service(
            &mut text,
            "c",
            &if first {
                with_image("c", Vec::new())
            } else {
                Vec::new()
            },
        );
        if text.len() == empty {
            text.truncate(empty - 1);
            text.push_str(" {}\n");
        }
        if first {
            complete(&mut top);
        }
        write_top(&mut text, &top);
        text
    })
}

/// One attribute in two documents.
fn merge() -> impl Strategy<Value = Vec<String>> {
    let both = select(SERVICE)
        .prop_flat_map(|(key, values)| (Just(key), value(values), tag(4), value(values)));
    both.prop_map(|(key, base, tag, over)| {
        let mut top = Vec::new();
        complete(&mut top);
        let mut below = String::from("services:\n");
        write_service(
            &mut below,
            "a",
            &with_image("a", vec![(key, base.to_owned())]),
        );
        for name in ["b", "c"] {
            write_service(&mut below, name, &with_image(name, Vec::new()));
        }
        write_top(&mut below, &top);
        let mut above = String::from("services:\n");
        write_service(&mut above, "a", &[tagged((key, tag, over))]);
        vec![below, above]
    })
}

/// A file in which only one attribute can be wrong.
fn of_one_form() -> impl Strategy<Value = String> {
    let one = prop_oneof![3 => forms::attribute(), 1 => text::attribute()];
    one.prop_map(|attribute| {
        let mut text = String::from("services:\n");
        write_service(&mut text, "a", &with_image("a", vec![attribute]));
        for name in ["b", "c"] {
            write_service(&mut text, name, &with_image(name, Vec::new()));
        }
        let mut top = Vec::new();
        complete(&mut top);
        write_top(&mut text, &top);
        text
    })
}

/// `sub/ext.yaml`: a service that extends another one of the file.
fn extended() -> impl Strategy<Value = String> {
    (attributes(2), attributes(2)).prop_map(|(mut e0, e1)| {
        e0.retain(|(key, _)| *key != "extends");
        let mut e1 = e1;
        e1.retain(|(key, _)| *key != "extends");
        e1.push(("extends", "e0".to_owned()));
        let mut text = String::from("services:\n");
        write_service(&mut text, "e0", &with_image("e0", e0));
        write_service(&mut text, "e1", &e1);
        text
    })
}

const INCLUDES: [&str; 7] = [
    "[sub/inc.yaml]",
    "[{path: sub/inc.yaml}]",
    "[{path: [sub/inc.yaml, sub/over.yaml]}]",
    "[{path: sub/inc.yaml, project_directory: .}]",
    "[{path: ./sub/inc.yaml, env_file: o.env}]",
    "[{path: sub/inc.yaml, env_file: [o.env, sub/s.env], project_directory: sub}]",
    "[sub/inc.yaml, sub/over.yaml]",
];

/// `sub/inc.yaml` and `sub/over.yaml`, with a service of their own and one that the including file may have too.
fn included() -> impl Strategy<Value = (&'static str, String, String)> {
    let inc = (attributes(2), attributes(1), any::<bool>());
    let over = attributes(2);
    (select(&INCLUDES[..]), inc, over).prop_map(|(form, (d, b, shares), over)| {
        let mut top = vec![("x-inc", "1".to_owned())];
        complete(&mut top);
        let mut text = String::from("services:\n");
        write_service(&mut text, "d", &with_image("d${K:-}", d));
        if shares {
            write_service(&mut text, "b", &with_image("inc-b", b));
        } else {
            write_service(&mut text, "b", &with_image("b", Vec::new()));
        }
        write_service(&mut text, "c", &with_image("c", Vec::new()));
        write_top(&mut text, &top);
        let mut above = String::from("services:\n");
        write_service(&mut above, "d", &with_image("over", over));
        (form, text, above)
    })
}

/// Compose files: one, several, several documents of one file.
fn documents() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![
        3 => file(true, 4).prop_map(|one| vec![one]),
        4 => (file(true, 2), file(false, 2)).prop_map(|(one, two)| vec![one, two]),
        1 => (file(true, 2), file(false, 2), file(false, 1)).prop_map(|(a, b, c)| vec![a, b, c]),
        2 => of_one_form().prop_map(|one| vec![one]),
        3 => merge(),
        1 => merge().prop_map(|both| vec![both.join("---\n")]),
        1 => (file(true, 2), file(false, 2)).prop_map(|(one, two)| vec![format!("{one}---\n{two}")]),
    ]
}

/// A project.
pub(crate) fn case() -> impl Strategy<Value = Case> {
    let includes = prop_oneof![4 => Just(None), 1 => included().prop_map(Some)];
    let dotenv = prop_oneof![
        3 => select(&DOTENV[..]).prop_map(str::to_owned),
        1 => forms::variables(),
    ];
    let own = prop::option::weighted(0.2, forms::variables());
    let project = (documents(), extended(), includes, dotenv, own);
    let profiles = prop_oneof![3 => Just(vec![]), 1 => Just(vec!["p"]), 1 => Just(vec!["*"]), 1 => Just(vec!["q", "r"])];
    let services = prop_oneof![6 => Just(vec![]), 1 => Just(vec!["a"]), 1 => Just(vec!["b", "c"])];
    let pass = prop_oneof![5 => Just(""), 1 => select(&PASSES[..])];
    let env_files =
        prop_oneof![6 => Just(vec![]), 1 => Just(vec!["o.env"]), 1 => Just(vec!["e.env", "o.env"])];
    let shell = prop_oneof![4 => Just(vec![]), 1 => Just(vec![("V", "shell")]), 1 => Just(vec![("V", ""), ("COMPOSE_PROFILES", "q,r")])];
    let asked = (
        profiles,
        services,
        pass,
        env_files,
        shell,
        select(&["json", "yaml"][..]),
    );
    (project, asked).prop_map(|(project, asked)| {
        let (documents, extended, includes, dotenv, own) = project;
        let (profiles, services, pass, env_files, mut environment, format) = asked;
        environment.extend([("EMPTY", ""), ("N", "5"), ("B", "true")]);
        let mut case = Case {
            environment,
            env_files,
            profiles,
            services,
            pass,
            format,
            ..Case::default()
        };
        for (index, text) in documents.into_iter().enumerate() {
            let name = format!("f{index}.yaml");
            case.compose.push(name.clone());
            case.files.push((name, text));
        }
        if case
            .files
            .iter()
            .any(|(_, text)| text.contains("sub/ext.yaml"))
        {
            case.files.push(("sub/ext.yaml".to_owned(), extended));
        }
        if let Some((form, text, over)) = includes {
            case.files[0].1.insert_str(0, &format!("include: {form}\n"));
            case.files.push(("sub/inc.yaml".to_owned(), text));
            case.files.push(("sub/over.yaml".to_owned(), over));
        }
        case.files.push((".env".to_owned(), dotenv));
        // In place of the fixed file that services name most.
        case.files
            .extend(own.map(|text| ("e.env".to_owned(), text)));
        case
    })
}
