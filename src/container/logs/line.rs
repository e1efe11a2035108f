//! One line of a log file, and how pieces become lines.

use std::{collections::VecDeque, fmt, str};

/// Bytes of a time: `2026-01-02T03:04:05.123456789Z`.
const TIME_BYTES: usize = 30;
/// Pieces of one line are joined up to this length.
const JOINED_BYTES_MAX: usize = 1024 * 1024;

/// A time with nanoseconds, in UTC. Its text has a fixed width, so that texts compare as times do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogTime([u8; TIME_BYTES]);

impl LogTime {
    /// Reads the time that a line begins with.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let text: [u8; TIME_BYTES] = line.get(..TIME_BYTES)?.try_into().ok()?;
        let digits = text.iter().enumerate().all(|(index, byte)| match index {
            4 | 7 => *byte == b'-',
            10 => *byte == b'T',
            13 | 16 => *byte == b':',
            19 => *byte == b'.',
            29 => *byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
        digits.then_some(Self(text))
    }

    /// Makes a time of seconds and nanoseconds since the Unix epoch; `None` when the year has not four digits.
    pub fn from_unix(seconds: i64, nanoseconds: i32) -> Option<Self> {
        let time = jiff::Timestamp::new(seconds, nanoseconds).ok()?;
        Self::parse(
            time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ")
                .to_string()
                .as_bytes(),
        )
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("it was checked to be digits and signs")
    }
}

impl fmt::Debug for LogTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
    /// The monitor: what happened to the container.
    Event,
}

/// A line of a container's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When its first piece was written.
    pub time: LogTime,
    /// Where it comes from.
    pub stream: LogStream,
    /// Its bytes, without the end of line.
    pub text: Vec<u8>,
}

/// A line of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A whole line, or the end of one.
    Last(LogTime, LogStream, &'a [u8]),
    /// More of the same line follows.
    Part(LogTime, LogStream, &'a [u8]),
    /// Not of the format: a crash of the machine tore a write.
    Torn(&'a [u8]),
}

impl<'a> Piece<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Self {
        Self::well_formed(line).unwrap_or(Self::Torn(line))
    }

    fn well_formed(line: &'a [u8]) -> Option<Self> {
        let time = LogTime::parse(line)?;
        let mut fields = line[TIME_BYTES..]
            .strip_prefix(b" ")?
            .splitn(3, |byte| *byte == b' ');
        let stream = match fields.next()? {
            b"stdout" => LogStream::Stdout,
            b"stderr" => LogStream::Stderr,
            b"event" => LogStream::Event,
            _ => return None,
        };
        let (flag, text) = (fields.next()?, fields.next().unwrap_or_default());
        match flag {
            b"F" => Some(Self::Last(time, stream, text)),
            b"P" => Some(Self::Part(time, stream, text)),
            _ => None,
        }
    }
}

/// Returns whether a line of a file ends a line of output, from its first bytes.
pub(super) fn is_whole(head: &[u8]) -> bool {
    let head = &head[..head
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(head.len())];
    matches!(
        Piece::parse(head),
        Piece::Last(_, LogStream::Stdout | LogStream::Stderr, _)
    )
}

/// Joins pieces to lines, for each stream by itself.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    stdout: Option<LogLine>,
    stderr: Option<LogLine>,
    last: Option<LogTime>,
}

impl Assembler {
    /// Takes a piece and gives the lines that it completes.
    pub(super) fn take(&mut self, piece: &Piece<'_>, lines: &mut VecDeque<LogLine>) {
        match *piece {
            Piece::Last(time, LogStream::Event, text) => {
                // A run ended or began: no piece of the run before will be continued.
                self.flush(lines);
                self.last = Some(time);
                lines.push_back(LogLine {
                    time,
                    stream: LogStream::Event,
                    text: text.to_owned(),
                });
            }
            Piece::Last(time, stream, text) => {
                self.append(time, stream, text);
                lines.extend(self.pending(stream).take());
            }
            Piece::Part(time, stream, text) => {
                self.append(time, stream, text);
                let pending = self.pending(stream);
                if pending
                    .as_ref()
                    .is_some_and(|line| line.text.len() >= JOINED_BYTES_MAX)
                {
                    lines.extend(pending.take());
                }
            }
            Piece::Torn(text) => {
                // Without a time it belongs to the line before it; at the very beginning it is nobody's.
                if let Some(time) = self.last {
                    lines.push_back(LogLine {
                        time,
                        stream: LogStream::Stdout,
                        text: text.to_owned(),
                    });
                }
            }
        }
    }

    /// Gives up waiting for the rest of lines.
    pub(super) fn flush(&mut self, lines: &mut VecDeque<LogLine>) {
        let mut pending: Vec<LogLine> = self
            .stdout
            .take()
            .into_iter()
            .chain(self.stderr.take())
            .collect();
        pending.sort_by_key(|line| line.time);
        lines.extend(pending);
    }

    fn append(&mut self, time: LogTime, stream: LogStream, text: &[u8]) {
        self.last = Some(time);
        self.pending(stream)
            .get_or_insert_with(|| LogLine {
                time,
                stream,
                text: Vec::new(),
            })
            .text
            .extend_from_slice(text);
    }

    fn pending(&mut self, stream: LogStream) -> &mut Option<LogLine> {
        match stream {
            LogStream::Stderr => &mut self.stderr,
            LogStream::Stdout | LogStream::Event => &mut self.stdout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-01-02T03:04:05.000000006Z";

    #[test]
    fn lines_are_parsed_or_torn() {
        let time = LogTime::parse(TIME.as_bytes()).unwrap();
        for (line, piece) in [
            (
                "stdout F hello  world",
                Some(Piece::Last(time, LogStream::Stdout, b"hello  world")),
            ),
            (
                "stderr P part",
                Some(Piece::Part(time, LogStream::Stderr, b"part")),
            ),
            (
                "event F started",
                Some(Piece::Last(time, LogStream::Event, b"started")),
            ),
            ("stdout F ", Some(Piece::Last(time, LogStream::Stdout, b""))),
            ("stdout F", Some(Piece::Last(time, LogStream::Stdout, b""))),
            ("stdout X x", None),
            ("stdin F x", None),
            ("", None),
        ] {
            let text = format!("{TIME} {line}");
            let expected = piece.unwrap_or(Piece::Torn(text.as_bytes()));
            assert_eq!(Piece::parse(text.as_bytes()), expected, "{line}");
        }
        assert_eq!(Piece::parse(b"\x00\x00"), Piece::Torn(b"\x00\x00"));
    }

    #[test]
    fn times_are_made_and_compared() {
        let time = LogTime::from_unix(1_767_323_045, 6).unwrap();
        assert_eq!(time.as_str(), TIME);
        assert!(time < LogTime::from_unix(1_767_323_045, 7).unwrap());
        assert!(time > LogTime::from_unix(0, 999_999_999).unwrap());
        assert_eq!(LogTime::parse(b"2026-01-02 03:04:05.000000006Z"), None);
    }
}
