//! The disk as `compose_spec` sees it.

use std::{
    cell::OnceCell,
    io::{self, Read},
    path::Path,
};

use compose_spec::{FileKind, Files};
use fs_err as fs;

/// The files of this machine; `-` is standard input.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// What was on standard input: a command may read its project twice, the stream only once.
    stdin: OnceCell<Vec<u8>>,
}

impl Disk {
    /// Returns what a stream holds, as it was the first time.
    fn once(&self, stream: impl Read, most: u64) -> io::Result<Vec<u8>> {
        if let Some(bytes) = self.stdin.get() {
            return Ok(bytes.clone());
        }
        let bytes = read(stream, most)?;
        Ok(self.stdin.get_or_init(|| bytes).clone())
    }
}

/// Reads one byte more than is allowed, which shows that there is too much.
fn read(stream: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream
        .take(most.saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Files for Disk {
    fn read(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        if path == Path::new("-") {
            return self.once(io::stdin().lock(), most);
        }
        read(fs::File::open(path)?, most)
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        let kind = fs::metadata(path).ok()?.file_type();
        Some(if kind.is_file() {
            FileKind::File
        } else if kind.is_dir() {
            FileKind::Directory
        } else {
            FileKind::Other
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_input_is_read_once_and_bounded() {
        let disk = Disk::default();
        let mut stream = &b"services: {}"[..];
        assert_eq!(disk.once(&mut stream, 7).unwrap(), b"services");
        assert_eq!(disk.once(&mut stream, 7).unwrap(), b"services");
        assert_eq!(stream, b": {}");
    }
}
