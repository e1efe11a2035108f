//! From bytes to logical lines: directives, comments, continuations, heredocs.
//!
//! A logical line keeps a map back to the file, so that an error in the middle of a continued line points at the right column.

use std::sync::Arc;

use super::{
    error::{Located, Problem},
    expand::{Quotes, Syntax, expand_with},
    source::{Source, Span, Word},
};

/// The parser directives at the top of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives {
    /// `# syntax=`
    pub syntax: Option<String>,
    /// `# check=`
    pub check: Option<String>,
    /// `# escape=`
    pub escape: Option<char>,
}

/// One instruction as written, continuations joined, with the heredocs that follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: Joined,
    pub(crate) heredocs: Vec<Heredoc>,
    /// Comments right above it, without `#` and blanks; an empty line or another instruction between breaks the tie.
    pub(crate) comments: Vec<String>,
    /// From the instruction's first character to the end of its last line.
    pub(crate) span: Span,
}

/// Joined text that knows where each of its bytes came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) text: String,
    /// Ascending pairs: from this byte of `text` on, bytes come from this offset of the file.
    origins: Arc<[(usize, usize)]>,
    /// Offset of `text` within the text that `origins` describes.
    base: usize,
}

/// An inline document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// Its name, quotes removed.
    pub name: String,
    /// Contents, the end line excluded; leading tabs still there.
    pub content: String,
    /// Written `<<-`: leading tabs are to be stripped.
    pub chomp: bool,
    /// The name was not quoted: COPY expands variables in it.
    pub expand: bool,
}

impl Heredoc {
    /// Returns the contents with leading tabs stripped where `<<-` asks for it.
    pub fn text(&self) -> String {
        if !self.chomp {
            return self.content.clone();
        }
        self.content
            .split_inclusive('\n')
            .map(|line| line.trim_start_matches('\t'))
            .collect()
    }

    /// Whether a line of RUN is nothing but the announcement of one heredoc.
    pub(crate) fn is_all_of(line: &str) -> bool {
        Self::announced(line.trim()).is_some()
    }

    /// Parses the word that announces a heredoc (`<<EOF`, `3<<-"EOF"`); `None` = an ordinary word.
    pub(crate) fn announced(word: &str) -> Option<Self> {
        let rest = word
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .strip_prefix("<<")?;
        let (chomp, rest) = match rest.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let rest = rest.trim_start();
        if rest.is_empty() || rest.contains('<') {
            return None;
        }
        let read = |quotes| {
            let syntax = Syntax {
                escape: '\\',
                quotes,
                keep_unset: true,
            };
            expand_with(rest, syntax, &|_: &str| None).ok()
        };
        let [name] = &read(Quotes::Strip)?.words[..] else {
            return None;
        };
        let quotes = |text: &str| text.matches(['\'', '"']).count();
        let kept = read(Quotes::Keep)?;
        Some(Self {
            name: name.clone(),
            content: String::new(),
            chomp,
            expand: quotes(name) == kept.words.first().map_or(0, |word| quotes(word)),
        })
    }
}

impl Joined {
    /// Returns the file's offset of a byte of the text.
    pub(crate) fn origin(&self, at: usize) -> usize {
        let at = at + self.base;
        let index = self.origins.partition_point(|(from, _)| *from <= at).max(1) - 1;
        let (from, offset) = self.origins[index];
        offset + (at - from)
    }

    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        Span {
            start: self.origin(start),
            end: if end > start {
                self.origin(end - 1) + 1
            } else {
                self.origin(start)
            },
        }
    }

    pub(crate) fn whole(&self) -> Span {
        self.span(0, self.text.len())
    }

    pub(crate) fn word(&self, start: usize, end: usize) -> Word {
        Word {
            text: self.text[start..end].to_owned(),
            span: self.span(start, end),
        }
    }

    /// Returns a part, trimmed of blanks on both sides.
    pub(crate) fn trimmed(&self, start: usize, end: usize) -> Self {
        let part = &self.text[start..end];
        let start = start + (part.len() - part.trim_start().len());
        Self {
            text: part.trim().to_owned(),
            origins: Arc::clone(&self.origins),
            base: self.base + start,
        }
    }
}

/// A file cut into logical lines.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) directives: Directives,
    pub(crate) logical: Vec<Line>,
    /// Continued lines with an empty line inside, which the language deprecates.
    pub(crate) empty_continuations: Vec<Span>,
    pub(crate) errors: Vec<Located>,
}

/// Cuts a file into logical lines.
pub(crate) fn split(source: &Source) -> Lines {
    let mut splitter = Splitter {
        rest: source.text.split_inclusive('\n'),
        offset: 0,
        comments: Vec::new(),
        result: Lines {
            directives: Directives::default(),
            logical: Vec::new(),
            empty_continuations: Vec::new(),
            errors: Vec::new(),
        },
    };
    splitter.directives(&source.text);
    while let Some((offset, line)) = splitter.next() {
        splitter.logical(offset, line);
    }
    splitter.result
}

struct Splitter<'a> {
    rest: std::str::SplitInclusive<'a, char>,
    offset: usize,
    /// Comments since the last line that was none.
    comments: Vec<String>,
    result: Lines,
}

impl<'a> Splitter<'a> {
    fn next(&mut self) -> Option<(usize, &'a str)> {
        let line = self.rest.next()?;
        let offset = self.offset;
        self.offset += line.len();
        Some((offset, line))
    }

    /// Reads the directives without consuming them: they are comments to the rest.
    fn directives(&mut self, text: &str) {
        let mut offset = 0;
        for line in text.split_inclusive('\n') {
            let span = Span {
                start: offset,
                end: offset + line.trim_end().len(),
            };
            offset += line.len();
            let Some((name, value)) = line.trim_start().strip_prefix('#').and_then(directive)
            else {
                return;
            };
            let directives = &mut self.result.directives;
            let twice = match name.as_str() {
                "syntax" => directives.syntax.replace(value).is_some(),
                "check" => directives.check.replace(value).is_some(),
                "escape" => match value.as_str() {
                    "\\" => directives.escape.replace('\\').is_some(),
                    "`" => directives.escape.replace('`').is_some(),
                    _ => {
                        let problem = Problem::EscapeToken(value);
                        self.result.errors.push(Located::new(span, problem));
                        return;
                    }
                },
                _ => return,
            };
            if twice {
                let problem = Problem::DirectiveTwice(name);
                self.result.errors.push(Located::new(span, problem));
                return;
            }
        }
    }

    fn escape(&self) -> char {
        self.result.directives.escape.unwrap_or('\\')
    }

    /// Reads one logical line that begins with this physical one.
    fn logical(&mut self, offset: usize, first: &'a str) {
        let indent = first.len() - first.trim_start().len();
        let content = first[indent..].trim_end_matches(['\r', '\n']);
        if let Some(comment) = content.strip_prefix('#') {
            self.comments.push(comment.trim().to_owned());
            return;
        }
        let comments = std::mem::take(&mut self.comments);
        if content.is_empty() {
            return;
        }
        let start = offset + indent;
        let mut end = start + content.len();
        let mut text = String::new();
        let mut origins = Vec::new();
        let mut push = |offset: usize, piece: &str| {
            origins.push((text.len(), offset));
            text.push_str(piece);
        };
        let (piece, mut continued) = without_continuation(content, self.escape());
        push(start, piece);
        let mut empty = false;
        while continued {
            let Some((offset, line)) = self.next() else {
                break;
            };
            let line = line.trim_end_matches(['\r', '\n']);
            if line.trim_start().starts_with('#') {
                continue;
            }
            if line.trim_start().is_empty() {
                empty = true;
                continue;
            }
            let (piece, more) = without_continuation(line, self.escape());
            push(offset, piece);
            end = offset + line.len();
            continued = more;
        }
        let span = Span { start, end };
        if empty {
            self.result.empty_continuations.push(span);
        }
        if text.trim().is_empty() {
            return;
        }
        let text = Joined {
            text,
            origins: origins.into(),
            base: 0,
        };
        let text = text.trimmed(0, text.text.len());
        let heredocs = self.heredocs(&text, span);
        self.result.logical.push(Line {
            text,
            heredocs,
            comments,
            span,
        });
    }

    /// Reads the documents that an instruction announces.
    fn heredocs(&mut self, text: &Joined, span: Span) -> Vec<Heredoc> {
        let mut heredocs = announced(&text.text);
        for heredoc in &mut heredocs {
            loop {
                let Some((_, line)) = self.next() else {
                    let problem = Problem::HeredocEnd(heredoc.name.clone());
                    self.result.errors.push(Located::new(span, problem));
                    return Vec::new();
                };
                let mut end = line.trim_end_matches(['\r', '\n']);
                if heredoc.chomp {
                    end = end.trim_start_matches('\t');
                }
                if end == heredoc.name {
                    break;
                }
                heredoc.content.push_str(line);
            }
        }
        heredocs
    }
}

/// Parses `name=value` of a directive.
fn directive(comment: &str) -> Option<(String, String)> {
    let (name, value) = comment.trim_start().split_once('=')?;
    let name = name.trim_end();
    let value = value.trim();
    let valid = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric());
    (valid && !value.is_empty()).then(|| (name.to_ascii_lowercase(), value.to_owned()))
}

/// Removes a trailing escape character (blanks may follow it); the flag says whether there was one. A doubled one is not a continuation.
fn without_continuation(line: &str, escape: char) -> (&str, bool) {
    let trimmed = line.trim_end_matches([' ', '\t']);
    match trimmed.strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => (rest, true),
        _ => (line, false),
    }
}

/// Finds the heredocs that a line announces: only ADD, COPY, RUN and ONBUILD of these may.
fn announced(line: &str) -> Vec<Heredoc> {
    if !line.contains("<<") {
        return Vec::new();
    }
    let mut instruction = line.split_whitespace();
    let mut name = instruction.next().unwrap_or_default().to_ascii_uppercase();
    if name == "ONBUILD" {
        name = instruction.next().unwrap_or_default().to_ascii_uppercase();
    }
    if !matches!(name.as_str(), "ADD" | "COPY" | "RUN") {
        return Vec::new();
    }
    let syntax = Syntax {
        escape: '\\',
        quotes: Quotes::Keep,
        keep_unset: true,
    };
    // A line whose quotes do not match is the shell's business, not ours.
    expand_with(line, syntax, &|_: &str| None)
        .map(|expanded| {
            expanded
                .words
                .iter()
                .filter_map(|word| Heredoc::announced(word))
                .collect()
        })
        .unwrap_or_default()
}
