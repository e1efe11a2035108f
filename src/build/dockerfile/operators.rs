//! Parts of expansion that do not read further text: the operators of `${…}`, and splitting into words. Pure.

use super::{error::ExpandError, glob::ShellPattern};

/// Applies an operator that needs no further text.
pub(super) fn apply(
    name: &str,
    operator: char,
    empty_is_unset: bool,
    word: &str,
    value: Option<String>,
) -> Result<String, ExpandError> {
    let absent = match &value {
        None => true,
        Some(value) => empty_is_unset && value.is_empty(),
    };
    let required = |default: &str| ExpandError::Required {
        name: name.to_owned(),
        message: if word.is_empty() { default } else { word }.to_owned(),
    };
    match operator {
        '-' if absent => Ok(word.to_owned()),
        '+' if absent => Ok(String::new()),
        '+' => Ok(word.to_owned()),
        '?' if value.is_none() => Err(required("is not allowed to be unset")),
        '?' if absent => Err(required("is not allowed to be empty")),
        '#' | '%' => {
            let (longest, pattern) = match word.strip_prefix(operator) {
                Some(rest) => (true, rest),
                None => (false, word),
            };
            let shell = ShellPattern::parse(pattern)
                .ok_or_else(|| ExpandError::Pattern(pattern.to_owned()))?;
            let value = value.unwrap_or_default();
            Ok(if operator == '#' {
                shell.trim_start(&value, longest)
            } else {
                shell.trim_end(&value, longest)
            })
        }
        _ => Ok(value.unwrap_or_default()),
    }
}

/// Collects words; blanks that came from plain text or a variable end one.
#[derive(Default)]
pub(super) struct Words {
    done: Vec<String>,
    pub(super) current: String,
}

impl Words {
    pub(super) fn plain(&mut self, c: char) {
        if c.is_whitespace() {
            if !self.current.is_empty() {
                self.done.push(std::mem::take(&mut self.current));
            }
        } else {
            self.current.push(c);
        }
    }

    pub(super) fn finish(mut self) -> Vec<String> {
        if !self.current.is_empty() {
            self.done.push(self.current);
        }
        self.done
    }
}
