//! `[epoch:]upstream[-revision]`, compared in runs of non-digits and digits; `~` sorts before everything, even the end.

use std::cmp::Ordering;

use super::{digits, split_digits, split_while};

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (epoch_a, upstream_a, revision_a) = parts(a);
    let (epoch_b, upstream_b, revision_b) = parts(b);
    digits(epoch_a, epoch_b)
        .then_with(|| runs(upstream_a, upstream_b))
        .then_with(|| runs(revision_a, revision_b))
}

fn parts(version: &str) -> (&str, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

fn runs(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = split_while(a, |c| !c.is_ascii_digit());
        let (text_b, rest_b) = split_while(b, |c| !c.is_ascii_digit());
        let (number_a, rest_a) = split_digits(rest_a);
        let (number_b, rest_b) = split_digits(rest_b);
        let order = letters(text_a, text_b).then_with(|| digits(number_a, number_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// Letters sort before other characters, the end before letters, `~` before the end.
fn letters(a: &str, b: &str) -> Ordering {
    let weight = |character: Option<char>| match character {
        Some('~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => i64::from(u32::from(c)),
        Some(c) => i64::from(u32::from(c)) + 0x11_0000,
    };
    let (mut a, mut b) = (a.chars(), b.chars());
    loop {
        let (next_a, next_b) = (a.next(), b.next());
        let order = weight(next_a).cmp(&weight(next_b));
        if order.is_ne() || next_a.is_none() {
            return order;
        }
    }
}
