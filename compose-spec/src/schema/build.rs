//! The `build` and `develop` sections of a service.

use super::{
    Empty, Field, Kind, List, Pairs, Section, Short, Twice,
    shared::{
        EXTRA_HOSTS, HOOK_FIELDS, SECRET_GRANTS, TEXT_OR_TEXTS_REFUSING_TWICE, TEXTS, ULIMITS,
        WORDS,
    },
};
use crate::canonical::short;

/// `build`: a context, or a section.
pub(super) const BUILD_KIND: Kind = Kind::Short(&Short {
    expects: "a path or a mapping",
    expand: short::build,
    long: Kind::Section(&BUILD),
});

const ATTESTATIONS: &str = "no attestations are made";

static BUILD: Section = Section {
    title: "`build`",
    fields: &[
        Field::new("context", Kind::Context),
        Field::new("dockerfile", Kind::Text),
        Field::new("dockerfile_inline", Kind::Text),
        Field::new("entitlements", WORDS),
        Field::new("args", Kind::Pairs(Pairs::Environment)),
        Field::new("provenance", Kind::TextOrFlag).no_effect(ATTESTATIONS),
        Field::new("sbom", Kind::TextOrFlag).no_effect(ATTESTATIONS),
        Field::new("ssh", Kind::Pairs(Pairs::Ssh)),
        Field::new("labels", Kind::Pairs(Pairs::Labels)),
        Field::new("cache_from", WORDS),
        Field::new("cache_to", WORDS),
        Field::new("no_cache", Kind::Flag),
        Field::new("no_cache_filter", TEXT_OR_TEXTS_REFUSING_TWICE),
        Field::new("additional_contexts", Kind::Pairs(Pairs::Contexts)),
        Field::new("pull", Kind::Flag),
        Field::new("extra_hosts", EXTRA_HOSTS),
        Field::new("isolation", Kind::Text).no_effect("it exists on Windows only"),
        Field::new("network", Kind::Text),
        Field::new("target", Kind::Text),
        Field::new("secrets", SECRET_GRANTS),
        Field::new("shm_size", Kind::Size),
        Field::new("tags", TEXTS),
        Field::new("ulimits", ULIMITS),
        Field::new("platforms", WORDS),
        Field::new("privileged", Kind::Flag),
    ],
    extensions: true,
};

/// `develop`: what `watch` does.
pub(super) const DEVELOP_KIND: Kind = Kind::OptionalSection(&DEVELOP);

static DEVELOP: Section = Section {
    title: "`develop`",
    fields: &[Field::new(
        "watch",
        Kind::List(&List {
            item: Kind::Section(&WATCH),
            single: false,
            twice: Twice::Keep,
            replace: false,
        }),
    )],
    extensions: true,
};
static WATCH: Section = Section {
    title: "a watch rule",
    fields: &[
        Field::new("path", Kind::Path).required(),
        Field::new(
            "action",
            Kind::OneOf(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"]),
        )
        .required(),
        Field::new("target", Kind::Text),
        Field::new("exec", Kind::Section(&EXEC)).empty(Empty::Section),
        Field::new("include", TEXT_OR_TEXTS_REFUSING_TWICE),
        Field::new("ignore", TEXT_OR_TEXTS_REFUSING_TWICE),
        Field::new("initial_sync", Kind::Flag),
    ],
    extensions: true,
};
static EXEC: Section = Section {
    title: "a command",
    fields: HOOK_FIELDS,
    extensions: true,
};
