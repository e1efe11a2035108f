//! The top level of a file: networks, volumes, secrets, configs, models.

use super::{
    Empty, Field, Kind, List, Map, Pairs, SERVICE, Section, Short, Twice,
    shared::{ANY_INT, PATHS, TEXTS},
};
use crate::canonical::{items, short};

const NO_MODELS: &str = "models are not run by this version";

/// The top level of a file. Its order is that of the JSON output.
pub(crate) static TOP: Section = Section {
    title: "a Compose file",
    fields: &[
        Field::new("version", Kind::Text),
        Field::new("include", INCLUDES),
        Field::new("configs", map(&CONFIGS)),
        Field::new("models", map(&MODELS)).no_effect(NO_MODELS),
        Field::new("name", Kind::Text),
        Field::new("networks", map(&NETWORKS)),
        Field::new("secrets", map(&SECRETS)),
        Field::new("services", map(&SERVICES)).keep(),
        Field::new("volumes", map(&VOLUMES)),
    ],
    extensions: true,
};

const fn map(map: &'static Map) -> Kind {
    Kind::Map(map)
}

static SERVICES: Map = Map {
    what: "service",
    value: Kind::Section(&SERVICE),
    strict_names: true,
    replace: false,
};
static NETWORKS: Map = Map {
    what: "network",
    value: Kind::OptionalSection(&NETWORK),
    strict_names: true,
    replace: false,
};
static VOLUMES: Map = Map {
    what: "volume",
    value: Kind::OptionalSection(&VOLUME),
    strict_names: true,
    replace: false,
};
static SECRETS: Map = Map {
    what: "secret",
    value: Kind::Section(&SECRET),
    strict_names: true,
    replace: false,
};
static CONFIGS: Map = Map {
    what: "config",
    value: Kind::Section(&CONFIG),
    strict_names: true,
    replace: false,
};
static MODELS: Map = Map {
    what: "model",
    value: Kind::Section(&MODEL),
    strict_names: true,
    replace: false,
};

static EXTERNAL: Section = Section {
    title: "`external`",
    fields: &[Field::new("name", Kind::Text)],
    extensions: true,
};
const EXTERNAL_KIND: Kind = Kind::Either(&Kind::Flag, &EXTERNAL);

static NETWORK: Section = Section {
    title: "a network",
    fields: &[
        Field::new("name", Kind::Text),
        Field::new("driver", Kind::Text),
        Field::new("driver_opts", Kind::Options),
        Field::new("ipam", Kind::Section(&IPAM)).empty(Empty::Section),
        Field::new("external", EXTERNAL_KIND),
        Field::new("internal", Kind::Flag),
        Field::new("attachable", Kind::Flag)
            .no_effect("every container of the host may be attached"),
        Field::new("labels", Kind::Pairs(Pairs::Labels)),
        Field::new("enable_ipv4", Kind::Flag)
            .keep()
            .only("true", "networks always have IPv4"),
        Field::new("enable_ipv6", Kind::Flag).keep(),
    ],
    extensions: true,
};
static IPAM: Section = Section {
    title: "`ipam`",
    fields: &[
        Field::new("driver", Kind::Text).only("default", "there is one IPAM driver"),
        Field::new(
            "config",
            Kind::Items(&super::Items {
                single: false,
                expand: items::no_short_form,
                long: &IPAM_CONFIG,
                finish: items::finish_subnet,
                key: items::subnet_key,
                keep_twice: true,
            }),
        ),
        Field::new("options", Kind::Map(&IPAM_OPTIONS)).no_effect("no IPAM driver takes options"),
    ],
    extensions: true,
};
static IPAM_OPTIONS: Map = Map {
    what: "option",
    value: Kind::Text,
    strict_names: false,
    replace: false,
};
static IPAM_CONFIG: Section = Section {
    title: "a subnet",
    fields: &[
        Field::new("subnet", Kind::Text),
        Field::new("gateway", Kind::Text),
        Field::new("ip_range", Kind::Text),
        Field::new("aux_addresses", Kind::Options),
    ],
    extensions: true,
};

static VOLUME: Section = Section {
    title: "a volume",
    fields: &[
        Field::new("name", Kind::Text),
        Field::new("driver", Kind::Text),
        Field::new("driver_opts", Kind::Options),
        Field::new("external", EXTERNAL_KIND),
        Field::new("labels", Kind::Pairs(Pairs::Labels)),
    ],
    extensions: true,
};

const SWARM_ONLY: &str = "only cluster managers have drivers for it";

static SECRET: Section = Section {
    title: "a secret",
    fields: &[
        Field::new("name", Kind::Text),
        Field::new("file", Kind::Path),
        Field::new("environment", Kind::Text),
        Field::new("external", EXTERNAL_KIND),
        Field::new("labels", Kind::Pairs(Pairs::Labels)),
        Field::new("driver", Kind::Text).no_effect(SWARM_ONLY),
        Field::new("driver_opts", Kind::Options).no_effect(SWARM_ONLY),
        Field::new("template_driver", Kind::Text).no_effect(SWARM_ONLY),
    ],
    extensions: true,
};
static CONFIG: Section = Section {
    title: "a config",
    fields: &[
        Field::new("name", Kind::Text),
        Field::new("file", Kind::Path),
        Field::new("environment", Kind::Text),
        Field::new("content", Kind::Text),
        Field::new("external", EXTERNAL_KIND),
        Field::new("labels", Kind::Pairs(Pairs::Labels)),
        Field::new("template_driver", Kind::Text).no_effect(SWARM_ONLY),
    ],
    extensions: true,
};
static MODEL: Section = Section {
    title: "a model",
    fields: &[
        Field::new("name", Kind::Text),
        Field::new("model", Kind::Text).required(),
        Field::new("context_size", ANY_INT),
        Field::new("runtime_flags", TEXTS),
    ],
    extensions: true,
};

const INCLUDES: Kind = Kind::List(&List {
    item: Kind::Short(&Short {
        expects: "a path or a mapping with `path`",
        expand: short::include,
        long: Kind::Section(&INCLUDE),
    }),
    single: false,
    twice: Twice::Keep,
    replace: false,
});
static INCLUDE: Section = Section {
    title: "an include",
    fields: &[
        Field::new("path", PATHS).required(),
        Field::new("env_file", PATHS),
        Field::new("project_directory", Kind::Path),
    ],
    extensions: false,
};
