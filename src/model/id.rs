//! Identifiers, parsed once at the edge.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Text that is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {kind} `{text}`: {rule}")]
pub struct InvalidId {
    /// `container id` or `digest`.
    pub kind: &'static str,
    /// The offending text.
    pub text: String,
    /// The grammar in words.
    pub rule: &'static str,
}

/// Id of a container: 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

impl ContainerId {
    /// Makes an id of 32 random bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(hex(&bytes))
    }

    /// Returns all 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first 12 digits: what people see, and the default host name.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl FromStr for ContainerId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if is_hex(text, 64) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId {
                kind: "container id",
                text: text.to_owned(),
                rule: "64 hexadecimal digits",
            })
        }
    }
}

/// A content digest, `sha256:<64 hexadecimal digits>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// Makes a digest of a finished SHA-256 sum.
    pub fn from_sha256(sum: &[u8; 32]) -> Self {
        Self(format!("sha256:{}", hex(sum)))
    }

    /// Returns `sha256:<hex>`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the 64 hexadecimal digits.
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }

    /// Returns the first 12 hexadecimal digits.
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }
}

impl FromStr for Digest {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.strip_prefix("sha256:") {
            Some(sum) if is_hex(sum, 64) => Ok(Self(text.to_owned())),
            _ => Err(InvalidId {
                kind: "digest",
                text: text.to_owned(),
                rule: "`sha256:` and 64 hexadecimal digits",
            }),
        }
    }
}

/// Id of an image: the digest of its config.
pub type ImageId = Digest;

macro_rules! text {
    ($type:ident) => {
        impl TryFrom<String> for $type {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(id: $type) -> Self {
                id.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text!(ContainerId);
text!(Digest);

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a String cannot fail");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_checked() {
        let digest = Digest::from_sha256(&[0xab; 32]);
        assert_eq!(digest.as_str().parse::<Digest>().unwrap(), digest);
        for bad in [
            "",
            "sha256:",
            "md5:00",
            &digest.as_str()[..70],
            &digest.as_str().to_uppercase(),
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
