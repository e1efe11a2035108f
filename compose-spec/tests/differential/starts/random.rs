//! Random starts: files in three directories and above, variables of every source, flags.

use std::collections::BTreeMap;

use proptest::{prelude::*, sample::select};

use super::{Start, compose_file, owned};

const BASES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];
const OVERRIDES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];
const OPTIONS: [&str; 11] = [
    "",
    "",
    "",
    "service=b",
    "service=b",
    "profile=p",
    "profile=q",
    "name=in-file",
    "name=In.File",
    "name=${V:-v}",
    "name=${COMPOSE_PROJECT_NAME}-x",
];
const DOTENV: [&str; 22] = [
    "V=1",
    "V=2",
    "V=",
    "W=w$V",
    "W=w",
    "COMPOSE_PROJECT_NAME=dotname",
    "COMPOSE_PROJECT_NAME=",
    "COMPOSE_PROJECT_NAME=Dot.Name",
    "COMPOSE_PROFILES=p",
    "COMPOSE_PROFILES='p, q'",
    "COMPOSE_FILE=f1.yaml",
    "COMPOSE_FILE=f1.yaml:f2.yaml",
    "COMPOSE_FILE=f1.yaml;f2.yaml\nCOMPOSE_PATH_SEPARATOR=;",
    "COMPOSE_FILE=deep/g.yaml",
    "COMPOSE_FILE=../other/o.yaml",
    "COMPOSE_FILE=-",
    "COMPOSE_FILE=",
    "COMPOSE_FILE=f1.yaml:",
    "COMPOSE_ENV_FILES=e1.env",
    "COMPOSE_DISABLE_ENV_FILE=1",
    "HOME=/h",
    "BARE",
];
const VARIABLES: [(&str, &str); 25] = [
    ("V", "shell"),
    ("V", ""),
    ("W", "shell"),
    ("COMPOSE_FILE", "f1.yaml"),
    ("COMPOSE_FILE", "f1.yaml:f2.yaml"),
    ("COMPOSE_FILE", "f2.yaml,f1.yaml"),
    ("COMPOSE_FILE", "-"),
    ("COMPOSE_FILE", "-:deep/g.yaml"),
    ("COMPOSE_FILE", "../other/o.yaml"),
    ("COMPOSE_FILE", "deep"),
    ("COMPOSE_FILE", ""),
    ("COMPOSE_PATH_SEPARATOR", ","),
    ("COMPOSE_PROJECT_NAME", "shell-name"),
    ("COMPOSE_PROJECT_NAME", ""),
    ("COMPOSE_PROJECT_NAME", "Shell.Name"),
    ("COMPOSE_PROFILES", "p"),
    ("COMPOSE_PROFILES", " q , p"),
    ("COMPOSE_PROFILES", "*"),
    ("COMPOSE_ENV_FILES", "e1.env"),
    ("COMPOSE_ENV_FILES", "e1.env,e2.env"),
    ("COMPOSE_ENV_FILES", "e1.env, e2.env"),
    ("COMPOSE_ENV_FILES", "e1.env,"),
    ("COMPOSE_ENV_FILES", "none.env"),
    ("COMPOSE_DISABLE_ENV_FILE", "1"),
    ("COMPOSE_DISABLE_ENV_FILE", "false"),
];
const FLAGS: [(&str, &str); 27] = [
    ("-f", "f1.yaml"),
    ("-f", "./f2.yaml"),
    ("-f", "deep/g.yaml"),
    ("-f", "../other/o.yaml"),
    ("-f", "-"),
    ("-f", "nope.yaml"),
    ("-f", "deep"),
    ("-f", ""),
    ("-p", "flag"),
    ("-p", "Flag"),
    ("-p", "_x"),
    ("-p", ""),
    ("--project-directory", "deep"),
    ("--project-directory", "../other"),
    ("--project-directory", "."),
    ("--project-directory", "nope"),
    ("--env-file", "e1.env"),
    ("--env-file", "e2.env"),
    ("--env-file", "../other/e3.env"),
    ("--env-file", "nope.env"),
    ("--env-file", ""),
    ("--env-file", "e1.env,e2.env"),
    ("--profile", "p"),
    ("--profile", "q"),
    ("--profile", "p,q"),
    ("--profile", "*"),
    ("--profile", ""),
];

/// A Compose file with up to two options.
fn some_file(mark: String) -> impl Strategy<Value = String> {
    let options = prop::collection::vec(select(&OPTIONS[..]), 0..3);
    options.prop_map(move |options| compose_file(&mark, &options))
}

/// Files of a directory that are found by name.
fn found(directory: &'static str, base: f64) -> impl Strategy<Value = Vec<(String, String)>> {
    let file = |names: &'static [&'static str], chance: f64| {
        let one = select(names).prop_flat_map(move |name| {
            let path = format!("{directory}{name}");
            let mark = path.replace(['/', '.'], "-");
            (Just(path), some_file(mark))
        });
        prop::option::weighted(chance, one)
    };
    let lines = prop::collection::vec(select(&DOTENV[..]), 0..4);
    let dotenv = prop::option::weighted(0.4, lines)
        .prop_map(move |lines| Some((format!("{directory}.env"), lines?.join("\n") + "\n")));
    let files = (
        file(&BASES, base),
        file(&BASES, 0.2),
        file(&OVERRIDES, 0.3),
        file(&OVERRIDES, 0.1),
    );
    (files, dotenv).prop_map(|((a, b, c, d), e)| [a, b, c, d, e].into_iter().flatten().collect())
}

/// A start.
pub(super) fn start() -> impl Strategy<Value = Start> {
    let directories = (
        found("shop/", 0.8),
        found("shop/deep/", 0.2),
        found("other/", 0.3),
        found("", 0.2),
    );
    let named = [
        "shop/f1.yaml",
        "shop/f2.yaml",
        "shop/deep/g.yaml",
        "other/o.yaml",
        "stdin",
    ]
    .map(|path| some_file(path.replace(['/', '.'], "-")));
    let second = select(
        &[
            "V=e2\n",
            "COMPOSE_FILE=f2.yaml\n",
            "COMPOSE_PROJECT_NAME=e2name\n",
            "COMPOSE_PROFILES=q\n",
        ][..],
    );
    let asked = (
        select(&["shop", "shop", "shop", "shop/deep", "other", ""][..]),
        prop::collection::vec(select(&VARIABLES[..]), 0..3),
        prop::collection::vec(select(&FLAGS[..]), 0..3),
    );
    (directories, named, second, asked).prop_map(|(directories, named, second, asked)| {
        let (shop, deep, other, above) = directories;
        let [first, then, nested, far, stdin] = named;
        let (cwd, variables, flags) = asked;
        let mut files = [shop, deep, other, above].concat();
        let others = [
            ("shop/f1.yaml", first.as_str()),
            ("shop/f2.yaml", &then),
            ("shop/deep/g.yaml", &nested),
            ("other/o.yaml", &far),
            ("shop/e1.env", "V=e1\nW=${V}-e\n"),
            ("shop/e2.env", second),
            ("other/e3.env", "V=e3\n"),
        ];
        files.extend(others.map(owned));
        let environment: BTreeMap<_, _> = variables.into_iter().map(owned).collect();
        Start {
            files,
            cwd: cwd.to_owned(),
            environment: environment.into_iter().collect(),
            flags: flags
                .into_iter()
                .flat_map(|(a, b)| [a.to_owned(), b.to_owned()])
                .collect(),
            stdin,
        }
    })
}
