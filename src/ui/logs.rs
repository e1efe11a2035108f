//! Log lines with an aligned, coloured prefix: `web-1  | text`.

use super::style::{self, Palette};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogStyle {
    /// Colours of the stream.
    pub palette: Palette,
    /// Begin each line with its container.
    pub prefix: bool,
    /// Begin each text with its time.
    pub timestamps: bool,
}

/// Formats log lines. Knows every container that it has met: the column is as wide as the longest name.
#[derive(Debug)]
pub struct LogFormat {
    style: LogStyle,
    /// Names in the order of their appearance, which gives them their colours.
    names: Vec<String>,
    width: usize,
}

impl LogFormat {
    /// Makes one that knows no container.
    pub fn new(style: LogStyle) -> Self {
        Self {
            style,
            names: Vec::new(),
            width: 0,
        }
    }

    /// Makes room for a container before its first line comes.
    pub fn announce(&mut self, name: &str) {
        self.colour_index(name);
    }

    /// Appends a line to `out`, its end included. `time` is printed only when timestamps are wanted.
    pub fn line(&mut self, name: &str, time: &str, text: &[u8], out: &mut Vec<u8>) {
        if self.style.prefix {
            let index = self.colour_index(name);
            let prefix = format!("{name:width$} | ", width = self.width + 1);
            let painted = self
                .style
                .palette
                .paint(style::log_colour(index), prefix.trim_end());
            out.extend_from_slice(painted.as_bytes());
            out.push(b' ');
        }
        if self.style.timestamps {
            out.extend_from_slice(time.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(text);
        out.push(b'\n');
    }

    /// Returns what is said about a container itself (`web-1 exited with code 0`), in its colour.
    pub fn status(&mut self, name: &str, text: &str) -> String {
        let index = self.colour_index(name);
        self.style
            .palette
            .paint(style::log_colour(index), &format!("{name} {text}"))
    }

    fn colour_index(&mut self, name: &str) -> usize {
        if let Some(index) = self.names.iter().position(|known| known == name) {
            return index;
        }
        self.width = self.width.max(name.len());
        self.names.push(name.to_owned());
        self.names.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(style: LogStyle, lines: &[(&str, &str)]) -> String {
        let mut format = LogFormat::new(style);
        let mut out = Vec::new();
        for (name, _) in lines {
            format.announce(name);
        }
        for (name, text) in lines {
            format.line(
                name,
                "2026-01-02T03:04:05.000000006Z",
                text.as_bytes(),
                &mut out,
            );
        }
        String::from_utf8(out).unwrap()
    }

    const PLAIN: LogStyle = LogStyle {
        palette: Palette::new(false),
        prefix: true,
        timestamps: false,
    };

    #[test]
    fn prefixes_are_aligned_to_the_longest_name() {
        insta::assert_snapshot!(
            formatted(PLAIN, &[("web-1", "hello"), ("database-12", "ready"), ("web-1", "")]),
            @r"
        web-1        | hello
        database-12  | ready
        web-1        | 
        "
        );
    }

    #[test]
    fn timestamps_come_after_the_prefix() {
        let style = LogStyle {
            timestamps: true,
            ..PLAIN
        };
        insta::assert_snapshot!(
            formatted(style, &[("web-1", "hello")]),
            @"web-1  | 2026-01-02T03:04:05.000000006Z hello"
        );
    }

    #[test]
    fn each_container_has_its_colour() {
        let style = LogStyle {
            palette: Palette::new(true),
            ..PLAIN
        };
        let text = formatted(style, &[("a-1", "x"), ("b-1", "y"), ("a-1", "z")]);
        assert_eq!(
            text,
            "\u{1b}[36ma-1  |\u{1b}[0m x\n\u{1b}[33mb-1  |\u{1b}[0m y\n\u{1b}[36ma-1  |\u{1b}[0m z\n"
        );
    }

    #[test]
    fn without_prefix_the_text_stays_as_it_is() {
        let style = LogStyle {
            prefix: false,
            ..PLAIN
        };
        assert_eq!(formatted(style, &[("a-1", "x  y")]), "x  y\n");
    }
}
