//! The text of a Dockerfile and places in it. Positions are for people: lines and columns count from 1, columns in characters.

use std::fmt;

/// A Dockerfile with the name that messages give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `Dockerfile`, a path, or `dockerfile_inline`.
    pub name: String,
    /// The text without a byte order mark.
    pub text: String,
}

/// Bytes `start..end` of a [`Source`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// A line and a column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column in characters.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A piece of text and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The text as the instruction sees it, continuations joined.
    pub text: String,
    /// Where it was read.
    pub span: Span,
}

/// Where something is, resolved for a message: it outlives the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Name of the file.
    pub file: String,
    /// Line and column.
    pub position: Position,
    /// The whole line.
    pub line: String,
    /// Number of characters that the place covers on its line, at least 1.
    pub width: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.position)
    }
}

impl Place {
    /// Returns the line with its number and a row of carets below the place.
    pub fn excerpt(&self) -> String {
        let number = self.position.line.to_string();
        let margin = " ".repeat(number.len());
        let indent: String = self
            .line
            .chars()
            .take(self.position.column - 1)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        format!(
            "{number} | {}\n{margin} | {indent}{}",
            self.line,
            "^".repeat(self.width)
        )
    }
}

impl Source {
    /// Returns the line and column of a byte; past the end it is the end.
    pub fn position(&self, offset: usize) -> Position {
        let before = &self.text[..self.floor(offset)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Position {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// Resolves a span for a message.
    pub fn place(&self, span: Span) -> Place {
        let start = self.floor(span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = self.text[start..]
            .find('\n')
            .map_or(self.text.len(), |at| start + at);
        let end = self.floor(span.end).clamp(start, line_end);
        Place {
            file: self.name.clone(),
            position: self.position(start),
            line: self.text[line_start..line_end]
                .trim_end_matches('\r')
                .to_owned(),
            width: self.text[start..end].trim_end().chars().count().max(1),
        }
    }

    fn floor(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_and_point_at_them() {
        let source = Source {
            name: "Dockerfile".to_owned(),
            text: "FROM a\n\tRÜN x\r\nCMD".to_owned(),
        };
        let place = source.place(Span { start: 8, end: 12 });
        assert_eq!(place.to_string(), "Dockerfile:2:2");
        assert_eq!(place.excerpt(), "2 | \tRÜN x\n  | \t^^^");
        let past = source.place(Span {
            start: 99,
            end: 120,
        });
        assert_eq!(past.to_string(), "Dockerfile:3:4");
        assert_eq!(past.width, 1);
    }
}
