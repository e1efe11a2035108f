//! How severe a vulnerability is: by its CVSS score, and by the words of databases.

use std::{fmt, str::FromStr};

use serde::Serialize;

use super::{
    cvss::base_score,
    record::{Affected, Record},
};

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
        scores().find_map(|score| {
            (score.kind == *kind)
                .then(|| base_score(kind, &score.score))
                .flatten()
        })
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

#[cfg(test)]
mod tests {
    use super::*;

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
