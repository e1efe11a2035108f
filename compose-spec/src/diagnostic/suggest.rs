//! "Did you mean": the nearest of a few known words.

/// What other tools call a value.
const SYNONYMS: [(&str, &str); 10] = [
    ("never", "no"),
    ("none", "no"),
    ("false", "no"),
    ("true", "always"),
    ("reload", "restart"),
    ("copy", "sync"),
    ("shared", "shareable"),
    ("completed", "service_completed_successfully"),
    ("ready", "service_healthy"),
    ("on_failure", "on-failure"),
];

/// Returns the candidate nearest to `written`: a slip of the hand, the word of another tool, or the only one that
/// `written` is a part of.
pub(crate) fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let named = |word: &str| candidates.iter().copied().find(|known| *known == word);
    let mut synonyms = SYNONYMS.iter().filter(|(other, _)| *other == written);
    if let Some(word) = synonyms.find_map(|(_, word)| named(word)) {
        return Some(word);
    }
    slip(written, &candidates).or_else(|| whole_of(written, &candidates))
}

/// Returns the only candidate that begins or ends with `written` as a word of its own.
fn whole_of<'a>(written: &str, candidates: &[&'a str]) -> Option<&'a str> {
    if written.len() < 3 {
        return None;
    }
    let lower = written.to_ascii_lowercase();
    let mut found = candidates.iter().copied().filter(|known| {
        let known = known.to_ascii_lowercase();
        known.starts_with(&lower)
            || known
                .strip_suffix(&lower)
                .is_some_and(|rest| rest.ends_with(['_', '-', '.']))
    });
    let first = found.next();
    first.filter(|_| found.next().is_none())
}

fn slip<'a>(written: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let folded: Vec<char> = fold(written);
    if folded.is_empty() || folded.len() > 64 {
        return None;
    }
    candidates
        .iter()
        .copied()
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
