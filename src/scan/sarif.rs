//! Findings in SARIF 2.1.0, which code hosts show beside pull requests.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Finding, Severity};

/// Writes the document; `image` is what was scanned.
pub fn document(findings: &[Finding], image: &str) -> Value {
    let mut rules: BTreeMap<&str, Value> = BTreeMap::new();
    for finding in findings {
        rules.entry(&finding.id).or_insert_with(|| rule(finding));
    }
    let numbers: BTreeMap<&str, usize> = rules.keys().copied().zip(0..).collect();
    let results = findings
        .iter()
        .map(|finding| result(finding, image, numbers[&*finding.id]));
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "stack image scan",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.values().collect::<Vec<_>>(),
            }},
            "results": results.collect::<Vec<_>>(),
        }],
    })
}

fn rule(finding: &Finding) -> Value {
    let text = if finding.summary.is_empty() {
        &finding.id
    } else {
        &finding.summary
    };
    let mut rule = json!({
        "id": finding.id,
        "shortDescription": {"text": text},
        "properties": {"tags": ["security", "vulnerability"]},
    });
    if let Some(score) = finding.score {
        rule["properties"]["security-severity"] = format!("{score:.1}").into();
    }
    rule
}

fn result(finding: &Finding, image: &str, rule: usize) -> Value {
    let level = match finding.severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Negligible | Severity::Unknown => "note",
    };
    let fixed = match &finding.fixed {
        Some(version) => format!("fixed in {version}"),
        None => "no fixed version is known".to_owned(),
    };
    let text = format!(
        "{} {} in {image}: {} ({}), {fixed}",
        finding.package, finding.version, finding.id, finding.severity
    );
    json!({
        "ruleId": finding.id,
        "ruleIndex": rule,
        "level": level,
        "message": {"text": text},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": address(&finding.location)},
            "region": {"startLine": 1},
        }}],
        "partialFingerprints": {"packageAndVulnerability": format!("{} {}", finding.purl, finding.id)},
    })
}

/// A path as a relative address: what is no plain character is percent-encoded.
fn address(path: &str) -> String {
    let path = path.trim_start_matches('/').bytes();
    path.map(|byte| match byte {
        b'/' | b'.' | b'-' | b'_' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    })
    .collect()
}
