//! `.dockerignore` and `--exclude`: which paths of a context are hidden. Pure.
//!
//! Not gitignore: patterns are anchored at the root, a trailing slash means nothing, and the last match of a path *or of a parent*
//! decides.

use std::path::Path;

use super::{
    dockerfile::{PathPattern, Place, Source, Span},
    path,
};

/// Patterns in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    pattern: PathPattern,
    /// Written with `!`: brings back.
    shows: bool,
}

/// Which rules matched a directory; what is below it inherits them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Inherited(Vec<bool>);

/// A pattern is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    /// `!` without a pattern.
    #[error("{0}: illegal exclusion pattern: \"!\"")]
    Lone(Place),
    /// Bad syntax.
    #[error("{place}: syntax error in pattern `{pattern}`")]
    Syntax {
        /// Where.
        place: Place,
        /// The pattern.
        pattern: String,
    },
}

impl Ignore {
    /// Parses a `.dockerignore`.
    pub(crate) fn parse(name: &str, bytes: &[u8]) -> Result<Self, IgnoreError> {
        let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
        let source = Source {
            name: name.to_owned(),
            text: text.into_owned(),
        };
        let mut rules = Vec::new();
        let mut start = 0;
        for line in source.text.split_inclusive('\n') {
            let span = Span {
                start,
                end: start + line.trim_end().len(),
            };
            start += line.len();
            // Only a `#` in the very first column makes a comment.
            if line.starts_with('#') {
                continue;
            }
            let (shows, written) = match line.trim().strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line.trim()),
            };
            if written.is_empty() {
                if shows {
                    return Err(IgnoreError::Lone(source.place(span)));
                }
                continue;
            }
            rules.push(rule(written, shows).ok_or_else(|| IgnoreError::Syntax {
                place: source.place(span),
                pattern: written.to_owned(),
            })?);
        }
        Ok(Self { rules })
    }

    /// Makes a matcher of the patterns of `--exclude`; `Err` is the one that is not a pattern.
    pub(crate) fn of_patterns<'a>(
        patterns: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, String> {
        let mut rules = Vec::new();
        for pattern in patterns {
            let (shows, written) = match pattern.trim().strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, pattern.trim()),
            };
            if !written.is_empty() {
                rules.push(rule(written, shows).ok_or_else(|| pattern.to_owned())?);
            }
        }
        Ok(Self { rules })
    }

    /// Whether there are no rules.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Judges one entry of a directory: whether it is hidden, and what entries below it inherit.
    pub(crate) fn judge(&self, path: &Path, inherited: &Inherited) -> (bool, Inherited) {
        let text = path.to_string_lossy();
        let mut hidden = false;
        let matched = self
            .rules
            .iter()
            .enumerate()
            .map(|(index, rule)| {
                let parent = inherited.0.get(index).copied().unwrap_or(false);
                let matched = parent || rule.pattern.matches(&text);
                if matched {
                    hidden = !rule.shows;
                }
                matched
            })
            .collect();
        (hidden, Inherited(matched))
    }

    /// Judges a path by itself, looking at its parents too.
    pub(crate) fn hides(&self, path: &Path) -> bool {
        let mut inherited = Inherited::default();
        let mut hidden = false;
        let mut parents: Vec<&Path> = path
            .ancestors()
            .filter(|path| !path.as_os_str().is_empty())
            .collect();
        parents.reverse();
        for path in parents {
            (hidden, inherited) = self.judge(path, &inherited);
        }
        hidden
    }

    /// Whether a hidden directory can be left out with all that is below: no `!` rule can match there.
    pub(crate) fn prunes(&self, directory: &Path) -> bool {
        let text = directory.to_string_lossy();
        !self
            .rules
            .iter()
            .any(|rule| rule.shows && rule.pattern.may_match_below(&text))
    }
}

fn rule(written: &str, shows: bool) -> Option<Rule> {
    let cleaned = path::clean(written);
    let pattern = match cleaned.strip_prefix('/') {
        Some(rest) if !rest.is_empty() => rest,
        _ => &cleaned,
    };
    PathPattern::ignore(pattern)
        .ok()
        .map(|pattern| Rule { pattern, shows })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hides(rules: &str, path: &str) -> bool {
        Ignore::parse(".dockerignore", rules.as_bytes())
            .unwrap()
            .hides(Path::new(path))
    }

    #[test]
    fn rules_hold_one_by_one() {
        for (rule, rules, path, expected) in [
            ("I2 BOM", "\u{feff}foo", "foo", true),
            ("I2 comment", "#foo", "#foo", false),
            ("I2 blank before #", "  #x", "#x", true),
            ("I3 blanks", "  foo  \n\n", "foo", true),
            ("I3 blanks after !", "*\n!  foo", "foo", false),
            ("I4 clean", "a//b/../c/", "a/c", true),
            ("I4 trailing slash hides a file", "foo/", "foo", true),
            ("I4 leading slash", "/foo", "foo", true),
            ("I5 anchored", "foo", "a/foo", false),
            ("I5 anywhere", "**/foo", "a/foo", true),
            ("I6 star", "*.go", "a/x.go", false),
            ("I6 star", "*/x", "a/x", true),
            ("I6 question", "a?b", "a/b", false),
            ("I6 class", "[a-c]x", "bx", true),
            ("I6 escape", "\\*x", "ax", false),
            ("I7 none", "**/x", "x", true),
            ("I7 middle", "a/**/b", "a/b", true),
            ("I7 trailing", "a/**", "a/b/c", true),
            ("I7 trailing", "a/**", "a", false),
            (
                "I8 last wins",
                "*.md\n!README.md\nREADME*",
                "README.md",
                true,
            ),
            ("I8 back", "*.md\n!README.md", "README.md", false),
            ("I9 parent", "dir", "dir/a/b", true),
            (
                "I9 back from a hidden directory",
                "dir\n!dir/file",
                "dir/file",
                false,
            ),
            ("I9 others stay hidden", "dir\n!dir/file", "dir/other", true),
            ("I9 deeper", "dir\n!dir/sub\ndir/sub/x", "dir/sub/x", true),
            ("I9 deeper", "dir\n!dir/sub\ndir/sub/x", "dir/sub/y", false),
            ("I11 case", "foo", "Foo", false),
            ("I11 dot", ".", "foo", false),
        ] {
            assert_eq!(hides(rules, path), expected, "{rule}: {rules:?} {path}");
        }
    }

    #[test]
    fn bad_lines_are_named() {
        let error = |rules: &str| {
            Ignore::parse(".dockerignore", rules.as_bytes())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            error("a\n!"),
            ".dockerignore:2:1: illegal exclusion pattern: \"!\""
        );
        assert_eq!(
            error("a\nb[\n"),
            ".dockerignore:2:1: syntax error in pattern `b[`"
        );
    }

    #[test]
    fn a_hidden_directory_is_pruned_unless_something_below_can_come_back() {
        let ignore = |rules: &str| Ignore::parse("i", rules.as_bytes()).unwrap();
        assert!(ignore("dir").prunes(Path::new("dir")));
        assert!(ignore("dir\n!other/x").prunes(Path::new("dir")));
        assert!(!ignore("dir\n!dir/x").prunes(Path::new("dir")));
        assert!(!ignore("*\n!**/x").prunes(Path::new("dir")));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(rules in "[a-b!*?/\\[\\]\\-\\\\#\n .]{0,30}", path in "[a-b/.]{0,12}") {
            if let Ok(ignore) = Ignore::parse("i", rules.as_bytes()) {
                ignore.hides(Path::new(&path));
                ignore.prunes(Path::new(&path));
            }
        }
    }
}
