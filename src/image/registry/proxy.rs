//! HTTP proxies: which address goes through one, and the tunnel for TLS.

use std::{io, net::IpAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::url::Url;

/// Largest answer of a proxy to `CONNECT`.
const ANSWER_BYTES_MAX: usize = 8 << 10;

/// The proxies of the environment (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`), as Go's programs read them.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxies {
    /// For plain HTTP.
    pub(super) http: Option<Url>,
    /// For TLS.
    pub(super) https: Option<Url>,
    /// Hosts that are asked directly.
    pub(super) direct: Vec<String>,
}

impl Proxies {
    /// Returns the proxy for an address. This machine is never asked through one.
    pub(super) fn find(&self, url: &Url) -> Option<&Url> {
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

/// Asks a proxy for a tunnel to a host.
pub(super) async fn tunnel(stream: &mut TcpStream, host: &str) -> io::Result<()> {
    let request = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
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
