//! Values with variables in them, for positions that hold text and for those that want a number or a boolean.

use proptest::{prelude::*, sample::select};

/// Names that expressions use. `N`, `B`, `EMPTY` and sometimes `V` and `X` are set; `U` never is.
const NAMES: [&str; 7] = ["V", "X", "U", "EMPTY", "N", "B", "_a1"];

const OPERATORS: [&str; 6] = [":-", "-", ":+", "+", ":?", "?"];

const LITERALS: [&str; 12] = [
    "lit",
    "a-b",
    "",
    "$$",
    "$",
    "{",
    "}",
    "$1",
    "$(x)",
    ":",
    " two words",
    "é",
];

/// What is no expression, and a few that look so.
const ODD: [&str; 10] = [
    "${}", "${ V}", "${V.W}", "${V", "${1}", "${V/a/b}", "${V:0:1}", "${V:}", "$-", "${V?}",
];

/// A text with variables, as it stands between single quotes of YAML.
pub(crate) fn text() -> impl Strategy<Value = String> {
    let name = || select(&NAMES[..]);
    let leaf = prop_oneof![
        4 => select(&LITERALS[..]).prop_map(str::to_owned),
        3 => name().prop_map(|name| format!("${name}")),
        3 => name().prop_map(|name| format!("${{{name}}}")),
    ];
    let nested = leaf.prop_recursive(3, 12, 3, move |inner| {
        let operation = (name(), select(&OPERATORS[..]), inner.clone());
        prop_oneof![
            3 => operation.prop_map(|(name, operator, word)| format!("${{{name}{operator}{word}}}")),
            1 => prop::collection::vec(inner, 1..3).prop_map(|parts| parts.concat()),
        ]
    });
    prop_oneof![
        16 => nested,
        1 => select(&ODD[..]).prop_map(str::to_owned),
    ]
}

/// Attributes that hold text, with `@` where the text goes.
#[rustfmt::skip]
const TEXTS: &[(&str, &str)] = &[
    ("annotations", "{a: '@'}"), ("command", "'@'"), ("command", "['@', b]"), ("configs", "[{source: c, target: '/@'}]"),
    ("domainname", "'@'"), ("environment", "{E: '@'}"), ("environment", "['E=@', A]"), ("image", "'i@'"),
    ("healthcheck", "{test: '@'}"), ("labels", "['l=@']"), ("labels", "{'k': 'x@y'}"), ("x-more", "{a: ['@']}"),
    ("build", "{context: ., args: {A: '@'}, target: '@'}"), ("user", "'@'"), ("group_add", "['@']"), ("entrypoint", "'@ b'"),
    ("logging", "{driver: json-file, options: {tag: '@'}}"), ("develop", "{watch: [{path: './@', action: rebuild}]}"),
];

/// Attributes that want numbers, booleans, sizes and times, with `@` where the value goes.
#[rustfmt::skip]
const TYPED: &[(&str, &str)] = &[
    ("cpu_count", "@"), ("cpu_percent", "@"), ("cpu_shares", "@"), ("cpus", "@"), ("deploy", "{replicas: @}"),
    ("deploy", "{update_config: {parallelism: @, max_failure_ratio: @}}"), ("deploy", "{restart_policy: {max_attempts: @}}"),
    ("healthcheck", "{retries: @}"), ("healthcheck", "{disable: @}"), ("init", "@"), ("mem_limit", "@"), ("oom_kill_disable", "@"),
    ("oom_score_adj", "@"), ("pids_limit", "@"), ("ports", "[{target: @}]"), ("ports", "['@:80']"), ("privileged", "@"),
    ("read_only", "@"), ("scale", "@"), ("shm_size", "@"), ("stdin_open", "@"), ("stop_grace_period", "'@s'"), ("tty", "@"),
    ("ulimits", "{nofile: @}"), ("ulimits", "{nofile: {soft: @, hard: @}}"), ("depends_on", "{b: {condition: service_started, required: @}}"),
    ("volumes", "[{type: volume, source: v1, target: /d, read_only: @, volume: {nocopy: @}}]"), ("expose", "[@]"),
    ("build", "{context: ., no_cache: @, pull: @, shm_size: @}"), ("networks", "{n1: {priority: @}}"), ("attach", "@"),
    ("mem_swappiness", "@"), ("blkio_config", "{weight: @}"), ("tmpfs", "['/t:size=@']"), ("use_api_socket", "@"),
];

const TYPED_VALUES: [&str; 16] = [
    "${N}",
    "${U:-3}",
    "${B}",
    "${EMPTY}",
    "${U:-yes}",
    "${N:+7}",
    "$N",
    "${U-false}",
    "${U:-1.5}",
    "${U:-off}",
    "${B:+n}",
    "${U:-0}",
    "${U:-0x1F}",
    "${N}0",
    "${U:-x}",
    "${U:-TRUE}",
];

/// An attribute whose value has variables.
pub(crate) fn attribute() -> impl Strategy<Value = (&'static str, String)> {
    let texts =
        (select(TEXTS), text()).prop_map(|((key, form), text)| (key, form.replace('@', &text)));
    let typed = (
        select(TYPED),
        select(&TYPED_VALUES[..]),
        select(&["", "'"][..]),
    );
    let typed = typed.prop_map(|((key, form), value, quote)| {
        // A text inside of quotes takes no second pair.
        let quote = if form.contains('\'') { "" } else { quote };
        (key, form.replace('@', &format!("{quote}{value}{quote}")))
    });
    prop_oneof![texts, typed]
}
