//! `[N!]N(.N)*[{a|b|rc}N][.postN][.devN][+local]`, with all spellings that PEP 440 normalises.

use std::cmp::Ordering;

use super::{digits, split_digits, split_while};

pub(super) fn compare(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (a.trim().to_lowercase(), b.trim().to_lowercase());
    let (a, b) = (parse(&a)?, parse(&b)?);
    let order = digits(a.epoch, b.epoch)
        .then_with(|| release(&a.release, &b.release))
        .then_with(|| a.pre_rank().cmp(&b.pre_rank()))
        .then_with(|| optional(a.pre.map(|pre| pre.1), b.pre.map(|pre| pre.1)))
        .then_with(|| optional(a.post, b.post))
        // Having no `.dev` is later than having one.
        .then_with(|| match (a.dev, b.dev) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => digits(a, b),
        })
        .then_with(|| local(&a.local, &b.local));
    Some(order)
}

struct Version<'a> {
    epoch: &'a str,
    release: Vec<&'a str>,
    /// 0 alpha, 1 beta, 2 release candidate, and its number.
    pre: Option<(u8, &'a str)>,
    post: Option<&'a str>,
    dev: Option<&'a str>,
    local: Vec<&'a str>,
}

impl Version<'_> {
    /// `1.dev1` is before `1a1`; without a pre-release part a version is after all of them.
    fn pre_rank(&self) -> u8 {
        match (self.pre, self.post, self.dev) {
            (Some((kind, _)), _, _) => kind + 1,
            (None, None, Some(_)) => 0,
            (None, _, _) => 4,
        }
    }
}

const PRE: [(&str, u8); 8] = [
    ("alpha", 0),
    ("a", 0),
    ("beta", 1),
    ("b", 1),
    ("preview", 2),
    ("pre", 2),
    ("rc", 2),
    ("c", 2),
];

fn parse(text: &str) -> Option<Version<'_>> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (public, local) = match text.split_once('+') {
        Some((public, local)) => (public, local.split(['.', '-', '_']).collect()),
        None => (text, Vec::new()),
    };
    let (epoch, rest) = public.split_once('!').unwrap_or(("0", public));
    let (numbers, mut rest) = split_while(rest, |c| c.is_ascii_digit() || c == '.');
    // The point in front of `.post1` is not of the release.
    let trimmed = numbers.trim_end_matches('.');
    rest = &public[public.len() - rest.len() - (numbers.len() - trimmed.len())..];
    let release: Vec<&str> = trimmed.split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let is_local =
        |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    if !is_number(&epoch) || !release.iter().all(is_number) || !local.iter().all(is_local) {
        return None;
    }
    let mut version = Version {
        epoch,
        release,
        pre: None,
        post: None,
        dev: None,
        local,
    };
    let found = PRE
        .iter()
        .find_map(|(word, kind)| Some((*kind, tagged(rest, word)?)));
    if let Some((kind, (number, left))) = found {
        version.pre = Some((kind, number));
        rest = left;
    }
    let post = ["post", "rev", "r"]
        .iter()
        .find_map(|word| tagged(rest, word));
    if let Some((number, left)) = post.or_else(|| bare_post(rest)) {
        version.post = Some(number);
        rest = left;
    }
    if let Some((number, left)) = tagged(rest, "dev") {
        version.dev = Some(number);
        rest = left;
    }
    rest.is_empty().then_some(version)
}

/// Reads `[.-_]WORD[.-_]N`; without a number it is 0.
fn tagged<'a>(text: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let separators = ['.', '-', '_'];
    let start = text.strip_prefix(separators).unwrap_or(text);
    let rest = start.strip_prefix(word)?;
    // A longer word is another one.
    if rest.starts_with(|c: char| c.is_ascii_alphabetic()) && !follows(rest) {
        return None;
    }
    let separated = rest.strip_prefix(separators);
    let (number, left) = split_digits(separated.unwrap_or(rest));
    if number.is_empty() {
        return Some(("0", rest));
    }
    Some((number, left))
}

/// `1adev1` and `1apost1` are written without a number in between.
fn follows(rest: &str) -> bool {
    ["post", "rev", "dev"]
        .iter()
        .any(|word| rest.starts_with(word))
}

/// `1.0-1` is `1.0.post1`.
fn bare_post(text: &str) -> Option<(&str, &str)> {
    let (number, left) = split_digits(text.strip_prefix('-')?);
    (!number.is_empty()).then_some((number, left))
}

/// Zeros at the end do not count.
fn release(a: &[&str], b: &[&str]) -> Ordering {
    let at = |numbers: &[&str], index: usize| numbers.get(index).copied().unwrap_or("0").to_owned();
    let mut orders = (0..a.len().max(b.len())).map(|index| digits(&at(a, index), &at(b, index)));
    orders
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn optional(a: Option<&str>, b: Option<&str>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => digits(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

/// Numbers are later than words, more parts later than fewer.
fn local(a: &[&str], b: &[&str]) -> Ordering {
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    for (a, b) in a.iter().zip(b) {
        let order = match (is_number(a), is_number(b)) {
            (true, true) => digits(a, b),
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => a.cmp(b),
        };
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}
