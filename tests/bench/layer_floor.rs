//! What no tool can do without when it brings compressed layers onto a disk, with the inflater that `stack` has.
//!
//! ```text
//! layer_floor inflate FILE…          inflates each file on a thread of its own
//! layer_floor fetch URL…             the same, of what a registry answers: plain HTTP, one connection and one thread each
//! layer_floor unpack DIRECTORY FILE… also sha256 of both forms, files written, one sync: all of a layer on one thread
//! ```
//!
//! Prints the seconds by the clock and those of all processors. Files without compression are read as they are.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring program: it ends at the first error, and what it prints is its result"
)]

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::Instant,
};

use sha2::{Digest, Sha256};

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

fn main() {
    let mut words = env::args_os().skip(1);
    let mode = words.next().unwrap();
    let target = (mode == "unpack").then(|| PathBuf::from(words.next().unwrap()));
    let fetches = mode == "fetch";
    let files: Vec<PathBuf> = words.map(PathBuf::from).collect();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for (number, file) in files.iter().enumerate() {
            let target = target
                .as_ref()
                .map(|target| target.join(number.to_string()));
            scope.spawn(move || match target {
                Some(target) => unpack(file, &target),
                None if fetches => inflate(fetch(file.to_str().unwrap())),
                None => inflate(fs::File::open(file).unwrap()),
            });
        }
    });
    if let Some(target) = target {
        rustix::fs::syncfs(fs::File::open(target).unwrap().as_fd()).unwrap();
    }
    let wall = began.elapsed().as_secs_f64();
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let processors = std::time::Duration::try_from(used).unwrap().as_secs_f64();
    println!("{wall:.3} {processors:.3}");
}

fn inflate(source: impl Read) {
    io::copy(&mut plain(source), &mut io::sink()).unwrap();
}

/// Asks for `http://HOST:PORT/PATH` and returns the body of the answer.
fn fetch(url: &str) -> impl Read {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut connection = TcpStream::connect(host).unwrap();
    write!(
        connection,
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = BufReader::with_capacity(CHUNK, connection);
    let mut length = None;
    let mut line = String::new();
    answer.read_line(&mut line).unwrap();
    assert!(line.contains(" 200 "), "{url}: {line}");
    while line != "\r\n" {
        line.clear();
        assert!(answer.read_line(&mut line).unwrap() > 0, "{url}: cut short");
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok();
        }
    }
    answer.take(length.unwrap())
}

/// Returns the plain bytes of a gzip file, or of one that is none.
fn plain<'a>(source: impl Read + 'a) -> Box<dyn Read + 'a> {
    let mut source = BufReader::with_capacity(CHUNK, source);
    let is_gzip = source.fill_buf().unwrap().starts_with(&[0x1f, 0x8b]);
    if is_gzip {
        Box::new(flate2::bufread::MultiGzDecoder::new(source))
    } else {
        Box::new(source)
    }
}

/// Hashes what is read through it.
struct Hashing<R> {
    source: R,
    sum: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.sum.update(&buffer[..count]);
        Ok(count)
    }
}

fn hashing<R: Read>(source: R) -> Hashing<R> {
    Hashing {
        source,
        sum: Sha256::new(),
    }
}

fn unpack(file: &Path, target: &Path) {
    fs::create_dir_all(target).unwrap();
    let compressed = hashing(fs::File::open(file).unwrap());
    let content = hashing(plain(compressed));
    let mut archive = tar::Archive::new(BufReader::with_capacity(CHUNK, content));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = target.join(entry.path().unwrap());
        let parent = path.parent().unwrap();
        if !parent.exists() {
            fs::create_dir_all(parent).unwrap();
        }
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            fs::create_dir_all(&path).unwrap();
        } else if kind.is_file() {
            io::copy(&mut entry, &mut fs::File::create(&path).unwrap()).unwrap();
        } else if kind.is_symlink() {
            let link = entry.link_name().unwrap().unwrap();
            std::os::unix::fs::symlink(link, &path).unwrap();
        } else if kind.is_hard_link() {
            let link = entry.link_name().unwrap().unwrap();
            // Of a lower layer, now and then: nothing to do here.
            let _linked = fs::hard_link(target.join(link), &path);
        }
    }
    io::copy(&mut archive.into_inner(), &mut io::sink()).unwrap();
}
