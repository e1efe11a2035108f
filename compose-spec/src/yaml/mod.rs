//! YAML as a tree whose every node knows where it was written.
//!
//! Scalars are kept as text and resolved lazily: `image: 1.10` stays `1.10` where a text is wanted, and `yes` is a boolean
//! only where a boolean is wanted. Aliases and merge keys are already applied; what they may cost is bounded by
//! [`build::Limits`]. This module never looks at what a key means.

mod build;
mod keys;
mod scalar;
mod syntax;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use indexmap::IndexMap;

use crate::diagnostic::Span;

pub(crate) use build::parse;
pub(crate) use scalar::{Resolved, Scalar, ScalarTag};

/// A value with the place where it was written.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// What it is.
    pub(crate) value: Value,
    /// The bytes of the value; those of its key when it was left out.
    pub(crate) span: Span,
    /// Whether a tag asks for special treatment in a merge.
    pub(crate) mark: Mark,
}

/// The Compose tags that steer a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// No such tag.
    None,
    /// `!reset`: the key is removed.
    Reset,
    /// `!override`: the value replaces that of the base, nothing is merged.
    Override,
}

/// What a node holds. Files hold `Scalar`s; canonical trees hold the typed ones.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// As written.
    Scalar(Scalar),
    /// No value, canonical.
    Null,
    /// A boolean, canonical.
    Bool(bool),
    /// An integer, canonical.
    Int(i64),
    /// A number with a fraction, canonical.
    Float(f64),
    /// A text, canonical.
    Text(Rc<str>),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping in the order of the file.
    Mapping(Mapping),
}

/// A mapping; keys are texts, as Compose demands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mapping {
    entries: IndexMap<Rc<str>, Entry>,
}

/// One value of a mapping, and where its key was written.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The bytes of the key.
    pub(crate) key_span: Span,
    /// The value.
    pub(crate) value: Node,
}

impl Node {
    /// Creates a node without a merge tag.
    pub(crate) fn new(value: Value, span: Span) -> Self {
        Self {
            value,
            span,
            mark: Mark::None,
        }
    }

    /// Creates a canonical text.
    pub(crate) fn text(text: impl Into<Rc<str>>, span: Span) -> Self {
        Self::new(Value::Text(text.into()), span)
    }

    /// Returns the mapping, if it is one.
    pub(crate) fn as_mapping(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// Returns the mapping for a change, if it is one.
    pub(crate) fn as_mapping_mut(&mut self) -> Option<&mut Mapping> {
        match &mut self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// Returns the items; none when it is not a list.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::Sequence(items) => items,
            _ => &[],
        }
    }

    /// Returns the text of a canonical text or of a scalar that is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Scalar(scalar) => match scalar.resolve() {
                Ok(Resolved::Text(_)) => Some(&scalar.text),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns the canonical boolean, `false` when it is none.
    pub(crate) fn is_true(&self) -> bool {
        matches!(self.value, Value::Bool(true))
    }

    /// Returns the canonical integer.
    pub(crate) fn as_int(&self) -> Option<i64> {
        match self.value {
            Value::Int(number) => Some(number),
            _ => None,
        }
    }

    /// Returns the canonical number.
    pub(crate) fn as_float(&self) -> Option<f64> {
        match self.value {
            Value::Float(number) => Some(number),
            _ => None,
        }
    }

    /// Returns whether the value was left out or is null.
    pub(crate) fn is_null(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Scalar(scalar) => matches!(scalar.resolve(), Ok(Resolved::Null)),
            _ => false,
        }
    }

    /// Returns the value at `key`, when this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.as_mapping()?.get(key)
    }

    /// Returns the text at `key`.
    pub(crate) fn text_at(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_text()
    }

    /// Returns the items at `key`.
    pub(crate) fn items_at(&self, key: &str) -> &[Node] {
        self.get(key).map_or(&[], Node::items)
    }

    /// Returns the entries of the mapping at `key`; none when there is no mapping.
    pub(crate) fn entries_at(&self, key: &str) -> impl Iterator<Item = (&Rc<str>, &Entry)> {
        self.get(key)
            .and_then(Node::as_mapping)
            .into_iter()
            .flat_map(Mapping::iter)
    }

    /// Returns how many values it consists of.
    pub(crate) fn count(&self) -> usize {
        match &self.value {
            Value::Sequence(items) => 1 + items.iter().map(Node::count).sum::<usize>(),
            Value::Mapping(mapping) => {
                1 + mapping
                    .iter()
                    .map(|(_, entry)| entry.value.count())
                    .sum::<usize>()
            }
            _ => 1,
        }
    }

    /// Returns what it is in the words of a message.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) => scalar.describe(),
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(_) => "a text",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }
}

impl Mapping {
    /// Returns the value at `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// Returns the value at `key` for a change.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Returns the value at `key` and the place of the key.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Puts a value at `key`: in the place of the old one, else at the end.
    pub(crate) fn insert(&mut self, key: impl Into<Rc<str>>, key_span: Span, value: Node) {
        self.entries.insert(key.into(), Entry { key_span, value });
    }

    /// Puts a value at `key`, whose place is that of the value.
    pub(crate) fn set(&mut self, key: &str, value: Node) {
        let span = value.span;
        self.insert(key, span, value);
    }

    /// Takes the value at `key` out.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Entry> {
        self.entries.shift_remove(key)
    }

    /// Returns the entries in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Rc<str>, &Entry)> {
        self.entries.iter()
    }

    /// Returns the entries in order for a change.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&Rc<str>, &mut Entry)> {
        self.entries.iter_mut()
    }

    /// Keeps the entries for which `keep` says so.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str, &mut Entry) -> bool) {
        self.entries.retain(|key, entry| keep(key, entry));
    }

    /// Returns the keys in order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(|key| &**key)
    }

    /// Returns whether there is no entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl IntoIterator for Mapping {
    type Item = (Rc<str>, Entry);
    type IntoIter = indexmap::map::IntoIter<Rc<str>, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}
