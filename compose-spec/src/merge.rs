//! Lays one document over another, by the table of [`crate::schema`].
//!
//! Both are canonical, so there is one form of everything: mappings merge key by key, lists append (the later of two items
//! with one key wins, in the place of the earlier), scalars and commands replace, nothing keeps what is below.
//! `!reset` and `!override` stay in the result, so that they also act on a document further below; [`settle`] removes them.

use std::collections::{HashMap, hash_map::Entry as MapEntry};

use crate::{
    diagnostic::{Code, Diagnostic, Sink, Span},
    locations::push_index,
    render,
    schema::{Items, Kind, List, Section, Twice},
    yaml::{Entry, Mapping, Mark, Node, Value},
};

/// Lays `over` over `base`.
pub(crate) fn merge(kind: &'static Kind, base: Node, over: Node, sink: &mut Sink) -> Node {
    if over.mark != Mark::None {
        return over;
    }
    if base.mark == Mark::Reset {
        return Node {
            mark: Mark::Override,
            ..over
        };
    }
    // Nothing as a command asks for that of the image again, and as a variable for none: values of their own.
    let means_null = matches!(kind, Kind::Command | Kind::Pair);
    if matches!(over.value, Value::Null) && !means_null {
        return base;
    }
    if matches!(base.value, Value::Null) {
        return over;
    }
    let mark = base.mark;
    let merged = match kind {
        Kind::Short(short) => merge(&short.long, base, over, sink),
        Kind::Section(section) | Kind::OptionalSection(section) => {
            merge_sections(section, base, over, sink)
        }
        Kind::Either(_, section) if base.as_mapping().is_some() && over.as_mapping().is_some() => {
            merge_sections(section, base, over, sink)
        }
        Kind::Map(map) if map.replace => fold(base, over, sink, |_| &Kind::Text),
        Kind::Map(map) => fold(base, over, sink, |_| &map.value),
        Kind::Pairs(_) if is_list(&base) || is_list(&over) => {
            append(listed(base), listed(over), add_pairs)
        }
        Kind::Pairs(_) => fold(base, over, sink, |_| &Kind::Pair),
        Kind::Options => fold(base, over, sink, |_| &Kind::Text),
        Kind::Any if base.as_mapping().is_some() && over.as_mapping().is_some() => {
            fold(base, over, sink, |_| &Kind::Any)
        }
        Kind::Any => match (&base.value, &over.value) {
            (Value::Sequence(_), Value::Sequence(_)) => append(base, over, add_new),
            (Value::Sequence(_) | Value::Mapping(_), _) => {
                cannot_merge(over.span, &base, sink);
                base
            }
            _ => over,
        },
        Kind::Values => match (&base.value, &over.value) {
            (Value::Sequence(_), Value::Sequence(_)) => append(base, over, add_new),
            (Value::Sequence(_), _) | (_, Value::Sequence(_)) => {
                cannot_merge(over.span, &base, sink);
                base
            }
            _ => over,
        },
        Kind::List(List { replace: true, .. }) => over,
        Kind::List(_) => append(listed(base), listed(over), add_new),
        Kind::Items(items) => append(base, over, |below, above| add_items(items, below, above)),
        _ => over,
    };
    Node { mark, ..merged }
}

fn merge_sections(section: &'static Section, mut base: Node, over: Node, sink: &mut Sink) -> Node {
    let has_driver = section.field("driver").is_some() && section.field("options").is_some();
    if let (true, Some(below)) = (has_driver, base.as_mapping_mut())
        && let Some(above) = over.as_mapping()
    {
        drop_options_of_another_driver(below, above);
    }
    fold(base, over, sink, |key| {
        section.field(key).map_or(&Kind::Any, |field| &field.kind)
    })
}

/// Merges two mappings key by key.
fn fold(
    mut base: Node,
    over: Node,
    sink: &mut Sink,
    kind_of: impl Fn(&str) -> &'static Kind,
) -> Node {
    let over_span = over.span;
    let (Some(below), Value::Mapping(above)) = (base.as_mapping_mut(), over.value) else {
        cannot_merge(over_span, &base, sink);
        return base;
    };
    for (key, Entry { key_span, value }) in above {
        match below.get_mut(&key) {
            None => below.insert(key, key_span, value),
            Some(place) => {
                let empty = Node::new(Value::Null, place.span);
                let lower = std::mem::replace(place, empty);
                *place = merge(kind_of(&key), lower, value, sink);
            }
        }
    }
    base
}

fn cannot_merge(over: Span, base: &Node, sink: &mut Sink) {
    let message = "a value of another form stands below this one";
    sink.push(
        Diagnostic::error(Code::CannotMerge, message)
            .at(over, "")
            .and(base.span, "this is below"),
    );
}

/// The options of a driver mean nothing to another driver.
fn drop_options_of_another_driver(below: &mut Mapping, above: &Mapping) {
    let driver = |mapping: &Mapping| {
        mapping
            .get("driver")
            .and_then(Node::as_text)
            .map(str::to_owned)
    };
    if let (Some(lower), Some(upper)) = (driver(below), driver(above))
        && lower != upper
    {
        below.remove("options");
    }
}

fn is_list(node: &Node) -> bool {
    matches!(node.value, Value::Sequence(_))
}

/// Returns a list of what a model, which keeps the forms of its files, says in another form: a text, or a mapping.
fn listed(node: Node) -> Node {
    let span = node.span;
    let pair = |(key, entry): (std::rc::Rc<str>, Entry)| -> Vec<Node> {
        let values = match &entry.value.value {
            Value::Sequence(items) => items.as_slice(),
            _ => std::slice::from_ref(&entry.value),
        };
        let text = |value: &Node| match (&value.value, value.as_text()) {
            (Value::Null, _) => key.to_string(),
            (_, Some(text)) => format!("{key}={text}"),
            _ => format!("{key}={}", render::plain(value)),
        };
        values
            .iter()
            .map(|value| Node::text(text(value), value.span))
            .collect()
    };
    let items = match node.value {
        Value::Mapping(mapping) => {
            let mut items: Vec<Node> = mapping.into_iter().flat_map(pair).collect();
            items.sort_by(|a, b| a.as_text().cmp(&b.as_text()));
            items
        }
        Value::Text(_) | Value::Scalar(_) => vec![Node::new(node.value, span)],
        value => return Node { value, ..node },
    };
    Node {
        value: Value::Sequence(items),
        ..Node::new(Value::Null, span)
    }
}

/// Adds `key=value`; of two with one key the later wins, in the place of the earlier.
fn add_pairs(below: &mut Vec<Node>, above: Vec<Node>) {
    let key = |node: &Node| {
        let text = node.as_text().unwrap_or_default();
        text.split_once('=').map_or(text, |(key, _)| key).to_owned()
    };
    for item in above {
        let name = key(&item);
        match below.iter_mut().find(|known| key(known) == name) {
            Some(place) => *place = item,
            None => below.push(item),
        }
    }
}

/// Merges two lists; anything else is replaced.
fn append(mut base: Node, over: Node, add: impl FnOnce(&mut Vec<Node>, Vec<Node>)) -> Node {
    match (&mut base.value, over.value) {
        (Value::Sequence(below), Value::Sequence(above)) => {
            add(below, above);
            base
        }
        (_, value) => Node { value, ..over },
    }
}

/// Adds the items that are not there yet. Of two that look alike, a number and its text in a model, the later counts.
fn add_new(below: &mut Vec<Node>, above: Vec<Node>) {
    let shown = |node: &Node| match node.as_text() {
        Some(text) => text.to_owned(),
        None => render::plain(node).to_string(),
    };
    let mut known: HashMap<String, usize> = below.iter().map(shown).zip(0..).collect();
    for item in above {
        match known.entry(shown(&item)) {
            MapEntry::Occupied(place) => below[*place.get()].value = item.value,
            MapEntry::Vacant(place) => {
                place.insert(below.len());
                below.push(item);
            }
        }
    }
}

fn add_items(items: &Items, below: &mut Vec<Node>, above: Vec<Node>) {
    let mut places: HashMap<String, usize> = below
        .iter()
        .enumerate()
        .map(|(place, item)| (item_key(items, item), place))
        .collect();
    for item in above {
        match places.entry(item_key(items, &item)) {
            MapEntry::Occupied(place) => below[*place.get()] = item,
            MapEntry::Vacant(place) => {
                place.insert(below.len());
                below.push(item);
            }
        }
    }
}

/// Short forms stay in a model that was not interpolated.
fn item_key(items: &Items, item: &Node) -> String {
    item.as_text()
        .map_or_else(|| (items.key)(item), str::to_owned)
}

/// Removes what `!reset` marks, and the marks; then reports values that are still missing: null where a value is wanted,
/// and required keys.
pub(crate) fn settle(section: &'static Section, node: &mut Node, sink: &mut Sink) {
    settle_section(section, node, &mut String::new(), sink);
}

fn settle_section(section: &'static Section, node: &mut Node, path: &mut String, sink: &mut Sink) {
    let span = node.span;
    node.mark = Mark::None;
    let Some(mapping) = node.as_mapping_mut() else {
        return;
    };
    mapping.retain(|_, entry| entry.value.mark != Mark::Reset);
    for field in section.fields.iter().filter(|field| field.required) {
        if mapping.get(field.name).is_none() && !sink.is_damaged(path) {
            let message = format!("`{path}` lacks the key `{}`", field.name);
            sink.push(Diagnostic::error(Code::MissingKey, message).at(span, ""));
        }
    }
    mapping.retain(|key, entry| {
        let Some(field) = section.field(key) else {
            settle_any(&mut entry.value);
            return true;
        };
        let usable = at_key(path, key, |path| {
            settle_value(&field.kind, &mut entry.value, path, sink)
        });
        if !usable {
            sink.damage(path);
        }
        usable
    });
}

/// Settles what has no form.
fn settle_any(node: &mut Node) {
    node.mark = Mark::None;
    match &mut node.value {
        Value::Mapping(mapping) => {
            mapping.retain(|_, entry| entry.value.mark != Mark::Reset);
            mapping
                .iter_mut()
                .for_each(|(_, entry)| settle_any(&mut entry.value));
        }
        Value::Sequence(items) => items.iter_mut().for_each(settle_any),
        _ => {}
    }
}

/// Settles one value; `false` when it was reported and must go.
fn settle_value(kind: &'static Kind, node: &mut Node, path: &mut String, sink: &mut Sink) -> bool {
    node.mark = Mark::None;
    if matches!(node.value, Value::Null) && !kind.takes_null() {
        let message = format!("`{path}` must be {}", kind.expects());
        let help = if path.contains(".depends_on.") {
            "write `condition: service_started` below it, or list the names: `depends_on: [NAME]`"
        } else {
            "give it a value, or leave the key out"
        };
        sink.push(
            Diagnostic::error(Code::WrongForm, message)
                .at(node.span, "this is nothing")
                .help(help),
        );
        return false;
    }
    match kind {
        Kind::Short(short) => return settle_value(&short.long, node, path, sink),
        Kind::Section(section) | Kind::OptionalSection(section) | Kind::Either(_, section) => {
            settle_section(section, node, path, sink);
        }
        Kind::Map(map) => {
            if let Some(mapping) = node.as_mapping_mut() {
                mapping.retain(|key, entry| {
                    entry.value.mark != Mark::Reset
                        && at_key(path, key, |path| {
                            settle_value(&map.value, &mut entry.value, path, sink)
                        })
                });
            }
        }
        Kind::Any | Kind::Options => settle_any(node),
        Kind::Pairs(_) => {
            if let Some(mapping) = node.as_mapping_mut() {
                mapping.retain(|_, entry| entry.value.mark != Mark::Reset);
                mapping
                    .iter_mut()
                    .for_each(|(_, entry)| entry.value.mark = Mark::None);
            }
        }
        Kind::List(list) => {
            each_item(node, path, |item, path| {
                settle_value(&list.item, item, path, sink);
            });
            if list.twice == Twice::Refuse {
                refuse_twice(node, path, sink);
            }
        }
        Kind::Items(items) => each_item(node, path, |item, path| {
            settle_section(items.long, item, path, sink);
        }),
        _ => {}
    }
    true
}

/// Reports items that are listed twice. Those of two files are one already.
fn refuse_twice(node: &Node, path: &str, sink: &mut Sink) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for item in node.items() {
        let Some(text) = item.as_text() else { continue };
        if let Some(first) = seen.insert(text, item.span) {
            let message = format!("`{path}` lists an item twice");
            sink.push(
                Diagnostic::error(Code::DuplicateItem, message)
                    .at(item.span, "here again")
                    .and(first, "first here"),
            );
        }
    }
}

fn each_item(node: &mut Node, path: &mut String, mut settle: impl FnMut(&mut Node, &mut String)) {
    let Value::Sequence(items) = &mut node.value else {
        return;
    };
    for (index, item) in items.iter_mut().enumerate() {
        let length = path.len();
        push_index(path, index);
        settle(item, path);
        path.truncate(length);
    }
}

fn at_key<T>(path: &mut String, key: &str, inner: impl FnOnce(&mut String) -> T) -> T {
    let length = path.len();
    if length > 0 {
        path.push('.');
    }
    path.push_str(key);
    let out = inner(path);
    path.truncate(length);
    out
}
