//! `1.2.3a_rc1-r4`: numbers, one letter, suffixes with numbers, a revision. What one version has and the other lacks makes it
//! later, unless it is the suffix of a pre-release.

use std::cmp::Ordering;

use super::{digits, split_digits, split_while};

/// Suffixes from the earliest to the latest; the first four come before the version without them.
const SUFFIXES: [&str; 9] = ["alpha", "beta", "pre", "rc", "cvs", "svn", "git", "hg", "p"];
const PRE_RELEASES: usize = 4;

/// A part of a version. The earlier in this list, the later is a version that has it where the other has something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    /// The first number.
    First(&'a str),
    /// A number behind a point.
    Number(&'a str),
    Letter(char),
    Suffix(usize),
    SuffixNumber(&'a str),
    /// A commit, `~abc`.
    Commit(&'a str),
    Revision(&'a str),
    End,
}

impl Token<'_> {
    fn rank(self) -> u8 {
        match self {
            Self::First(_) => 0,
            Self::Number(_) => 1,
            Self::Letter(_) => 2,
            Self::Suffix(_) => 3,
            Self::SuffixNumber(_) => 4,
            Self::Commit(_) => 5,
            Self::Revision(_) => 6,
            Self::End => 7,
        }
    }

    fn is_pre_release(self) -> bool {
        matches!(self, Self::Suffix(number) if number < PRE_RELEASES)
    }

    fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) if a.starts_with('0') || b.starts_with('0') => {
                // A fraction: 1.01 is before 1.1.
                a.cmp(b)
            }
            (Self::First(a), Self::First(b))
            | (Self::Number(a), Self::Number(b))
            | (Self::SuffixNumber(a), Self::SuffixNumber(b))
            | (Self::Revision(a), Self::Revision(b)) => digits(a, b),
            (Self::Letter(a), Self::Letter(b)) => a.cmp(&b),
            (Self::Suffix(a), Self::Suffix(b)) => a.cmp(&b),
            (Self::Commit(a), Self::Commit(b)) => a.cmp(b),
            (a, _) if a.is_pre_release() => Ordering::Less,
            (_, b) if b.is_pre_release() => Ordering::Greater,
            (a, b) => b.rank().cmp(&a.rank()),
        }
    }
}

pub(super) fn compare(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (tokens(a)?, tokens(b)?);
    let end = std::iter::repeat(&Token::End);
    let length = a.len().max(b.len()) + 1;
    let pairs = a.iter().chain(end.clone()).zip(b.iter().chain(end));
    let mut orders = pairs.take(length).map(|(a, b)| a.compare(*b));
    Some(
        orders
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal),
    )
}

/// Splits a version; `None` when it has another form.
fn tokens(version: &str) -> Option<Vec<Token<'_>>> {
    let mut found = Vec::new();
    let (first, mut rest) = split_digits(version);
    if first.is_empty() {
        return None;
    }
    found.push(Token::First(first));
    while let Some(after) = rest.strip_prefix('.') {
        let (number, left) = split_digits(after);
        if number.is_empty() {
            return None;
        }
        found.push(Token::Number(number));
        rest = left;
    }
    if let Some(letter) = rest.chars().next().filter(char::is_ascii_lowercase) {
        found.push(Token::Letter(letter));
        rest = &rest[1..];
    }
    while let Some(after) = rest.strip_prefix('_') {
        let (name, left) = split_while(after, |c| c.is_ascii_lowercase());
        let suffix = SUFFIXES.iter().position(|suffix| *suffix == name)?;
        found.push(Token::Suffix(suffix));
        let (number, left) = split_digits(left);
        if !number.is_empty() {
            found.push(Token::SuffixNumber(number));
        }
        rest = left;
    }
    if let Some(after) = rest.strip_prefix('~') {
        let (commit, left) = split_while(after, |c| c.is_ascii_hexdigit());
        found.push(Token::Commit(commit));
        rest = left;
    }
    if let Some(after) = rest.strip_prefix("-r") {
        let (number, left) = split_digits(after);
        if number.is_empty() {
            return None;
        }
        found.push(Token::Revision(number));
        rest = left;
    }
    rest.is_empty().then_some(found)
}
