//! Calls the supervisor, and starts it when nobody listens. Blocking, one connection a call.
//!
//! HTTP/1.0 over the unix socket: without keep-alive and chunks the answer is simply what follows the header until the
//! end of the stream, one JSON document a line. The call's name is in the path (`POST /v1/up`), its content is the body.
//!
//! A supervisor is started as `stack supervisor [--root DIR] --ready-fd 1`: its standard output is a pipe on which it
//! writes a byte when its socket listens, or when another one has the lock (then it ends with status 0). So the client
//! tries to connect, and to start, until a deadline.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    model::RegistryAccess,
    protocol::{self, Event, Request, VERSION},
    store::Root,
};

mod answer;
mod process;

pub use process::{program, supervisor_command};

use answer::{Answer, Status};
use process::{end_older, pause, start};

/// Pause between attempts to connect to a supervisor that somebody else is starting.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Supervisors in a row that may go away before they answer.
const ATTEMPTS_MAX: u32 = 5;
/// Longest line of an answer: an error with the log of a service fits many times.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// `sun_path` of unix(7), with its terminating zero.
const SOCKET_PATH_BYTES_MAX: usize = 108;

/// The supervisor could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket is there but refuses this user or is broken.
    #[error("connect to the supervisor at `{}`", path.display())]
    Connect {
        /// Its socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It could not be started.
    #[error("start the supervisor")]
    Start(#[source] io::Error),
    /// It was started but does not serve.
    #[error("the supervisor does not serve `{}`", path.display())]
    Silent {
        /// Its socket.
        path: PathBuf,
        /// Its log.
        log: PathBuf,
    },
    /// The running supervisor is older and does not leave.
    #[error("replace the running supervisor, which is older than this program")]
    Replace(#[source] io::Error),
    /// The running supervisor is newer.
    #[error("the running supervisor is newer than this program: {message}")]
    Version {
        /// What it says.
        message: String,
    },
    /// It understood the call but not what is in it.
    #[error("the supervisor refused `{call}`: {message}")]
    Refused {
        /// Name of the call.
        call: String,
        /// What it says.
        message: String,
    },
    /// The conversation broke.
    #[error("talk to the supervisor")]
    Io(#[source] io::Error),
    /// It ended before the call did.
    #[error("the supervisor went away in the middle of `{call}`")]
    CutOff {
        /// Name of the call.
        call: String,
        /// Its log.
        log: PathBuf,
    },
    /// It said something that is not of the protocol.
    #[error("the supervisor said something unexpected")]
    Malformed(#[source] serde_json::Error),
}

impl ClientError {
    /// Returns the next thing to do or look at.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                vec!["stack runs as root: try `sudo stack …`".into()]
            }
            Self::Silent { log, .. } | Self::CutOff { log, .. } => {
                vec![format!("see `{}`", log.display())]
            }
            Self::Version { .. } => {
                vec!["use the newer program, or end the supervisor (containers go on)".into()]
            }
            _ => Vec::new(),
        }
    }
}

/// Sends a call to the supervisor, starting it when nobody listens.
///
/// A supervisor that was killed or leaves at this very moment may still have been connected to: as long as it has not begun to answer, the
/// call was not begun either, and the next one gets it.
pub fn call(
    root: &Root,
    request: &Request,
    access: Option<&RegistryAccess>,
) -> Result<Call, ClientError> {
    let message = Message::encode(request, access)?;
    Ok(Call {
        stream: message.send(root)?,
        answer: Answer::default(),
        root: root.clone(),
        attempts: ATTEMPTS_MAX,
        message,
    })
}

/// A call in work: events as they come, and a descriptor to poll.
#[derive(Debug)]
pub struct Call {
    stream: UnixStream,
    answer: Answer,
    root: Root,
    message: Message,
    /// How often the call may still be sent again when the supervisor left before it answered: an idle one leaves at any time.
    attempts: u32,
}

impl Call {
    /// Returns the next event, waiting for it; the last one is [`Event::Finished`].
    pub fn next_event(&mut self) -> Result<Event, ClientError> {
        loop {
            match self.pop()? {
                Some(Event::Leaving) => self.ask_next()?,
                Some(event) => return Ok(event),
                None => self.fill()?,
            }
        }
    }

    /// Reads what has arrived, once, and returns the events in it. Does not wait when `poll(2)` says that the descriptor is readable.
    pub fn receive(&mut self) -> Result<Vec<Event>, ClientError> {
        self.fill()?;
        let mut events = Vec::new();
        while let Some(event) = self.pop()? {
            if event == Event::Leaving {
                self.ask_next()?;
                break;
            }
            events.push(event);
        }
        Ok(events)
    }

    fn fill(&mut self) -> Result<(), ClientError> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.end(),
            Ok(length) => {
                self.answer.push(&chunk[..length]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => self.end(),
            Err(error) => Err(ClientError::Io(error)),
        }
    }

    /// Decides what the end of the stream means.
    ///
    /// A supervisor that was killed or leaves at this very moment may still have been connected to: as long as it has not begun to answer, the
    /// call was not begun either, and the next one gets it.
    fn end(&mut self) -> Result<(), ClientError> {
        if self.answer.is_empty() && self.attempts > 0 {
            return self.ask_next();
        }
        let Some(status) = self.answer.end() else {
            return Err(self.cut_off());
        };
        if status.is_older() && self.attempts > 0 {
            end_older(&self.stream)?;
            return self.ask_next();
        }
        Err(self.refusal(&status))
    }

    /// Sends the call to the supervisor that comes after one that leaves.
    fn ask_next(&mut self) -> Result<(), ClientError> {
        if self.attempts == 0 {
            return Err(self.cut_off());
        }
        self.attempts -= 1;
        pause(RETRY_PAUSE);
        self.answer = Answer::default();
        self.stream = self.message.send(&self.root)?;
        Ok(())
    }

    fn cut_off(&self) -> ClientError {
        ClientError::CutOff {
            call: self.message.name.clone(),
            log: self.root.supervisor_log(),
        }
    }

    fn pop(&mut self) -> Result<Option<Event>, ClientError> {
        let line = self.answer.line().map_err(ClientError::Io)?;
        line.map(|line| serde_json::from_slice(&line).map_err(ClientError::Malformed))
            .transpose()
    }

    fn refusal(&self, status: &Status) -> ClientError {
        let message = status.message();
        match status.code {
            426 => ClientError::Version { message },
            _ => ClientError::Refused {
                call: self.message.name.clone(),
                message,
            },
        }
    }
}

impl AsFd for Call {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Connects to the supervisor; `None` when there is none.
fn connect(root: &Root) -> Result<Option<UnixStream>, ClientError> {
    match connect_path(&root.supervisor_socket()) {
        Ok(stream) => Ok(Some(stream)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(source) => Err(ClientError::Connect {
            path: root.supervisor_socket(),
            source,
        }),
    }
}

/// Connects to a socket however long its path is: through the directory's descriptor when `sun_path` is too short for it.
fn connect_path(path: &Path) -> io::Result<UnixStream> {
    if path.as_os_str().len() < SOCKET_PATH_BYTES_MAX {
        return UnixStream::connect(path);
    }
    let name = path.file_name().expect("a socket's path has a file name");
    let parent = path.parent().expect("a socket's path has a parent");
    let directory = fs_err::File::open(parent)?;
    let short = format!("/proc/self/fd/{}", directory.as_raw_fd());
    UnixStream::connect(Path::new(&short).join(name))
}

/// A request as it is sent. Its body may hold secrets.
struct Message {
    name: String,
    body: Vec<u8>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Message {
    fn encode(request: &Request, access: Option<&RegistryAccess>) -> Result<Self, ClientError> {
        let (name, body) =
            protocol::Call::encode(request, access).map_err(ClientError::Malformed)?;
        Ok(Self { name, body })
    }

    fn send(&self, root: &Root) -> Result<UnixStream, ClientError> {
        let mut stream = match connect(root)? {
            Some(stream) => stream,
            None => start(root)?,
        };
        let head = format!(
            "POST /v1/{} HTTP/1.0\r\nhost: stack\r\nstack-protocol: {VERSION}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.name,
            self.body.len()
        );
        let written = stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(&self.body));
        match written {
            // It answered (426, 413) without reading everything, or left: reading says which.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(stream),
            written => written.map(|()| stream).map_err(ClientError::Io),
        }
    }
}

#[cfg(test)]
mod tests;
