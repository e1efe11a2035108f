//! Whether a version is in what a record says is affected. Pure.

use std::cmp::Ordering;

use super::{
    record::{Affected, Event},
    version::Order,
};

/// What a record says of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Affected {
        /// The version that ends the range the version is in.
        fixed: Option<String>,
    },
    NotAffected,
    /// A version has another form than its ecosystem's, or the record names neither versions nor ranges of them.
    Undecided,
}

/// Evaluates what a record says of a package for a version of it, as OSV's schema describes.
pub(super) fn verdict(affected: &Affected, version: &str, order: Order) -> Verdict {
    let mut is_undecided = affected.versions.is_empty();
    for range in &affected.ranges {
        if !matches!(range.kind.as_str(), "SEMVER" | "ECOSYSTEM") {
            continue;
        }
        if order == Order::Rpm && !is_of_stream(&range.events, version) {
            is_undecided = false;
            continue;
        }
        match in_range(&range.events, version, order) {
            Some(Verdict::Affected { fixed }) => return Verdict::Affected { fixed },
            Some(_) => is_undecided = false,
            None => is_undecided = true,
        }
    }
    let listed = affected.versions.iter().any(|listed| {
        listed == version
            || order == Order::Pep440 && order.compare(listed, version) == Some(Ordering::Equal)
    });
    match (listed, is_undecided) {
        (true, _) => Verdict::Affected { fixed: None },
        (false, true) => Verdict::Undecided,
        (false, false) => Verdict::NotAffected,
    }
}

/// Red Hat and its children build some packages several times, for streams of a module, whose versions have no common order: a fix in
/// a module is none for a package outside of modules, nor the other way round.
fn is_of_stream(events: &[Event], version: &str) -> bool {
    let is_modular = |version: &str| version.contains(".module+") || version.contains(".module_");
    let mut fixes = events.iter().filter_map(|event| event.fixed.as_deref());
    fixes.all(|fix| is_modular(fix) == is_modular(version))
}

/// Walks the events of a range in the order of their versions; `None` when a version cannot be compared.
fn in_range(events: &[Event], version: &str, order: Order) -> Option<Verdict> {
    // `0` is before every version. The comparison of a version with itself fails if it has another form.
    order.compare(version, version)?;
    let mut sorted: Vec<Bound<'_>> = Vec::new();
    for event in events {
        let bound = match event {
            Event {
                introduced: Some(at),
                ..
            } => Bound {
                at,
                kind: BoundKind::Introduced,
            },
            Event {
                fixed: Some(at), ..
            } => Bound {
                at,
                kind: BoundKind::Fixed,
            },
            Event {
                last_affected: Some(at),
                ..
            } => Bound {
                at,
                kind: BoundKind::LastAffected,
            },
            // `limit` is of git ranges only.
            _ => continue,
        };
        if bound.at != "0" {
            order.compare(bound.at, version)?;
        }
        sorted.push(bound);
    }
    if !sorted
        .iter()
        .any(|bound| bound.kind == BoundKind::Introduced)
    {
        sorted.insert(
            0,
            Bound {
                at: "0",
                kind: BoundKind::Introduced,
            },
        );
    }
    sorted.sort_by(|a, b| match (a.at, b.at) {
        ("0", "0") => Ordering::Equal,
        ("0", _) => Ordering::Less,
        (_, "0") => Ordering::Greater,
        (a, b) => order.compare(a, b).unwrap_or(Ordering::Equal),
    });
    let reached = |at: &str| at == "0" || order.compare(version, at).is_some_and(Ordering::is_ge);
    let mut is_affected = false;
    for bound in sorted {
        match bound.kind {
            BoundKind::Introduced if reached(bound.at) => is_affected = true,
            BoundKind::Fixed if reached(bound.at) => is_affected = false,
            BoundKind::Fixed if is_affected => {
                let fixed = Some(bound.at.to_owned());
                return Some(Verdict::Affected { fixed });
            }
            BoundKind::LastAffected => {
                let order = order.compare(version, bound.at);
                if order.is_some_and(Ordering::is_gt) {
                    is_affected = false;
                } else if is_affected {
                    return Some(Verdict::Affected { fixed: None });
                }
            }
            BoundKind::Introduced | BoundKind::Fixed => {}
        }
    }
    Some(if is_affected {
        Verdict::Affected { fixed: None }
    } else {
        Verdict::NotAffected
    })
}

#[derive(Debug, Clone, Copy)]
struct Bound<'a> {
    at: &'a str,
    kind: BoundKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BoundKind {
    Introduced,
    Fixed,
    LastAffected,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affected(json: serde_json::Value) -> Affected {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn ranges_begin_end_and_begin_again() {
        let range = affected(serde_json::json!({"ranges": [{"type": "SEMVER", "events": [
            {"fixed": "1.2.5"}, {"introduced": "0"}, {"introduced": "2.0.0"}, {"fixed": "2.0.3"}, {"introduced": "3.0.0-rc.1"},
        ]}]}));
        let fixed = |version: &str| Verdict::Affected {
            fixed: Some(version.to_owned()),
        };
        for (version, expected) in [
            ("0.1.0", fixed("1.2.5")),
            ("1.2.5", Verdict::NotAffected),
            ("1.9.0", Verdict::NotAffected),
            ("2.0.0-rc.1", Verdict::NotAffected),
            ("2.0.2", fixed("2.0.3")),
            ("2.0.3", Verdict::NotAffected),
            ("3.0.0", Verdict::Affected { fixed: None }),
            ("odd", Verdict::Undecided),
        ] {
            assert_eq!(
                verdict(&range, version, Order::Semver),
                expected,
                "{version}"
            );
        }
    }

    #[test]
    fn fixes_in_modules_are_for_modules() {
        let range = affected(
            serde_json::json!({"ranges": [{"type": "ECOSYSTEM", "events": [
                {"introduced": "0"}, {"fixed": "1:22.23.2-2.module+el9.8.0+24958+80b2ac6e"},
            ]}]}),
        );
        let is_affected = |version| {
            matches!(
                verdict(&range, version, Order::Rpm),
                Verdict::Affected { .. }
            )
        };
        assert!(is_affected("1:22.1.0-1.module+el9.7.0+1+aaaaaaaa"));
        assert!(!is_affected("1:16.20.2-4.el9_3"));
    }

    #[test]
    fn the_last_affected_version_is_affected() {
        let range = affected(
            serde_json::json!({"ranges": [{"type": "ECOSYSTEM", "events": [
                {"introduced": "1.0"}, {"last_affected": "1.4.post1"},
            ]}]}),
        );
        let is_affected =
            |version| verdict(&range, version, Order::Pep440) == Verdict::Affected { fixed: None };
        assert!(!is_affected("0.9") && is_affected("1.0") && is_affected("1.4.post1"));
        assert!(!is_affected("1.4.post2"));
    }

    #[test]
    fn listed_versions_count_beside_ranges() {
        let both = affected(serde_json::json!({"versions": ["2.0", "1.0.0"], "ranges": [
            {"type": "ECOSYSTEM", "events": [{"introduced": "3"}, {"fixed": "4"}]},
            {"type": "GIT", "events": [{"introduced": "abc"}]},
        ]}));
        let of = |version| verdict(&both, version, Order::Pep440);
        assert_eq!(
            of("1.0"),
            Verdict::Affected { fixed: None },
            "written otherwise"
        );
        assert_eq!(of("2.1"), Verdict::NotAffected);
        assert_eq!(
            of("3.5"),
            Verdict::Affected {
                fixed: Some("4".into())
            }
        );
        let only_git = affected(
            serde_json::json!({"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}),
        );
        assert_eq!(verdict(&only_git, "1.0", Order::Pep440), Verdict::Undecided);
    }
}
