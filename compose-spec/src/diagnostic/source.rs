//! The files that were read, and places in them.

use std::{fmt, sync::Arc};

/// Number of a file within one [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(u32);

/// Bytes of a file; line and column are found on demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The file.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// Byte after the last.
    pub end: u32,
}

impl Span {
    /// Creates a span; offsets beyond 4 GiB are clamped (no file is that large).
    pub(crate) fn new(source: SourceId, start: usize, end: usize) -> Self {
        let clamp = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self {
            source,
            start: clamp(start),
            end: clamp(end.max(start)),
        }
    }

    /// Returns the empty span behind the last byte.
    pub(crate) fn behind(self) -> Self {
        Self {
            start: self.end,
            ..self
        }
    }

    /// Returns the part of the span from `start` to `end`, relative to its first byte.
    pub(crate) fn part(self, start: usize, end: usize) -> Self {
        let base = self.start as usize;
        Self::new(self.source, base + start, base + end)
    }
}

/// A place as an editor names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// Name of the file, as in [`Source::name`].
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// A file that was read.
#[derive(Clone)]
pub struct Source {
    /// Path as shown to the user: relative to the working directory where it is below it.
    pub name: Arc<str>,
    /// The text, without a byte order mark.
    pub text: Arc<str>,
    line_starts: Vec<u32>,
    /// Where another file names this one.
    named_at: Option<Span>,
}

/// All files that were read, by [`SourceId`].
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Adds a file.
    pub(crate) fn add(&mut self, name: &str, text: &str) -> SourceId {
        let id = SourceId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        let line_starts = std::iter::once(0)
            .chain(
                text.bytes()
                    .zip(1u32..)
                    .filter(|(byte, _)| *byte == b'\n')
                    .map(|(_, next)| next),
            )
            .collect();
        self.files.push(Source {
            name: name.into(),
            text: text.into(),
            line_starts,
            named_at: None,
        });
        id
    }

    /// Notes where another file names one.
    pub(crate) fn set_named_at(&mut self, id: SourceId, named_at: Option<Span>) {
        self.files[id.0 as usize].named_at = named_at;
    }

    /// Returns where another file names this one (`include`, `extends`, `env_file`); `None` when the caller named it.
    pub fn named_at(&self, id: SourceId) -> Option<Span> {
        self.files[id.0 as usize].named_at
    }

    /// Returns the file of a span.
    pub fn source(&self, id: SourceId) -> &Source {
        &self.files[id.0 as usize]
    }

    /// Returns the files in the order in which they were read.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.files.iter()
    }

    /// Returns where a span begins.
    pub fn location(&self, span: Span) -> Location {
        let source = self.source(span.source);
        let (line, start) = source.line_of(span.start);
        let column = source.text.get(start as usize..span.start as usize);
        let column = column.map_or(0, |before| before.chars().count());
        Location {
            file: Arc::clone(&source.name),
            line,
            column: u32::try_from(column).unwrap_or(u32::MAX).saturating_add(1),
        }
    }

    /// Returns the bytes of a span as written.
    pub fn slice(&self, span: Span) -> &str {
        let text = &self.source(span.source).text;
        text.get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }
}

/// The text is left out: a Compose file may hold secrets, and debug output ends in logs.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Source {
    /// Returns the line number (from 1) that holds `offset`, and where that line starts.
    pub(crate) fn line_of(&self, offset: u32) -> (u32, u32) {
        let line = self
            .line_starts
            .partition_point(|start| *start <= offset)
            .max(1);
        (
            u32::try_from(line).unwrap_or(u32::MAX),
            self.line_starts[line - 1],
        )
    }

    /// Returns the text of a line (from 1) without its end.
    pub(crate) fn line(&self, line: u32) -> &str {
        let index = line as usize - 1;
        let start = self.line_starts[index] as usize;
        let end = self
            .line_starts
            .get(index + 1)
            .map_or(self.text.len(), |next| *next as usize);
        self.text
            .get(start..end)
            .unwrap_or_default()
            .trim_end_matches(['\n', '\r'])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_count_characters() {
        let mut sources = Sources::default();
        let id = sources.add("f", "a\nüb: c\n");
        let place = sources.location(Span::new(id, 4, 5));
        assert_eq!((place.line, place.column), (2, 2));
        let end = sources.location(Span::new(id, 9, 9));
        assert_eq!((end.line, end.column), (3, 1));
        assert_eq!(sources.source(id).line(2), "üb: c");
    }
}
