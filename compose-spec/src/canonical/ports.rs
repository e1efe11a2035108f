//! Published ports: `[address:][published:]target[/protocol]`, with ranges.

use std::net::IpAddr;

use super::{
    Reader,
    short::{mapping, shown},
};
use crate::{
    diagnostic::Code,
    yaml::{Mapping, Node, Resolved, Value},
};

/// Values that one port of a range becomes.
const VALUES_PER_PORT: usize = 5;

/// A port range, ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    /// First port.
    pub(crate) first: u16,
    /// Last port.
    pub(crate) last: u16,
}

impl Range {
    /// Reads `80` or `80-90`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse::<u16>().ok()).flatten()
        };
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(text)?, number(text)?),
        };
        (first <= last).then_some(Self { first, last })
    }

    fn length(self) -> u32 {
        u32::from(self.last) - u32::from(self.first) + 1
    }
}

/// A short form taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Short<'a> {
    address: Option<IpAddr>,
    published: Option<(Range, &'a str)>,
    target: Range,
    protocol: &'a str,
}

/// `ports: ["8080:80"]` becomes one or more long items.
pub(crate) fn port(reader: &mut Reader<'_>, node: &Node) -> Vec<Node> {
    let Value::Scalar(scalar) = &node.value else {
        return Vec::new();
    };
    if !matches!(scalar.resolve(), Ok(Resolved::Text(_) | Resolved::Int(_))) {
        let _: Option<()> = reader.wrong_form(node, "a port such as \"8080:80\" or a mapping");
        return Vec::new();
    }
    let parsed = match parse(&scalar.text) {
        Ok(parsed) => parsed,
        Err(problem) => {
            let what = format!("`{}` is not a port: {problem}", shown(node));
            let help = "the form is [address:][published:]target[/protocol]";
            let _: Option<()> = reader.refuse(Code::BadPort, node.span, what, help);
            return Vec::new();
        }
    };
    let span = node.span;
    let text = |text: String| Node::text(text, span);
    let count = parsed.target.length();
    if count > 1 && !reader.budget.spend(count as usize * VALUES_PER_PORT) {
        let _: Option<()> = reader.refuse(
            Code::TooLarge,
            span,
            "the port ranges of the project are too large",
            "",
        );
        return Vec::new();
    }
    (0..count)
        .map(|offset| {
            let mut item = mapping(span, [("mode", text("ingress".into()))]);
            let port = |range: Range| u32::from(range.first) + offset;
            if let Some(fields) = item.as_mapping_mut() {
                if let Some(address) = parsed.address {
                    fields.set("host_ip", text(address.to_string()));
                }
                let target = Value::Int(i64::from(port(parsed.target)));
                fields.set("target", Node::new(target, span));
                if let Some((range, written)) = parsed.published {
                    let single = range.length() != parsed.target.length();
                    let published = if single {
                        written.to_owned()
                    } else {
                        port(range).to_string()
                    };
                    fields.set("published", text(published));
                }
                fields.set("protocol", text(parsed.protocol.to_owned()));
            }
            item
        })
        .collect()
}

fn parse(text: &str) -> Result<Short<'_>, String> {
    let (rest, protocol) = text.split_once('/').unwrap_or((text, ""));
    let protocol = match protocol {
        "" => "tcp",
        _ if protocol.eq_ignore_ascii_case("tcp") => "tcp",
        _ if protocol.eq_ignore_ascii_case("udp") => "udp",
        _ if protocol.eq_ignore_ascii_case("sctp") => "sctp",
        _ => return Err("the protocol is tcp, udp or sctp".to_owned()),
    };
    let (rest, target) = rest
        .rsplit_once(':')
        .map_or((None, rest), |(a, b)| (Some(a), b));
    if target.is_empty() {
        return Err("the container's port is missing".to_owned());
    }
    let target = Range::parse(target)
        .filter(|range| range.first > 0)
        .ok_or_else(|| problem(target, "the container's port", 1))?;
    let Some(rest) = rest else {
        return Ok(Short {
            address: None,
            published: None,
            target,
            protocol,
        });
    };
    let (address, published) = split_address(rest)?;
    let published = match published {
        "" => None,
        text => {
            let range = Range::parse(text).ok_or_else(|| problem(text, "the published port", 0))?;
            if range.length() != target.length() && target.length() != 1 {
                return Err("the two ranges differ in length".to_owned());
            }
            Some((range, text))
        }
    };
    Ok(Short {
        address,
        published,
        target,
        protocol,
    })
}

/// Returns what is wrong with a text that is no range.
fn problem(text: &str, what: &str, least: u16) -> String {
    let numbers = text
        .split_once('-')
        .and_then(|(first, last)| Some((first.parse::<u16>().ok()?, last.parse::<u16>().ok()?)));
    match numbers {
        Some((first, last)) if first > last => format!("the range of {what} descends"),
        _ if text.contains(' ') => format!("there is a blank in {what}"),
        _ => format!("{what} must be from {least} to 65535"),
    }
}

/// Splits `[::]:80`, `::1:80`, `127.0.0.1:`, `80`.
fn split_address(text: &str) -> Result<(Option<IpAddr>, &str), String> {
    let Some((address, published)) = text.rsplit_once(':') else {
        return Ok((None, text));
    };
    let bare = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(address);
    if bare.is_empty() {
        return Ok((None, published));
    }
    match bare.parse() {
        Ok(address) => Ok((Some(address), published)),
        Err(_) => Err("in front of the published port must be an IP address".to_owned()),
    }
}

/// Completes and checks a port of the long form.
pub(crate) fn finish_port(reader: &mut Reader<'_>, node: &mut Node) -> bool {
    let span = node.span;
    let mut problems: Vec<(&str, String)> = Vec::new();
    if let Some(target) = node.get("target").and_then(Node::as_int)
        && !(1..=65_535).contains(&target)
    {
        problems.push(("target", "a port is from 1 to 65535".to_owned()));
    }
    if node.text_at("published").is_some_and(|text| {
        !text.is_empty() && !reader.is_open(text) && Range::parse(text).is_none()
    }) {
        problems.push(("published", "must be a port or a range of ports".to_owned()));
    }
    if node.text_at("host_ip").is_some_and(|text| {
        !text.is_empty() && !reader.is_open(text) && text.parse::<IpAddr>().is_err()
    }) {
        problems.push(("host_ip", "must be an IP address".to_owned()));
    }
    if node
        .text_at("protocol")
        .is_some_and(|text| !matches!(text, "" | "tcp" | "udp" | "sctp") && !reader.is_open(text))
    {
        problems.push(("protocol", "must be tcp, udp or sctp".to_owned()));
    }
    let valid = problems.is_empty();
    for (key, problem) in problems {
        let place = node.get(key).map_or(span, |value| value.span);
        reader.at_key(key, |reader| {
            reader.refuse::<()>(Code::BadPort, place, problem, "")
        });
    }
    if let Some(fields) = node.as_mapping_mut() {
        set_default(fields, "mode", "ingress", span);
        set_default(fields, "protocol", "tcp", span);
    }
    valid
}

fn set_default(fields: &mut Mapping, key: &str, value: &str, span: crate::diagnostic::Span) {
    if fields
        .get(key)
        .is_none_or(|value| value.as_text() == Some(""))
    {
        fields.set(key, Node::text(value, span));
    }
}

/// Returns what tells published ports apart.
pub(crate) fn port_key(node: &Node) -> String {
    let text = |key| node.text_at(key).unwrap_or_default();
    let target = node
        .get("target")
        .and_then(Node::as_int)
        .unwrap_or_default();
    let address = match text("host_ip") {
        "" => "0.0.0.0",
        address => address,
    };
    format!(
        "{address}:{}:{target}/{}",
        text("published"),
        text("protocol")
    )
}

/// `expose: ["80", "90-95/udp"]`
pub(crate) fn exposed_port(reader: &mut Reader<'_>, node: Node) -> Option<Node> {
    let Value::Scalar(scalar) = &node.value else {
        return reader.wrong_form(&node, "a port");
    };
    let valid = match scalar.resolve() {
        Ok(Resolved::Int(_) | Resolved::Text(_)) => {
            let (range, protocol) = scalar.text.split_once('/').unwrap_or((&scalar.text, "tcp"));
            Range::parse(range).is_some() && matches!(protocol, "tcp" | "udp" | "sctp")
        }
        _ => false,
    };
    if valid {
        return Some(node);
    }
    let what = format!(
        "`{}` is not a port such as 80, 80-90 or 80/udp",
        shown(&node)
    );
    reader.refuse(Code::BadPort, node.span, what, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_forms_are_taken_apart() {
        let range = |first, last| Range { first, last };
        let short = |address: Option<&str>, published, target, protocol| Short {
            address: address.map(|a| a.parse().unwrap()),
            published,
            target,
            protocol,
        };
        let cases = [
            ("80", short(None, None, range(80, 80), "tcp")),
            ("80-82/udp", short(None, None, range(80, 82), "udp")),
            (
                "8080:80",
                short(
                    None,
                    Some((range(8080, 8080), "8080")),
                    range(80, 80),
                    "tcp",
                ),
            ),
            (
                "80-82:90",
                short(None, Some((range(80, 82), "80-82")), range(90, 90), "tcp"),
            ),
            (
                "127.0.0.1::80",
                short(Some("127.0.0.1"), None, range(80, 80), "tcp"),
            ),
            (
                "[::]:80:80",
                short(
                    Some("::"),
                    Some((range(80, 80), "80")),
                    range(80, 80),
                    "tcp",
                ),
            ),
            (
                "::1:80:81",
                short(
                    Some("::1"),
                    Some((range(80, 80), "80")),
                    range(81, 81),
                    "tcp",
                ),
            ),
            (
                "0:80",
                short(None, Some((range(0, 0), "0")), range(80, 80), "tcp"),
            ),
            (":80", short(None, None, range(80, 80), "tcp")),
            (
                "80:80/",
                short(None, Some((range(80, 80), "80")), range(80, 80), "tcp"),
            ),
        ];
        for (text, wanted) in cases {
            assert_eq!(parse(text), Ok(wanted), "{text}");
        }
        for text in [
            "80-81:90-92",
            "a:80",
            "80:65536",
            "-1:80",
            "80:",
            "",
            "80:80:80:80",
            "localhost:80:80",
            " 80:80",
            "8080 :80",
            "1-2-3:80",
            "80/xyz",
            "90-80",
            "80:0",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[0-9a-f:.\\[\\]/\\-]{0,24}") {
            drop(parse(&text));
        }
    }
}
