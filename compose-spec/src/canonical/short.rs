//! The short forms, except those of ports and volumes: each function turns one into the long form of the table.

use std::collections::HashMap;

use super::Reader;
pub(crate) use super::{
    ports::{exposed_port, finish_port, port, port_key},
    volumes::{finish_volume, target_key, volume},
};
use crate::{
    diagnostic::{Code, Diagnostic, Span},
    yaml::{Mapping, Node, Value},
};

/// Creates a mapping of canonical texts at one place.
pub(super) fn mapping<const N: usize>(span: Span, entries: [(&str, Node); N]) -> Node {
    let mut mapping = Mapping::default();
    for (key, value) in entries {
        mapping.insert(key, span, value);
    }
    Node::new(Value::Mapping(mapping), span)
}

/// Returns the text of a scalar item as written in the file, for messages.
pub(super) fn shown(node: &Node) -> &str {
    match &node.value {
        Value::Scalar(scalar) => scalar.shown(),
        Value::Text(text) => text,
        _ => "",
    }
}

/// Returns the text of an item, or reports it.
pub(super) fn item_text<'n>(reader: &mut Reader<'_>, node: &'n Node) -> Option<&'n str> {
    match node.as_text() {
        Some(text) => Some(text),
        None => reader.wrong_form(node, "a text or a mapping"),
    }
}

/// `build: ./context`
pub(crate) fn build(reader: &mut Reader<'_>, node: Node) -> Option<Node> {
    single(reader, node, "context", "a path or a mapping")
}

/// `extends: service`
pub(crate) fn extends(reader: &mut Reader<'_>, node: Node) -> Option<Node> {
    single(
        reader,
        node,
        "service",
        "a service or a mapping with `service`",
    )
}

/// `include: [path]`
pub(crate) fn include(reader: &mut Reader<'_>, node: Node) -> Option<Node> {
    single(reader, node, "path", "a path or a mapping with `path`")
}

fn single(reader: &mut Reader<'_>, node: Node, key: &str, expects: &str) -> Option<Node> {
    match node.value {
        Value::Mapping(_) => Some(node),
        _ if node.as_text().is_some() => Some(mapping(node.span, [(key, node)])),
        _ => reader.wrong_form(&node, expects),
    }
}

/// `depends_on: [a, b]`
pub(crate) fn depends_on(reader: &mut Reader<'_>, node: Node) -> Option<Node> {
    named(reader, node, started).map(|mut node| {
        for (_, entry) in node
            .as_mapping_mut()
            .into_iter()
            .flat_map(Mapping::iter_mut)
        {
            let span = entry.key_span;
            if let Some(dependency) = entry.value.as_mapping_mut()
                && dependency.get("required").is_none()
            {
                dependency.insert("required", span, Node::new(Value::Bool(true), span));
            }
        }
        node
    })
}

/// Returns the dependency that a plain name stands for.
pub(crate) fn started(span: Span) -> Node {
    mapping(
        span,
        [
            ("condition", Node::text("service_started", span)),
            ("required", Node::new(Value::Bool(true), span)),
        ],
    )
}

/// `networks: [a, b]`, `models: [a, b]`
pub(crate) fn names(reader: &mut Reader<'_>, node: Node) -> Option<Node> {
    named(reader, node, |span| Node::new(Value::Null, span))
}

fn twice(reader: &mut Reader<'_>, again: Span, first: Span) {
    let message = format!("`{}` lists an item twice", reader.path);
    reader.sink.push(
        Diagnostic::error(Code::DuplicateItem, message)
            .at(again, "here again")
            .and(first, "first here"),
    );
}

/// Turns a list of names into a mapping.
fn named(reader: &mut Reader<'_>, node: Node, value: fn(Span) -> Node) -> Option<Node> {
    let span = node.span;
    let items = match node.value {
        Value::Mapping(_) => return Some(node),
        Value::Sequence(items) => items,
        _ => return reader.wrong_form(&node, "a list of names or a mapping"),
    };
    let mut out = Mapping::default();
    for (index, item) in items.into_iter().enumerate() {
        match item.as_text() {
            Some(name) => {
                if let Some(first) = out.entry(name) {
                    let first = first.key_span;
                    twice(reader, item.span, first);
                }
                out.insert(name, item.span, value(item.span));
            }
            None => {
                reader.at_index(index, |reader| reader.wrong_form::<()>(&item, "a text"));
            }
        }
    }
    Some(Node::new(Value::Mapping(out), span))
}

/// `test: curl x` is run by the container's shell.
pub(crate) fn health_test(reader: &mut Reader<'_>, node: Node) -> Option<Node> {
    let span = node.span;
    if let Value::Sequence(items) = &node.value {
        let first = items.first().and_then(Node::as_text);
        // An empty list leaves the probe to the image.
        if !items.is_empty() && !matches!(first, Some("CMD" | "CMD-SHELL" | "NONE")) {
            return reader.bad_value_help(
                items.first().map_or(span, |item| item.span),
                "a list must begin with CMD, CMD-SHELL or NONE",
                "write `[CMD, …]` for a program, or a plain text for a shell line",
            );
        }
        return Some(node);
    }
    if node.as_text().is_none() {
        return reader.wrong_form(&node, "a text or a list of texts");
    }
    Some(Node::new(
        Value::Sequence(vec![Node::text("CMD-SHELL", span), node]),
        span,
    ))
}

/// `[h:1.2.3.4]`, `{h: 1.2.3.4}`, `{h: [a, b]}` become `[h=1.2.3.4]`, sorted.
pub(crate) fn extra_hosts(reader: &mut Reader<'_>, node: Node) -> Option<Node> {
    let span = node.span;
    if reader.is_model() && !matches!(node.value, Value::Scalar(_)) {
        return Some(node);
    }
    let mut pairs: Vec<(String, String, Span)> = Vec::new();
    match node.value {
        Value::Mapping(mapping) => {
            for (host, entry) in mapping {
                let addresses = match &entry.value.value {
                    Value::Sequence(items) => items.as_slice(),
                    _ => std::slice::from_ref(&entry.value),
                };
                for address in addresses {
                    match address.as_text() {
                        Some(text) => {
                            pairs.push((host.to_string(), bare(text).to_owned(), address.span));
                        }
                        None => {
                            reader.at_key(&host, |reader| {
                                reader.wrong_form::<()>(address, "an address")
                            });
                        }
                    }
                }
            }
        }
        Value::Sequence(items) => {
            let mut seen: HashMap<&str, Span> = HashMap::new();
            for (index, item) in items.iter().enumerate() {
                if let Some(first) = item.as_text().and_then(|text| seen.insert(text, item.span)) {
                    twice(reader, item.span, first);
                }
                let Some(text) = item.as_text() else {
                    reader.at_index(index, |reader| {
                        reader.wrong_form::<()>(item, "a text of the form host=address")
                    });
                    continue;
                };
                let split = text.split_once('=').or_else(|| text.split_once(':'));
                match split {
                    Some((host, address)) if !host.is_empty() && !address.is_empty() => {
                        pairs.push((host.to_owned(), bare(address).to_owned(), item.span));
                    }
                    _ => {
                        reader.at_index(index, |reader| {
                            reader.bad_value::<()>(item.span, "the form is host=address")
                        });
                    }
                }
            }
        }
        _ => return reader.wrong_form(&node, "a mapping or a list of host=address"),
    }
    pairs.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    let items = pairs
        .into_iter()
        .map(|(h, a, span)| Node::text(format!("{h}={a}"), span))
        .collect();
    Some(Node::new(Value::Sequence(items), span))
}

/// Returns an address without the brackets of IPv6.
fn bare(address: &str) -> &str {
    let address = address.trim();
    address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(address)
}

/// `gpus: all`
pub(crate) fn gpus(reader: &mut Reader<'_>, node: Node) -> Option<Node> {
    let span = node.span;
    let all = Node::text("all", span);
    match node.value {
        Value::Sequence(_) => Some(node),
        _ if node.as_text() == Some("all") => Some(Node::new(
            Value::Sequence(vec![mapping(span, [("count", all)])]),
            span,
        )),
        _ if reader.is_model() && node.as_text().is_some_and(|text| text.contains('$')) => {
            Some(node)
        }
        _ => reader.wrong_form(&node, "`all` or a list"),
    }
}

/// `count: all`
#[expect(clippy::unnecessary_wraps, reason = "the signature of short forms")]
pub(crate) fn device_count(reader: &mut Reader<'_>, node: Node) -> Option<Node> {
    if !reader.is_model() && node.as_text() == Some("all") {
        return Some(Node {
            value: Value::Int(-1),
            ..node
        });
    }
    Some(node)
}
