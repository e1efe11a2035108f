//! A static web server with a visitor counter: serves the files below /site, and `/visits`, which the store counts.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Component, Path},
    process::ExitCode,
    thread,
    time::Duration,
};

const PORT: u16 = 8080;
const SITE: &str = "/site";
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_BYTES_MAX: u64 = 16 * 1024;

fn main() -> ExitCode {
    let store = std::env::var("STORE_ADDRESS").unwrap_or_else(|_| "store:7000".to_owned());
    match serve(&store) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("web: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(store: &str) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
    println!("web: serving {SITE} on port {PORT}, counting in {store}");
    thread::scope(|scope| {
        for stream in listener.incoming() {
            let stream = stream?;
            scope.spawn(move || {
                if let Err(error) = answer(&stream, store) {
                    eprintln!("web: client: {error}");
                }
            });
        }
        Ok(())
    })
}

fn answer(stream: &TcpStream, store: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(CLIENT_TIMEOUT))?;
    let mut lines = BufReader::new(io::Read::take(stream, REQUEST_BYTES_MAX)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = match request.split(' ').collect::<Vec<_>>()[..] {
        ["GET", path, _] => path,
        _ => return reply(stream, "400 Bad Request", b"only GET is served here\n"),
    };
    println!("web: GET {path}");
    if path == "/visits" {
        return match count(store) {
            Ok(visits) => reply(stream, "200 OK", format!("{visits}\n").as_bytes()),
            Err(error) => {
                reply(stream, "502 Bad Gateway", format!("store: {error}\n").as_bytes())
            }
        };
    }
    match read_file(path) {
        Some(content) => reply(stream, "200 OK", &content),
        None => reply(stream, "404 Not Found", b"not found\n"),
    }
}

/// Reads a file of the site; a path that tries to leave it is not found.
fn read_file(path: &str) -> Option<Vec<u8>> {
    let relative = Path::new(path.trim_start_matches('/'));
    if relative.components().any(|part| !matches!(part, Component::Normal(_))) {
        return None;
    }
    let mut file = Path::new(SITE).join(relative);
    if file.is_dir() {
        file.push("index.html");
    }
    fs::read(file).ok()
}

fn count(store: &str) -> io::Result<u64> {
    let mut stream = TcpStream::connect(store)?;
    stream.set_read_timeout(Some(CLIENT_TIMEOUT))?;
    writeln!(stream, "INCR visits")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    line.trim().parse().map_err(|_| io::Error::other(line.trim().to_owned()))
}

fn reply(mut stream: &TcpStream, status: &str, body: &[u8]) -> io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)
}
