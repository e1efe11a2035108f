//! Lists and mappings of values of one kind.

use std::{collections::HashMap, rc::Rc};

use super::{Reader, any, words};
use crate::{
    diagnostic::{Code, Diagnostic, Span},
    schema::{Items, List, Map, Pairs, Twice},
    yaml::{Entry, Mapping, Mark, Node, Resolved, Scalar, Value},
};

impl Reader<'_> {
    /// Reads a list of values of one kind.
    pub(super) fn list(&mut self, list: &'static List, node: Node) -> Option<Node> {
        let span = node.span;
        let items = match node.value {
            Value::Sequence(items) => items,
            Value::Mapping(_) => return self.wrong_form(&node, expects(list.single)),
            _ if list.single && node.as_text().is_some() => {
                if self.is_model() && !self.becomes_list() {
                    return Some(any(node));
                }
                vec![node]
            }
            _ if list.single => return self.wrong_form(&node, expects(true)),
            _ => return self.wrong_form(&node, expects(false)),
        };
        let mut out: Vec<Node> = Vec::with_capacity(items.len());
        let mut seen: HashMap<Rc<str>, usize> = HashMap::new();
        for (index, mut item) in items.into_iter().enumerate() {
            self.unmark(&mut item);
            let read = self.at_index(index, |reader| {
                if item.is_null() && !list.item.takes_null() {
                    return reader.wrong_form(&item, list.item.expects());
                }
                reader.kind(&list.item, item)
            });
            let Some(item) = read else { continue };
            if list.single && item.as_text() == Some("") {
                continue;
            }
            if list.twice == Twice::Drop
                && let Some(key) = key_of(&item)
            {
                if let Some(first) = seen.get(&key) {
                    out[*first] = item;
                    continue;
                }
                seen.insert(key, out.len());
            }
            out.push(item);
        }
        Some(Node::new(Value::Sequence(out), span))
    }

    pub(super) fn last_key(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }

    /// Returns whether Compose makes a list of a single text of this attribute also in a model.
    fn becomes_list(&self) -> bool {
        matches!(self.last_key(), "dns" | "label_file" | "ignore" | "include")
            || !self.path.starts_with("services.")
    }

    /// Reads a list whose items have short forms.
    pub(super) fn items(&mut self, items: &'static Items, node: Node) -> Option<Node> {
        let span = node.span;
        let written = match node.value {
            Value::Sequence(written) => written,
            Value::Scalar(_) if items.single && node.as_text().is_some() => vec![node],
            _ => return self.wrong_form(&node, expects(items.single)),
        };
        // What a port with variables stands for is not known, nor how many: then no port of the list is taken apart.
        let is_open = |item: &Node| item.as_text().is_some_and(|text| self.is_open(text));
        let closed = self.last_key() == "ports" && written.iter().any(is_open);
        let mut out: Vec<Node> = Vec::with_capacity(written.len());
        let mut places: HashMap<String, usize> = HashMap::new();
        for (index, item) in written.into_iter().enumerate() {
            let stays = item
                .as_text()
                .is_some_and(|text| closed || self.is_model() && is_ambiguous(text));
            let read = if stays {
                vec![any(item)]
            } else {
                self.at_index(index, |reader| reader.item(items, item))
            };
            for item in read {
                if items.keep_twice {
                    out.push(item);
                    continue;
                }
                let key = item
                    .as_text()
                    .map_or_else(|| (items.key)(&item), str::to_owned);
                match places.entry(key) {
                    std::collections::hash_map::Entry::Occupied(place) => {
                        out[*place.get()] = item;
                    }
                    std::collections::hash_map::Entry::Vacant(place) => {
                        place.insert(out.len());
                        out.push(item);
                    }
                }
            }
        }
        Some(Node::new(Value::Sequence(out), span))
    }

    /// Compose gives `!reset` and `!override` no meaning in front of an item of a list.
    fn unmark(&mut self, item: &mut Node) {
        if std::mem::replace(&mut item.mark, Mark::None) != Mark::None {
            let message = format!("`{}`: a tag in front of an item has no effect", self.path);
            self.sink.push(
                Diagnostic::warning(Code::NoEffect, message)
                    .at(item.span, "")
                    .help("put the tag in front of the whole list"),
            );
        }
    }

    fn item(&mut self, items: &'static Items, mut item: Node) -> Vec<Node> {
        self.unmark(&mut item);
        let long = match item.value {
            Value::Mapping(_) => vec![item],
            Value::Scalar(_) => (items.expand)(self, &item),
            _ => {
                let _: Option<()> = self.wrong_form(&item, "a text or a mapping");
                Vec::new()
            }
        };
        let mut out = Vec::with_capacity(long.len());
        for item in long {
            if let Some(mut item) = self.section(items.long, item)
                && (items.finish)(self, &mut item)
            {
                out.push(item);
            }
        }
        out
    }

    /// Reads a mapping from names to values of one kind.
    pub(super) fn map(&mut self, map: &'static Map, node: Node) -> Option<Node> {
        let span = node.span;
        let Value::Mapping(mapping) = node.value else {
            return self.wrong_form(&node, "a mapping");
        };
        let mut out = Mapping::default();
        for (key, Entry { key_span, value }) in mapping {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if key.is_empty() || (map.strict_names && !key.chars().all(fits)) {
                let message = format!("`{key}` cannot be the name of a {}", map.what);
                self.sink.push(
                    Diagnostic::error(Code::BadName, message)
                        .at(key_span, "letters, digits, `.`, `-` and `_` are allowed"),
                );
                continue;
            }
            if let Some(value) = self.at_key(&key, |reader| reader.kind(&map.value, value)) {
                out.insert(key, key_span, value);
            }
        }
        Some(Node::new(Value::Mapping(out), span))
    }

    /// Reads a scalar, or a list of scalars, as texts.
    pub(super) fn values(&mut self, node: Node) -> Option<Node> {
        let text = |reader: &mut Self, node: Node| match scalar_text(&node) {
            Ok(Some(text)) => Some(Node {
                value: Value::Text(text),
                ..node
            }),
            _ => reader.wrong_form(&node, "a text, a number or a boolean"),
        };
        let span = node.span;
        let Value::Sequence(items) = node.value else {
            return text(self, node);
        };
        let mut out = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            out.extend(self.at_index(index, |reader| text(reader, item)));
        }
        Some(Node::new(Value::Sequence(out), span))
    }

    /// Reads a mapping from any key to texts; numbers keep their text. Nothing keeps what another file says, and is the
    /// empty text in the end.
    pub(super) fn options(&mut self, node: Node) -> Option<Node> {
        let span = node.span;
        let Value::Mapping(mapping) = node.value else {
            return self.wrong_form(&node, "a mapping");
        };
        let mut out = Mapping::default();
        for (key, Entry { key_span, value }) in mapping {
            let text = self.at_key(&key, |reader| match scalar_text(&value) {
                Ok(text) => Some(text.map_or(Value::Null, Value::Text)),
                Err(NotScalar) => reader.wrong_form(&value, "a text or a number"),
            });
            if let Some(text) = text {
                let value = Node {
                    value: text,
                    ..value
                };
                out.insert(key, key_span, value);
            }
        }
        Some(Node::new(Value::Mapping(out), span))
    }

    /// Reads `{a: b}` or `["a=b"]`.
    pub(super) fn pairs(&mut self, pairs: Pairs, node: Node) -> Option<Node> {
        let span = node.span;
        let mut out = Mapping::default();
        match node.value {
            Value::Mapping(mapping) => {
                for (key, Entry { key_span, value }) in mapping {
                    if value.mark == Mark::Reset {
                        out.insert(
                            key,
                            key_span,
                            Node {
                                value: Value::Null,
                                ..value
                            },
                        );
                        continue;
                    }
                    let text = self.at_key(&key, |reader| match scalar_text(&value) {
                        Ok(text) => Some(text),
                        Err(NotScalar) => {
                            reader.wrong_form(&value, "a text, number, boolean or nothing")
                        }
                    });
                    if let Some(text) = text {
                        self.pair(pairs, &mut out, (key, key_span), (text, value.span));
                    }
                }
            }
            Value::Sequence(items) => {
                for (index, item) in items.into_iter().enumerate() {
                    let Some(text) = item.as_text() else {
                        self.at_index(index, |reader| {
                            reader.wrong_form::<()>(&item, "a text of the form key=value")
                        });
                        continue;
                    };
                    let (key, value) = match text.split_once('=') {
                        Some((key, value)) => (key, Some(value.into())),
                        None => (text, None),
                    };
                    if key.is_empty() || key.ends_with(' ') {
                        let problem = if key.is_empty() {
                            "has no key"
                        } else {
                            "has a blank before `=`"
                        };
                        self.at_index(index, |reader| {
                            reader.bad_value::<()>(item.span, format_args!("the item {problem}"))
                        });
                        continue;
                    }
                    self.pair(pairs, &mut out, (key.into(), item.span), (value, item.span));
                }
            }
            _ => return self.wrong_form(&node, "a mapping or a list of key=value"),
        }
        Some(Node::new(Value::Mapping(out), span))
    }

    fn pair(
        &mut self,
        pairs: Pairs,
        out: &mut Mapping,
        (key, key_span): (Rc<str>, Span),
        (text, span): (Option<Rc<str>>, Span),
    ) {
        let value = match (pairs, text) {
            (Pairs::Contexts, Some(text)) => Value::Text(self.context(&text, span)),
            (Pairs::Ssh, Some(text)) if !text.is_empty() => Value::Text(self.absolute(&text, span)),
            (Pairs::Ssh, None) if &*key != "default" => {
                let _: Option<()> = self.bad_value(span, "only `default` may lack a key or socket");
                return;
            }
            (_, Some(text)) => Value::Text(text),
            (Pairs::Environment, None) if !self.resolves_environment() => Value::Null,
            (Pairs::Ssh, None) if self.is_model() => Value::Null,
            (Pairs::Environment, None) => match self.setting.environment.get(&key) {
                Some(value) => Value::Text(value.into()),
                None => Value::Null,
            },
            (_, None) => Value::Text("".into()),
        };
        out.insert(key, key_span, Node::new(value, span));
    }

    /// Variables without a value come from the environment, unless neither pass that does so is wanted.
    fn resolves_environment(&self) -> bool {
        let passes = self.setting.passes;
        passes.interpolation && (passes.normalization || passes.env_resolution)
    }

    /// Splits a command line.
    pub(super) fn command_line(&mut self, text: &str, span: Span) -> Option<Node> {
        match words::split(text) {
            Some(words) => {
                let items = words
                    .into_iter()
                    .map(|word| Node::text(word, span))
                    .collect();
                Some(Node::new(Value::Sequence(items), span))
            }
            None => self.bad_value(
                span,
                "a quote in the command line is not closed, or a parenthesis is not quoted",
            ),
        }
    }

    /// Reads a command given as a list.
    pub(super) fn command_list(&mut self, node: Node) -> Option<Node> {
        static WORDS: List = List {
            item: crate::schema::Kind::Text,
            single: false,
            twice: Twice::Keep,
            replace: true,
        };
        self.list(&WORDS, node)
    }
}

/// Returns what tells the items of a list apart: the text, or the number as a text.
fn key_of(item: &Node) -> Option<Rc<str>> {
    match &item.value {
        Value::Text(text) => Some(Rc::clone(text)),
        Value::Int(number) => Some(number.to_string().into()),
        _ => None,
    }
}

/// Returns whether a short form with variables cannot be taken apart: a colon stands within `${…}`, or its options are one.
fn is_ambiguous(text: &str) -> bool {
    if text
        .split(':')
        .nth(2)
        .is_some_and(|options| options.contains('$'))
    {
        return true;
    }
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let inner = &rest[at + 2..];
        let end = inner.find('}').unwrap_or(inner.len());
        if inner[..end].contains(':') {
            return true;
        }
        rest = &inner[end..];
    }
    false
}

fn expects(single: bool) -> &'static str {
    if single {
        "a text or a list of texts"
    } else {
        "a list"
    }
}

/// A list or mapping where a scalar is wanted.
struct NotScalar;

/// Returns the text of any scalar as written; `None` for nothing.
fn scalar_text(node: &Node) -> Result<Option<Rc<str>>, NotScalar> {
    match &node.value {
        Value::Scalar(scalar) => Ok(text_or_nothing(scalar)),
        Value::Text(text) => Ok(Some(Rc::clone(text))),
        Value::Null => Ok(None),
        _ => Err(NotScalar),
    }
}

fn text_or_nothing(scalar: &Scalar) -> Option<Rc<str>> {
    match scalar.resolve() {
        Ok(Resolved::Null) => None,
        _ => Some(Rc::clone(&scalar.text)),
    }
}
