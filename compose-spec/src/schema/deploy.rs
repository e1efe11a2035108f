//! The `deploy` section of a service.

use super::{
    Empty, Field, Kind, List, Pairs, Section, Twice,
    shared::{ANY_INT, COUNT, DEVICE_REQUESTS, WORDS},
};

/// `deploy`, or nothing.
pub(super) const DEPLOY_KIND: Kind = Kind::OptionalSection(&DEPLOY);

const ONE_MACHINE: &str = "it concerns clusters of several machines";
const UPDATES_LATER: &str = "this version updates containers one by one, stop first";

static DEPLOY: Section = Section {
    title: "`deploy`",
    fields: &[
        Field::new("mode", Kind::Text).only("replicated", ONE_MACHINE),
        Field::new("replicas", COUNT).keep(),
        Field::new("labels", Kind::Pairs(Pairs::Labels)).no_effect(ONE_MACHINE),
        Field::new("update_config", Kind::Section(&UPDATE_CONFIG))
            .keep()
            .no_effect(UPDATES_LATER),
        Field::new("rollback_config", Kind::Section(&UPDATE_CONFIG))
            .keep()
            .no_effect(UPDATES_LATER),
        Field::new("resources", Kind::Section(&RESOURCES)).empty(Empty::Section),
        Field::new("restart_policy", Kind::Section(&RESTART_POLICY)).keep(),
        Field::new("placement", Kind::Section(&PLACEMENT))
            .empty(Empty::Section)
            .no_effect(ONE_MACHINE),
        Field::new("endpoint_mode", Kind::Text).no_effect(ONE_MACHINE),
    ],
    extensions: true,
};
static UPDATE_CONFIG: Section = Section {
    title: "an update configuration",
    fields: &[
        Field::new("parallelism", COUNT).keep(),
        Field::new("delay", Kind::Duration),
        Field::new("failure_action", Kind::Text),
        Field::new("monitor", Kind::Duration),
        Field::new("max_failure_ratio", Kind::Float),
        Field::new("order", Kind::OneOf(&["start-first", "stop-first"])),
    ],
    extensions: true,
};
static RESOURCES: Section = Section {
    title: "`resources`",
    fields: &[
        Field::new("limits", Kind::Section(&LIMITS)).keep(),
        Field::new("reservations", Kind::Section(&RESERVATIONS)).keep(),
    ],
    extensions: true,
};
static LIMITS: Section = Section {
    title: "`limits`",
    fields: &[
        Field::new("cpus", Kind::Float),
        Field::new("memory", Kind::SizeText),
        Field::new("pids", ANY_INT),
    ],
    extensions: true,
};
static RESERVATIONS: Section = Section {
    title: "`reservations`",
    fields: &[
        Field::new("cpus", Kind::Float).no_effect("a share of CPU is not reserved"),
        Field::new("memory", Kind::SizeText),
        Field::new("devices", DEVICE_REQUESTS),
        Field::new(
            "generic_resources",
            Kind::List(&List {
                item: Kind::Section(&GENERIC_RESOURCE),
                single: false,
                twice: Twice::Keep,
                replace: false,
            }),
        )
        .no_effect(ONE_MACHINE),
    ],
    extensions: true,
};
static GENERIC_RESOURCE: Section = Section {
    title: "a generic resource",
    fields: &[Field::new("discrete_resource_spec", Kind::Section(&DISCRETE)).keep()],
    extensions: true,
};
static DISCRETE: Section = Section {
    title: "a discrete resource",
    fields: &[
        Field::new("kind", Kind::Text),
        Field::new("value", Kind::Number),
    ],
    extensions: true,
};
static RESTART_POLICY: Section = Section {
    title: "a restart policy",
    fields: &[
        Field::new(
            "condition",
            Kind::OneOf(&[
                "none",
                "no",
                "on-failure",
                "any",
                "always",
                "unless-stopped",
            ]),
        ),
        Field::new("delay", Kind::Duration).no_effect("restarts wait 100 ms, doubling to 1 min"),
        Field::new("max_attempts", COUNT).keep(),
        Field::new("window", Kind::Duration).no_effect("10 s of running count as success"),
    ],
    extensions: true,
};
static PLACEMENT: Section = Section {
    title: "`placement`",
    fields: &[
        Field::new("constraints", WORDS),
        Field::new(
            "preferences",
            Kind::List(&List {
                item: Kind::Section(&PREFERENCE),
                single: false,
                twice: Twice::Keep,
                replace: false,
            }),
        ),
        Field::new("max_replicas_per_node", COUNT),
    ],
    extensions: true,
};
static PREFERENCE: Section = Section {
    title: "a placement preference",
    fields: &[Field::new("spread", Kind::Text)],
    extensions: true,
};
