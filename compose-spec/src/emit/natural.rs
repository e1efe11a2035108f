//! The order of the keys of a map in go-yaml's output: letters behind everything else, numbers by their value.

use std::cmp::Ordering;

/// Compares two keys. What differs first decides: two numbers by value, two letters by code, else the one that is no letter
/// comes first, unless a digit stands before it.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(x, y)| x != y) else {
        return a.len().cmp(&b.len());
    };
    let (x, y) = (a[at], b[at]);
    let after_digit = at > 0 && a[at - 1].is_numeric();
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (letter, other) if letter || other => {
            return if letter == after_digit {
                Ordering::Less
            } else {
                Ordering::Greater
            };
        }
        _ => {}
    }
    // A zero counts when a digit other than zero stands before it: 105 is more than 15.
    let common = a[..at].iter().rev().take_while(|c| c.is_ascii_digit());
    let carried = (x == '0' || y == '0') && common.into_iter().any(|c| *c != '0');
    let (left, right) = (number(&a[at..]), number(&b[at..]));
    let by_value = if carried {
        left.len().cmp(&right.len()).then_with(|| left.cmp(right))
    } else {
        let (left, right) = (significant(left), significant(right));
        left.len().cmp(&right.len()).then_with(|| left.cmp(right))
    };
    by_value
        .then_with(|| left.len().cmp(&right.len()))
        .then_with(|| x.cmp(&y))
}

fn number(text: &[char]) -> &[char] {
    let end = text
        .iter()
        .position(|c| !c.is_ascii_digit())
        .unwrap_or(text.len());
    &text[..end]
}

fn significant(digits: &[char]) -> &[char] {
    let zeros = digits.iter().take_while(|c| **c == '0').count();
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::compare;

    #[test]
    fn numbers_count_and_letters_come_last() {
        let mut keys = [
            "B", "a10", "a2", "_", "A", "a1b", "a1_", "1", "10", "9", "a", "105", "15",
        ];
        keys.sort_by(|a, b| compare(a, b));
        let wanted = [
            "_", "1", "9", "10", "15", "105", "A", "B", "a", "a1b", "a1_", "a2", "a10",
        ];
        assert_eq!(keys, wanted);
    }

    proptest! {
        #[test]
        fn any_keys_are_sorted(keys in proptest::collection::vec("[0-2aB_.é]{0,6}", 0..60)) {
            let mut sorted = keys;
            // An order that contradicts itself panics here.
            sorted.sort_by(|a, b| compare(a, b));
            prop_assert!(sorted.windows(2).all(|pair| compare(&pair[0], &pair[1]) != std::cmp::Ordering::Greater));
        }
    }
}
