//! Tables without borders, aligned as docker aligns them: three blanks between columns, columns at least ten wide.

use unicode_width::UnicodeWidthStr;

/// Blanks between two columns.
const GAP: usize = 3;
/// Smallest width of a column, its gap included.
const COLUMN_MIN: usize = 10;

/// A table: a header and rows of as many cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Makes an empty table.
    pub fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Self {
        Self {
            header: header.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let row: Vec<String> = cells.into_iter().map(Into::into).collect();
        assert_eq!(
            row.len(),
            self.header.len(),
            "a row has a cell for each column"
        );
        self.rows.push(row);
    }

    /// Returns the text, one line a row, the header first.
    pub fn render(&self) -> String {
        let widths: Vec<usize> = (0..self.header.len())
            .map(|column| self.width(column))
            .collect();
        let mut text = String::new();
        for line in std::iter::once(&self.header).chain(&self.rows) {
            render_line(line, &widths, &mut text);
        }
        text
    }

    fn width(&self, column: usize) -> usize {
        std::iter::once(&self.header)
            .chain(&self.rows)
            .map(|line| line[column].width() + GAP)
            .max()
            .unwrap_or(0)
            .max(COLUMN_MIN)
    }
}

fn render_line(cells: &[String], widths: &[usize], text: &mut String) {
    for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
        text.push_str(cell);
        if index + 1 < cells.len() {
            let fill = width.saturating_sub(cell.width());
            text.extend(std::iter::repeat_n(' ', fill));
        }
    }
    // An empty last cell leaves no blanks at the end of a line.
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["NAME", "STATUS", "PORTS"]);
        table.row(["shop-web-1", "Up 3 minutes", "0.0.0.0:8080->80/tcp"]);
        table.row(["db", "世界", ""]);
        insta::assert_snapshot!(table.render(), @r"
        NAME         STATUS         PORTS
        shop-web-1   Up 3 minutes   0.0.0.0:8080->80/tcp
        db           世界
        ");
    }
}
