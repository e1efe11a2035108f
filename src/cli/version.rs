//! `stack version`.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{failure::Failure, session::Session};

/// Print the version
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Form of the output
    #[arg(
        short,
        long,
        value_enum,
        default_value = "pretty",
        hide_default_value = true
    )]
    format: Form,
    /// Only the number
    #[arg(long)]
    short: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Pretty,
    Json,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let text = match (arguments.short, arguments.format) {
        (true, _) => format!("{version}\n"),
        (false, Form::Json) => format!("{}\n", json!({ "version": version })),
        (false, Form::Pretty) => format!("stack version {version}\n"),
    };
    Ok(session.ui.data(text)?)
}
