//! Foreign text on a terminal: how wide it is, which part of it fits, and what stands for characters that must not be printed.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Columns of a tab.
const TAB: usize = 4;

/// One character as it is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    text: Shown,
    width: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    One(char),
    Tab,
}

/// Returns a line character by character.
pub(super) fn cells(line: &str) -> Vec<Cell> {
    line.chars()
        .map(|c| match c {
            '\t' => Cell {
                text: Shown::Tab,
                width: TAB,
            },
            c => {
                let c = picture(c);
                Cell {
                    text: Shown::One(c),
                    width: c.width().unwrap_or(1),
                }
            }
        })
        .collect()
}

/// Returns a text without characters that act on a terminal.
pub(super) fn safe(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '\t' || c == '\n' {
                ' '
            } else {
                picture(c)
            }
        })
        .collect()
}

/// Returns the picture of a character that acts on a terminal or on the direction of writing.
fn picture(c: char) -> char {
    match c {
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        '\u{80}'..='\u{9f}' | '\u{feff}' => '\u{fffd}',
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c => c,
    }
}

/// The part of a line that is drawn.
pub(super) struct Window<'a> {
    cells: &'a [Cell],
    /// First cell that is drawn.
    start: usize,
    /// Cell behind the last that is drawn.
    end: usize,
}

impl<'a> Window<'a> {
    /// Returns the whole line when there is room, else the part around the cells `from` to `to`.
    pub(super) fn around(cells: &'a [Cell], (from, to): (usize, usize), room: usize) -> Self {
        let width = |cells: &[Cell]| cells.iter().map(|cell| cell.width).sum::<usize>();
        // A line may have millions of cells: they are not added up when the first ones show that there are too many.
        let fits = cells.len() <= room * 2 && width(cells) <= room;
        if fits {
            let end = cells.len();
            return Self {
                cells,
                start: 0,
                end,
            };
        }
        let room = room.saturating_sub(2);
        let from = from.min(cells.len());
        let mut start = from;
        let mut used = cells[from..to.min(cells.len())]
            .iter()
            .take(room)
            .map(|cell| cell.width)
            .sum::<usize>()
            .min(room);
        let lead = (room - used) / 3;
        let mut before = 0;
        while start > 0 && before + cells[start - 1].width <= lead {
            start -= 1;
            before += cells[start].width;
        }
        used = before;
        let mut end = start.max(from);
        while end < cells.len() && used + cells[end].width <= room {
            used += cells[end].width;
            end += 1;
        }
        while end == cells.len() && start > 0 && used + cells[start - 1].width <= room {
            start -= 1;
            used += cells[start].width;
        }
        Self { cells, start, end }
    }

    /// Returns whether the first of these cells is drawn.
    pub(super) fn contains(&self, (from, _): (usize, usize)) -> bool {
        self.start <= from && (from < self.end || self.end == self.cells.len())
    }

    /// Returns the columns of cells within the drawn text, clipped to it.
    pub(super) fn place(&self, (from, to): (usize, usize)) -> (usize, usize) {
        let lead = usize::from(self.start > 0);
        let column = |cell: usize| {
            let cell = cell.clamp(self.start, self.end);
            lead + self.cells[self.start..cell]
                .iter()
                .map(|cell| cell.width)
                .sum::<usize>()
        };
        (column(from), column(to))
    }

    /// Returns the drawn text; `…` stands for what is cut off.
    pub(super) fn text(&self, ascii: bool) -> String {
        let cut = if ascii { '~' } else { '…' };
        let mut out = String::new();
        if self.start > 0 {
            out.push(cut);
        }
        for cell in &self.cells[self.start..self.end] {
            match cell.text {
                Shown::One(c) => out.push(c),
                Shown::Tab => out.extend(std::iter::repeat_n(' ', TAB)),
            }
        }
        if self.end < self.cells.len() {
            out.push(cut);
        } else {
            out.truncate(out.trim_end().len());
        }
        out
    }
}

/// Breaks a text at blanks; a word that is too long has its own line. At least one line.
pub(super) fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.width() + 1 + word.width() <= room {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
