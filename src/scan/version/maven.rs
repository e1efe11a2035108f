//! Maven's ComparableVersion ("Version Order Specification" of Maven's POM reference): numbers, qualifiers with an order of
//! their own, and `-`, or a change between digits and letters, which begins a list of its own.

use std::cmp::Ordering;

use super::{digits, split_digits, split_while};

/// Qualifiers from the earliest to the latest; the empty one is the release.
const QUALIFIERS: [&str; 7] = ["alpha", "beta", "milestone", "rc", "snapshot", "", "sp"];
const RELEASE: usize = 5;

/// A part and what is in front of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    is_after_dash: bool,
    part: Part,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Number(String),
    Word(String),
}

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (tokens(a), tokens(b));
    for at in 0..a.len().max(b.len()) {
        let (a, b) = (a.get(at), b.get(at));
        let (Some(one), Some(other)) = (
            a.cloned().or_else(|| b.map(padding)),
            b.cloned().or_else(|| a.map(padding)),
        ) else {
            break;
        };
        let order = token(&one, &other);
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// What is missing counts as a null of the same kind.
fn padding(other: &Token) -> Token {
    let part = match &other.part {
        Part::Number(_) => Part::Number("0".to_owned()),
        Part::Word(_) => Part::Word(String::new()),
    };
    Token {
        is_after_dash: other.is_after_dash,
        part,
    }
}

/// `.word` = `-word` < `-number` < `.number`.
fn token(a: &Token, b: &Token) -> Ordering {
    let rank = |token: &Token| match (&token.part, token.is_after_dash) {
        (Part::Word(_), _) => 0,
        (Part::Number(_), true) => 1,
        (Part::Number(_), false) => 2,
    };
    rank(a)
        .cmp(&rank(b))
        .then_with(|| match (&a.part, &b.part) {
            (Part::Number(a), Part::Number(b)) => digits(a, b),
            (Part::Word(a), Part::Word(b)) => word(a).cmp(&word(b)),
            _ => Ordering::Equal,
        })
}

/// Unknown qualifiers are after all known ones, in the order of the alphabet.
fn word(word: &str) -> (usize, &str) {
    let known = QUALIFIERS.iter().position(|qualifier| *qualifier == word);
    match known {
        Some(rank) => (rank, ""),
        None => (QUALIFIERS.len(), word),
    }
}

fn tokens(version: &str) -> Vec<Token> {
    let version = version.to_lowercase();
    let mut found: Vec<Token> = Vec::new();
    let mut is_after_dash = false;
    for (number, piece) in version.split_inclusive(['.', '-', '_']).enumerate() {
        let (text, separator) = match piece.strip_suffix(['.', '-', '_']) {
            Some(text) => (text, piece.chars().last()),
            None => (piece, None),
        };
        if number > 0 && text.is_empty() {
            found.push(zero(is_after_dash));
        }
        let mut rest = text;
        while !rest.is_empty() {
            let (digits, after) = split_digits(rest);
            if digits.is_empty() {
                let (letters, after) = split_while(rest, |c| !c.is_ascii_digit());
                let word = qualifier(letters, !after.is_empty());
                found.push(Token {
                    is_after_dash,
                    part: Part::Word(word),
                });
                rest = after;
            } else {
                let part = Part::Number(digits.to_owned());
                found.push(Token {
                    is_after_dash,
                    part,
                });
                rest = after;
            }
            is_after_dash = true;
        }
        is_after_dash = separator != Some('.');
    }
    trim(found)
}

fn zero(is_after_dash: bool) -> Token {
    Token {
        is_after_dash,
        part: Part::Number("0".to_owned()),
    }
}

fn qualifier(letters: &str, has_number: bool) -> String {
    let full = match letters {
        "a" if has_number => "alpha",
        "b" if has_number => "beta",
        "m" if has_number => "milestone",
        "cr" => "rc",
        "ga" | "final" | "release" => QUALIFIERS[RELEASE],
        other => other,
    };
    full.to_owned()
}

/// Takes nulls away at the end and in front of every `-`.
fn trim(tokens: Vec<Token>) -> Vec<Token> {
    let is_null = |token: &Token| match &token.part {
        Part::Number(number) => number.bytes().all(|b| b == b'0'),
        Part::Word(word) => word.is_empty(),
    };
    let mut kept: Vec<Token> = Vec::new();
    for token in tokens {
        if token.is_after_dash {
            while kept.len() > 1 && kept.last().is_some_and(is_null) {
                drop(kept.pop());
            }
        }
        kept.push(token);
    }
    while kept.len() > 1 && kept.last().is_some_and(is_null) {
        drop(kept.pop());
    }
    kept
}
