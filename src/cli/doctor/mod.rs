//! `stack doctor`: what this host has of what containers need. Reads, never changes anything.

mod facts;
mod judge;
#[cfg(test)]
mod tests;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{failure::Failure, session::Session};
use facts::Facts;
use judge::{Finding, Level, judge};

/// Exit code when something is missing: not possible on this host.
const MISSING: u8 = 8;

/// Print what this host has of what containers need
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Form of the output
    #[arg(long, value_enum, default_value = "table", hide_default_value = true)]
    format: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Table,
    Json,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let facts = Facts::of_this_host(session.settings.root.state());
    let findings = judge(&facts);
    let text = match arguments.format {
        Form::Table => table(&findings),
        Form::Json => format!("{}\n", array(&findings)),
    };
    session.ui.data(text)?;
    if findings
        .iter()
        .any(|finding| finding.level == Level::Missing)
    {
        return Err(Failure::Status(MISSING));
    }
    Ok(())
}

/// One line a finding: level, what, how it is, and what to do about it.
fn table(findings: &[Finding]) -> String {
    use std::fmt::Write;
    let width = findings
        .iter()
        .map(|finding| finding.what.len())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for finding in findings {
        let Finding {
            level,
            what,
            found,
            hint,
        } = finding;
        let hint = hint
            .as_ref()
            .map(|hint| format!("; {hint}"))
            .unwrap_or_default();
        // A String takes everything.
        writeln!(text, "{:7}  {what:width$}  {found}{hint}", level.word()).ok();
    }
    text
}

fn array(findings: &[Finding]) -> serde_json::Value {
    findings
        .iter()
        .map(|finding| {
            json!({
                "Check": finding.what,
                "Status": finding.level.word(),
                "Found": finding.found,
                "Hint": finding.hint,
            })
        })
        .collect()
}
