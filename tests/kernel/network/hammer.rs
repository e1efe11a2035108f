//! A client that never rests.

use std::{
    io::Read,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use super::lab::{DEADLINE, eventually};

/// Connects again and again until it is stopped, and counts.
pub(crate) struct Hammer {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicUsize>,
    thread: thread::JoinHandle<Vec<String>>,
}

impl Hammer {
    /// Starts to connect.
    pub(crate) fn start(address: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let good = Arc::new(AtomicUsize::new(0));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&good));
        let thread = thread::spawn(move || {
            let mut failures = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                match request(address) {
                    Ok(_) => drop(count.fetch_add(1, Ordering::Relaxed)),
                    Err(error) => failures.push(error.to_string()),
                }
            }
            failures
        });
        Self { stop, good, thread }
    }

    /// Waits until some more requests have succeeded.
    pub(crate) fn wait_for_more(&self) {
        let before = self.good.load(Ordering::Relaxed);
        eventually("20 more requests", || {
            self.good.load(Ordering::Relaxed) > before + 20
        });
    }

    /// Stops, and returns what went wrong.
    pub(crate) fn finish(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn request(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    if text.is_empty() {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(text)
}
