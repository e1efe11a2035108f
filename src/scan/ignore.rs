//! Findings that the user has looked at: a file with one id a line.
//!
//! ```text
//! CVE-2024-1234
//! CVE-2024-5678 package=openssl until=2027-01-31   # not reachable, see ticket 12
//! ```

use super::Finding;
use crate::model::Timestamp;

/// A line that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct IgnoreError {
    /// Its number, from 1.
    pub line: usize,
    /// Why.
    pub reason: String,
}

/// What is ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IgnoreList {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    line: usize,
    id: String,
    package: Option<String>,
    /// The last day.
    until: Option<jiff::civil::Date>,
}

/// What became of the findings.
#[derive(Debug, Clone, PartialEq)]
pub struct Filtered {
    /// Those that are left.
    pub kept: Vec<Finding>,
    /// How many are ignored.
    pub ignored: usize,
    /// What to tell about the list: lines that ran out, and lines that match nothing.
    pub notes: Vec<String>,
}

impl IgnoreList {
    /// Reads a list.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let mut rules = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line_number = number + 1;
            let wrong = |reason: String| IgnoreError {
                line: line_number,
                reason,
            };
            let content = line.split('#').next().unwrap_or_default();
            let mut words = content.split_whitespace();
            let Some(id) = words.next() else {
                continue;
            };
            let mut rule = Rule {
                line: line_number,
                id: id.to_owned(),
                package: None,
                until: None,
            };
            for word in words {
                match word.split_once('=') {
                    Some(("package", name)) => rule.package = Some(name.to_owned()),
                    Some(("until", date)) => {
                        let date = date.parse();
                        rule.until = Some(date.map_err(|_odd| {
                            wrong(format!("`{word}` is no date of the form until=2027-01-31"))
                        })?);
                    }
                    _ => {
                        let reason = "an id, then package=NAME, until=DATE and `#` with a reason";
                        return Err(wrong(format!(
                            "`{word}` is not expected: a line has {reason}"
                        )));
                    }
                }
            }
            rules.push(rule);
        }
        Ok(Self { rules })
    }

    /// Leaves out what is ignored at a time.
    pub fn filter(&self, findings: Vec<Finding>, now: Timestamp) -> Filtered {
        let today = i64::try_from(now.0).ok();
        let today = today.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let today = today.map(|now| now.to_zoned(jiff::tz::TimeZone::UTC).date());
        let is_over = |rule: &Rule| {
            rule.until
                .is_some_and(|until| today.is_some_and(|day| until < day))
        };
        let mut used = vec![false; self.rules.len()];
        let mut kept = Vec::new();
        let mut ignored = 0;
        for finding in findings {
            let mut is_ignored = false;
            for (rule, used) in self.rules.iter().zip(&mut used) {
                if rule.matches(&finding) {
                    *used = true;
                    is_ignored |= !is_over(rule);
                }
            }
            if is_ignored {
                ignored += 1;
            } else {
                kept.push(finding);
            }
        }
        let rules = self.rules.iter().zip(used);
        let notes = rules.filter_map(|(rule, used)| match (used, is_over(rule)) {
            (true, true) => Some(format!(
                "line {}: `{}` ran out and is shown again",
                rule.line, rule.id
            )),
            (false, _) => Some(format!("line {}: `{}` matches nothing", rule.line, rule.id)),
            (true, false) => None,
        });
        Filtered {
            notes: notes.collect(),
            kept,
            ignored,
        }
    }
}

impl Rule {
    fn matches(&self, finding: &Finding) -> bool {
        let names = std::iter::once(&finding.id).chain(&finding.aliases);
        let mut names = names.chain(&finding.records);
        names.any(|name| name.eq_ignore_ascii_case(&self.id))
            && self
                .package
                .as_ref()
                .is_none_or(|name| *name == finding.package)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{inventory::Kind, scan::Severity};

    fn finding(id: &str, package: &str) -> Finding {
        Finding {
            id: id.to_owned(),
            severity: Severity::High,
            score: None,
            package: package.to_owned(),
            version: "1".into(),
            kind: Kind::Deb,
            purl: String::new(),
            location: String::new(),
            layer: 0,
            fixed: None,
            records: vec![format!("DEBIAN-{id}")],
            aliases: vec!["GHSA-a".into()],
            summary: String::new(),
        }
    }

    #[test]
    fn lines_name_ids_packages_and_days() {
        let list = IgnoreList::parse(
            "# all\nCVE-1 # x\n\nCVE-2 package=a\ncve-3 until=2026-01-31\nCVE-9\nCVE-4 until=2026-02-01\n",
        )
        .unwrap();
        let now = Timestamp(1_769_904_000_000); // 2026-02-01
        let all = [
            ("CVE-1", "a"),
            ("CVE-2", "a"),
            ("CVE-2", "b"),
            ("CVE-3", "a"),
            ("CVE-4", "a"),
        ];
        let findings = all
            .iter()
            .map(|(id, package)| finding(id, package))
            .collect();
        let filtered = list.filter(findings, now);
        let kept: Vec<_> = (filtered.kept.iter())
            .map(|f| (&*f.id, &*f.package))
            .collect();
        assert_eq!(kept, [("CVE-2", "b"), ("CVE-3", "a")]);
        assert_eq!(filtered.ignored, 3);
        assert_eq!(
            filtered.notes,
            [
                "line 5: `cve-3` ran out and is shown again",
                "line 6: `CVE-9` matches nothing"
            ]
        );
        let by_alias = IgnoreList::parse("GHSA-a").unwrap();
        assert_eq!(by_alias.filter(vec![finding("CVE-1", "a")], now).ignored, 1);
    }

    #[test]
    fn odd_lines_are_errors() {
        for (text, line) in [
            ("\nCVE-1 openssl", 2),
            ("CVE-1 until=tomorrow", 1),
            ("CVE-1 until=2026-02-30", 1),
        ] {
            assert_eq!(IgnoreList::parse(text).unwrap_err().line, line, "{text}");
        }
    }
}
