//! Keys, merge keys and tags: what the builder does with them.

use std::rc::Rc;

use granit_parser::Tag;

use super::{Entry, Mapping, Mark, Node, Resolved, ScalarTag, Value};
use crate::diagnostic::{Code, Diagnostic, Span};

/// A key that waits for its value.
pub(super) enum PendingKey {
    /// An ordinary key, and where it stands.
    Text(Rc<str>, Span),
    /// `<<`, and where it stands.
    Merge(Span),
    /// The key was wrong and is reported; its value is read and dropped.
    Wrong,
}

/// Reads a key.
pub(super) fn key_of(node: &Node) -> Result<PendingKey, Box<Diagnostic>> {
    let span = node.span;
    let wrong = |what: &str| {
        Box::new(
            Diagnostic::error(
                Code::KeyNotString,
                format!("a key must be a text, not {what}"),
            )
            .at(span, ""),
        )
    };
    match &node.value {
        Value::Scalar(scalar) => match scalar.resolve() {
            Ok(Resolved::Text(_)) => Ok(PendingKey::Text(Rc::clone(&scalar.text), span)),
            _ if scalar.text.is_empty() => Err(wrong("nothing")),
            _ => {
                let mut error = wrong(scalar.describe());
                error.help.push(format!("quote it: \"{}\"", scalar.text));
                Err(error)
            }
        },
        Value::Sequence(_) => Err(wrong("a list")),
        _ => Err(wrong("a mapping")),
    }
}

/// Returns the error of a key that occurs twice.
pub(super) fn duplicate(key: &str, first: Span, second: Span) -> Diagnostic {
    Diagnostic::error(Code::DuplicateKey, format!("key `{key}` occurs twice"))
        .at(second, "here again")
        .and(first, "first here")
}

/// Applies `<<`: keys of the mapping itself win, then those of earlier mappings of the list.
pub(super) fn merge_into(mapping: &mut Mapping, from: Node) -> Result<(), Box<Diagnostic>> {
    match from.value {
        Value::Mapping(entries) => {
            for (key, Entry { key_span, value }) in entries {
                if mapping.get(&key).is_none() {
                    mapping.insert(key, key_span, value);
                }
            }
            Ok(())
        }
        Value::Sequence(items) if items.iter().all(|item| item.as_mapping().is_some()) => items
            .into_iter()
            .try_for_each(|item| merge_into(mapping, item)),
        _ => Err(Box::new(
            Diagnostic::error(
                Code::BadMergeKey,
                "`<<` takes a mapping or a list of mappings",
            )
            .at(from.span, ""),
        )),
    }
}

/// Returns the Compose tag of a node.
pub(super) fn mark(tag: Option<&Tag>) -> Mark {
    match tag.map(Tag::parts) {
        Some(("!", "reset")) => Mark::Reset,
        Some(("!", "override")) => Mark::Override,
        _ => Mark::None,
    }
}

/// Returns the YAML tag of a scalar.
pub(super) fn scalar_tag(tag: Option<&Tag>) -> ScalarTag {
    match tag.and_then(Tag::core_suffix) {
        Some("str") => ScalarTag::Text,
        Some("int") => ScalarTag::Int,
        Some("float") => ScalarTag::Float,
        Some("bool") => ScalarTag::Bool,
        Some("null") => ScalarTag::Null,
        _ => ScalarTag::None,
    }
}
