//! The files of a log, rotation, and a disk that fills up.

use std::path::Path;

use proptest::prelude::*;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

use super::*;

fn place(dir: &Path, file_bytes_max: u64, files_max: u32) -> LogPlace {
    LogPlace {
        dir: Some(dir.to_owned()),
        file_bytes_max,
        files_max,
    }
}

/// The lines of one file as (stream, tag, text), after a check of their times.
fn lines_of(file: &Path) -> Vec<(String, char, String)> {
    let Ok(text) = fs::read_to_string(file) else {
        return Vec::new();
    };
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    let mut last = String::new();
    text.lines()
        .map(|line| {
            let mut fields = line.splitn(4, ' ');
            let mut field = || fields.next().unwrap().to_owned();
            let (time, stream, tag, text) = (field(), field(), field(), field());
            assert!(
                time.len() == 30 && time.ends_with('Z') && time >= last,
                "{line}"
            );
            last = time;
            (stream, tag.chars().next().unwrap(), text)
        })
        .collect()
}

fn texts_of(file: &Path) -> Vec<String> {
    lines_of(file)
        .into_iter()
        .map(|(_, _, text)| text)
        .collect()
}

#[test]
fn streams_events_and_pieces_have_their_tags() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(&place(dir.path(), 0, 3)).unwrap();
    log.event("started");
    log.output(Stream::Stdout, b"a\nb");
    log.output(Stream::Stderr, b"e\n");
    log.output(Stream::Stdout, b"c\n");
    log.output(Stream::Stderr, &vec![b'x'; lines::LINE_BYTES_MAX + 1]);
    log.end(Stream::Stdout);
    log.end(Stream::Stderr);
    log.event("two\nlines");
    let lines = lines_of(&dir.path().join("current.log"));
    let short = lines
        .iter()
        .map(|(stream, tag, text)| format!("{stream} {tag} {}", &text[..text.len().min(9)]))
        .collect::<Vec<_>>();
    assert_eq!(
        short,
        [
            "event F started",
            "stdout F a",
            "stderr F e",
            "stdout F bc",
            "stderr P xxxxxxxxx",
            "stderr P x",
            "event F two lines",
        ]
    );
}

#[test]
fn a_second_run_appends_and_no_place_means_no_log() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        Log::open(&place(dir.path(), 0, 1)).unwrap().event("x");
    }
    assert_eq!(texts_of(&dir.path().join("current.log")), ["x", "x"]);
    let nowhere = LogPlace {
        dir: None,
        file_bytes_max: 1,
        files_max: 1,
    };
    let mut log = Log::open(&nowhere).unwrap();
    log.output(Stream::Stdout, b"x\n");
    log.event("x");
}

#[test]
fn one_file_alone_is_emptied_when_full() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(&place(dir.path(), 100, 1)).unwrap();
    for number in 0..20 {
        log.output(Stream::Stdout, format!("{number}\n").as_bytes());
    }
    assert!(!dir.path().join("1.log").exists());
    let left = texts_of(&dir.path().join("current.log"));
    assert_eq!(left.last().unwrap(), "19");
    assert!(left.len() <= 3, "{left:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// What the files hold, oldest first, is an unbroken end of what was printed, and no file is much larger than its limit.
    #[test]
    fn rotation_keeps_the_newest_lines(
        chunks in proptest::collection::vec(1_usize..30, 1..60),
        bytes_max in 50_u64..2000,
        files_max in 1_u32..5,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(&place(dir.path(), bytes_max, files_max)).unwrap();
        let mut printed = Vec::new();
        for count in &chunks {
            let first = printed.len();
            printed.extend((first..first + count).map(|number| number.to_string()));
            let chunk = printed[first..].join("\n") + "\n";
            log.output(Stream::Stdout, chunk.as_bytes());
        }
        let mut kept = Vec::new();
        for number in (1..files_max).rev() {
            kept.extend(texts_of(&dir.path().join(format!("{number}.log"))));
        }
        kept.extend(texts_of(&dir.path().join("current.log")));
        prop_assert!(!kept.is_empty() && printed.ends_with(&kept), "{kept:?}");
        let entries = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap()).collect::<Vec<_>>();
        prop_assert!(entries.len() <= files_max as usize);
        for entry in entries {
            // One chunk of 29 lines of 46 bytes may follow the last byte below the limit.
            prop_assert!(entry.metadata().unwrap().len() < bytes_max + 29 * 46);
        }
    }
}

/// A tmpfs of 32 KiB, in a mount namespace of this test's own thread.
#[test]
fn a_full_disk_drops_lines_and_says_so_once_it_works_again() {
    let test = || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        mount_change(
            "/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        )
        .unwrap();
        let dir = tempfile::tempdir().unwrap();
        mount(
            "tmpfs",
            dir.path(),
            "tmpfs",
            MountFlags::empty(),
            Some(c"size=32k"),
        )
        .unwrap();
        let mut log = Log::open(&place(dir.path(), 0, 2)).unwrap();
        let ballast = dir.path().join("ballast");
        fs::write(&ballast, vec![0; 20 * 1024]).unwrap();
        for number in 0..500 {
            log.output(Stream::Stdout, format!("{number}\n").as_bytes());
        }
        fs::remove_file(&ballast).unwrap();
        log.output(Stream::Stdout, b"after\nmore\n");
        let texts = texts_of(&dir.path().join("current.log"));
        rustix::mount::unmount(dir.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
        texts
    };
    let texts = std::thread::spawn(test).join().unwrap();
    let at = texts
        .iter()
        .position(|text| text.contains("lines lost"))
        .unwrap();
    let (before, after) = (&texts[..at], &texts[at..]);
    let lost = after[0]
        .split(' ')
        .next()
        .unwrap()
        .parse::<usize>()
        .unwrap();
    assert!(
        after[0].ends_with("lines lost: no storage space"),
        "{}",
        after[0]
    );
    assert_eq!(after[1..], ["after", "more"]);
    assert!(
        before.len() + lost == 500 || before.len() + lost == 501,
        "{} {lost}",
        before.len()
    );
    assert_eq!(
        before[..100],
        (0..100).map(|n| n.to_string()).collect::<Vec<_>>()
    );
}
