//! An ssh agent for one step: a socket in its room, behind which only the questions that ssh asks reach the caller's agent.
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

/// Largest message; OpenSSH's own limit.
const MESSAGE_BYTES_MAX: u32 = 256 * 1024;
/// Connections at the same time.
const CONNECTIONS_MAX: usize = 32;
/// "Which keys are there", "sign this".
const ASKED: [u8; 2] = [11, 13];
/// `SSH_AGENT_FAILURE` with its length.
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];

/// Passes an agent on until it is dropped.
#[derive(Debug)]
pub(super) struct Relay {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Makes the socket and answers at it.
    pub(super) fn start(path: &Path, agent: &Path) -> io::Result<Self> {
        // Whoever gave a file that is no agent learns it now, not from the step.
        drop(UnixStream::connect(agent)?);
        let listener = bind(path)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, agent) = (Arc::clone(&stop), agent.to_owned());
        let thread = std::thread::Builder::new()
            .name("ssh-agent".to_owned())
            .spawn(move || serve(&listener, &agent, &stopped))?;
        Ok(Self {
            path: path.to_owned(),
            stop,
            thread: Some(thread),
        })
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

/// Binds below a descriptor of the directory: paths of sockets end at 108 bytes (unix(7)), state roots do not.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let (directory, name) = split(path)?;
    UnixListener::bind(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    let (directory, name) = split(path)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}

fn split(path: &Path) -> io::Result<(fs_err::File, String)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    Ok((fs_err::File::open(parent)?, name.display().to_string()))
}

fn serve(listener: &UnixListener, agent: &Path, stop: &AtomicBool) {
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
        let (count, agent) = (Arc::clone(&connections), agent.to_owned());
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
fn talk(mut client: UnixStream, agent: &Path) -> io::Result<()> {
    let mut agent = UnixStream::connect(agent)?;
    while let Some(question) = message(&mut client)? {
        if question.get(4).is_some_and(|kind| ASKED.contains(kind)) {
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
        let relay = Relay::start(&deep.join("socket"), &host).unwrap();
        let mut client = connect(&deep.join("socket")).unwrap();
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
        assert!(Relay::start(&deep.join("other"), &directory.path().join("none")).is_err());
    }

    #[test]
    fn messages_that_are_too_long_end_the_connection() {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        near.write_all(&[1, 0, 0, 0, 11]).unwrap();
        assert!(message(&mut far).is_err());
    }
}
