//! `stack explain`: what a code in an error means, with an example.

use clap::Args;
use compose_spec::Code;

use super::{failure::Failure, session::Session};
use crate::ui::{lines, style};

/// Explain the code of an error or warning
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Code such as S0301; all are listed without one
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let palette = session.ui.options().out;
    let text = match &arguments.code {
        Some(text) => {
            let code = find(text)?;
            let mut page = String::new();
            for line in code.explanation().lines() {
                let heading = line.strip_prefix("# ");
                let painted = heading.map(|heading| palette.paint(style::HEADING, heading));
                page.push_str(painted.as_deref().unwrap_or(line));
                page.push('\n');
            }
            page
        }
        None => lines(Code::ALL.iter().map(|code| {
            let number = palette.paint(style::HEADING, code.as_str());
            format!("{number}  {}", code.title())
        })),
    };
    Ok(session.ui.data(text)?)
}

/// Finds a code in any case, with or without brackets and the `S`.
fn find(text: &str) -> Result<Code, Failure> {
    let bare = text.trim_matches(['[', ']']).to_ascii_uppercase();
    let known = Code::ALL
        .iter()
        .find(|code| code.as_str() == bare || code.as_str()[1..] == bare);
    known
        .copied()
        .ok_or_else(|| Failure::Usage(format!("there is no code `{text}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_as_people_type_them() {
        for text in ["S0301", "s0301", "0301", "[S0301]"] {
            assert_eq!(find(text).unwrap(), Code::UnknownKey, "{text}");
        }
        for text in ["S9999", "", "S"] {
            assert!(find(text).is_err(), "{text}");
        }
    }
}
