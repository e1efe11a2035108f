//! SHA-256 while bytes flow by.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use crate::model::Digest;

/// Returns the digest of bytes at hand.
pub(super) fn of(bytes: &[u8]) -> Digest {
    Digest::from_sha256(&Sha256::digest(bytes).into())
}

/// Returns the chain ids of a stack of layers, the lowest first.
pub(super) fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let id = match chain.last() {
            None => diff_id.clone(),
            Some(parent) => of(format!("{parent} {diff_id}").as_bytes()),
        };
        chain.push(id);
    }
    chain
}

/// Hashes and counts everything that goes through it, in either direction.
#[derive(Debug)]
pub(super) struct Hashing<T> {
    inner: T,
    hasher: Sha256,
    count: u64,
}

impl<T> Hashing<T> {
    pub(super) fn new(inner: T) -> Self {
        Self {
            inner,
            hasher: Sha256::new(),
            count: 0,
        }
    }

    /// Returns the digest and number of bytes so far, and what was wrapped.
    pub(super) fn finish(self) -> (Digest, u64, T) {
        (
            Digest::from_sha256(&self.hasher.finalize().into()),
            self.count,
            self.inner,
        )
    }

    fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.count += bytes.len() as u64;
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.add(&buffer[..count]);
        Ok(count)
    }
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.add(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_and_chain_ids_are_those_of_the_specification() {
        let empty = of(b"");
        assert!(empty.as_str().ends_with("e4649b934ca495991b7852b855"));
        let other = of(b"x");
        let chain = chain_ids(&[empty.clone(), other.clone()]);
        assert_eq!(chain[0], empty);
        assert_eq!(chain[1], of(format!("{empty} {other}").as_bytes()));
        let mut hashing = Hashing::new(Vec::new());
        hashing.write_all(b"x").unwrap();
        assert_eq!(hashing.finish(), (other, 1, b"x".to_vec()));
    }
}
