//! The grammar of `$VAR` and `${VAR…}`.
//!
//! ```text
//! template = { "$$" | "$" name | "${" name [ operator rest ] "}" | any other character }
//! operator = ":-" | "-" | ":?" | "?" | ":+" | "+"
//! rest     = template without a line break and with its braces in pairs, evaluated only when it is used
//! name     = [A-Za-z_][A-Za-z0-9_]*
//! ```
//!
//! A `$` before anything else stays a `$`.

use crate::configuration::Variable;

/// Most bytes that one template may become.
const BYTES_MAX: usize = 4 << 20;
/// Deepest nesting of defaults.
const DEPTH_MAX: usize = 64;

/// Why a template has no value. Offsets are bytes of the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `${` that is not well formed.
    Malformed {
        /// First byte.
        start: usize,
        /// Byte after the last.
        end: usize,
    },
    /// `${NAME:?message}` and the variable is not set.
    Required {
        /// The variable.
        name: String,
        /// The message as written.
        message: String,
        /// First byte.
        start: usize,
        /// Byte after the last.
        end: usize,
    },
    /// The value is longer, or defaults are nested deeper, than anyone means.
    TooLarge,
}

/// A plain use of a variable that is not set: name, first byte, byte after the last.
pub(crate) type UnsetUse = (String, usize, usize);

/// Returns the value of a template. Uses of unset variables are told to `unset`.
pub(crate) fn substitute(
    template: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    unset: &mut dyn FnMut(UnsetUse),
) -> Result<String, Fault> {
    let mut evaluation = Evaluation {
        lookup,
        unset,
        out: String::with_capacity(template.len()),
    };
    evaluation.template(template, 0, 0)?;
    Ok(evaluation.out)
}

/// Returns the variables that a template uses, nested ones included, in the order of the text.
pub(crate) fn variables(template: &str) -> Vec<Variable> {
    let mut found = Vec::new();
    collect(template, 0, &mut found);
    found
}

fn collect(template: &str, depth: usize, found: &mut Vec<Variable>) {
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if let Some(escaped) = rest.strip_prefix('$') {
            rest = escaped;
            continue;
        }
        let braced = rest.strip_prefix('{');
        let text = braced.unwrap_or(rest);
        let name = &text[..name_length(text)];
        if name.is_empty() {
            continue;
        }
        let mut variable = Variable {
            name: name.to_owned(),
            ..Variable::default()
        };
        let length = match braced {
            None => Some(name.len()),
            Some(_) => closing(&template[template.len() - rest.len() - 1..]).map(|end| end - 1),
        };
        let Some(length) = length else { continue };
        let argument = braced.map_or("", |text| &text[name.len()..length - 2]);
        let operator = argument.strip_prefix(':').unwrap_or(argument);
        let text = operator.get(1..).unwrap_or_default();
        match operator.bytes().next() {
            Some(b'-') => text.clone_into(&mut variable.default),
            Some(b'+') => text.clone_into(&mut variable.alternate),
            Some(b'?') => variable.required = true,
            _ => {}
        }
        // A message is for the user as it is written: nothing in it is replaced.
        let has_nested = !variable.required && depth < DEPTH_MAX;
        found.push(variable);
        if has_nested {
            collect(text, depth + 1, found);
        }
        rest = &rest[length..];
    }
}

struct Evaluation<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    unset: &'a mut dyn FnMut(UnsetUse),
    out: String,
}

impl Evaluation<'_> {
    /// Evaluates a template that starts at byte `base` of the whole.
    fn template(&mut self, text: &str, base: usize, depth: usize) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err(Fault::TooLarge);
        }
        let mut at = 0;
        while let Some(found) = text[at..].find('$') {
            self.push(&text[at..at + found])?;
            at += found;
            let rest = &text[at + 1..];
            if rest.starts_with('$') {
                self.push("$")?;
                at += 2;
            } else if rest.starts_with('{') {
                at += self.braced(&text[at..], base + at, depth)?;
            } else {
                let length = name_length(rest);
                if length == 0 {
                    self.push("$")?;
                } else {
                    self.variable(&rest[..length], base + at, base + at + 1 + length)?;
                }
                at += 1 + length;
            }
        }
        self.push(&text[at..])
    }

    /// Evaluates `${…` at the start of `text`; returns its length.
    fn braced(&mut self, text: &str, base: usize, depth: usize) -> Result<usize, Fault> {
        let Some(length) = closing(text) else {
            return Err(Fault::Malformed {
                start: base,
                end: base + text.len(),
            });
        };
        let inner = &text[2..length - 1];
        let name = &inner[..name_length(inner)];
        let (start, end) = (base, base + length);
        let malformed = Fault::Malformed { start, end };
        if name.is_empty() {
            return Err(malformed);
        }
        let tail = &inner[name.len()..];
        if tail.is_empty() {
            self.variable(name, start, end)?;
            return Ok(length);
        }
        let (strict, operator) = match tail.strip_prefix(':') {
            Some(rest) => (true, rest),
            None => (false, tail),
        };
        if operator.contains('\n') {
            return Err(malformed);
        }
        let value = (self.lookup)(name).filter(|value| !(strict && value.is_empty()));
        let argument = operator.get(1..).unwrap_or_default();
        let argument_base = end - 1 - argument.len();
        match (operator.as_bytes().first(), value) {
            (Some(b'-' | b'?'), Some(value)) => self.push(&value)?,
            (Some(b'-'), None) | (Some(b'+'), Some(_)) => {
                self.template(argument, argument_base, depth + 1)?;
            }
            (Some(b'+'), None) => {}
            (Some(b'?'), None) => {
                let (name, message) = (name.to_owned(), argument.to_owned());
                return Err(Fault::Required {
                    name,
                    message,
                    start,
                    end,
                });
            }
            _ => return Err(malformed),
        }
        Ok(length)
    }

    fn variable(&mut self, name: &str, start: usize, end: usize) -> Result<(), Fault> {
        if let Some(value) = (self.lookup)(name) {
            self.push(&value)
        } else {
            (self.unset)((name.to_owned(), start, end));
            Ok(())
        }
    }

    fn push(&mut self, text: &str) -> Result<(), Fault> {
        if self.out.len() + text.len() > BYTES_MAX {
            return Err(Fault::TooLarge);
        }
        self.out.push_str(text);
        Ok(())
    }
}

fn name_length(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

/// Returns the length of the `${…}` at the start of `text`.
///
/// As in Compose, every brace within an argument counts, so that a default may be JSON, and the character behind an opening
/// one is never a closing one. Where that leaves a brace open, the last one of the line closes.
fn closing(text: &str) -> Option<usize> {
    let line = text.find('\n').unwrap_or(text.len());
    let last = text[..line].rfind('}')? + 1;
    let argument = 2 + name_length(&text[2..]);
    if text[argument..].starts_with('}') {
        return Some(argument + 1);
    }
    let mut open = 0_usize;
    let mut bytes = text.bytes().enumerate().take(last);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'{' => {
                open += 1;
                bytes.next();
            }
            b'}' if open <= 1 => return Some(at + 1),
            b'}' => open -= 1,
            _ => {}
        }
    }
    Some(last)
}
