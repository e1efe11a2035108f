use proptest::prelude::*;

use super::{Mark, Node, Value, parse};
use crate::diagnostic::{Sink, Sources, Span};

fn read(text: &str) -> (Vec<Node>, Sources, Vec<&'static str>) {
    let mut sources = Sources::default();
    let id = sources.add("f", text);
    let mut sink = Sink::default();
    let nodes = parse(id, text, &mut sink);
    let (errors, _) = sink.finish();
    (
        nodes,
        sources,
        errors.iter().map(|error| error.code.as_str()).collect(),
    )
}

fn tree(text: &str) -> Node {
    let (mut nodes, _, errors) = read(text);
    assert_eq!(errors, [""; 0], "{text}");
    nodes.remove(0)
}

/// Writes a tree in a short form.
fn shape(node: &Node) -> String {
    match &node.value {
        Value::Scalar(scalar) => scalar.text.to_string(),
        Value::Sequence(items) => {
            format!(
                "[{}]",
                items.iter().map(shape).collect::<Vec<_>>().join(" ")
            )
        }
        Value::Mapping(mapping) => {
            let entries = mapping
                .iter()
                .map(|(key, entry)| format!("{key}:{}", shape(&entry.value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn aliases_and_merge_keys_are_applied() {
    for (text, wanted) in [
        ("a: &x [1]\nb: *x\n", "{a:[1] b:[1]}"),
        (
            "a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\n",
            "{a:{p:1 q:2} b:{q:3 p:1}}",
        ),
        (
            "a: &x {p: 1}\nb: &y {<<: *x, q: 2}\nm: {<<: *y}\n",
            "{a:{p:1} b:{q:2 p:1} m:{q:2 p:1}}",
        ),
        ("m: {<<: [{p: 1}, {p: 2, q: 2}]}\n", "{m:{p:1 q:2}}"),
        ("m: {\"<<\": {p: 1}}\n", "{m:{<<:{p:1}}}"),
        ("a: &x [{p: 1}]\nm: {<<: *x}\n", "{a:[{p:1}] m:{p:1}}"),
        ("a: &x k\n*x : 1\n", "{a:k k:1}"),
        ("a: !foo {b: 1}\n", "{a:{b:1}}"),
        ("{\"s\":{\"u\":\"\\ud83d\\ude00\"}}", "{s:{u:😀}}"),
    ] {
        assert_eq!(shape(&tree(text)), wanted, "{text}");
    }
}

#[test]
fn wrong_documents_are_told() {
    for (text, wanted) in [
        ("a: 1\na: 2\nb: 1\nb: 2\n", &["S0102", "S0102"][..]),
        ("a: {<<: {p: 1}, <<: {q: 1}}\n", &["S0102"]),
        ("a: {<<: 7}\n", &["S0105"]),
        ("a: {<<: [7]}\n", &["S0105"]),
        (
            "1: x\ntrue: y\n~: z\n[a]: b\n",
            &["S0103", "S0103", "S0103", "S0103"],
        ),
        ("a: &x [*x]\n", &["S0104"]),
        ("a: *x\n", &["S0104"]),
        ("a: !!bool yes\n", &["S0108"]),
        ("a: [1\n", &["S0101"]),
        ("a: 'x\n", &["S0101"]),
        ("a:\n\tb: 1\n", &["S0101"]),
    ] {
        assert_eq!(read(text).2, wanted, "{text}");
    }
}

#[test]
fn compose_tags_are_marks() {
    let node = tree("a: !reset null\nb: !override [1]\nc: !reset {x: 1}\n");
    assert_eq!(node.get("a").unwrap().mark, Mark::Reset);
    assert_eq!(node.get("b").unwrap().mark, Mark::Override);
    assert_eq!(node.get("c").unwrap().mark, Mark::Reset);
}

#[test]
fn spans_are_the_bytes_of_the_value() {
    let text = "a: {b: [1, 'two'], c: \"x y\"}\nd:\n  - e\n  - f: g\nh: |\n  i\nj:\nk: 1\n";
    let (nodes, sources, _) = read(text);
    let root = &nodes[0];
    let slice = |node: &Node| sources.slice(node.span);
    let at = |path: &[&str]| path.iter().fold(root, |node, key| node.get(key).unwrap());
    assert_eq!(slice(at(&["a"])), "{b: [1, 'two'], c: \"x y\"}");
    assert_eq!(slice(at(&["a", "b"])), "[1, 'two']");
    assert_eq!(slice(&at(&["a", "b"]).items()[1]), "'two'");
    assert_eq!(slice(at(&["a", "c"])), "\"x y\"");
    assert_eq!(slice(at(&["d"])), "- e\n  - f: g");
    assert_eq!(slice(at(&["d"]).items()[1].get("f").unwrap()), "g");
    assert_eq!(
        slice(at(&["j"])),
        "j",
        "a value that was left out has the place of its key"
    );
}

#[test]
fn several_documents_are_kept_apart() {
    let (nodes, _, errors) = read("a: &x 1\n---\nb: 2\n...\n");
    assert_eq!((nodes.len(), errors.len()), (2, 0));
    assert_eq!(read("a: &x 1\n---\nb: *x\n").2, ["S0104"]);
}

fn each(node: &Node, visit: &mut dyn FnMut(Span)) {
    visit(node.span);
    match &node.value {
        Value::Sequence(items) => items.iter().for_each(|item| each(item, visit)),
        Value::Mapping(mapping) => {
            for (_, entry) in mapping.iter() {
                visit(entry.key_span);
                each(&entry.value, visit);
            }
        }
        _ => {}
    }
}

/// Returns a tree as plain data, by the types of the scalars.
fn data(node: &Node) -> serde_json::Value {
    use super::Resolved::{Bool, Float, Int, Null, Text};
    match &node.value {
        Value::Scalar(scalar) => match scalar.resolve().expect("checked") {
            Null => serde_json::Value::Null,
            Bool(value) => value.into(),
            Int(value) => value.into(),
            Float(value) => value.into(),
            Text(value) => value.into(),
        },
        Value::Sequence(items) => items.iter().map(data).collect(),
        Value::Mapping(mapping) => mapping
            .iter()
            .map(|(key, entry)| (key.to_string(), data(&entry.value)))
            .collect(),
        other => panic!("not from a file: {other:?}"),
    }
}

/// Values that every reader of YAML agrees on.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        // The other reader takes `1_000` and `0777` for texts, and U+2028 for a line break.
        "[a-zA-Zé#][ -~é😀]{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::btree_map("[a-z]{1,5}", inner, 0..5)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_answered_with_places_inside_of_it(text in "[\\[\\]{}:,&*!?|>'\"#a-c0-9 \n-]{0,60}") {
        let (nodes, sources, _) = read(&text);
        for node in &nodes {
            each(node, &mut |span| {
                assert!(span.end as usize <= text.len() && span.start <= span.end, "{text:?}");
                assert!(text.is_char_boundary(span.start as usize), "{text:?}");
                let _unused = sources.location(span);
            });
        }
    }

    #[test]
    fn plain_data_is_read_as_other_readers_do(value in value()) {
        let text = serde_yaml::to_string(&value).expect("written");
        let (nodes, _, errors) = read(&text);
        prop_assert!(errors.is_empty(), "{text}");
        let other: serde_json::Value = serde_yaml::from_str(&text).expect("read");
        prop_assert_eq!(data(&nodes[0]), other, "{}", text);
    }
}
