//! `[epoch:]version[-release]`, compared in segments of digits or letters; `~` sorts before the end, `^` after it but before any
//! segment.

use std::cmp::Ordering;

use super::{digits, split_digits, split_while};

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (epoch_a, version_a, release_a) = parts(a);
    let (epoch_b, version_b, release_b) = parts(b);
    let releases = || match (release_a, release_b) {
        (Some(a), Some(b)) => segments(a, b),
        // A version without a release means all of its releases.
        _ => Ordering::Equal,
    };
    digits(epoch_a, epoch_b)
        .then_with(|| segments(version_a, version_b))
        .then_with(releases)
}

fn parts(evr: &str) -> (&str, &str, Option<&str>) {
    let (epoch, rest) = match evr.split_once(':') {
        Some((epoch, rest)) if epoch.bytes().all(|b| b.is_ascii_digit()) => (epoch, rest),
        _ => ("0", evr),
    };
    match rest.rsplit_once('-') {
        Some((version, release)) => (epoch, version, Some(release)),
        None => (epoch, rest, None),
    }
}

fn segments(mut a: &str, mut b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    let is_separator = |c: char| !c.is_ascii_alphanumeric() && c != '~' && c != '^';
    loop {
        a = a.trim_start_matches(is_separator);
        b = b.trim_start_matches(is_separator);
        match (a.strip_prefix('~'), b.strip_prefix('~')) {
            (Some(rest_a), Some(rest_b)) => {
                (a, b) = (rest_a, rest_b);
                continue;
            }
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        match (a.strip_prefix('^'), b.strip_prefix('^')) {
            (Some(rest_a), Some(rest_b)) => {
                (a, b) = (rest_a, rest_b);
                continue;
            }
            (Some(_), None) if b.is_empty() => return Ordering::Greater,
            (None, Some(_)) if a.is_empty() => return Ordering::Less,
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        if a.is_empty() || b.is_empty() {
            return a.len().min(1).cmp(&b.len().min(1));
        }
        let is_number = a.starts_with(|c: char| c.is_ascii_digit());
        let (segment_a, rest_a) = segment(a, is_number);
        let (segment_b, rest_b) = segment(b, is_number);
        if segment_b.is_empty() {
            // Numbers are later than letters.
            return if is_number {
                Ordering::Greater
            } else {
                Ordering::Less
            };
        }
        let order = if is_number {
            digits(segment_a, segment_b)
        } else {
            segment_a.cmp(segment_b)
        };
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

fn segment(text: &str, is_number: bool) -> (&str, &str) {
    if is_number {
        split_digits(text)
    } else {
        split_while(text, |c| c.is_ascii_alphabetic())
    }
}
