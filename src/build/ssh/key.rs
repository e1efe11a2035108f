//! Private keys of files: the form of OpenSSH (its PROTOCOL.key) and the old one of RSA (PKCS#1 in PEM), without passphrase.
//!
//! ```text
//! "openssh-key-v1\0" string cipher, string kdf, string options, uint32 keys = 1, string public, string private
//! private = uint32 check, the same check, string type, fields of the type, string comment, 1 2 3 … up to a multiple of 8
//! ```

use std::{io::Read, path::Path};

use ring::{
    rand::SystemRandom,
    rsa::{self, KeyPairComponents, PublicKeyComponents},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512,
    },
};

use super::{
    arithmetic::exponent_of,
    wire::{Reader, put_integer, put_string},
};
use crate::model::base64;

/// Largest file; keys have a few kilobytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
const MAGIC: &[u8] = b"openssh-key-v1\0";
/// `SSH_AGENT_RSA_SHA2_256` and `SSH_AGENT_RSA_SHA2_512`.
const SHA_256: u32 = 2;
const SHA_512: u32 = 4;

/// A key that signs. It has no `Debug`, so that nothing shows it.
pub(in crate::build) struct Key {
    /// The public half, as ssh writes it.
    pub(super) public: Vec<u8>,
    pub(super) comment: Vec<u8>,
    pair: Pair,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Ecdsa { name: String, pair: EcdsaKeyPair },
    Rsa(Box<rsa::KeyPair>),
}

/// A key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("read the file")]
    Read(#[source] std::io::Error),
    /// It has a passphrase.
    #[error(
        "it has a passphrase, and a build asks for none: add it to an agent (`eval $(ssh-agent); ssh-add FILE`) and build with `--ssh default`"
    )]
    Encrypted,
    /// It is something else.
    #[error(
        "it is no private key in the form of OpenSSH, and no socket of an agent; `ssh-keygen -p -f FILE` brings keys of other forms into it"
    )]
    Form,
    /// Its kind is not signed with here.
    #[error(
        "keys of the type `{0}` are not signed with here: add it to an agent (`eval $(ssh-agent); ssh-add FILE`) and build with `--ssh default`"
    )]
    Kind(String),
    /// The key itself is refused.
    #[error("the key is damaged, or weaker than is allowed: {0}")]
    Rejected(String),
}

impl From<ring::error::KeyRejected> for KeyError {
    fn from(error: ring::error::KeyRejected) -> Self {
        Self::Rejected(error.to_string())
    }
}

impl Key {
    /// Reads the key of a file.
    pub(super) fn read(path: &Path) -> Result<Self, KeyError> {
        let mut bytes = Vec::new();
        let file = fs_err::File::open(path).map_err(KeyError::Read)?;
        let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
        if read.map_err(KeyError::Read)? as u64 > FILE_BYTES_MAX {
            return Err(KeyError::Form);
        }
        read_key(&bytes)
    }

    /// Signs, and returns the signature as ssh writes it; `None` for a hash that is broken (SHA-1 of old clients) or when random numbers
    /// are not to be had.
    pub(in crate::build) fn sign(&self, data: &[u8], flags: u32) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        let mut out = Vec::new();
        match &self.pair {
            Pair::Ed25519(pair) => {
                put_string(&mut out, b"ssh-ed25519");
                put_string(&mut out, pair.sign(data).as_ref());
            }
            Pair::Ecdsa { name, pair } => {
                let signature = pair.sign(&random, data).ok()?;
                let (r, s) = signature.as_ref().split_at(signature.as_ref().len() / 2);
                let mut numbers = Vec::new();
                put_integer(&mut numbers, r);
                put_integer(&mut numbers, s);
                put_string(&mut out, name.as_bytes());
                put_string(&mut out, &numbers);
            }
            Pair::Rsa(pair) => {
                let (name, padding): (&[u8], _) = if flags & SHA_512 != 0 {
                    (b"rsa-sha2-512", &RSA_PKCS1_SHA512)
                } else if flags & SHA_256 != 0 {
                    (b"rsa-sha2-256", &RSA_PKCS1_SHA256)
                } else {
                    return None;
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, data, &mut signature).ok()?;
                put_string(&mut out, name);
                put_string(&mut out, &signature);
            }
        }
        Some(out)
    }
}

/// Reads what a file holds.
pub(in crate::build) fn read_key(file: &[u8]) -> Result<Key, KeyError> {
    let text = std::str::from_utf8(file).map_err(|_error| KeyError::Form)?;
    let mut lines = text
        .lines()
        .map(str::trim)
        .skip_while(|line| line.is_empty());
    let first = lines.next().unwrap_or_default();
    let kind = first
        .strip_prefix("-----BEGIN ")
        .and_then(|rest| rest.strip_suffix("-----"))
        .ok_or(KeyError::Form)?;
    let end = format!("-----END {kind}-----");
    let body: Vec<&str> = lines.take_while(|line| *line != end).collect();
    if kind == "ENCRYPTED PRIVATE KEY" || body.iter().any(|line| line.starts_with("Proc-Type:")) {
        return Err(KeyError::Encrypted);
    }
    let bytes = base64::decode(body.concat().as_bytes()).ok_or(KeyError::Form)?;
    match kind {
        "OPENSSH PRIVATE KEY" => openssh(&bytes),
        "RSA PRIVATE KEY" => {
            let pair = rsa::KeyPair::from_der(&bytes)?;
            Ok(of_rsa(pair, b""))
        }
        _ => Err(KeyError::Form),
    }
}

fn openssh(bytes: &[u8]) -> Result<Key, KeyError> {
    let mut reader = Reader(bytes.strip_prefix(MAGIC).ok_or(KeyError::Form)?);
    let cipher = reader.string().ok_or(KeyError::Form)?;
    if cipher != b"none" {
        return Err(KeyError::Encrypted);
    }
    let damaged = || KeyError::Rejected("it ends too early".to_owned());
    let _kdf = reader.string().ok_or_else(damaged)?;
    let _options = reader.string().ok_or_else(damaged)?;
    if reader.number() != Some(1) {
        return Err(KeyError::Form);
    }
    let _public = reader.string().ok_or_else(damaged)?;
    let mut private = Reader(reader.string().ok_or_else(damaged)?);
    let checks = (private.number(), private.number());
    if checks.0.is_none() || checks.0 != checks.1 {
        return Err(damaged());
    }
    let kind = private.string().ok_or_else(damaged)?;
    let kind = String::from_utf8_lossy(kind).into_owned();
    match kind.as_str() {
        "ssh-ed25519" => ed25519(&mut private).ok_or_else(damaged)?,
        "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" => {
            ecdsa(kind, &mut private).ok_or_else(damaged)?
        }
        "ssh-rsa" => rsa(&mut private).ok_or_else(damaged)?,
        _ => Err(KeyError::Kind(kind)),
    }
}

fn ed25519(private: &mut Reader<'_>) -> Option<Result<Key, KeyError>> {
    let public = private.string()?;
    let seed = private.string()?.get(..32)?;
    let comment = private.string()?.to_vec();
    let mut blob = Vec::new();
    put_string(&mut blob, b"ssh-ed25519");
    put_string(&mut blob, public);
    let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public);
    Some(pair.map_err(KeyError::from).map(|pair| Key {
        public: blob,
        comment,
        pair: Pair::Ed25519(pair),
    }))
}

fn ecdsa(name: String, private: &mut Reader<'_>) -> Option<Result<Key, KeyError>> {
    let (algorithm, length) = match name.as_str() {
        "ecdsa-sha2-nistp256" => (&ECDSA_P256_SHA256_FIXED_SIGNING, 32),
        _ => (&ECDSA_P384_SHA384_FIXED_SIGNING, 48_usize),
    };
    let curve = private.string()?;
    let point = private.string()?;
    let number = private.integer()?;
    let comment = private.string()?.to_vec();
    let mut scalar = vec![0; length.checked_sub(number.len())?];
    scalar.extend_from_slice(number);
    let mut blob = Vec::new();
    put_string(&mut blob, name.as_bytes());
    put_string(&mut blob, curve);
    put_string(&mut blob, point);
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &scalar, point, &random);
    Some(pair.map_err(KeyError::from).map(|pair| Key {
        public: blob,
        comment,
        pair: Pair::Ecdsa { name, pair },
    }))
}

#[expect(
    clippy::many_single_char_names,
    reason = "the numbers of RSA have these names (RFC 8017 section 3)"
)]
fn rsa(private: &mut Reader<'_>) -> Option<Result<Key, KeyError>> {
    let n = private.integer()?;
    let e = private.integer()?;
    let d = private.integer()?;
    let inverse = private.integer()?;
    let p = private.integer()?;
    let q = private.integer()?;
    let comment = private.string()?;
    let [first, second] = [exponent_of(d, p)?, exponent_of(d, q)?];
    let pair = rsa::KeyPair::from_components(&KeyPairComponents {
        public_key: PublicKeyComponents { n, e },
        d,
        p,
        q,
        dP: &first[..],
        dQ: &second[..],
        qInv: inverse,
    });
    Some(
        pair.map_err(KeyError::from)
            .map(|pair| of_rsa(pair, comment)),
    )
}

fn of_rsa(pair: rsa::KeyPair, comment: &[u8]) -> Key {
    let numbers: PublicKeyComponents<Vec<u8>> = pair.public().into();
    let mut public = Vec::new();
    put_string(&mut public, b"ssh-rsa");
    put_integer(&mut public, &numbers.e);
    put_integer(&mut public, &numbers.n);
    Key {
        public,
        comment: comment.to_vec(),
        pair: Pair::Rsa(Box::new(pair)),
    }
}

#[cfg(test)]
mod tests;
