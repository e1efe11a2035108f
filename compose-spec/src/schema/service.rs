//! All attributes of a service.

use super::{
    Field, Kind, List, Map, Section, Short, Twice,
    attachments::PORTS,
    build::{BUILD_KIND, DEVELOP_KIND},
    concat,
    container::{CONTAINER, INIT_HOOK},
    deploy::DEPLOY_KIND,
    shared::{COUNT, HOOK, TEXTS, TEXTS_REFUSING_TWICE},
};
use crate::canonical::{check, short};

/// A service: what concerns all its containers, and what each of them is. Its order is that of the canonical output.
pub(crate) static SERVICE: Section = Section {
    title: "a service",
    fields: &concat::<{ FIRST.len() + CONTAINER.len() + LAST.len() }>(&[FIRST, CONTAINER, LAST]),
    extensions: true,
};

const FIRST: &[Field] = &[
    Field::new("profiles", TEXTS),
    Field::new("deploy", DEPLOY_KIND).keep(),
    Field::new("develop", DEVELOP_KIND).keep(),
    Field::new("restart", Kind::Checked(&check::RESTART)),
    Field::new("attach", Kind::Flag).keep(),
    Field::new("external_links", TEXTS_REFUSING_TWICE),
    Field::new("extends", EXTENDS),
    Field::new("links", TEXTS),
    Field::new("scale", COUNT).keep(),
    Field::new("provider", Kind::Section(&PROVIDER))
        .keep()
        .no_effect("`up` refuses the service: providers are not run yet"),
    Field::new("container_name", Kind::Checked(&check::CONTAINER_NAME)),
    Field::new("pre_start", Kind::List(&PRE_START)),
    Field::new("post_start", Kind::List(&POST_START)),
    Field::new("pre_stop", Kind::List(&POST_START)),
];

const LAST: &[Field] = &[
    Field::new("build", BUILD_KIND).keep(),
    Field::new("depends_on", DEPENDS_ON),
    Field::new("expose", EXPOSE),
    Field::new("healthcheck", Kind::Section(&HEALTHCHECK)).keep(),
    Field::new("ports", PORTS),
    Field::new("stdin_open", Kind::Flag),
    Field::new("tty", Kind::Flag),
];

static POST_START: List = List {
    item: Kind::Section(&HOOK),
    single: false,
    twice: Twice::Keep,
    replace: false,
};
static PRE_START: List = List {
    item: Kind::Section(&INIT_HOOK),
    single: false,
    twice: Twice::Keep,
    replace: false,
};

const DEPENDS_ON: Kind = Kind::Short(&Short {
    expects: "a list of services or a mapping",
    expand: short::depends_on,
    long: Kind::Map(&Map {
        what: "service",
        value: Kind::Section(&DEPENDENCY),
        strict_names: true,
        replace: false,
    }),
});
static DEPENDENCY: Section = Section {
    title: "a dependency",
    fields: &[
        Field::new(
            "condition",
            Kind::OneOf(&[
                "service_started",
                "service_healthy",
                "service_completed_successfully",
            ]),
        )
        .required(),
        Field::new("restart", Kind::Flag),
        Field::new("required", Kind::Flag).keep(),
    ],
    extensions: true,
};

static PROVIDER: Section = Section {
    title: "`provider`",
    fields: &[
        Field::new("type", Kind::Text).required(),
        Field::new(
            "options",
            Kind::Map(&Map {
                what: "option",
                value: Kind::Values,
                strict_names: false,
                replace: false,
            }),
        ),
    ],
    extensions: true,
};

const EXPOSE: Kind = Kind::List(&List {
    item: Kind::Short(&Short {
        expects: "a port",
        expand: short::exposed_port,
        long: Kind::TextOrNumber,
    }),
    single: false,
    twice: Twice::Drop,
    replace: false,
});

const EXTENDS: Kind = Kind::Short(&Short {
    expects: "a service or a mapping with `service`",
    expand: short::extends,
    long: Kind::Section(&Section {
        title: "`extends`",
        fields: &[
            Field::new("service", Kind::Text).required(),
            Field::new("file", Kind::Path),
        ],
        extensions: false,
    }),
});

static HEALTHCHECK: Section = Section {
    title: "`healthcheck`",
    fields: &[
        Field::new(
            "test",
            Kind::Short(&Short {
                expects: "a text or a list of texts",
                expand: short::health_test,
                long: Kind::List(&List {
                    item: Kind::Text,
                    single: false,
                    twice: Twice::Keep,
                    replace: true,
                }),
            }),
        ),
        Field::new("timeout", Kind::Duration).keep(),
        Field::new("interval", Kind::Duration).keep(),
        Field::new("retries", Kind::Number).keep(),
        Field::new("start_period", Kind::Duration).keep(),
        Field::new("start_interval", Kind::Duration).keep(),
        Field::new("disable", Kind::Flag),
    ],
    extensions: true,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_every_attribute_once() {
        let mut names: Vec<_> = SERVICE.fields.iter().map(|field| field.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SERVICE.fields.len());
        assert_eq!(names.len(), 93);
    }
}
