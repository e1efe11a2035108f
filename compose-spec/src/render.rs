//! The canonical tree as data, in the shape and order of `docker compose config`.

use serde_json::{Map, Number, Value as Json};

use crate::{
    schema::{Empty, Kind, Pairs, Section, TOP},
    yaml::{Entry, Mapping, Node, Value},
};

/// Returns what `config` prints. Every `$` is doubled, so that the output can be read again.
pub(crate) fn canonical(tree: &Node) -> Json {
    section(&TOP, tree)
}

fn section(section: &'static Section, node: &Node) -> Json {
    node.as_mapping()
        .map_or(Json::Null, |mapping| fields(section, mapping))
}

fn fields(section: &'static Section, mapping: &Mapping) -> Json {
    let empty = Mapping::default();
    let mut out = Map::new();
    for field in section.fields {
        let value = match (mapping.get(field.name), field.empty) {
            (Some(node), _) => value(&field.kind, node),
            (None, Empty::Null) => Json::Null,
            (None, Empty::Section) => match &field.kind {
                Kind::Section(inner) => fields(inner, &empty),
                _ => continue,
            },
            (None, _) => continue,
        };
        let written = match field.empty {
            Empty::Drop if matches!(field.kind, Kind::Size | Kind::SizeText) => {
                value != "0" && value != ""
            }
            Empty::Drop => !is_zero(&value),
            Empty::Keep => !value.is_null(),
            Empty::Null | Empty::Section => true,
            Empty::DropTrue => value == Json::Bool(false),
        };
        if written {
            out.insert(field.name.to_owned(), value);
        }
    }
    let mut extensions: Vec<_> = mapping
        .iter()
        .filter(|(key, _)| key.starts_with("x-"))
        .collect();
    extensions.sort_by_key(|(key, _)| *key);
    for (key, entry) in extensions {
        if section.field(key).is_none() {
            out.insert(doubled(key), any(&entry.value));
        }
    }
    Json::Object(out)
}

fn value(kind: &'static Kind, node: &Node) -> Json {
    match (kind, &node.value) {
        (Kind::Short(short), _) => value(&short.long, node),
        (Kind::Section(inner) | Kind::OptionalSection(inner), Value::Mapping(_)) => {
            section(inner, node)
        }
        (Kind::Either(_, inner), Value::Mapping(_)) => section(inner, node),
        // Compose has no other way to write a limit of zero.
        (Kind::Map(map), Value::Mapping(limits))
            if matches!(map.value, Kind::Either(Kind::Int(..), _)) =>
        {
            sorted(limits, |node| match node.value {
                Value::Int(0) => serde_json::json!({"soft": 0, "hard": 0}),
                _ => value(&map.value, node),
            })
        }
        (Kind::Map(map), Value::Mapping(mapping)) => {
            sorted(mapping, |node| value(&map.value, node))
        }
        (Kind::Values, Value::Text(_)) => Json::Array(vec![any(node)]),
        (Kind::Pairs(Pairs::Ssh), Value::Mapping(keys)) => ssh(keys),
        (Kind::Options, Value::Mapping(mapping)) => sorted(mapping, |node| match node.value {
            Value::Null => Json::String(String::new()),
            _ => any(node),
        }),
        (Kind::Pairs(_), Value::Mapping(mapping)) => sorted(mapping, any),
        (Kind::List(list), Value::Sequence(items)) => {
            Json::Array(items.iter().map(|item| value(&list.item, item)).collect())
        }
        (Kind::Items(list), Value::Sequence(items)) => {
            Json::Array(items.iter().map(|item| section(list.long, item)).collect())
        }
        (Kind::Float, Value::Float(number)) => float32(*number),
        _ => any(node),
    }
}

/// Returns keys as a list, the form that Compose prints; as a mapping `default` would need a value.
fn ssh(keys: &Mapping) -> Json {
    let key = |(id, entry): (&std::rc::Rc<str>, &Entry)| match entry.value.as_text() {
        None | Some("") => Json::String(doubled(id)),
        Some(path) => Json::String(doubled(&format!("{id}={path}"))),
    };
    Json::Array(keys.iter().map(key).collect())
}

/// Returns any tree by its own types.
fn any(node: &Node) -> Json {
    match &node.value {
        Value::Text(text) => Json::String(doubled(text)),
        Value::Sequence(items) => Json::Array(items.iter().map(any).collect()),
        Value::Mapping(mapping) => sorted(mapping, any),
        _ => plain(node),
    }
}

/// Returns any tree by its own types, in the order of the file and with every `$` as it is.
pub(crate) fn plain(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::Number((*value).into()),
        Value::Float(value) => number(*value),
        Value::Text(text) => Json::String(text.to_string()),
        Value::Scalar(scalar) => Json::String(scalar.text.to_string()),
        Value::Sequence(items) => Json::Array(items.iter().map(plain).collect()),
        Value::Mapping(mapping) => Json::Object(
            mapping
                .iter()
                .map(|(k, e)| (k.to_string(), plain(&e.value)))
                .collect(),
        ),
    }
}

fn sorted(mapping: &Mapping, value: impl Fn(&Node) -> Json) -> Json {
    let mut entries: Vec<_> = mapping.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    Json::Object(
        entries
            .into_iter()
            .map(|(k, e)| (doubled(k), value(&e.value)))
            .collect(),
    )
}

fn doubled(text: &str) -> String {
    text.replace('$', "$$")
}

/// Compose keeps CPU numbers in 32 bits: `0.123456789` becomes `0.12345679`.
fn float32(value: f64) -> Json {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the rounding is what Compose prints"
    )]
    let short = value as f32;
    number(short.to_string().parse().unwrap_or(value))
}

fn number(value: f64) -> Json {
    let whole = value.fract() == 0.0 && value.abs() < 1e15;
    #[expect(clippy::cast_possible_truncation, reason = "the bounds are checked")]
    let number = if whole {
        Some(Number::from(value as i64))
    } else {
        Number::from_f64(value)
    };
    number.map_or(Json::Null, Json::Number)
}

fn is_zero(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Bool(value) => !value,
        Json::Number(number) => number.as_f64() == Some(0.0),
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(map) => map.is_empty(),
    }
}
