//! Addresses of registries, token servers and blobs: `http[s]://host[:port][/path][?query]`. Pure.

use std::{fmt, net::IpAddr, str::FromStr};

/// A parsed address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    secure: bool,
    host: String,
    port: Option<u16>,
    /// Path and query; may be empty.
    target: String,
}

/// Text that is no address that we can ask.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an http or https address")]
pub(super) struct InvalidUrl;

impl Url {
    /// Makes the address of a host, with an optional port.
    pub(super) fn new(secure: bool, authority: &str) -> Self {
        let (host, port) = split_port(authority);
        Self {
            secure,
            host: host.to_owned(),
            port,
            target: String::new(),
        }
    }

    pub(super) fn is_secure(&self) -> bool {
        self.secure
    }

    /// Returns the host; an IPv6 address without brackets.
    pub(super) fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(if self.secure { 443 } else { 80 })
    }

    /// Returns `host[:port]` as written.
    pub(super) fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    /// Returns path and query, at least `/`.
    pub(super) fn target(&self) -> &str {
        if self.target.is_empty() {
            "/"
        } else {
            &self.target
        }
    }

    /// Returns the same address with more path.
    pub(super) fn join(&self, path: &str) -> Self {
        Self {
            target: format!("{}{path}", self.target.trim_end_matches('/')),
            ..self.clone()
        }
    }

    /// Adds a parameter to the query.
    pub(super) fn add_query(&mut self, name: &str, value: &str) {
        let separator = if self.target.contains('?') { '&' } else { '?' };
        self.target.push(separator);
        self.target.push_str(name);
        self.target.push('=');
        self.target.push_str(&encode(value));
    }

    /// Resolves a `Location` header against this address.
    pub(super) fn resolve(&self, location: &str) -> Result<Self, InvalidUrl> {
        let location = location.split('#').next().unwrap_or_default().trim();
        if let Some(rest) = location.strip_prefix("//") {
            return format!("{}://{rest}", if self.secure { "https" } else { "http" }).parse();
        }
        if location.starts_with('/') {
            return Ok(Self {
                target: location.to_owned(),
                ..self.clone()
            });
        }
        if location.contains("://") {
            return location.parse();
        }
        let path = self.target.split('?').next().unwrap_or_default();
        let directory = path.rfind('/').map_or("", |slash| &path[..slash]);
        Ok(Self {
            target: format!("{directory}/{location}"),
            ..self.clone()
        })
    }

    /// Tells whether credentials for one address may go to another.
    pub(super) fn is_same_origin(&self, other: &Self) -> bool {
        self.secure == other.secure
            && self.host.eq_ignore_ascii_case(&other.host)
            && self.port() == other.port()
    }

    /// Tells whether the host is this machine.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost"
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.target)
    }
}

impl FromStr for Url {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidUrl)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(InvalidUrl),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = &rest[..end];
        let target = rest[end..].split('#').next().unwrap_or_default();
        let (host, port) = split_port(authority);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':');
        if bare.is_empty() || !bare.bytes().all(valid) || (host == bare && bare.contains(':')) {
            return Err(InvalidUrl);
        }
        if target.bytes().any(|b| b.is_ascii_control() || b == b' ') {
            return Err(InvalidUrl);
        }
        let target = if target.starts_with('?') {
            format!("/{target}")
        } else {
            target.to_owned()
        };
        Ok(Self {
            secure,
            host: host.to_owned(),
            port,
            target,
        })
    }
}

fn split_port(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_invalid) => (authority, None),
        },
        None => (authority, None),
    }
}

/// Escapes what is not unreserved (RFC 3986); `:`, `/` and `,` may stay in a query, and scopes are full of them.
pub(super) fn encode(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'-'
            | b'.'
            | b'_'
            | b'~'
            | b':'
            | b'/'
            | b',' => {
                text.push(char::from(byte));
            }
            other => text.extend(format!("%{other:02X}").chars()),
        }
    }
    text
}

/// Undoes the escapes of a part of an address; what is no escape stays.
pub(super) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten();
        if let Some(byte) = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            plain.push(byte);
            at += 3;
        } else {
            plain.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (text, host, port, target) in [
            ("https://a.b/c?d=e", "a.b", 443, "/c?d=e"),
            ("http://a:5000", "a", 5000, "/"),
            ("http://[::1]:5000/", "::1", 5000, "/"),
            ("HTTPS://a?x", "a", 443, "/?x"),
        ] {
            let url: Url = text.parse().unwrap();
            assert_eq!(
                (url.host(), url.port(), url.target()),
                (host, port, target),
                "{text}"
            );
        }
        for bad in [
            "",
            "a",
            "ftp://a",
            "http://",
            "http://a b/",
            "http://::1/",
            "http://a/b c",
            "http://u:p@h/",
        ] {
            assert!(bad.parse::<Url>().is_err(), "{bad}");
        }
    }

    #[test]
    fn locations_are_resolved() {
        let base: Url = "https://r:1/v2/x/blobs/y?z".parse().unwrap();
        for (location, resolved) in [
            ("/other?q", "https://r:1/other?q"),
            ("http://s/t", "http://s/t"),
            ("//s/t", "https://s/t"),
            ("sibling", "https://r:1/v2/x/blobs/sibling"),
        ] {
            assert_eq!(base.resolve(location).unwrap().to_string(), resolved);
        }
        assert!(base.resolve("ftp://x").is_err());
        assert!(base.is_same_origin(&"https://R:1/a".parse().unwrap()));
        assert!(!base.is_same_origin(&"http://r:1/a".parse().unwrap()));
        assert!(!base.is_same_origin(&"https://r:2/a".parse().unwrap()));
    }

    #[test]
    fn escapes_are_undone() {
        for (text, plain) in [
            ("a%40b", "a@b"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz%C3%A4", "%zzä"),
            ("ä%", "ä%"),
        ] {
            assert_eq!(decode(text), plain);
        }
    }

    #[test]
    fn queries_are_escaped() {
        let mut url: Url = "https://a/token".parse().unwrap();
        url.add_query("service", "a b&c");
        url.add_query("scope", "repository:x/y:pull");
        assert_eq!(
            url.to_string(),
            "https://a/token?service=a%20b%26c&scope=repository:x/y:pull"
        );
    }
}
