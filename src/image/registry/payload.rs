//! Bodies of requests: none, bytes at hand, or a part of a file that is read while it is sent.

use std::{
    io,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use fs_err as fs;
use hyper::body::{Body, Frame, SizeHint};
use tokio::{sync::mpsc, task::spawn_blocking};

/// Bytes read from a file at a time.
const CHUNK: usize = 128 << 10;
/// Chunks that may wait for the network: with those in its buffers about 1 MiB a body.
const WAITING_MAX: usize = 4;

/// What a request carries. Cloning it is cheap: a request may have to be sent again.
#[derive(Debug, Clone)]
pub(super) enum Payload {
    /// Bytes at hand; empty for most requests.
    Bytes(Bytes),
    /// A part of a file.
    Part(Part),
}

/// A part of a file.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) file: Arc<fs::File>,
    pub(super) start: u64,
    pub(super) length: u64,
    /// Bytes that the network has taken.
    pub(super) sent: Sent,
}

/// Counts bytes on their way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sent(Arc<AtomicU64>);

impl Sent {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::Bytes(Bytes::new())
    }
}

impl Payload {
    /// Tells whether it is sent again without asking what of it has come.
    pub(super) fn is_at_hand(&self) -> bool {
        matches!(self, Self::Bytes(_))
    }

    /// Returns what counts the bytes that were sent.
    pub(super) fn counter(&self) -> Sent {
        match self {
            Self::Bytes(_) => Sent::default(),
            Self::Part(part) => part.sent.clone(),
        }
    }

    /// Begins to send it. A file is read by a thread that is always a few chunks ahead.
    pub(super) fn into_body(self) -> Outgoing {
        match self {
            Self::Bytes(bytes) => Outgoing {
                left: bytes.len() as u64,
                source: Source::Bytes(Some(bytes).filter(|bytes| !bytes.is_empty())),
            },
            Self::Part(part) => {
                let (sender, receiver) = mpsc::channel(WAITING_MAX);
                let left = part.length;
                let sent = part.sent.clone();
                // It ends with the file's part, or with the receiver.
                drop(spawn_blocking(move || read(&part, &sender)));
                Outgoing {
                    left,
                    source: Source::File { receiver, sent },
                }
            }
        }
    }
}

fn read(part: &Part, sender: &mpsc::Sender<io::Result<Bytes>>) {
    let (mut at, end) = (part.start, part.start + part.length);
    while at < end {
        let mut chunk = vec![0; usize::try_from(end - at).map_or(CHUNK, |left| left.min(CHUNK))];
        let read = part.file.file().read_exact_at(&mut chunk, at);
        at += chunk.len() as u64;
        let failed = read.is_err();
        if sender
            .blocking_send(read.map(|()| Bytes::from(chunk)))
            .is_err()
            || failed
        {
            return;
        }
    }
}

/// A body on its way.
#[derive(Debug)]
pub(super) struct Outgoing {
    left: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Bytes(Option<Bytes>),
    File {
        receiver: mpsc::Receiver<io::Result<Bytes>>,
        sent: Sent,
    },
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = match &mut self.source {
            Source::Bytes(bytes) => bytes.take().map(Ok),
            Source::File { receiver, sent } => {
                let next = std::task::ready!(receiver.poll_recv(context));
                if let Some(Ok(chunk)) = &next {
                    sent.add(chunk.len());
                }
                next
            }
        };
        if let Some(Ok(chunk)) = &next {
            self.left = self.left.saturating_sub(chunk.len() as u64);
        }
        Poll::Ready(next.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_part_of_a_file_is_sent_as_often_as_needed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        fs::write(file.path(), &bytes).unwrap();
        let payload = Payload::Part(Part {
            file: Arc::new(fs::File::open(file.path()).unwrap()),
            start: 1000,
            length: 700_001,
            sent: Sent::default(),
        });
        for round in 1..3 {
            let body = payload.clone().into_body();
            assert_eq!(body.size_hint().exact(), Some(700_001));
            let read = body.collect().await.unwrap().to_bytes();
            assert_eq!(read, bytes[1000..701_001]);
            assert_eq!(payload.counter().get(), 700_001 * round);
        }
        let beyond = Payload::Part(Part {
            file: Arc::new(fs::File::open(file.path()).unwrap()),
            start: 0,
            length: bytes.len() as u64 + 1,
            sent: Sent::default(),
        });
        assert!(beyond.into_body().collect().await.is_err());
    }
}
