//! Shell words: quotes, escapes and every variable form that the language knows.
//!
//! Pure. The surprising part: splitting into words happens after substitution, but only unquoted variable text is split.

use super::{
    error::ExpandError,
    glob::ShellPattern,
    operators::{Words, apply},
};

/// How deep `${a:-${b:-…}}` may nest.
const DEPTH_MAX: usize = 64;

/// Where variables come from.
pub trait Variables {
    /// Returns the value of a variable; `None` = unset.
    fn value(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Variables for F {
    fn value(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// How to read a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syntax {
    /// `\` or a backtick.
    pub escape: char,
    /// What quotes mean.
    pub quotes: Quotes,
    /// Leave `$x` as written when `x` is unset.
    pub keep_unset: bool,
}

/// What quotes and escapes mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quotes {
    /// They group and vanish.
    Strip,
    /// They group and stay, escapes too.
    Keep,
    /// They are plain text: contents of a heredoc.
    Plain,
}

/// An expanded text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The whole, blanks kept.
    pub text: String,
    /// Split at unquoted blanks.
    pub words: Vec<String>,
    /// Unset variables that it names, in order.
    pub unset: Vec<String>,
}

/// Expands the text of one word of an instruction.
pub fn expand(
    text: &str,
    escape: char,
    variables: &dyn Variables,
) -> Result<Expanded, ExpandError> {
    expand_with(
        text,
        Syntax {
            escape,
            quotes: Quotes::Strip,
            keep_unset: false,
        },
        variables,
    )
}

/// Expands a text by a given syntax.
pub fn expand_with(
    text: &str,
    syntax: Syntax,
    variables: &dyn Variables,
) -> Result<Expanded, ExpandError> {
    let mut expander = Expander {
        text: text.chars().collect(),
        at: 0,
        syntax,
        variables,
        unset: Vec::new(),
        depth: 0,
    };
    let mut expanded = expander.until(None, syntax.quotes == Quotes::Keep)?;
    expanded.unset = expander.unset;
    Ok(expanded)
}

struct Expander<'a> {
    text: Vec<char>,
    at: usize,
    syntax: Syntax,
    variables: &'a dyn Variables,
    unset: Vec<String>,
    depth: usize,
}

impl Expander<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    /// Expands up to the stop character, which is consumed, or to the end.
    fn until(&mut self, stop: Option<char>, keep_escapes: bool) -> Result<Expanded, ExpandError> {
        let mut text = String::new();
        let mut words = Words::default();
        let quotes = self.syntax.quotes != Quotes::Plain;
        while let Some(c) = self.peek() {
            if Some(c) == stop {
                self.at += 1;
                return Ok(Expanded {
                    text,
                    words: words.finish(),
                    unset: Vec::new(),
                });
            }
            match c {
                '$' => {
                    let value = self.dollar()?;
                    value.chars().for_each(|c| words.plain(c));
                    text.push_str(&value);
                }
                '\'' | '"' if quotes => {
                    let value = self.quoted(c, keep_escapes)?;
                    words.current.push_str(&value);
                    text.push_str(&value);
                }
                '<' => {
                    let value = self.redirection();
                    words.current.push_str(&value);
                    text.push_str(&value);
                }
                _ => {
                    self.at += 1;
                    if c != self.syntax.escape {
                        words.plain(c);
                        text.push(c);
                        continue;
                    }
                    if keep_escapes {
                        words.current.push(c);
                        text.push(c);
                    }
                    if let Some(escaped) = self.next() {
                        words.current.push(escaped);
                        text.push(escaped);
                    }
                }
            }
        }
        match stop {
            Some(_) => Err(ExpandError::MissingBrace),
            None => Ok(Expanded {
                text,
                words: words.finish(),
                unset: Vec::new(),
            }),
        }
    }

    /// `<<  NAME` is one word, so that heredocs are found.
    fn redirection(&mut self) -> String {
        self.at += 1;
        if self.peek() != Some('<') {
            return "<".to_owned();
        }
        self.at += 1;
        let mut text = "<<".to_owned();
        while let Some(c @ (' ' | '\t' | '\r')) = self.peek() {
            self.at += 1;
            text.push(c);
        }
        text
    }

    fn quoted(&mut self, quote: char, keep_escapes: bool) -> Result<String, ExpandError> {
        self.at += 1;
        let keep = self.syntax.quotes == Quotes::Keep;
        let mut text = String::new();
        if keep {
            text.push(quote);
        }
        loop {
            let Some(c) = self.peek() else {
                return Err(if quote == '"' {
                    ExpandError::DoubleQuote
                } else {
                    ExpandError::SingleQuote
                });
            };
            if quote == '"' && c == '$' {
                text.push_str(&self.dollar()?);
                continue;
            }
            self.at += 1;
            if c == quote {
                if keep {
                    text.push(c);
                }
                return Ok(text);
            }
            if quote == '\'' || c != self.syntax.escape {
                text.push(c);
                continue;
            }
            if keep_escapes {
                text.push(c);
            }
            // Inside double quotes only these can be escaped; any other backslash stays.
            match self.peek() {
                None => {}
                Some(next) if next == '"' || next == '$' || next == self.syntax.escape => {
                    self.at += 1;
                    text.push(next);
                }
                Some(_) if keep_escapes => {}
                Some(_) => text.push(c),
            }
        }
    }

    fn dollar(&mut self) -> Result<String, ExpandError> {
        self.at += 1;
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(match self.lookup(&name) {
                Some(value) => value,
                None if self.syntax.keep_unset => format!("${name}"),
                None => String::new(),
            });
        }
        self.at += 1;
        match self.peek() {
            None => return Err(ExpandError::MissingBrace),
            Some('{' | '}' | ':') => return Err(ExpandError::BadSubstitution),
            Some(_) => {}
        }
        if self.depth == DEPTH_MAX {
            return Err(ExpandError::BadSubstitution);
        }
        self.depth += 1;
        let start = self.at;
        let name = self.name();
        let value = self.braced(&name)?;
        self.depth -= 1;
        Ok(value.unwrap_or_else(|| {
            let written: String = self.text[start..self.at].iter().collect();
            format!("${{{written}")
        }))
    }

    /// Expands what follows the name in `${name…}`; `None` = leave it as written.
    fn braced(&mut self, name: &str) -> Result<Option<String>, ExpandError> {
        let Some(mut operator) = self.next() else {
            return Err(ExpandError::MissingBrace);
        };
        let mut modifier = operator.to_string();
        let mut empty_is_unset = false;
        if operator == ':' {
            empty_is_unset = true;
            operator = self.next().ok_or(ExpandError::MissingBrace)?;
            modifier.push(operator);
            if !matches!(operator, '-' | '+' | '?') {
                return Err(ExpandError::Modifier(modifier));
            }
        }
        match operator {
            '}' => {
                let value = self.lookup(name);
                Ok(match value {
                    None if self.syntax.keep_unset => None,
                    value => Some(value.unwrap_or_default()),
                })
            }
            '-' | '+' | '?' | '#' | '%' => {
                let word = self.operand('}', matches!(operator, '#' | '%'))?;
                // `-`, `+` and `?` say themselves what happens when there is no value.
                let value = match operator {
                    '#' | '%' => self.lookup(name),
                    _ => self.variables.value(name),
                };
                if value.is_none() && self.syntax.keep_unset {
                    return Ok(None);
                }
                apply(name, operator, empty_is_unset, &word, value).map(Some)
            }
            '/' => {
                let all = self.peek() == Some('/');
                if all {
                    self.at += 1;
                }
                let pattern = self.operand('/', true)?;
                let replacement = self.operand('}', true)?;
                let value = self.lookup(name);
                if value.is_none() && self.syntax.keep_unset {
                    return Ok(None);
                }
                let shell = ShellPattern::parse(&pattern)
                    .ok_or_else(|| ExpandError::Pattern(pattern.clone()))?;
                Ok(Some(shell.replace(
                    &value.unwrap_or_default(),
                    &replacement,
                    all,
                )))
            }
            _ => Err(ExpandError::Modifier(modifier)),
        }
    }

    fn operand(&mut self, stop: char, keep_escapes: bool) -> Result<String, ExpandError> {
        match self.until(Some(stop), keep_escapes) {
            Ok(expanded) => Ok(expanded.text),
            Err(_) if self.peek().is_none() => Err(if stop == '/' {
                ExpandError::MissingSlash
            } else {
                ExpandError::MissingBrace
            }),
            Err(error) => Err(error),
        }
    }

    /// Reads a name: letters, digits and `_`; a run of digits; or one special character.
    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            if name.is_empty() && c.is_numeric() {
                while let Some(digit) = self.peek().filter(|c| c.is_numeric()) {
                    self.at += 1;
                    name.push(digit);
                }
                return name;
            }
            if name.is_empty() && matches!(c, '@' | '*' | '#' | '?' | '-' | '$' | '!') {
                self.at += 1;
                return c.to_string();
            }
            if !c.is_alphanumeric() && c != '_' {
                break;
            }
            self.at += 1;
            name.push(c);
        }
        name
    }

    fn lookup(&mut self, name: &str) -> Option<String> {
        let value = self.variables.value(name);
        if value.is_none() {
            self.unset.push(name.to_owned());
        }
        value
    }
}

#[cfg(test)]
#[path = "expand_tests.rs"]
mod tests;
