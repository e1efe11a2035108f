//! Colours and signs. Colour is never the only signal: a sign or a word says the same.

use anstyle::{AnsiColor, Color, Style};

/// Whether colours are wanted (`--ansi`, `COMPOSE_ANSI`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ansi {
    /// When the stream is a terminal that can.
    #[default]
    Auto,
    /// Never.
    Never,
    /// Always.
    Always,
}

/// Colours of one stream, on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Palette {
    enabled: bool,
}

impl Palette {
    /// Makes one that paints or does not.
    pub const fn new(enabled: bool) -> Self {
        Self { enabled }
    }

    /// Returns whether it paints.
    pub const fn is_enabled(self) -> bool {
        self.enabled
    }

    /// Returns the text in a style.
    pub fn paint(self, style: Style, text: &str) -> String {
        if self.enabled {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

/// `error:`.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// `warning:`.
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// `hint:`.
pub const HINT: Style = AnsiColor::Cyan.on_default().bold();
/// A heading.
pub const HEADING: Style = Style::new().bold();
/// Something went well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Something is being done.
pub const BUSY: Style = AnsiColor::Cyan.on_default();
/// Beside the point.
pub const DIM: Style = Style::new().dimmed();

/// The colour of the n-th container in logs, in docker's order: five plain ones, then their bright forms.
pub fn log_colour(index: usize) -> Style {
    const COLOURS: [AnsiColor; 10] = [
        AnsiColor::Cyan,
        AnsiColor::Yellow,
        AnsiColor::Green,
        AnsiColor::Magenta,
        AnsiColor::Blue,
        AnsiColor::BrightCyan,
        AnsiColor::BrightYellow,
        AnsiColor::BrightGreen,
        AnsiColor::BrightMagenta,
        AnsiColor::BrightBlue,
    ];
    Style::new().fg_color(Some(Color::Ansi(COLOURS[index % COLOURS.len()])))
}

/// The signs of progress rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signs {
    /// It was done.
    pub done: &'static str,
    /// It did not work.
    pub failed: &'static str,
    /// It waits.
    pub waiting: &'static str,
    /// It is being done: the phases of a movement.
    pub working: &'static [&'static str],
}

impl Signs {
    /// Signs of Unicode.
    pub const UNICODE: Self = Self {
        done: "✔",
        failed: "✘",
        waiting: "·",
        working: &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"],
    };
    /// Words of ASCII, for terminals without UTF-8 (`STACK_ASCII`).
    pub const ASCII: Self = Self {
        done: "ok",
        failed: "!!",
        waiting: "..",
        working: &[" -", " \\", " |", " /"],
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_palette_that_is_off_changes_nothing() {
        assert_eq!(Palette::new(false).paint(ERROR, "x"), "x");
        assert_eq!(Palette::new(true).paint(GOOD, "x"), "\u{1b}[32mx\u{1b}[0m");
    }

    #[test]
    fn log_colours_come_round_again() {
        assert_eq!(log_colour(3), log_colour(13));
        assert_ne!(log_colour(0), log_colour(5));
    }
}
