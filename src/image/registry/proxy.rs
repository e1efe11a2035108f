//! HTTP proxies: which address goes through one, and the tunnel for TLS.

use std::{fmt, io, net::IpAddr, str::FromStr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{
    credentials::basic,
    url::{InvalidUrl, Url, decode},
};
use crate::model::Secret;

/// Largest answer of a proxy to `CONNECT`.
const ANSWER_BYTES_MAX: usize = 8 << 10;

/// The proxies of the environment (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`), as Go's programs read them.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxies {
    /// For plain HTTP.
    pub(super) http: Option<Proxy>,
    /// For TLS.
    pub(super) https: Option<Proxy>,
    /// Hosts that are asked directly.
    pub(super) direct: Vec<String>,
}

/// One proxy: `[http[s]://][user:password@]host[:port]`.
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    /// Where it is; `https` = it is talked to over TLS.
    pub(super) url: Url,
    /// The value of `Proxy-Authorization`, if it wants to know who asks.
    pub(super) authorization: Option<Secret<String>>,
}

impl FromStr for Proxy {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (user, authority) = match rest[..end].rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, &rest[..end]),
        };
        let authorization = user.map(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            Secret::new(basic(&decode(name), &decode(password)))
        });
        Ok(Self {
            url: format!("{scheme}://{authority}").parse()?,
            authorization,
        })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

impl Proxies {
    /// Returns the proxy for an address. This machine is never asked through one.
    pub(super) fn find(&self, url: &Url) -> Option<&Proxy> {
        let proxy = if url.is_secure() {
            &self.https
        } else {
            &self.http
        };
        let direct = url.is_loopback() || self.direct.iter().any(|rule| matches(rule, url));
        proxy.as_ref().filter(|_| !direct)
    }
}

/// Compares an address with a rule of `NO_PROXY`: `*`, a host with its subdomains, an address, a subnet, with a port.
fn matches(rule: &str, url: &Url) -> bool {
    let host = url.host().to_ascii_lowercase();
    let rule = rule.trim().to_ascii_lowercase();
    if rule == "*" {
        return true;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        if let Some((network, bits)) = rule.split_once('/') {
            let parsed = network.parse::<IpAddr>().ok().zip(bits.parse::<u32>().ok());
            return parsed.is_some_and(|(network, bits)| is_within(address, network, bits));
        }
        return rule.parse::<IpAddr>() == Ok(address) || rule == url.authority();
    }
    let (name, port) = match rule.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (&*rule, None),
    };
    let name = name.trim_start_matches("*.").trim_start_matches('.');
    let same_port = port.is_none_or(|port| port.parse() == Ok(url.port()));
    let below = host
        .strip_suffix(name)
        .is_some_and(|front| front.is_empty() || front.ends_with('.'));
    !name.is_empty() && same_port && below
}

fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => {
            bits <= 32
                && (u32::from(a) ^ u32::from(n))
                    .checked_shr(32 - bits)
                    .unwrap_or(0)
                    == 0
        }
        (IpAddr::V6(a), IpAddr::V6(n)) => {
            bits <= 128
                && (u128::from(a) ^ u128::from(n))
                    .checked_shr(128 - bits)
                    .unwrap_or(0)
                    == 0
        }
        _ => false,
    }
}

/// Asks a proxy for a tunnel to a host (RFC 9110 section 9.3.6).
pub(super) async fn tunnel(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    proxy: &Proxy,
    host: &str,
) -> io::Result<()> {
    let mut request = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n");
    if let Some(authorization) = &proxy.authorization {
        request.push_str("Proxy-Authorization: ");
        request.push_str(authorization.reveal());
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    // Byte by byte: what follows the answer belongs to TLS.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == ANSWER_BYTES_MAX {
            return Err(io::Error::other("the proxy's answer is too long"));
        }
        answer.push(stream.read_u8().await?);
    }
    let line = answer.split(|b| *b == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    match line.split(' ').nth(1) {
        Some(status) if status.starts_with('2') => Ok(()),
        Some("407") => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the proxy wants a user name and password, or does not accept those it was given",
        )),
        _ => Err(io::Error::other(format!(
            "the proxy answered `{}`",
            line.escape_debug()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_may_have_a_password_which_never_shows() {
        for (text, shown, authorization) in [
            ("proxy:3128", "http://proxy:3128", None),
            ("http://proxy:3128/", "http://proxy:3128", None),
            ("https://[::1]:3128", "https://[::1]:3128", None),
            (
                "http://me:se%40cret@proxy",
                "http://proxy",
                Some(basic("me", "se@cret")),
            ),
            ("me:a@b@proxy:1", "http://proxy:1", Some(basic("me", "a@b"))),
            ("http://me@proxy", "http://proxy", Some(basic("me", ""))),
        ] {
            let proxy: Proxy = text.parse().unwrap();
            assert_eq!(proxy.to_string(), shown);
            assert_eq!(
                proxy
                    .authorization
                    .clone()
                    .map(|value| value.reveal().clone()),
                authorization
            );
            assert!(!format!("{proxy:?}").contains("cret"));
        }
        for bad in ["", "socks5://a", "http://", "http://u:p@", "http://a b"] {
            assert!(bad.parse::<Proxy>().is_err(), "{bad}");
        }
    }

    #[test]
    fn rules_of_no_proxy() {
        for (rule, url, direct) in [
            ("*", "https://a.b", true),
            ("b.example", "https://b.example", true),
            ("b.example", "https://a.b.example:5000", true),
            (".b.example", "https://a.b.example", true),
            ("*.b.example", "https://a.b.example", true),
            ("b.example", "https://ab.example", false),
            ("b.example:5000", "https://b.example:5000", true),
            ("b.example:5000", "https://b.example", false),
            ("10.0.0.0/8", "https://10.1.2.3", true),
            ("10.0.0.0/8", "https://11.1.2.3", false),
            ("0.0.0.0/0", "https://11.1.2.3", true),
            ("fd00::/8", "https://[fd12::1]:5000", true),
            ("10.1.2.3", "https://10.1.2.3:5000", true),
            ("", "https://a", false),
        ] {
            assert_eq!(matches(rule, &url.parse().unwrap()), direct, "{rule} {url}");
        }
        let proxies = Proxies {
            http: None,
            https: "http://proxy:3128".parse().ok(),
            direct: vec![],
        };
        assert!(proxies.find(&"https://a".parse().unwrap()).is_some());
        assert!(proxies.find(&"http://a".parse().unwrap()).is_none());
        assert!(
            proxies
                .find(&"https://localhost:1".parse().unwrap())
                .is_none()
        );
    }
}
