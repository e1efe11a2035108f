//! Kinds that several sections use.

use super::{Field, Kind, List, Map, Section, Twice};
use crate::canonical::{items, short};

pub(super) const TEXTS: Kind = Kind::List(&List {
    item: Kind::Text,
    single: false,
    twice: Twice::Drop,
    replace: false,
});
pub(super) const TEXTS_REFUSING_TWICE: Kind = Kind::List(&List {
    item: Kind::Text,
    single: false,
    twice: Twice::Refuse,
    replace: false,
});
/// Texts that may stand there twice.
pub(super) const WORDS: Kind = Kind::List(&List {
    item: Kind::Text,
    single: false,
    twice: Twice::Keep,
    replace: false,
});
pub(super) const TEXT_OR_TEXTS_REFUSING_TWICE: Kind = Kind::List(&List {
    item: Kind::Text,
    single: true,
    twice: Twice::Refuse,
    replace: false,
});
pub(super) const TEXT_OR_TEXTS: Kind = Kind::List(&List {
    item: Kind::Text,
    single: true,
    twice: Twice::Drop,
    replace: false,
});
/// Paths that may stand there twice.
pub(super) const PATHS_KEEPING_TWICE: Kind = Kind::List(&List {
    item: Kind::Path,
    single: true,
    twice: Twice::Keep,
    replace: false,
});
pub(super) const PATHS: Kind = Kind::List(&List {
    item: Kind::Path,
    single: true,
    twice: Twice::Drop,
    replace: false,
});

pub(super) const ANY_INT: Kind = Kind::Int(i64::MIN, i64::MAX);
pub(super) const COUNT: Kind = Kind::Int(0, i64::MAX);

pub(super) const ULIMITS: Kind = Kind::Map(&Map {
    what: "ulimit",
    value: Kind::Either(&Kind::Int(-1, i64::MAX), &ULIMIT),
    strict_names: false,
    replace: true,
});
static ULIMIT: Section = Section {
    title: "a ulimit",
    fields: &[
        Field::new("soft", Kind::Int(-1, i64::MAX))
            .required()
            .keep(),
        Field::new("hard", Kind::Int(-1, i64::MAX))
            .required()
            .keep(),
    ],
    extensions: true,
};

pub(super) const EXTRA_HOSTS: Kind = Kind::Short(&super::Short {
    expects: "a mapping of hosts to addresses or a list of host=address",
    expand: short::extra_hosts,
    long: TEXTS,
});

pub(super) static HOOK_FIELDS: &[Field] = &[
    Field::new("command", Kind::Command)
        .required()
        .empty(super::Empty::Null),
    Field::new("user", Kind::Text),
    Field::new("privileged", Kind::Flag),
    Field::new("working_dir", Kind::Text),
    Field::new("environment", Kind::Pairs(super::Pairs::Environment)),
];
/// A command that runs in the container.
pub(super) static HOOK: Section = Section {
    title: "a hook",
    fields: HOOK_FIELDS,
    extensions: true,
};

static FILE_GRANT: Section = Section {
    title: "a grant",
    fields: &[
        Field::new("source", Kind::Text),
        Field::new("target", Kind::Text),
        Field::new("uid", Kind::Text),
        Field::new("gid", Kind::Text),
        Field::new("mode", Kind::Mode),
    ],
    extensions: true,
};
pub(super) const SECRET_GRANTS: Kind = Kind::Items(&super::Items {
    single: false,
    expand: items::grant,
    long: &FILE_GRANT,
    finish: items::finish_grant,
    key: items::secret_key,
    keep_twice: false,
});
pub(super) const CONFIG_GRANTS: Kind = Kind::Items(&super::Items {
    single: false,
    expand: items::grant,
    long: &FILE_GRANT,
    finish: items::finish_grant,
    key: items::config_key,
    keep_twice: false,
});

static DEVICE_REQUEST: Section = Section {
    title: "a device request",
    fields: &[
        Field::new("capabilities", TEXTS_REFUSING_TWICE),
        Field::new("driver", Kind::Text),
        Field::new(
            "count",
            Kind::Short(&super::Short {
                expects: "an integer or `all`",
                expand: short::device_count,
                long: ANY_INT,
            }),
        ),
        Field::new("device_ids", TEXTS_REFUSING_TWICE),
        Field::new("options", Kind::Pairs(super::Pairs::Labels)),
    ],
    extensions: true,
};
pub(super) const DEVICE_REQUESTS: Kind = Kind::List(&List {
    item: Kind::Section(&DEVICE_REQUEST),
    single: false,
    twice: Twice::Keep,
    replace: false,
});
