//! Findings as text with excerpts, for terminals and logs.
//!
//! ```text
//! error[S0102]: key `web` occurs twice
//!   --> compose.yaml:4:3
//!   |
//! 2 |   web: {image: i}
//!   |   --- first here
//! ...
//! 4 |   web: {image: k}
//!   |   ^^^ here again
//!   = help: …
//! ```
//!
//! Files are foreign: control characters are drawn as pictures, so that none of them reaches a terminal, and of a long line
//! only the part around the mark is shown. A tab is four columns, a wide character two.

use unicode_width::UnicodeWidthStr as _;

use super::{
    Diagnostic, Label, Severity, Sources, Span,
    text::{self, Cell},
};

/// Columns when nothing is known about the reader.
const WIDTH_DEFAULT: usize = 100;
/// Fewest columns of an excerpt, however narrow the terminal is.
const EXCERPT_MIN: usize = 20;
/// Most files named in "included from" notes.
const ORIGINS_MAX: usize = 5;

/// How findings are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawing {
    /// Columns of the terminal. Excerpts are cut and suggestions broken to fit; the first line is not.
    pub width: usize,
    /// Whether escape sequences for colours are written.
    pub colour: bool,
    /// Whether the frame consists of ASCII only.
    pub ascii: bool,
}

/// Without colours, in ASCII, 100 columns wide.
impl Default for Drawing {
    fn default() -> Self {
        Self {
            width: WIDTH_DEFAULT,
            colour: false,
            ascii: true,
        }
    }
}

/// What a part of the text is, for its colour.
#[derive(Clone, Copy)]
enum Paint {
    Error,
    Warning,
    Title,
    Frame,
    Second,
}

impl Drawing {
    /// Draws a finding; the text ends with a line end.
    pub fn draw(&self, diagnostic: &Diagnostic, sources: &Sources) -> String {
        let labels = in_order(diagnostic, sources);
        let last_line = labels.iter().map(|label| label.line).max().unwrap_or(1);
        let mut picture = Picture {
            drawing: *self,
            severity: diagnostic.severity,
            gutter: last_line.to_string().len(),
            out: String::new(),
        };
        picture.title(diagnostic);
        let mut rest = &labels[..];
        while let Some(first) = rest.first() {
            let file = first.span.source;
            let end = rest
                .iter()
                .position(|label| label.span.source != file)
                .unwrap_or(rest.len());
            picture.file(&rest[..end], sources);
            rest = &rest[end..];
        }
        for note in &diagnostic.help {
            picture.note("help", note);
        }
        for note in origins(diagnostic, sources) {
            picture.note("note", &note);
        }
        picture.out
    }
}

/// Returns one finding as plain text, as [`Drawing::default`] draws it.
pub fn plain(diagnostic: &Diagnostic, sources: &Sources) -> String {
    Drawing::default().draw(diagnostic, sources)
}

/// A label with the place that it is drawn at.
struct Mark<'a> {
    text: &'a str,
    span: Span,
    line: u32,
    primary: bool,
}

/// Returns the labels: the file of the primary one first, in each file by line, in a line from right to left, so that the
/// words of one do not stand in front of the marks of the next.
fn in_order<'a>(diagnostic: &'a Diagnostic, sources: &Sources) -> Vec<Mark<'a>> {
    let mark = |label: &'a Label, primary| Mark {
        text: &label.text,
        span: label.span,
        line: sources.location(label.span).line,
        primary,
    };
    let primary = diagnostic.primary.iter().map(|label| mark(label, true));
    let secondary = diagnostic.secondary.iter().map(|label| mark(label, false));
    let mut marks: Vec<Mark<'_>> = primary.chain(secondary).collect();
    let mut files = Vec::new();
    for mark in &marks {
        if !files.contains(&mark.span.source) {
            files.push(mark.span.source);
        }
    }
    marks.sort_by_key(|mark| {
        let file = files.iter().position(|file| *file == mark.span.source);
        (file, mark.line, std::cmp::Reverse(mark.span.start))
    });
    marks
}

/// Returns where the file of the primary label is named, and where that file is named, and so on.
fn origins(diagnostic: &Diagnostic, sources: &Sources) -> Vec<String> {
    let mut notes = Vec::new();
    let mut file = diagnostic.primary.as_ref().map(|label| label.span.source);
    while let Some(id) = file
        && notes.len() < ORIGINS_MAX
    {
        let Some(span) = sources.named_at(id) else {
            break;
        };
        let place = sources.location(span);
        let name = &sources.source(id).name;
        notes.push(format!(
            "`{name}` is named at {}:{}:{}",
            place.file, place.line, place.column
        ));
        file = Some(span.source);
    }
    notes
}

struct Picture {
    drawing: Drawing,
    severity: Severity,
    gutter: usize,
    out: String,
}

impl Picture {
    fn title(&mut self, diagnostic: &Diagnostic) {
        let (word, paint) = match diagnostic.severity {
            Severity::Error => ("error", Paint::Error),
            Severity::Warning => ("warning", Paint::Warning),
        };
        self.paint(paint, &format!("{word}[{}]", diagnostic.code));
        self.paint(
            Paint::Title,
            &format!(": {}", text::safe(&diagnostic.message)),
        );
        self.out.push('\n');
    }

    /// Draws the labels of one file, which are in order.
    fn file(&mut self, marks: &[Mark<'_>], sources: &Sources) {
        let Some(head) = marks
            .iter()
            .find(|mark| mark.primary)
            .or_else(|| marks.first())
        else {
            return;
        };
        let place = sources.location(head.span);
        let arrow = if self.drawing.ascii { "-->" } else { "┌─" };
        self.margin("");
        self.paint(Paint::Frame, arrow);
        let name = text::safe(&place.file);
        let name = format!(" {name}:{}:{}\n", place.line, place.column);
        self.out.push_str(&name);
        let mut before: Option<u32> = None;
        let mut rest = marks;
        while let Some(mark) = rest.first() {
            let same = rest
                .iter()
                .position(|other| other.line != mark.line)
                .unwrap_or(rest.len());
            let line = sources.source(mark.span.source).line(mark.line);
            if before.is_some_and(|before| mark.line > before + 1) {
                let gap = if self.drawing.ascii { "..." } else { "⋮" };
                self.paint(Paint::Frame, gap);
                self.out.push('\n');
            }
            self.line(mark.line, &text::cells(line), &rest[..same], sources);
            before = Some(mark.line);
            rest = &rest[same..];
        }
    }

    /// Draws a line with the marks below it; again for marks that are too far apart for one window.
    fn line(&mut self, number: u32, cells: &[Cell], marks: &[Mark<'_>], sources: &Sources) {
        let room = self.room();
        let mut open: Vec<&Mark<'_>> = marks.iter().collect();
        while !open.is_empty() {
            let head = open.iter().position(|mark| mark.primary).unwrap_or(0);
            let window = text::Window::around(cells, columns(open[head], sources), room);
            self.margin(&number.to_string());
            let shown = window.text(self.drawing.ascii);
            self.bar(&shown);
            let (inside, outside): (Vec<_>, Vec<_>) = open
                .into_iter()
                .partition(|mark| window.contains(columns(mark, sources)));
            for mark in inside {
                let (start, end) = window.place(columns(mark, sources));
                self.mark(mark, start, end, room);
            }
            open = outside;
        }
    }

    fn mark(&mut self, mark: &Mark<'_>, start: usize, end: usize, room: usize) {
        let (sign, paint) = match (mark.primary, self.severity) {
            (true, Severity::Error) => ("^", Paint::Error),
            (true, Severity::Warning) => ("^", Paint::Warning),
            (false, _) => ("-", Paint::Second),
        };
        let words = text::safe(mark.text);
        let mut marks = sign.repeat((end - start).max(1));
        let width = start + marks.len() + 1 + words.width();
        let beside = width <= room;
        if beside && !words.is_empty() {
            marks = format!("{marks} {words}");
        }
        self.margin("");
        self.bar_start();
        self.out.extend(std::iter::repeat_n(' ', start + 1));
        self.paint(paint, &marks);
        self.out.push('\n');
        if beside {
            return;
        }
        let indent = start.min(room / 2);
        for line in text::wrapped(&words, room - indent) {
            self.margin("");
            self.bar_start();
            self.out.extend(std::iter::repeat_n(' ', indent + 1));
            self.paint(paint, &line);
            self.out.push('\n');
        }
    }

    /// Writes a suggestion, broken at blanks.
    fn note(&mut self, word: &str, note: &str) {
        let head = format!("{word}: ");
        let margin = self.gutter + 3;
        let room = self.drawing.width.saturating_sub(margin + head.len());
        let lines = text::wrapped(&text::safe(note), room.max(EXCERPT_MIN));
        for (index, line) in lines.iter().enumerate() {
            if index == 0 {
                self.out.extend(std::iter::repeat_n(' ', self.gutter + 1));
                self.paint(Paint::Frame, "= ");
                self.paint(Paint::Second, &head);
            } else {
                self.out
                    .extend(std::iter::repeat_n(' ', margin + head.len()));
            }
            self.out.push_str(line);
            self.out.push('\n');
        }
    }

    /// Columns left for an excerpt.
    fn room(&self) -> usize {
        self.drawing
            .width
            .saturating_sub(self.gutter + 3)
            .max(EXCERPT_MIN)
    }

    fn margin(&mut self, number: &str) {
        let padded = format!("{number:>width$} ", width = self.gutter);
        self.paint(Paint::Frame, &padded);
    }

    fn bar_start(&mut self) {
        let bar = if self.drawing.ascii { "|" } else { "│" };
        self.paint(Paint::Frame, bar);
    }

    fn bar(&mut self, text: &str) {
        self.bar_start();
        if !text.is_empty() {
            self.out.push(' ');
            self.out.push_str(text);
        }
        self.out.push('\n');
    }

    fn paint(&mut self, paint: Paint, text: &str) {
        if !self.drawing.colour || text.trim().is_empty() {
            self.out.push_str(text);
            return;
        }
        let code = match paint {
            Paint::Error => "1;31",
            Paint::Warning => "1;33",
            Paint::Title => "1",
            Paint::Frame => "34",
            Paint::Second => "36",
        };
        for part in ["\u{1b}[", code, "m", text, "\u{1b}[0m"] {
            self.out.push_str(part);
        }
    }
}

/// Returns the characters of its line that a mark covers: from, to.
fn columns(mark: &Mark<'_>, sources: &Sources) -> (usize, usize) {
    let start = sources.location(mark.span).column as usize - 1;
    let covered = sources.slice(mark.span);
    let covered = covered.lines().next().unwrap_or_default().trim_end();
    (start, start + covered.chars().count().max(1))
}

#[cfg(test)]
mod tests;
