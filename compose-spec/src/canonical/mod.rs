//! Reads one document by the table of [`crate::schema`]: checks every key and form, applies the short forms, and turns
//! scalars into what their attribute wants. What is wrong is reported and left out, so that later passes go on.
//!
//! Relative paths become absolute here, because only here it is known which file they stand in.

pub(crate) mod check;
mod collection;
pub(crate) mod items;
pub(crate) mod ports;
mod scalar;
pub(crate) mod short;
pub(crate) mod units;
pub(crate) mod volumes;
pub(crate) mod words;

use std::{cell::RefCell, path::Path, rc::Rc};

use crate::{
    Passes,
    diagnostic::{Code, Diagnostic, Sink, Span},
    env::Environment,
    locations::push_index,
    merge,
    paths::Written,
    schema::{Effect, Field, Kind, List, Pairs, Section, Short, TOP},
    yaml::{Entry, Mapping, Mark, Node, Value},
};

/// What a document's values are read against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting<'a> {
    /// Directory that relative paths start from; absolute.
    pub(crate) base: &'a Path,
    /// Whether the document is one of the project itself, not one that is included or extended.
    pub(crate) is_root: bool,
    /// Variables for keys without a value and for `~`.
    pub(crate) environment: &'a Environment,
    /// What is done.
    pub(crate) passes: Passes,
    /// Where paths are noted as they were written.
    pub(crate) paths: &'a RefCell<Written>,
}

/// How many values short forms (port ranges) and `extends` may still make: both multiply what is written.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
}

/// Most values that may be made in addition to those that are written.
const MADE_MAX: usize = 400_000;

impl Default for Budget {
    fn default() -> Self {
        Self { left: MADE_MAX }
    }
}

impl Budget {
    /// Takes `count` values; `false` when they are not left.
    pub(crate) fn spend(&mut self, count: usize) -> bool {
        let left = self.left.checked_sub(count);
        self.left = left.unwrap_or_default();
        left.is_some()
    }
}

/// Reads one document.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    /// What values are read against.
    pub(crate) setting: Setting<'a>,
    /// Where findings go.
    pub(crate) sink: &'a mut Sink,
    /// What may still be multiplied.
    pub(crate) budget: &'a mut Budget,
    /// Path of the value being read: `services.web.ports[0]`.
    pub(crate) path: String,
}

impl<'a> Reader<'a> {
    /// Starts at `path`.
    pub(crate) fn new(
        setting: Setting<'a>,
        sink: &'a mut Sink,
        budget: &'a mut Budget,
        path: &str,
    ) -> Self {
        Self {
            setting,
            sink,
            budget,
            path: path.to_owned(),
        }
    }

    /// Reads a document or a part of one.
    pub(crate) fn document(mut self, section: &'static Section, node: Node) -> Option<Node> {
        self.section(section, node)
    }
}

impl Reader<'_> {
    /// Reads a value of a kind; `None` when it was reported as wrong. Nothing is left for [`crate::merge::settle`] to
    /// judge: in a document that is laid over another it means "as below".
    pub(crate) fn kind(&mut self, kind: &'static Kind, node: Node) -> Option<Node> {
        if node.mark == Mark::Reset || (!kind.takes_null() && node.is_null()) {
            return Some(Node {
                value: Value::Null,
                ..node
            });
        }
        let mark = node.mark;
        let node = match kind {
            Kind::Any => Some(any(node)),
            Kind::List(list) => self.list(list, node),
            // In a model they are only checked, and stay as written.
            Kind::Pairs(pairs @ (Pairs::Environment | Pairs::Labels)) if self.is_model() => {
                let mut written = any(node.clone());
                if let Value::Sequence(items) = &mut written.value {
                    *items = merge::last_pairs(std::mem::take(items));
                }
                self.pairs(*pairs, node).map(|_| written)
            }
            Kind::Options if self.is_model() => {
                let written = any(node.clone());
                self.options(node).map(|_| written)
            }
            Kind::Values if self.is_model() => {
                let written = any(node.clone());
                self.values(node).map(|_| written)
            }
            Kind::Pairs(pairs) => self.pairs(*pairs, node),
            Kind::Options => self.options(node),
            Kind::Values => self.values(node),
            Kind::Map(map) => self.map(map, node),
            Kind::Section(section) => self.section(section, node),
            Kind::OptionalSection(_) if node.is_null() => Some(Node {
                value: Value::Null,
                ..node
            }),
            Kind::OptionalSection(section) => self.section(section, node),
            Kind::Either(_, section) if node.as_mapping().is_some() => self.section(section, node),
            Kind::Either(scalar, _) => match node.value {
                Value::Sequence(_) => self.wrong_form(&node, kind.expects()),
                _ => self.kind(scalar, node),
            },
            Kind::Short(_)
                if self.is_model() && node.as_text().is_some_and(|text| text.contains('$')) =>
            {
                Some(any(node))
            }
            // Single words that stand for a list or a number stay as written in a model.
            Kind::Short(Short {
                long: Kind::List(List { replace: true, .. }) | Kind::Int(..),
                ..
            }) if self.is_model() && node.as_text().is_some() => Some(any(node)),
            Kind::Short(short) => {
                let node = (short.expand)(self, node)?;
                match short.long {
                    // A mapping of hosts stays one in a model.
                    Kind::List(_) if self.is_model() && node.as_mapping().is_some() => {
                        Some(any(node))
                    }
                    _ => self.kind(&short.long, node),
                }
            }
            Kind::Items(items) => self.items(items, node),
            _ => self.scalar(kind, node),
        };
        node.map(|node| Node { mark, ..node })
    }

    /// Reads a mapping with known keys. One whose required part was reported as wrong is left out as a whole, so that
    /// nothing complains about the part again.
    fn section(&mut self, section: &'static Section, node: Node) -> Option<Node> {
        let span = node.span;
        let Value::Mapping(mapping) = node.value else {
            return self.wrong_form(&node, "a mapping");
        };
        let mut out = Mapping::default();
        let mut usable = true;
        for (key, Entry { key_span, value }) in mapping {
            if section.extensions && key.starts_with("x-") {
                let value = any(value);
                out.insert(key, key_span, value);
                continue;
            }
            let Some(field) = section.field(&key) else {
                self.unknown_key(section, &key, key_span, &value);
                continue;
            };
            if value.mark != Mark::Reset {
                match field.effect {
                    Effect::Full => {}
                    Effect::Only(word, _) if items::written(&value) == word => {}
                    Effect::Only(_, reason) | Effect::Nothing(reason) => {
                        self.no_effect(field, key_span, reason);
                    }
                }
            }
            if let Some(value) = self.at_key(&key, |reader| reader.kind(&field.kind, value)) {
                out.insert(key, key_span, value);
                continue;
            }
            self.sink.damage(&self.path);
            usable &= !field.required;
        }
        usable.then(|| Node::new(Value::Mapping(out), span))
    }

    fn unknown_key(&mut self, section: &Section, key: &str, span: Span, value: &Node) {
        self.sink.damage(&self.path);
        if self.sink.is_full() {
            return;
        }
        let place = if self.path.is_empty() {
            String::new()
        } else {
            format!(" in `{}`", self.path)
        };
        let message = format!("unknown key `{key}`{place}");
        let mut diagnostic = Diagnostic::error(Code::UnknownKey, message)
            .at(span, format!("{} has no such key", section.title));
        let names = || section.fields.iter().map(|field| field.name);
        let is_service = |key: &str| value.get(key).is_some();
        if std::ptr::eq(section, &raw const TOP) && ["image", "build"].into_iter().any(is_service) {
            let help = "services stand one level deeper, under `services:`";
            self.sink.push(diagnostic.help(help));
            return;
        }
        diagnostic = match (check::renamed(key), check::home_of(key, section)) {
            (Some(name), _) if section.field(name).is_some() => {
                diagnostic.help(format!("did you mean `{name}`?"))
            }
            (_, Some(home)) if crate::diagnostic::nearest(key, names()).is_none() => {
                diagnostic.help(format!("`{key}` is a key of {home}"))
            }
            _ => diagnostic.did_you_mean(key, names()),
        };
        self.sink.push(diagnostic);
    }

    fn no_effect(&mut self, field: &Field, span: Span, reason: &str) {
        let message = format!("`{}{}{}` has no effect", self.path, self.dot(), field.name);
        self.sink
            .push(Diagnostic::warning(Code::NoEffect, message).at(span, reason));
    }

    /// Tells of an option in a short form that has no effect.
    pub(super) fn idle_option(&mut self, option: &str, span: Span, reason: &str) {
        let message = format!("`{}`: `{option}` has no effect", self.path);
        self.sink
            .push(Diagnostic::warning(Code::NoEffect, message).at(span, reason));
    }

    fn dot(&self) -> &'static str {
        if self.path.is_empty() { "" } else { "." }
    }

    /// Runs `read` with a key added to the path.
    pub(crate) fn at_key<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push_str(self.dot());
        self.path.push_str(key);
        let out = read(self);
        self.path.truncate(length);
        out
    }

    /// Runs `read` with an index added to the path.
    pub(crate) fn at_index<T>(&mut self, index: usize, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        push_index(&mut self.path, index);
        let out = read(self);
        self.path.truncate(length);
        out
    }

    /// Reports a value of the wrong form.
    pub(crate) fn wrong_form<T>(&mut self, node: &Node, expects: &str) -> Option<T> {
        let message = format!("`{}` must be {expects}", self.path);
        let mut diagnostic = Diagnostic::error(Code::WrongForm, message)
            .at(node.span, format!("this is {}", node.describe()));
        if let Some(help) = check::form_help(node, expects) {
            diagnostic = diagnostic.help(help);
        }
        self.sink.push(diagnostic);
        None
    }

    /// Reports a value that its attribute does not allow.
    pub(crate) fn bad_value<T>(&mut self, span: Span, what: impl std::fmt::Display) -> Option<T> {
        self.bad_value_help(span, what, "")
    }

    /// Reports a value that its attribute does not allow, with a suggestion.
    pub(crate) fn bad_value_help<T>(
        &mut self,
        span: Span,
        what: impl std::fmt::Display,
        help: &str,
    ) -> Option<T> {
        self.refuse(Code::BadValue, span, what, help)
    }

    /// Reports a value under a code of its own, with a suggestion.
    pub(crate) fn refuse<T>(
        &mut self,
        code: Code,
        span: Span,
        what: impl std::fmt::Display,
        help: &str,
    ) -> Option<T> {
        let mut diagnostic =
            Diagnostic::error(code, format!("`{}`: {what}", self.path)).at(span, "");
        if !help.is_empty() {
            diagnostic = diagnostic.help(help);
        }
        self.sink.push(diagnostic);
        None
    }

    /// Returns a path made absolute, with `~` expanded and `.` and `..` resolved by name. `span` is that of the value.
    pub(crate) fn absolute(&self, path: &str, span: Span) -> Rc<str> {
        let Setting {
            base,
            is_root,
            environment,
            paths,
            ..
        } = self.setting;
        let absolute: Rc<str> = crate::paths::absolute(base, environment.get("HOME"), path).into();
        if !self.setting.passes.path_resolution {
            let path = is_root.then_some(path);
            paths.borrow_mut().note(span, &absolute, path);
        }
        absolute
    }

    /// Returns a path made absolute, with `.` and `..` as they are written.
    pub(crate) fn joined(&self, path: &str) -> Rc<str> {
        let Setting {
            base, environment, ..
        } = self.setting;
        let joined = crate::paths::joined(base, environment.get("HOME"), path);
        // Components leave `.` out when they are compared, so the spelling is kept as text.
        joined.into()
    }

    /// Returns whether a model is read, in which variables are not replaced and values stay as written.
    pub(crate) fn is_model(&self) -> bool {
        !self.setting.passes.interpolation
    }

    /// Returns whether a text is not known yet, because variables in it were not replaced.
    pub(crate) fn is_open(&self, text: &str) -> bool {
        self.is_model() && text.contains('$')
    }
}

/// Turns a value of any form into typed scalars.
fn any(node: Node) -> Node {
    let value = match node.value {
        Value::Scalar(scalar) => scalar::typed(&scalar),
        Value::Sequence(items) => Value::Sequence(items.into_iter().map(any).collect()),
        Value::Mapping(mapping) => {
            let mut out = Mapping::default();
            for (key, entry) in mapping {
                out.insert(key, entry.key_span, any(entry.value));
            }
            Value::Mapping(out)
        }
        value => value,
    };
    Node { value, ..node }
}
