//! How severe a vulnerability is: CVSS base scores computed from their vectors (first.org/cvss), and the words of databases.

use std::{collections::HashMap, fmt, str::FromStr};

use serde::Serialize;

use super::record::{Affected, Record, Score};

/// How severe, from not known to critical.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// No record says.
    #[default]
    Unknown,
    /// The distribution sees no security problem in it, or the score is 0.
    Negligible,
    /// Score below 4.
    Low,
    /// Score below 7.
    Medium,
    /// Score below 9.
    High,
    /// The rest, and malicious packages.
    Critical,
}

impl Severity {
    /// Every severity, the worst first.
    pub const ALL: [Self; 6] = [
        Self::Critical,
        Self::High,
        Self::Medium,
        Self::Low,
        Self::Negligible,
        Self::Unknown,
    ];

    fn of_score(score: f64) -> Self {
        match score {
            score if score >= 9.0 => Self::Critical,
            score if score >= 7.0 => Self::High,
            score if score >= 4.0 => Self::Medium,
            score if score > 0.0 => Self::Low,
            _ => Self::Negligible,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unknown => "unknown",
            Self::Negligible => "negligible",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

impl FromStr for Severity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        word(text).ok_or_else(|| {
            format!("`{text}` is none of critical, high, medium, low, negligible and unknown")
        })
    }
}

/// The words of OSV's sources: GitHub says moderate, Red Hat important, Debian unimportant.
fn word(text: &str) -> Option<Severity> {
    Some(match text.to_lowercase().as_str() {
        "critical" => Severity::Critical,
        "high" | "important" => Severity::High,
        "medium" | "moderate" => Severity::Medium,
        "low" => Severity::Low,
        "negligible" | "unimportant" | "none" => Severity::Negligible,
        "unknown" => Severity::Unknown,
        _ => return None,
    })
}

/// Returns the severity of a record for a package, with the score where there is a vector.
pub(super) fn of_record(record: &Record, affected: &Affected) -> (Severity, Option<f64>) {
    let scores = || affected.severity.iter().chain(&record.severity);
    let said = |value: &serde_json::Value, key: &str| value[key].as_str().and_then(word);
    // Debian looks at whether the code is built and used at all: that is nearer to the image than a score.
    let urgency = said(&affected.ecosystem_specific, "urgency");
    let score = ["CVSS_V3", "CVSS_V4", "CVSS_V2"].iter().find_map(|kind| {
        scores().find_map(|score| (score.kind == *kind).then(|| base_score(score)).flatten())
    });
    if urgency == Some(Severity::Negligible) {
        return (Severity::Negligible, score);
    }
    if record.id.starts_with("MAL-") {
        return (Severity::Critical, score);
    }
    // A type of its own has words as its score: `{"type": "Ubuntu", "score": "medium"}`.
    let worded = || scores().find_map(|score| word(&score.score));
    let severity = score
        .map(Severity::of_score)
        .or(urgency)
        .or_else(worded)
        .or_else(|| said(&affected.ecosystem_specific, "severity"))
        .or_else(|| said(&affected.database_specific, "severity"))
        .or_else(|| said(&record.database_specific, "severity"));
    (severity.unwrap_or_default(), score)
}

/// Computes the base score of a vector; `None` for one that lacks a metric, and for version 4, whose score needs a table of 270
/// values: records that have only that say their severity in words too.
fn base_score(score: &Score) -> Option<f64> {
    let metrics: HashMap<&str, &str> = (score.score.split('/'))
        .filter_map(|metric| metric.split_once(':'))
        .collect();
    match score.kind.as_str() {
        "CVSS_V3" => version3(&metrics),
        "CVSS_V2" => version2(&metrics),
        _ => None,
    }
}

/// CVSS 3.0 and 3.1, section 7.1.
fn version3(metrics: &HashMap<&str, &str>) -> Option<f64> {
    let is_changed = match *metrics.get("S")? {
        "C" => true,
        "U" => false,
        _ => return None,
    };
    let vector = weight(
        metrics,
        "AV",
        &[("N", 0.85), ("A", 0.62), ("L", 0.55), ("P", 0.2)],
    )?;
    let complexity = weight(metrics, "AC", &[("L", 0.77), ("H", 0.44)])?;
    let (low, high) = if is_changed {
        (0.68, 0.5)
    } else {
        (0.62, 0.27)
    };
    let privileges = weight(metrics, "PR", &[("N", 0.85), ("L", low), ("H", high)])?;
    let interaction = weight(metrics, "UI", &[("N", 0.85), ("R", 0.62)])?;
    let impact = |name| weight(metrics, name, &[("H", 0.56), ("L", 0.22), ("N", 0.0)]);
    let kept = (1.0 - impact("C")?) * (1.0 - impact("I")?) * (1.0 - impact("A")?);
    let sub_score: f64 = 1.0 - kept;
    let impact = if is_changed {
        7.52 * (sub_score - 0.029) - 3.25 * (sub_score - 0.02).powi(15)
    } else {
        6.42 * sub_score
    };
    if impact <= 0.0 {
        return Some(0.0);
    }
    let exploitability = 8.22 * vector * complexity * privileges * interaction;
    let sum = impact + exploitability;
    let scope = if is_changed { 1.08 } else { 1.0 };
    Some(round_up((scope * sum).min(10.0)))
}

/// CVSS 2.0, section 3.2.1.
fn version2(metrics: &HashMap<&str, &str>) -> Option<f64> {
    let vector = weight(metrics, "AV", &[("L", 0.395), ("A", 0.646), ("N", 1.0)])?;
    let complexity = weight(metrics, "AC", &[("H", 0.35), ("M", 0.61), ("L", 0.71)])?;
    let authentication = weight(metrics, "Au", &[("M", 0.45), ("S", 0.56), ("N", 0.704)])?;
    let impact = |name| weight(metrics, name, &[("N", 0.0), ("P", 0.275), ("C", 0.66)]);
    let kept = (1.0 - impact("C")?) * (1.0 - impact("I")?) * (1.0 - impact("A")?);
    let impact = 10.41 * (1.0 - kept);
    let exploitability = 20.0 * vector * complexity * authentication;
    let factor = if impact == 0.0 { 0.0 } else { 1.176 };
    let score: f64 = (0.6 * impact + 0.4 * exploitability - 1.5) * factor;
    Some((score * 10.0).round() / 10.0)
}

fn weight(metrics: &HashMap<&str, &str>, name: &str, weights: &[(&str, f64)]) -> Option<f64> {
    let value = metrics.get(name)?;
    let found = weights.iter().find(|(known, _)| known == value);
    found.map(|(_, weight)| *weight)
}

/// The next tenth upwards, computed so that errors of binary fractions do not count (CVSS 3.1, appendix A).
fn round_up(score: f64) -> f64 {
    let scaled = (score * 100_000.0).round();
    if scaled % 10_000.0 == 0.0 {
        scaled / 100_000.0
    } else {
        ((scaled / 10_000.0).floor() + 1.0) / 10.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(kind: &str, vector: &str) -> Option<f64> {
        base_score(&Score {
            kind: kind.to_owned(),
            score: vector.to_owned(),
        })
    }

    #[test]
    fn scores_are_those_of_the_specifications_examples() {
        for (vector, expected) in [
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
            ("CVSS:3.0/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 6.4),
            ("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 7.8),
            ("CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:N/I:N/A:N", 0.0),
            ("CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:N/A:H/E:P", 5.9),
        ] {
            assert_eq!(score("CVSS_V3", vector), Some(expected), "{vector}");
        }
        assert_eq!(score("CVSS_V2", "AV:N/AC:L/Au:N/C:C/I:C/A:C"), Some(10.0));
        assert_eq!(score("CVSS_V2", "AV:N/AC:L/Au:N/C:N/I:N/A:P"), Some(5.0));
        assert_eq!(score("CVSS_V3", "CVSS:3.1/AV:N"), None);
        assert_eq!(score("CVSS_V3", ""), None);
    }

    #[test]
    fn severities_come_from_scores_then_from_words() {
        let of = |record: serde_json::Value, affected: serde_json::Value| {
            let record: Record = serde_json::from_value(record).unwrap();
            of_record(&record, &serde_json::from_value(affected).unwrap()).0
        };
        let none = || serde_json::json!({});
        let vector = serde_json::json!([{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]);
        let scored = serde_json::json!({"id": "A", "severity": vector, "database_specific": {"severity": "LOW"}});
        assert_eq!(of(scored.clone(), none()), Severity::Critical);
        let unimportant = serde_json::json!({"ecosystem_specific": {"urgency": "unimportant"}});
        assert_eq!(of(scored, unimportant), Severity::Negligible);
        let github = serde_json::json!({"id": "GHSA-x", "severity": [{"type": "CVSS_V4", "score": "CVSS:4.0/AV:N"}],
            "database_specific": {"severity": "MODERATE"}});
        assert_eq!(of(github, none()), Severity::Medium);
        let ubuntu =
            serde_json::json!({"id": "U", "severity": [{"type": "Ubuntu", "score": "high"}]});
        assert_eq!(of(ubuntu, none()), Severity::High);
        assert_eq!(
            of(serde_json::json!({"id": "MAL-2024-1"}), none()),
            Severity::Critical
        );
        let debian = serde_json::json!({"ecosystem_specific": {"urgency": "not yet assigned"}});
        assert_eq!(
            of(serde_json::json!({"id": "D"}), debian),
            Severity::Unknown
        );
    }
}
