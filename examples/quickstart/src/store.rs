//! A tiny counter store: `GET name` answers the value, `INCR name` raises it and answers the new one.
//!
//! Values are kept in one file below /data, written to a temporary name, synced and renamed, so that a kill loses nothing
//! that was answered. `store health` is the health check of the image: it asks the server and exits 0 or 1.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::ExitCode,
    sync::Mutex,
    thread,
};

const PORT: u16 = 7000;
const FILE: &str = "/data/counters";

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        None => serve(),
        Some("health") => check(),
        Some(other) => Err(io::Error::other(format!("unknown argument `{other}`; try `health`"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("store: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let counters = Mutex::new(load()?);
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
    println!("store: {} counters, listening on port {PORT}", counters.lock().unwrap().len());
    thread::scope(|scope| {
        for stream in listener.incoming() {
            let counters = &counters;
            let stream = stream?;
            scope.spawn(move || {
                if let Err(error) = answer(&stream, counters) {
                    eprintln!("store: client: {error}");
                }
            });
        }
        Ok(())
    })
}

fn answer(stream: &TcpStream, counters: &Mutex<BTreeMap<String, u64>>) -> io::Result<()> {
    for line in BufReader::new(stream).lines() {
        let line = line?;
        let reply = match line.split_once(' ') {
            Some(("GET", name)) => {
                counters.lock().unwrap().get(name).copied().unwrap_or(0).to_string()
            }
            Some(("INCR", name)) => {
                let mut counters = counters.lock().unwrap();
                let value = counters.get(name).copied().unwrap_or(0) + 1;
                counters.insert(name.to_owned(), value);
                save(&counters)?;
                value.to_string()
            }
            _ => format!("error: `{line}` is neither `GET name` nor `INCR name`"),
        };
        let mut stream = stream;
        writeln!(stream, "{reply}")?;
    }
    Ok(())
}

fn load() -> io::Result<BTreeMap<String, u64>> {
    let text = match fs::read_to_string(FILE) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    text.lines()
        .map(|line| {
            let (value, name) = line.split_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| io::Error::other(format!("{FILE} is damaged")))
}

fn save(counters: &BTreeMap<String, u64>) -> io::Result<()> {
    let unfinished = format!("{FILE}.new");
    let mut file = File::create(&unfinished)?;
    for (name, value) in counters {
        writeln!(file, "{value} {name}")?;
    }
    file.sync_all()?;
    fs::rename(unfinished, FILE)
}

fn check() -> io::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT))?;
    writeln!(stream, "GET health")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    if line.trim().parse::<u64>().is_ok() {
        Ok(())
    } else {
        Err(io::Error::other(format!("the server answered `{}`", line.trim())))
    }
}
