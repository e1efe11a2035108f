//! Semantic versions, read leniently: a `v` in front, missing parts, and Go's own `1.22rc1` are understood.

use std::cmp::Ordering;

use super::{digits, split_while};

pub(super) fn compare(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (parse(a)?, parse(b)?);
    let length = a.numbers.len().max(b.numbers.len());
    let number =
        |numbers: &[&str], at: usize| numbers.get(at).map_or("0", |number| *number).to_owned();
    for at in 0..length {
        let order = digits(&number(&a.numbers, at), &number(&b.numbers, at));
        if order.is_ne() {
            return Some(order);
        }
    }
    Some(match (a.pre.is_empty(), b.pre.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => identifiers(&a.pre, &b.pre),
    })
}

struct Version<'a> {
    numbers: Vec<&'a str>,
    pre: Vec<&'a str>,
}

fn parse(text: &str) -> Option<Version<'_>> {
    let text = text.trim().trim_start_matches(['v', '=']);
    let text = text.split('+').next().unwrap_or_default();
    let (release, pre) = match text.split_once('-') {
        Some((release, pre)) => (release, pre.split('.').collect()),
        None => go(text),
    };
    let numbers: Vec<&str> = release.split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let is_known = numbers.iter().all(is_number) && !pre.contains(&"");
    is_known.then_some(Version { numbers, pre })
}

/// `1.22rc1` is `1.22.0-rc.1`.
fn go(text: &str) -> (&str, Vec<&str>) {
    let (release, rest) = split_while(text, |c| c.is_ascii_digit() || c == '.');
    if !rest.starts_with("rc") && !rest.starts_with("beta") {
        return (text, Vec::new());
    }
    let (word, number) = split_while(rest, |c| c.is_ascii_alphabetic());
    (
        release,
        [word, number]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect(),
    )
}

/// Numbers come before words, and fewer before more.
fn identifiers(a: &[&str], b: &[&str]) -> Ordering {
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    for (a, b) in a.iter().zip(b) {
        let order = match (is_number(a), is_number(b)) {
            (true, true) => digits(a, b),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => a.cmp(b),
        };
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}
