//! The grammar of `.env` files, as Compose reads them.
//!
//! ```text
//! line    = [export ] name ( "=" | ":" ) value [ " #" comment ] | name (inherited) | "#" comment
//! value   = 'literal, \' escapes' | "escapes and $interpolation" | plain with $interpolation
//! ```
//!
//! Quoted values may span lines. An unquoted backslash is an ordinary character: `\$A` keeps it and still interpolates.

use crate::interpolate::{Fault, substitute};

/// One variable of a file; no value means that it is inherited and was not set.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// Name of the variable.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: Option<String>,
}

/// A line that breaks the grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LineError {
    /// First byte of what is wrong.
    pub(crate) start: usize,
    /// Byte after it.
    pub(crate) end: usize,
    /// What is wrong; never holds a value.
    pub(crate) message: String,
}

/// The variables around a file.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// Finds one that wins over the file's own.
    pub(crate) outer: Lookup<'a>,
    /// Finds one of earlier files, over which the file's own win.
    pub(crate) earlier: Lookup<'a>,
}

/// Finds a variable by its name.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

#[cfg(any(test, fuzzing))]
impl<'a> Scope<'a> {
    /// A file with nothing before it.
    pub(crate) fn alone(outer: Lookup<'a>) -> Self {
        Self {
            outer,
            earlier: &|_| None,
        }
    }
}

/// Reads a file.
pub(crate) fn parse(text: &str, scope: Scope<'_>) -> Result<Vec<Assignment>, LineError> {
    let mut reader = Reader {
        text,
        at: 0,
        scope,
        found: Vec::new(),
    };
    while reader.skip_to_statement() {
        reader.statement()?;
    }
    Ok(reader.found)
}

/// Reads a file of the format `raw`: `NAME=value` to the end of the line, nothing is special.
pub(crate) fn parse_raw(text: &str, scope: Scope<'_>) -> Result<Vec<Assignment>, LineError> {
    let mut found = Vec::new();
    let mut at = 0;
    for line in text.split('\n') {
        let start = at;
        at += line.len() + 1;
        let line = line.strip_suffix('\r').unwrap_or(line);
        let trimmed = line.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let (name, value) = match trimmed.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (trimmed.trim_end(), (scope.outer)(trimmed.trim_end())),
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(LineError {
                start,
                end: start + line.len() - trimmed.len() + name.len().max(1),
                message: "a variable's name must not be empty or hold blanks".to_owned(),
            });
        }
        found.push(Assignment {
            name: name.to_owned(),
            value,
        });
    }
    Ok(found)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    scope: Scope<'a>,
    found: Vec<Assignment>,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Skips blanks, empty lines and comments; returns whether something is left.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            self.at += self.rest().len() - self.rest().trim_start().len();
            if !self.rest().starts_with('#') {
                return !self.rest().is_empty();
            }
            let rest = self.rest();
            self.at += rest.find('\n').unwrap_or(rest.len());
        }
    }

    fn statement(&mut self) -> Result<(), LineError> {
        let begin = self.at;
        if let Some(after) = self.rest().strip_prefix("export")
            && after.starts_with([' ', '\t'])
        {
            self.at = self.text.len() - after.trim_start_matches([' ', '\t']).len();
        }
        let start = self.at;
        let rest = self.rest();
        let length = rest.find(['=', ':', '\n']).unwrap_or(rest.len());
        let name = self.rest()[..length].trim_end().to_owned();
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']');
        // A line without a name sets nothing, or a variable that nothing can use; docker compose takes it.
        let nameless = name.is_empty() && !rest.starts_with(['=', ':', '\n']);
        if nameless || !name.chars().all(allowed) {
            let message = match name.chars().find(|c| !allowed(*c)) {
                Some(c) if c.is_whitespace() => "a variable's name must not hold blanks".to_owned(),
                Some(c) => format!("`{}` is not allowed in a variable's name", c.escape_debug()),
                None => "a variable's name is missing".to_owned(),
            };
            // Where a name is missing, what stands there instead; after an `export` that is the last word, that word.
            let next = rest.chars().next().map_or(0, char::len_utf8);
            return Err(LineError {
                start: if rest.is_empty() { begin } else { start },
                end: start + name.len().max(next),
                message,
            });
        }
        let inherited = !self.text[start + length..].starts_with(['=', ':']);
        self.at = (start + length + 1).min(self.text.len());
        let value = if inherited {
            (self.scope.outer)(&name)
        } else {
            self.at += self.rest().len() - self.rest().trim_start_matches(is_blank).len();
            // What is wrong with a value is told at the name, or else at the sign.
            let value = self.value(start).map_err(|error| LineError {
                end: error.end.max(start + 1),
                ..error
            });
            Some(value?)
        };
        self.found.push(Assignment { name, value });
        Ok(())
    }

    fn value(&mut self, statement: usize) -> Result<String, LineError> {
        let rest = self.rest();
        if let Some(quote @ ('"' | '\'')) = rest.chars().next() {
            let Some((inner, length)) = quoted(rest, quote) else {
                return Err(LineError {
                    start: statement,
                    end: self.at + 1,
                    message: "the quoted value has no end".to_owned(),
                });
            };
            self.at += length;
            return if quote == '\'' {
                Ok(inner)
            } else {
                self.expand(&unescape(&inner), statement)
            };
        }
        let length = rest.find('\n').unwrap_or(rest.len());
        let line = &rest[..length];
        let value = line
            .split_once(" #")
            .map_or(line, |(value, _)| value)
            .trim_end();
        let value = value.to_owned();
        self.at = (self.at + length + 1).min(self.text.len());
        self.expand(&value, statement)
    }

    fn expand(&self, value: &str, statement: usize) -> Result<String, LineError> {
        let lookup = |name: &str| {
            let own = || {
                let mut found = self.found.iter().rev();
                found.find_map(|own| own.value.clone().filter(|_| own.name == name))
            };
            (self.scope.outer)(name)
                .or_else(own)
                .or_else(|| (self.scope.earlier)(name))
        };
        substitute(value, &lookup, &mut |_| {}).map_err(|fault| {
            let message = match fault {
                Fault::Malformed { .. } => {
                    "the value holds a `${…}` that is not well formed".into()
                }
                Fault::Required { name, message, .. } if message.is_empty() => {
                    format!("variable `{name}` is required and not set")
                }
                Fault::Required { name, message, .. } => {
                    format!("variable `{name}` is required and not set: {message}")
                }
                Fault::TooLarge => "the value becomes too large".to_owned(),
            };
            let line = self.text[statement..].find(['=', ':', '\n']).unwrap_or(1);
            LineError {
                start: statement,
                end: statement + line,
                message,
            }
        })
    }
}

/// Blanks between `=` and the value; a newline ends the line.
fn is_blank(c: char) -> bool {
    matches!(
        c,
        ' ' | '\t' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{a0}'
    )
}

/// Returns the text between quotes, with only the escaped quote itself unescaped, and the length with both quotes.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut inner = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if c == quote && !escaped => return Some((inner, at + 1)),
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            _ if escaped && c != quote => inner.push('\\'),
            _ => {}
        }
        escaped = false;
        inner.push(c);
    }
    None
}

/// Applies the escapes of double quotes; `\$` becomes `$$`, which interpolation turns into `$`.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('a') => out.push('\u{7}'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('v') => out.push('\u{b}'),
            Some('$') => out.push_str("$$"),
            Some('0') => {
                let mut code = 0;
                for _ in 0..3 {
                    let Some(digit) = chars.peek().and_then(|c| c.to_digit(8)) else {
                        break;
                    };
                    code = code * 8 + digit;
                    chars.next();
                }
                out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
            }
            Some(kept @ ('"' | '\\')) => out.push(kept),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests;
