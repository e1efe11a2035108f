//! Cutting an instruction's arguments: flags, blank-separated words, quoted words, JSON arrays.

use super::{
    error::{Located, Problem},
    lines::Joined,
    source::{Span, Word},
};

/// Splits the first word off: the instruction's name and the rest.
pub(crate) fn split_name(text: &Joined) -> (Word, Joined) {
    let end = text
        .text
        .find(char::is_whitespace)
        .unwrap_or(text.text.len());
    (text.word(0, end), text.trimmed(end, text.text.len()))
}

/// Splits at blanks.
pub(crate) fn blank_words(text: &Joined) -> Vec<Word> {
    scan(text, |_| false, '\0')
}

/// Splits at blanks outside quotes; quotes and escapes stay in the words.
pub(crate) fn quoted_words(text: &Joined, escape: char) -> Vec<Word> {
    scan(text, |c| c == '"' || c == '\'', escape)
}

fn scan(text: &Joined, is_quote: impl Fn(char) -> bool, escape: char) -> Vec<Word> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut chars = text.text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if start.is_none() {
            if c.is_whitespace() {
                continue;
            }
            start = Some(at);
        }
        match quote {
            Some(open) if c == open => quote = None,
            // Nothing can be escaped inside single quotes.
            Some('\'') => {}
            _ if c == escape && escape != '\0' => {
                chars.next();
            }
            Some(_) => {}
            None if is_quote(c) => quote = Some(c),
            None if c.is_whitespace() => {
                words.extend(start.take().map(|start| text.word(start, at)));
            }
            None => {}
        }
    }
    words.extend(start.map(|start| text.word(start, text.text.len())));
    words
}

/// Parses a JSON array of strings; `None` = it is not JSON, so it is the shell form.
pub(crate) fn json_strings(text: &Joined) -> Result<Option<Vec<String>>, Located> {
    if !text.text.starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(&text.text) else {
        return Ok(None);
    };
    values
        .into_iter()
        .map(|value| match value {
            serde_json::Value::String(string) => Ok(string),
            _ => Err(Located::new(text.whole(), Problem::NotStrings)),
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

/// Words, or a JSON array: the places of the latter are the whole array.
pub(crate) fn json_or_words(text: &Joined) -> Result<Vec<Word>, Located> {
    Ok(match json_strings(text)? {
        Some(strings) => strings
            .into_iter()
            .map(|string| Word {
                text: string,
                span: text.whole(),
            })
            .collect(),
        None => blank_words(text),
    })
}

/// One `--name[=value]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flag {
    pub(crate) name: String,
    pub(crate) value: Option<Word>,
    pub(crate) span: Span,
}

/// The flags of one instruction; each is taken once, what is left over is unknown.
#[derive(Debug)]
pub(crate) struct Flags {
    instruction: String,
    given: Vec<Flag>,
    known: Vec<&'static str>,
}

/// Splits leading `--…` words off. `--` ends them.
pub(crate) fn split_flags(instruction: &str, text: &Joined, escape: char) -> (Flags, Joined) {
    let mut flags = Vec::new();
    let mut at = 0;
    let bytes = &text.text;
    loop {
        at += bytes[at..].len() - bytes[at..].trim_start().len();
        if !bytes[at..].starts_with("--") {
            break;
        }
        let (word, end) = unquoted_word(bytes, at, escape);
        let span = text.span(at, end);
        let begin = at;
        at = end;
        if word == "--" {
            break;
        }
        let (name, value) = match word[2..].split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (&word[2..], None),
        };
        flags.push(Flag {
            name: name.to_owned(),
            value: value.map(|value| Word {
                text: value.to_owned(),
                span: text.span((begin + 3 + name.len()).min(end), end),
            }),
            span,
        });
    }
    let flags = Flags {
        instruction: instruction.to_owned(),
        given: flags,
        known: Vec::new(),
    };
    (flags, text.trimmed(at, bytes.len()))
}

/// Reads a word from `at`, removing quotes and escapes.
fn unquoted_word(text: &str, at: usize, escape: char) -> (String, usize) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text[at..].char_indices();
    while let Some((offset, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return (word, at + offset),
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == escape => word.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => word.push(c),
        }
    }
    (word, text.len())
}

impl Flags {
    /// Takes a flag that may stand once and needs a value.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<Option<Word>, Located> {
        self.once(name)?
            .map(|flag| {
                flag.value
                    .ok_or_else(|| Located::new(flag.span, Problem::FlagValue(name.to_owned())))
            })
            .transpose()
    }

    /// Takes a flag that may stand often and needs a value.
    pub(crate) fn texts(&mut self, name: &'static str) -> Result<Vec<Word>, Located> {
        self.take(name)
            .into_iter()
            .map(|flag| {
                flag.value
                    .ok_or_else(|| Located::new(flag.span, Problem::FlagValue(name.to_owned())))
            })
            .collect()
    }

    /// Takes a boolean flag; no value means true.
    pub(crate) fn boolean(&mut self, name: &'static str) -> Result<Option<bool>, Located> {
        let Some(flag) = self.once(name)? else {
            return Ok(None);
        };
        let problem = match flag.value {
            None => return Ok(Some(true)),
            Some(value) => match value.text.to_ascii_lowercase().as_str() {
                "true" => return Ok(Some(true)),
                "false" => return Ok(Some(false)),
                "" => Problem::FlagValue(name.to_owned()),
                _ => Problem::FlagBoolean {
                    flag: name.to_owned(),
                    value: value.text,
                },
            },
        };
        Err(Located::new(flag.span, problem))
    }

    /// Refuses what was not taken.
    pub(crate) fn finish(self) -> Result<(), Located> {
        let Some(flag) = self.given.into_iter().next() else {
            return Ok(());
        };
        let problem = Problem::UnknownFlag {
            instruction: self.instruction,
            flag: flag.name.clone(),
        };
        let mut error = Located::new(flag.span, problem).near(&flag.name, self.known);
        error.suggestion = error.suggestion.map(|name| format!("--{name}"));
        Err(error)
    }

    fn once(&mut self, name: &'static str) -> Result<Option<Flag>, Located> {
        let mut flags = self.take(name).into_iter();
        let first = flags.next();
        match flags.next() {
            Some(second) => Err(Located::new(
                second.span,
                Problem::FlagTwice(name.to_owned()),
            )),
            None => Ok(first),
        }
    }

    fn take(&mut self, name: &'static str) -> Vec<Flag> {
        self.known.push(name);
        self.given
            .extract_if(.., |flag| flag.name == name)
            .collect()
    }
}
