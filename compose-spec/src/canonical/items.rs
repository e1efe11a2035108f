//! Items of lists: devices, env files, secrets, configs and subnets. Each has a short form, a check of the long form, and a
//! key that tells items apart.

use std::net::IpAddr;

use super::{
    Reader,
    short::{item_text, mapping},
};
use crate::{
    diagnostic::Code,
    yaml::{Node, Value},
};

/// Returns the text of a scalar as it counts, whatever its type.
pub(super) fn written(node: &Node) -> &str {
    match &node.value {
        Value::Scalar(scalar) => &scalar.text,
        Value::Text(text) => text,
        _ => "",
    }
}

/// `devices: ["/dev/a:/dev/b:rw"]`
pub(crate) fn device(reader: &mut Reader<'_>, node: &Node) -> Vec<Node> {
    let Some(text) = item_text(reader, node) else {
        return Vec::new();
    };
    let span = node.span;
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, permissions) = match parts[..] {
        [source] | [source, ""] => (source, source, "rwm"),
        [source, target] => (source, target, "rwm"),
        [source, "", permissions] => (source, source, permissions),
        [source, target, permissions] => (source, target, permissions),
        _ => {
            let _: Option<()> = reader.bad_value(span, "the form is source[:target[:permissions]]");
            return Vec::new();
        }
    };
    vec![mapping(
        span,
        [
            ("source", Node::text(source, span)),
            ("target", Node::text(target, span)),
            ("permissions", Node::text(permissions, span)),
        ],
    )]
}

/// Returns whether a device is named as the Container Device Interface does: `vendor.com/class=name`.
pub(crate) fn is_cdi_name(source: &str) -> bool {
    let letters = |text: &str, more: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    source.split_once('=').is_some_and(|(kind, device)| {
        let kind = kind.split_once('/');
        letters(device, "_-.:")
            && kind.is_some_and(|(vendor, class)| letters(vendor, "_-.") && letters(class, "_-"))
    })
}

/// Checks a device of the long form.
pub(crate) fn finish_device(reader: &mut Reader<'_>, node: &mut Node) -> bool {
    let span = node.span;
    let permissions = node.text_at("permissions").unwrap_or("rwm");
    let open = reader.is_open(permissions);
    if permissions.is_empty() || !open && permissions.chars().any(|c| !"rwm".contains(c)) {
        let _: Option<()> = reader.bad_value(span, "device permissions consist of r, w and m");
        return false;
    }
    let source = node.text_at("source").map(str::to_owned);
    if let (Some(source), Some(device)) = (source, node.as_mapping_mut()) {
        for (key, value) in [("target", source.as_str()), ("permissions", "rwm")] {
            if device.get(key).is_none() {
                device.set(key, Node::text(value, span));
            }
        }
    }
    true
}

/// `env_file: [path]`
pub(crate) fn env_file(reader: &mut Reader<'_>, node: &Node) -> Vec<Node> {
    match item_text(reader, node) {
        Some(_) => vec![mapping(node.span, [("path", node.clone())])],
        None => Vec::new(),
    }
}

/// Checks an env file of the long form.
pub(crate) fn finish_env_file(reader: &mut Reader<'_>, node: &mut Node) -> bool {
    let span = node.span;
    if let Some(format) = node.get("format")
        && !matches!(format.as_text(), Some("" | "raw"))
        && !format.as_text().is_some_and(|text| reader.is_open(text))
    {
        let _: Option<()> = reader.bad_value(
            format.span,
            "the format of an env file is `raw` or left out",
        );
        return false;
    }
    if reader.is_model()
        && let Some(file) = node.as_mapping_mut()
        && file.get("required").is_none()
    {
        let span = file.get("path").map_or(span, |path| path.span);
        file.set("required", Node::new(Value::Bool(true), span));
    }
    true
}

/// Returns the path that tells env files apart.
pub(crate) fn path_key(node: &Node) -> String {
    node.text_at("path").unwrap_or_default().to_owned()
}

/// `secrets: [name]`, `configs: [name]`
pub(crate) fn grant(reader: &mut Reader<'_>, node: &Node) -> Vec<Node> {
    match item_text(reader, node) {
        Some(_) => vec![mapping(node.span, [("source", node.clone())])],
        None => Vec::new(),
    }
}

/// Checks a secret or config grant of the long form.
pub(crate) fn finish_grant(reader: &mut Reader<'_>, node: &mut Node) -> bool {
    for key in ["uid", "gid"] {
        if let Some(id) = node.get(key)
            && id
                .as_text()
                .is_none_or(|text| text.parse::<u32>().is_err() && !reader.is_open(text))
        {
            let message = format!("`{key}` must be a number in quotes");
            let _: Option<()> = reader.bad_value(id.span, message);
            return false;
        }
    }
    if node.get("source").is_none() {
        let _: Option<()> = reader.bad_value(node.span, "`source` is missing");
        return false;
    }
    true
}

/// Returns where a secret is placed.
pub(crate) fn secret_key(node: &Node) -> String {
    grant_key(node, "/run/secrets/")
}

/// Returns where a config is placed.
pub(crate) fn config_key(node: &Node) -> String {
    grant_key(node, "/")
}

fn grant_key(node: &Node, directory: &str) -> String {
    let source = node.text_at("source").unwrap_or_default();
    match node.text_at("target") {
        Some(target) if target.starts_with('/') => target.to_owned(),
        target => format!("{directory}{}", target.unwrap_or(source)),
    }
}

/// Subnets have only a long form.
pub(crate) fn no_short_form(reader: &mut Reader<'_>, node: &Node) -> Vec<Node> {
    let _: Option<()> = reader.wrong_form(node, "a mapping");
    Vec::new()
}

/// Checks one `ipam.config` entry.
pub(crate) fn finish_subnet(reader: &mut Reader<'_>, node: &mut Node) -> bool {
    let mut valid = true;
    for key in ["subnet", "ip_range"] {
        if let Some(value) = node.get(key)
            && !value
                .as_text()
                .is_some_and(|text| is_cidr(text) || reader.is_open(text))
        {
            let span = value.span;
            reader.at_key(key, |reader| {
                let what = "must be a subnet such as 10.1.0.0/24";
                reader.refuse::<()>(Code::BadAddress, span, what, "")
            });
            valid = false;
        }
    }
    let auxiliary = node
        .entries_at("aux_addresses")
        .map(|(_, entry)| &entry.value);
    let addresses: Vec<&Node> = node.get("gateway").into_iter().chain(auxiliary).collect();
    for value in addresses {
        if value
            .as_text()
            .is_none_or(|text| text.parse::<IpAddr>().is_err() && !reader.is_open(text))
        {
            let _: Option<()> =
                reader.refuse(Code::BadAddress, value.span, "must be an IP address", "");
            valid = false;
        }
    }
    valid
}

/// Returns whether a text is `address/prefix`.
fn is_cidr(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else {
        return false;
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return false;
    };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    prefix.parse::<u8>().is_ok_and(|prefix| prefix <= longest)
}

/// Returns the subnet that tells entries apart.
pub(crate) fn subnet_key(node: &Node) -> String {
    node.text_at("subnet").unwrap_or_default().to_owned()
}
