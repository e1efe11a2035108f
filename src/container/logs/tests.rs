//! Readers against log files that rotate under them.

use std::io::Write;

use fs_err as fs;
use proptest::prelude::*;

use super::*;

/// Writes as a monitor does.
struct Writer {
    directory: tempfile::TempDir,
    clock: i64,
}

impl Writer {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            clock: 1_700_000_000,
        }
    }

    fn append(&mut self, rest: &str) {
        self.clock += 1;
        let time = LogTime::from_unix(self.clock, 0).unwrap();
        self.append_raw(format!("{} {rest}\n", time.as_str()).as_bytes());
    }

    fn append_raw(&self, bytes: &[u8]) {
        let path = self.directory.path().join("current.log");
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        file.write_all(bytes).unwrap();
    }

    fn rotate(&self, files_max: u32) {
        let path = |number: u32| match number {
            0 => self.directory.path().join("current.log"),
            number => self.directory.path().join(format!("{number}.log")),
        };
        for number in (0..files_max - 1).rev() {
            if path(number).exists() {
                fs::rename(path(number), path(number + 1)).unwrap();
            }
        }
        fs::File::create(path(0)).unwrap();
    }

    fn reader(&self, query: &Query) -> LogReader {
        LogReader::open(self.directory.path(), query).unwrap()
    }

    fn read(&self, query: &Query) -> Vec<String> {
        rest(&mut self.reader(query))
    }

    fn time(&self, back: i64) -> LogTime {
        LogTime::from_unix(self.clock - back, 0).unwrap()
    }
}

fn rest(reader: &mut LogReader) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(line) = reader.next_line().unwrap() {
        lines.push(String::from_utf8(line.text).unwrap());
    }
    lines
}

fn numbered(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("line {n}")).collect()
}

#[test]
fn a_missing_directory_is_an_empty_log_that_may_come() {
    let mut writer = Writer::new();
    let directory = writer
        .directory
        .path()
        .join("current.log")
        .parent()
        .unwrap()
        .join("later");
    let mut reader = LogReader::open(&directory, &Query::default()).unwrap();
    assert_eq!(rest(&mut reader), Vec::<String>::new());
    writer.append("stdout F first");
    fs::create_dir(&directory).unwrap();
    fs::rename(
        writer.directory.path().join("current.log"),
        directory.join("current.log"),
    )
    .unwrap();
    assert_eq!(rest(&mut reader), ["first"]);
}

#[test]
fn rotated_files_are_read_oldest_first() {
    let mut writer = Writer::new();
    for n in 0..9 {
        if n % 3 == 0 && n > 0 {
            writer.rotate(5);
        }
        writer.append(&format!("stdout F line {n}"));
    }
    assert_eq!(writer.read(&Query::default()), numbered(0..9));
}

#[test]
fn tail_counts_whole_lines_over_files() {
    let mut writer = Writer::new();
    for n in 0..10 {
        if n == 4 {
            writer.rotate(5);
            writer.append("event F exited");
        }
        writer.append("stderr P li");
        writer.append("event F pause");
        writer.append(&format!("stdout F line {n}"));
    }
    for (tail, first) in [(0, 10), (1, 9), (5, 5), (6, 4), (7, 3), (10, 0), (99, 0)] {
        let query = Query {
            tail: Some(tail),
            ..Query::default()
        };
        let lines: Vec<String> = writer
            .read(&query)
            .into_iter()
            .filter(|line| line.starts_with("line"))
            .collect();
        assert_eq!(lines, numbered(first..10), "tail {tail}");
    }
}

#[test]
fn tail_finds_lines_longer_than_a_chunk() {
    let mut writer = Writer::new();
    let long = "x".repeat(CHUNK_BYTES + 100);
    writer.append("stdout F first");
    writer.append(&format!("stdout F {long}"));
    writer.append("stdout F last");
    let query = Query {
        tail: Some(2),
        ..Query::default()
    };
    assert_eq!(writer.read(&query), [long.as_str(), "last"]);
}

#[test]
fn since_and_until_cut_at_their_times() {
    let mut writer = Writer::new();
    for n in 0..10 {
        if n == 5 {
            writer.rotate(5);
        }
        writer.append(&format!("stdout F line {n}"));
    }
    for (since, until, lines) in [
        (Some(0), None, 9..10),
        (Some(4), None, 5..10),
        (Some(6), None, 3..10),
        (None, Some(3), 0..6),
        (Some(7), Some(2), 2..7),
        (Some(99), Some(99), 0..0),
    ] {
        let query = Query {
            since: since.map(|back| writer.time(back)),
            until: until.map(|back| writer.time(back)),
            tail: None,
        };
        assert_eq!(writer.read(&query), numbered(lines), "{query:?}");
    }
}

#[test]
fn pieces_are_joined_for_each_stream_and_cut_at_the_end_of_a_run() {
    let mut writer = Writer::new();
    writer.append("stdout P one ");
    writer.append("stderr F beside");
    writer.append("stdout F two");
    writer.append("stdout P no end");
    writer.append("event F exited");
    writer.append("stdout F next run");
    assert_eq!(
        writer.read(&Query::default()),
        ["beside", "one two", "no end", "exited", "next run"]
    );
}

#[test]
fn a_line_that_is_being_written_is_waited_for() {
    let mut writer = Writer::new();
    writer.append("stdout F one");
    let mut reader = writer.reader(&Query::default());
    assert_eq!(rest(&mut reader), ["one"]);
    writer.append_raw(b"2026-01-02T03:04:05.0000");
    assert_eq!(rest(&mut reader), Vec::<String>::new());
    writer.append_raw(b"00006Z stdout F two\n");
    assert_eq!(rest(&mut reader), ["two"]);
}

#[test]
fn a_torn_line_is_shown_as_it_is() {
    let mut writer = Writer::new();
    writer.append("stdout F one");
    writer.append_raw(b"\x00\x00\x00\n");
    writer.append("stdout F two");
    assert_eq!(writer.read(&Query::default()), ["one", "\0\0\0", "two"]);
}

#[test]
fn a_piece_without_end_is_given_when_nothing_more_comes() {
    let mut writer = Writer::new();
    writer.append("stdout P login: ");
    let mut reader = writer.reader(&Query::default());
    assert_eq!(reader.next_line().unwrap(), None);
    assert_eq!(reader.flush().unwrap().text, b"login: ");
    assert_eq!(reader.flush(), None);
}

#[test]
fn several_logs_are_merged_by_time() {
    let (mut web, mut db) = (Writer::new(), Writer::new());
    for n in 0..6 {
        let writer = if n % 2 == 0 { &mut web } else { &mut db };
        writer.clock = 1_700_000_000 + n;
        writer.append(&format!("stdout F line {n}"));
    }
    let mut merged = Merged::default();
    assert_eq!(merged.add(web.reader(&Query::default())), 0);
    assert_eq!(merged.add(db.reader(&Query::default())), 1);
    let mut lines = Vec::new();
    while let Some((number, line)) = merged.next_line().unwrap() {
        assert_eq!(
            number,
            usize::from(!String::from_utf8_lossy(&line.text).ends_with(['0', '2', '4']))
        );
        lines.push(String::from_utf8(line.text).unwrap());
    }
    assert_eq!(lines, numbered(0..6));
}

#[test]
fn a_watch_is_readable_after_a_write() {
    let mut writer = Writer::new();
    let watch = Watch::open().unwrap();
    watch.add(writer.directory.path()).unwrap();
    watch.add(&writer.directory.path().join("absent")).unwrap();
    let is_readable = |watch: &Watch| {
        let mut fds = [rustix::event::PollFd::new(
            watch,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut fds, Some(&rustix::time::Timespec::default())).unwrap() == 1
    };
    assert!(!is_readable(&watch));
    assert_eq!(watch.drain().unwrap(), Changes::None);
    writer.append("stdout F x");
    assert!(is_readable(&watch));
    assert_eq!(watch.drain().unwrap(), Changes::Entries);
    assert!(!is_readable(&watch));
    writer.append("stdout F y");
    assert_eq!(watch.drain().unwrap(), Changes::Writes);
    writer.append("stdout F z");
    writer.rotate(3);
    assert_eq!(watch.drain().unwrap(), Changes::Entries);
}

proptest! {
    /// Whatever the reader and the writer do in turn, every line comes once and in order, as long as no unread file is deleted.
    #[test]
    fn following_misses_and_repeats_nothing(steps in proptest::collection::vec(0..4u8, 1..60)) {
        let mut writer = Writer::new();
        let mut reader = writer.reader(&Query::default());
        let (mut written, mut read) = (0, Vec::new());
        for step in steps {
            match step {
                0 => writer.rotate(100),
                1 => read.extend(rest(&mut reader)),
                _ => {
                    writer.append(&format!("stdout F line {written}"));
                    written += 1;
                }
            }
        }
        read.extend(rest(&mut reader));
        prop_assert_eq!(&read, &numbered(0..written));
        prop_assert_eq!(writer.read(&Query::default()), read);
    }
}
