//! Lines of several logs in the order of their times.

use super::{LogError, LogLine, LogReader};

/// Logs that are read as one. Within one log the order of the file holds, also when a clock was set back.
#[derive(Debug, Default)]
pub struct Merged {
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    reader: LogReader,
    head: Option<LogLine>,
}

impl Merged {
    /// Adds a log and returns its number.
    pub fn add(&mut self, reader: LogReader) -> usize {
        self.sources.push(Source { reader, head: None });
        self.sources.len() - 1
    }

    /// Returns the oldest line that was written and not returned yet, with the number of its log.
    pub fn next_line(&mut self) -> Result<Option<(usize, LogLine)>, LogError> {
        for source in &mut self.sources {
            if source.head.is_none() {
                source.head = source.reader.next_line()?;
            }
        }
        let oldest = self
            .sources
            .iter()
            .enumerate()
            .filter_map(|(number, source)| Some((source.head.as_ref()?.time, number)))
            .min();
        Ok(oldest.and_then(|(_, number)| Some((number, self.sources[number].head.take()?))))
    }

    /// Returns the beginnings of lines that will get no end, once nothing more is written.
    pub fn flush(&mut self) -> Vec<(usize, LogLine)> {
        let mut lines = Vec::new();
        for (number, source) in self.sources.iter_mut().enumerate() {
            while let Some(line) = source.reader.flush() {
                lines.push((number, line));
            }
        }
        lines
    }
}
