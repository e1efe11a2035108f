//! Whom ssh asks: an agent at a socket, or keys of files, answered for here.

use std::{
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    key::{Key, KeyError},
    wire::{Reader, put_string},
};

/// Keys of one agent.
const KEYS_MAX: usize = 32;
/// `SSH_AGENT_FAILURE` with its length.
pub(super) const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];
/// `SSH_AGENTC_REQUEST_IDENTITIES` and its answer.
pub(super) const IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
/// `SSH_AGENTC_SIGN_REQUEST` and its answer.
pub(super) const SIGN: u8 = 13;
const SIGN_ANSWER: u8 = 14;

/// Who signs.
#[derive(Clone)]
pub(in crate::build) enum Agent {
    /// The agent at this socket.
    Socket(PathBuf),
    /// These keys.
    Keys(Arc<[Key]>),
}

/// An agent or key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// A socket at which no agent answers.
    #[error("use the ssh agent at `{path}`")]
    Agent {
        /// The socket.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file that gives no key.
    #[error("use the ssh key `{path}`")]
    Key {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// A socket among several paths.
    #[error("`{0}` is the socket of an agent: an id has one socket, or key files")]
    Mixed(String),
    /// Too many keys.
    #[error("an ssh id has at most {KEYS_MAX} key files")]
    TooMany,
}

impl Agent {
    /// Reads the keys, or takes the socket; what cannot be looked at is taken for a socket, whose use says why.
    pub(in crate::build) fn open(paths: &[PathBuf]) -> Result<Self, SshError> {
        if let [only] = paths
            && !is_file(only)
        {
            return Ok(Self::Socket(only.clone()));
        }
        if paths.len() > KEYS_MAX {
            return Err(SshError::TooMany);
        }
        let keys: Result<Arc<[Key]>, SshError> = paths.iter().map(|path| read(path)).collect();
        keys.map(Self::Keys)
    }
}

fn is_file(path: &Path) -> bool {
    fs_err::metadata(path).is_ok_and(|metadata| metadata.is_file())
}

fn read(path: &Path) -> Result<Key, SshError> {
    let shown = path.display().to_string();
    if fs_err::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        return Err(SshError::Mixed(shown));
    }
    Key::read(path).map_err(|source| SshError::Key {
        path: shown,
        source,
    })
}

/// Answers one question for keys; both with the length in front.
pub(super) fn answer(keys: &[Key], question: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    match question.get(4).copied() {
        Some(IDENTITIES) => {
            body.push(IDENTITIES_ANSWER);
            let count = u32::try_from(keys.len()).expect("there are at most KEYS_MAX");
            body.extend_from_slice(&count.to_be_bytes());
            for key in keys {
                put_string(&mut body, &key.public);
                put_string(&mut body, &key.comment);
            }
        }
        Some(SIGN) => match signature(keys, &question[5..]) {
            Some(signature) => {
                body.push(SIGN_ANSWER);
                put_string(&mut body, &signature);
            }
            None => return FAILURE.to_vec(),
        },
        _ => return FAILURE.to_vec(),
    }
    let mut message = Vec::new();
    put_string(&mut message, &body);
    message
}

fn signature(keys: &[Key], request: &[u8]) -> Option<Vec<u8>> {
    let mut request = Reader(request);
    let public = request.string()?;
    let data = request.string()?;
    let flags = request.number()?;
    let key = keys.iter().find(|key| key.public == public)?;
    key.sign(data, flags)
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};

    fn message(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
        let mut body = vec![kind];
        for part in parts {
            put_string(&mut body, part);
        }
        let mut message = Vec::new();
        put_string(&mut message, &body);
        message
    }

    #[test]
    fn keys_are_listed_and_sign_and_nothing_else_is_answered() {
        let directory = tempfile::tempdir().unwrap();
        let paths = [("one", samples::ED25519), ("two", samples::RSA)].map(|(name, text)| {
            let path = directory.path().join(name);
            fs_err::write(&path, text).unwrap();
            path
        });
        let Ok(Agent::Keys(keys)) = Agent::open(&paths) else {
            panic!("both are keys");
        };
        let list = answer(&keys, &message(IDENTITIES, &[]));
        let mut reader = Reader(&list[5..]);
        assert_eq!((list[4], reader.number()), (IDENTITIES_ANSWER, Some(2)));
        for key in &*keys {
            assert_eq!(reader.string(), Some(&key.public[..]));
            assert_eq!(reader.string(), Some(&key.comment[..]));
        }
        assert!(reader.0.is_empty());
        // The flags are a number, not a string.
        let sign = |public: &[u8], flags: u32| {
            let mut question = message(SIGN, &[public, b"data"]);
            question.extend_from_slice(&flags.to_be_bytes());
            answer(&keys, &question)
        };
        assert_eq!(sign(&keys[0].public, 0)[4], SIGN_ANSWER);
        assert_eq!(sign(&keys[1].public, 4)[4], SIGN_ANSWER);
        assert_eq!(sign(&keys[1].public, 0), FAILURE);
        assert_eq!(sign(b"other", 0), FAILURE);
        for question in [
            &message(17, &[])[..],
            &message(SIGN, &[b"x"]),
            &[0, 0, 0, 0],
        ] {
            assert_eq!(answer(&keys, question), FAILURE);
        }
    }

    #[test]
    fn an_id_has_a_socket_or_keys() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let key = directory.path().join("key");
        fs_err::write(&key, samples::ED25519).unwrap();
        let open = |paths: &[&PathBuf]| {
            let paths: Vec<PathBuf> = paths.iter().map(|path| (*path).clone()).collect();
            Agent::open(&paths).map_err(|error| error.to_string())
        };
        assert!(matches!(open(&[&socket]), Ok(Agent::Socket(_))));
        assert!(matches!(open(&[&key]), Ok(Agent::Keys(_))));
        let error = open(&[&key, &socket]).err().unwrap();
        assert!(error.contains("one socket, or key files"), "{error}");
        let missing = directory.path().join("none");
        assert!(open(&[&key, &missing]).err().unwrap().contains("none"));
        assert!(open(&vec![&key; KEYS_MAX + 1]).is_err());
    }
}
