//! The files of one log: `current.log`, `1.log` (the newest rotated one), `2.log`, …

use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::Path,
};

use fs_err as fs;

use super::{CHUNK_BYTES, Query, line};

/// Most files of one log that are looked at.
const FILES_MAX: u32 = 10_000;
/// Bytes of a line that tell its stream and whether it is whole.
const HEAD_BYTES: usize = 64;

/// Tells files apart, also when they are renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// An open log file.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) file: fs::File,
    identity: Identity,
    /// It was rotated before it was read to its end: nothing will be added.
    pub(super) complete: bool,
}

impl LogFile {
    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        Ok(Some(Self {
            file,
            identity: Identity {
                device: metadata.dev(),
                inode: metadata.ino(),
            },
            complete: false,
        }))
    }
}

/// Opens the files that are newer than one, the oldest first; without one, all.
pub(super) fn open_all(
    directory: &Path,
    newer_than: Option<Identity>,
) -> io::Result<VecDeque<LogFile>> {
    let mut files = VecDeque::<LogFile>::new();
    for number in 0..FILES_MAX {
        let name = match number {
            0 => "current.log".to_owned(),
            number => format!("{number}.log"),
        };
        match LogFile::open(&directory.join(name))? {
            Some(file) if Some(file.identity) == newer_than => break,
            // A rotation in between shows the last file again under its next name.
            Some(file)
                if files
                    .front()
                    .is_some_and(|last| last.identity == file.identity) => {}
            Some(file) => files.push_front(file),
            // Between the renames of a rotation there is no current.log.
            None if number == 0 => {}
            None => break,
        }
    }
    Ok(files)
}

/// Drops the files, and goes past the lines, that the query does not want.
pub(super) fn start_at(
    mut files: VecDeque<LogFile>,
    query: &Query,
) -> io::Result<VecDeque<LogFile>> {
    if let Some(since) = query.since {
        // The file before the first one that begins too late may still have wanted lines.
        while files.len() > 1 && first_time(&mut files[1])?.is_some_and(|time| time <= since) {
            files.pop_front();
        }
    }
    if let Some(mut wanted) = query.tail {
        for index in (0..files.len()).rev() {
            match tail_start(&mut files[index].file, &mut wanted)? {
                Some(start) => {
                    files[index].file.seek(SeekFrom::Start(start))?;
                    files.drain(..index);
                    break;
                }
                None => {
                    files[index].file.seek(SeekFrom::Start(0))?;
                }
            }
        }
    }
    Ok(files)
}

fn first_time(file: &mut LogFile) -> io::Result<Option<line::LogTime>> {
    let mut head = Vec::new();
    BufReader::new(&mut file.file)
        .take(HEAD_BYTES as u64)
        .read_until(b'\n', &mut head)?;
    file.file.seek(SeekFrom::Start(0))?;
    Ok(line::LogTime::parse(&head))
}

/// Reads a file backwards until `wanted` whole lines lie behind the returned offset. `None` = it has fewer, and `wanted` is reduced by what it has.
fn tail_start(file: &mut fs::File, wanted: &mut usize) -> io::Result<Option<u64>> {
    let mut end = file.seek(SeekFrom::End(0))?;
    // Where the lines behind the last one counted begin.
    let mut start = end;
    let mut following = Vec::new();
    while end > 0 {
        let begin = end.saturating_sub(CHUNK_BYTES as u64);
        let length = usize::try_from(end - begin).expect("a chunk's length");
        let mut chunk = vec![0; length];
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(&mut chunk)?;
        chunk.extend_from_slice(&following);
        for offset in (0..length).rev() {
            let absolute = begin + offset as u64;
            let begins_line = if offset == 0 {
                absolute == 0 || previous_byte(file, absolute)? == b'\n'
            } else {
                chunk[offset - 1] == b'\n'
            };
            if !begins_line || !line::is_whole(&chunk[offset..]) {
                continue;
            }
            if *wanted == 0 {
                return Ok(Some(start));
            }
            *wanted -= 1;
            start = absolute;
        }
        chunk.truncate(HEAD_BYTES);
        following = chunk;
        end = begin;
    }
    Ok(None)
}

fn previous_byte(file: &mut fs::File, offset: u64) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::Start(offset - 1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}
