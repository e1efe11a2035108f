//! The bytes of an HTTP answer as they come: header, then lines.

use std::io;

use super::LINE_BYTES_MAX;
use crate::protocol::{VERSION, VERSION_HEADER};

/// Longest header.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// An answer of which some bytes have arrived.
#[derive(Debug, Default)]
pub(super) struct Answer {
    buffer: Vec<u8>,
    /// `None` until the header is complete.
    code: Option<u16>,
    /// Version of the protocol that its header tells.
    version: Option<u32>,
}

/// A status other than 200, with the body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) code: u16,
    /// Version of the protocol; supervisors before version 3 tell it in the text of the refusal only.
    pub(super) version: Option<u32>,
    pub(super) body: String,
}

impl Status {
    /// Returns whether a supervisor of an older protocol refused the call for that reason.
    pub(super) fn is_older(&self) -> bool {
        let told = || {
            let message = self.message();
            message.rsplit(' ').next()?.parse().ok()
        };
        let version: Option<u32> = self.version.or_else(told);
        self.code == 426 && version.is_some_and(|version| version < VERSION)
    }

    /// Returns the text of `{"error": "…"}`, or the body as it is.
    pub(super) fn message(&self) -> String {
        serde_json::from_str::<serde_json::Value>(&self.body)
            .ok()
            .and_then(|body| body["error"].as_str().map(str::to_owned))
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| match self.body.trim() {
                "" => format!("status {}", self.code),
                body => body.to_owned(),
            })
    }
}

impl Answer {
    /// Takes bytes that have arrived.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns whether nothing has arrived.
    pub(super) fn is_empty(&self) -> bool {
        self.code.is_none() && self.buffer.is_empty()
    }

    /// Returns the next whole line of a good answer's body, if it is here.
    pub(super) fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.code.is_none() {
            self.read_head()?;
        }
        if self.code != Some(200) {
            return Ok(None);
        }
        let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') else {
            return within_limit(self.buffer.len(), LINE_BYTES_MAX).map(|()| None);
        };
        let rest = self.buffer.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.buffer, rest);
        line.pop();
        Ok(Some(line))
    }

    /// Tells what the end of the stream means: a refusal, or `None` when a good answer broke off.
    pub(super) fn end(&self) -> Option<Status> {
        let code = self.code.filter(|code| *code != 200)?;
        Some(Status {
            code,
            version: self.version,
            body: String::from_utf8_lossy(&self.buffer).into_owned(),
        })
    }

    fn read_head(&mut self) -> io::Result<()> {
        let Some(length) = self
            .buffer
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
        else {
            return within_limit(self.buffer.len(), HEAD_BYTES_MAX);
        };
        self.code =
            Some(status_code(&self.buffer[..length]).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP")
            })?);
        self.version = version(&self.buffer[..length]);
        self.buffer.drain(..length + 4);
        Ok(())
    }
}

/// Reads `200` of `HTTP/1.0 200 OK`.
fn status_code(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head).ok()?.lines().next()?;
    let rest = line.strip_prefix("HTTP/1.")?;
    rest.split(' ').nth(1)?.parse().ok()
}

/// Reads the version from the header.
fn version(head: &[u8]) -> Option<u32> {
    let mut lines = std::str::from_utf8(head).ok()?.lines();
    lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(VERSION_HEADER)
            .then(|| value.trim().parse().ok())?
    })
}

fn within_limit(length: usize, limit: usize) -> io::Result<()> {
    if length > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the answer has too long a line",
        ));
    }
    Ok(())
}
