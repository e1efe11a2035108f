//! "Did you mean": the nearest of a few known words.

/// Returns the candidate nearest to `written`, when it is near enough to be a slip of the hand.
pub(crate) fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let folded: Vec<char> = fold(written);
    if folded.is_empty() || folded.len() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (distance(&folded, &fold(candidate)), candidate))
        .filter(|(distance, candidate)| {
            *distance <= (folded.len().min(candidate.chars().count()) / 3).max(1)
        })
        .min_by_key(|(distance, candidate)| (*distance, candidate.len().abs_diff(written.len())))
        .map(|(_, candidate)| candidate)
}

/// Case and the choice between `-`, `_` and blank are never what was meant.
fn fold(word: &str) -> Vec<char> {
    word.chars()
        .map(|c| {
            if matches!(c, '-' | ' ') {
                '_'
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect()
}

/// Returns the number of inserted, removed, replaced or swapped characters between two words.
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut before: Vec<usize> = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1; width];
        for (j, cb) in b.iter().enumerate() {
            let mut best = (last[j + 1] + 1)
                .min(row[j] + 1)
                .min(last[j] + usize::from(ca != cb));
            if i > 0 && j > 0 && *ca == b[j - 1] && a[i - 1] == *cb {
                best = best.min(before[j - 1] + 1);
            }
            row[j + 1] = best;
        }
        before = last;
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_nothing_else() {
        let keys = [
            "environment",
            "ports",
            "depends_on",
            "image",
            "expose",
            "init",
        ];
        let cases = [
            ("enviroment", Some("environment")),
            ("prots", Some("ports")),
            ("port", Some("ports")),
            ("dependsOn", Some("depends_on")),
            ("depends-on", Some("depends_on")),
            ("Image", Some("image")),
            ("zebra", None),
            ("", None),
        ];
        for (written, wanted) in cases {
            assert_eq!(nearest(written, keys), wanted, "{written}");
        }
    }
}
