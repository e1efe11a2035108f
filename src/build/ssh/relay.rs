//! An ssh agent for one step: a socket in its room, behind which only the questions that ssh asks are answered, by the caller's agent or with
//! keys of files.
//!
//! The socket of the host itself is not mounted, because whoever holds it can also add and remove keys, and because agents believe only
//! root and their own user. The wire is that of draft-ietf-sshm-ssh-agent: length, type, contents.

use std::{
    io::{self, Read, Write},
    os::{
        fd::AsRawFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

use super::agent::{Agent, FAILURE, IDENTITIES, SIGN, SshError, answer};

/// Largest message; OpenSSH's own limit.
const MESSAGE_BYTES_MAX: u32 = 256 * 1024;
/// Connections at the same time.
const CONNECTIONS_MAX: usize = 32;

/// Passes an agent on until it is dropped.
#[derive(Debug)]
pub(in crate::build) struct Relay {
    path: PathBuf,
    /// The directory of the socket: the way to it that is short enough for every client.
    directory: fs_err::File,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Makes the socket and answers at it.
    pub(in crate::build) fn start(path: &Path, agent: Agent) -> Result<Self, SshError> {
        let shown = match &agent {
            Agent::Socket(socket) => socket.display().to_string(),
            Agent::Keys(_) => path.display().to_string(),
        };
        Self::begin(path, agent).map_err(|source| SshError::Agent {
            path: shown,
            source,
        })
    }

    fn begin(path: &Path, agent: Agent) -> io::Result<Self> {
        if let Agent::Socket(socket) = &agent {
            // Whoever gave something that is no agent learns it now, not from the step.
            drop(UnixStream::connect(socket)?);
        }
        let (directory, name) = split(path)?;
        let listener = UnixListener::bind(below(&directory, &name))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("ssh-agent".to_owned())
            .spawn(move || serve(&listener, &agent, &stopped))?;
        Ok(Self {
            path: path.to_owned(),
            directory,
            stop,
            thread: Some(thread),
        })
    }

    /// Returns a path of the socket for programs of the host. It is valid while this is not dropped.
    pub(in crate::build) fn address(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default();
        let process = std::process::id();
        let directory = self.directory.as_raw_fd();
        PathBuf::from(format!("/proc/{process}/fd/{directory}")).join(name)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let woken = connect(&self.path);
        if let (Ok(_), Some(thread)) = (&woken, self.thread.take()) {
            drop(thread.join());
        }
    }
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    let (directory, name) = split(path)?;
    UnixStream::connect(below(&directory, &name))
}

/// Names a file below a descriptor of its directory: paths of sockets end at 108 bytes (unix(7)), state roots do not.
fn below(directory: &fs_err::File, name: &str) -> String {
    format!("/proc/self/fd/{}/{name}", directory.as_raw_fd())
}

fn split(path: &Path) -> io::Result<(fs_err::File, String)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    Ok((fs_err::File::open(parent)?, name.display().to_string()))
}

fn serve(listener: &UnixListener, agent: &Agent, stop: &AtomicBool) {
    let connections = Arc::new(AtomicUsize::new(0));
    for client in listener.incoming() {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        if connections.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
            connections.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (count, agent) = (Arc::clone(&connections), agent.clone());
        // It ends with its client, and all clients end with the step.
        let spawned = std::thread::Builder::new().spawn(move || {
            if let Err(error) = talk(client, &agent) {
                tracing::debug!(%error, "an ssh agent's client is gone");
            }
            count.fetch_sub(1, Ordering::SeqCst);
        });
        if spawned.is_err() {
            connections.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Answers one client to its end.
fn talk(mut client: UnixStream, agent: &Agent) -> io::Result<()> {
    let mut agent = match agent {
        Agent::Socket(socket) => UnixStream::connect(socket)?,
        Agent::Keys(keys) => {
            while let Some(question) = message(&mut client)? {
                client.write_all(&answer(keys, &question))?;
            }
            return Ok(());
        }
    };
    while let Some(question) = message(&mut client)? {
        if matches!(question.get(4), Some(&(IDENTITIES | SIGN))) {
            agent.write_all(&question)?;
            let answer = message(&mut agent)?;
            let answer = answer.ok_or(io::ErrorKind::UnexpectedEof)?;
            client.write_all(&answer)?;
        } else {
            client.write_all(&FAILURE)?;
        }
    }
    Ok(())
}

/// Reads one message, its length in front; `None` = the other side is done.
fn message(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        outcome => outcome?,
    }
    let bytes = u32::from_be_bytes(length);
    if bytes == 0 || bytes > MESSAGE_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut whole = length.to_vec();
    whole.resize(4 + bytes as usize, 0);
    stream.read_exact(&mut whole[4..])?;
    Ok(Some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent that answers each message with its own bytes, and remembers the kinds.
    fn agent(path: &Path) -> JoinHandle<Vec<u8>> {
        let listener = UnixListener::bind(path).unwrap();
        std::thread::spawn(move || {
            // The first connection is the look whether somebody is there.
            drop(listener.accept().unwrap());
            let (mut stream, _) = listener.accept().unwrap();
            let mut kinds = Vec::new();
            while let Some(question) = message(&mut stream).unwrap() {
                kinds.push(question[4]);
                stream.write_all(&question).unwrap();
            }
            kinds
        })
    }

    #[test]
    fn questions_pass_and_changes_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let host = directory.path().join("host");
        let asked = agent(&host);
        let deep = directory.path().join("long-name/".repeat(20));
        fs_err::create_dir_all(&deep).unwrap();
        let relay = Relay::start(&deep.join("socket"), Agent::Socket(host)).unwrap();
        assert!(relay.address().as_os_str().len() < 108);
        let mut client = UnixStream::connect(relay.address()).unwrap();
        let mut ask = |bytes: &[u8]| {
            client.write_all(bytes).unwrap();
            message(&mut client).unwrap().unwrap()
        };
        assert_eq!(ask(&[0, 0, 0, 1, 11]), [0, 0, 0, 1, 11]);
        // Add a key, remove all keys, lock.
        for kind in [17, 19, 22] {
            assert_eq!(ask(&[0, 0, 0, 1, kind]), FAILURE);
        }
        assert_eq!(ask(&[0, 0, 0, 2, 13, 7]), [0, 0, 0, 2, 13, 7]);
        drop(client);
        drop(relay);
        assert_eq!(asked.join().unwrap(), [11, 13]);
        let none = Agent::Socket(directory.path().join("none"));
        assert!(Relay::start(&deep.join("other"), none).is_err());
    }

    #[test]
    fn messages_that_are_too_long_end_the_connection() {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        near.write_all(&[1, 0, 0, 0, 11]).unwrap();
        assert!(message(&mut far).is_err());
    }
}
