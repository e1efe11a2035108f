//! Short forms, units and lines made of their parts, right and wrong: ports, mounts, times, sizes, hosts, commands, devices,
//! environment files.

use proptest::{prelude::*, sample::select};

/// Parts that follow each other, each from its own list.
fn parts(lists: &'static [&'static [&'static str]]) -> impl Strategy<Value = String> {
    let each: Vec<_> = lists.iter().map(|list| select(*list)).collect();
    each.prop_map(|words| words.concat())
}

const PORT: &[&[&str]] = &[
    &[
        "",
        "",
        "",
        "127.0.0.1:",
        "[::1]:",
        "::1:",
        "0.0.0.0:",
        "localhost:",
        "1.2.3:",
    ],
    &[
        "", "8080:", "8080:", "80-82:", "080:", "0:", "65536:", ":", "82-80:", "a:",
    ],
    &[
        "80", "80", "443", "90-92", "090", "0", "65535", "65536", "", "80-", "p",
    ],
    &["", "", "", "/tcp", "/udp", "/sctp", "/TCP", "/x", "/"],
];
const MOUNT: &[&[&str]] = &[
    &[
        "",
        "",
        "v1:",
        "./a:",
        "~/a:",
        "~:",
        "/h:",
        ".:",
        "..:",
        "v2:",
        "a b:",
        "../x/../y:",
        "$$v:",
        "~u/x:",
        ".hidden:",
    ],
    &["/d", "/d", "/d/../e", "/d//f/", "/", "d", "./d", ""],
    &[
        "", "", "", ":ro", ":rw", ":ro,z", ":Z", ":nocopy", ":rslave", ":cached", ":ro,rw", ":",
        ":x", ":ro:z",
    ],
];
const TIME: &[&[&str]] = &[
    &["", "", "", "-", "+"],
    &[
        "1",
        "10",
        "1.5",
        "0",
        ".5",
        "1.",
        "007",
        "1e3",
        "",
        "100000000000",
    ],
    &[
        "s", "m", "h", "ms", "us", "µs", "ns", "d", "w", "S", "", " s", "min",
    ],
    &["", "", "", "30s", "1h", "5", "1.5ms"],
];
const SIZE: &[&[&str]] = &[
    &["", "", "", "-", "+"],
    &[
        "1",
        "10",
        "512",
        "1.5",
        "0",
        ".5",
        "007",
        "1_000",
        "0x10",
        "",
        "9999999999999999999",
        "1.",
    ],
    &[
        "", "b", "k", "K", "kb", "KB", "kib", "KiB", "m", "mb", "g", "GB", "t", "p", "e", "x",
        " m", " KB", "m ", "bb",
    ],
];
const HOST: &[&[&str]] = &[
    &["h", "a.b", "", "h h", "[h]"],
    &["=", ":", "=", " ", ""],
    &[
        "1.2.3.4",
        "::1",
        "[::1]",
        "host-gateway",
        "1.2.3.4:5",
        "x",
        "",
        "[1.2.3.4]",
    ],
];
const DEVICE: &[&[&str]] = &[
    &["/dev/a", "/dev/a", "a", "v.com/c=d", "/dev/../x"],
    &["", ":/dev/b", ":/dev/b", ":b", ":"],
    &["", "", ":r", ":rwm", ":mrw", ":x", ":", ":rr"],
];
const COMMAND: &[&[&str]] = &[
    &["a", "a b", "", " a", "$$a", "a#b", "# a", "~", "*"],
    &[" ", "  ", "\\t", "\\n", "", ";", "|", "&", " && ", "> "],
    &[
        "\\\"b c\\\"",
        "'b c'",
        "'b",
        "\\\"b",
        "\\\\ ",
        "b\\\\",
        "\\\"\\\\\\\"\\\"",
        "`b`",
        "$$(b)",
        "(b)",
        "''",
        "é",
    ],
    &["", " c", "'c'", "\\\"c\\\""],
];
const IMAGE: &[&[&str]] = &[
    &[
        "",
        "",
        "r.io/",
        "r.io:5000/",
        "localhost/",
        "R.io/",
        "https://",
    ],
    &[
        "a", "a/b", "a.b_c-d", "a__b", "A", "a//b", "-a", "a-", "a b",
    ],
    &[
        "",
        "",
        ":t",
        ":1.0-x",
        ":",
        ":-t",
        ":t@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "@sha256:ab",
        ":a:b",
    ],
];
const RESTART: &[&[&str]] = &[
    &[
        "no",
        "always",
        "on-failure",
        "on-failure",
        "unless-stopped",
        "never",
        "",
    ],
    &["", "", ":3", ":0", ":-1", ":x", ":", ":3:4", " "],
];
const EXPOSE: &[&[&str]] = &[
    &["80", "80-82", "82-80", "0", "65536", "x", "", "080"],
    &["", "", "/tcp", "/udp", "/x"],
];

/// Attributes, with `@` where a text of the parts goes, between double quotes of YAML.
const FORMS: &[(&str, &str, &[&[&str]])] = &[
    ("ports", "[\"@\"]", PORT),
    ("ports", "[{target: 80, published: \"@\"}]", EXPOSE),
    ("volumes", "[\"@\"]", MOUNT),
    ("volumes", "[\"@\", \"./q:/q\"]", MOUNT),
    ("stop_grace_period", "\"@\"", TIME),
    ("healthcheck", "{test: a, interval: \"@\"}", TIME),
    ("deploy", "{restart_policy: {delay: \"@\"}}", TIME),
    ("mem_limit", "\"@\"", SIZE),
    (
        "mem_limit",
        "1g\n    deploy: {resources: {limits: {memory: \"@\"}}}",
        SIZE,
    ),
    (
        "mem_limit",
        "0\n    deploy: {resources: {limits: {memory: \"@\"}}}",
        SIZE,
    ),
    ("shm_size", "\"@\"", SIZE),
    ("memswap_limit", "\"@\"", SIZE),
    ("deploy", "{resources: {limits: {memory: \"@\"}}}", SIZE),
    (
        "volumes",
        "[{type: tmpfs, target: /t, tmpfs: {size: \"@\"}}]",
        SIZE,
    ),
    (
        "blkio_config",
        "{device_read_bps: [{path: /dev/a, rate: \"@\"}]}",
        SIZE,
    ),
    ("build", "{context: ., shm_size: \"@\"}", SIZE),
    ("extra_hosts", "[\"@\"]", HOST),
    ("build", "{context: ., extra_hosts: [\"@\"]}", HOST),
    ("devices", "[\"@\"]", DEVICE),
    ("command", "\"@\"", COMMAND),
    ("entrypoint", "\"@\"", COMMAND),
    ("healthcheck", "{test: \"@\"}", COMMAND),
    ("post_start", "[{command: \"@\"}]", COMMAND),
    ("image", "\"@\"", IMAGE),
    ("restart", "\"@\"", RESTART),
    ("expose", "[\"@\"]", EXPOSE),
];

/// An attribute whose value is a short form, a unit or a line.
pub(crate) fn attribute() -> impl Strategy<Value = (&'static str, String)> {
    select(FORMS).prop_flat_map(|(key, form, lists)| {
        (Just(key), parts(lists)).prop_map(move |(key, text)| (key, form.replace('@', &text)))
    })
}

const LINE: &[&[&str]] = &[
    &["", "", "export ", " ", "# ", "export\t"],
    &["A", "LONG_1", "a.b", "a-b", "1A", "", "A B", "é", "A[0]"],
    &["=", "=", "= ", " = ", ": ", ":", "", " "],
    &[
        "",
        "x",
        "'x y'",
        "\"x y\"",
        "x # c",
        "x#c",
        "\"a\\nb\\t\"",
        "'a\\nb'",
        "$V",
        "${V:-d}",
        "'$V'",
        "\"${U-q}\"",
        "\\$V",
        "$$V",
        "\"\\$V\"",
        "'it\\'s'",
        "\"a\"b",
        "'open",
        "a\"b\"",
        "two words",
        "`x`",
        "\"multi\nline\"",
        "x\\",
        "\"q\\\"q\"",
        "${V",
        "\"$$V\"",
        "'a' # c",
        "x=y",
        "\\n",
        "\"\\u0041\"",
    ],
];

/// A file of variables.
pub(crate) fn variables() -> impl Strategy<Value = String> {
    prop::collection::vec(parts(LINE), 1..4).prop_map(|lines| lines.join("\n") + "\n")
}
