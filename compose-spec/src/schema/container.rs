//! What a container is: the attributes that a service shares with the init containers of its `pre_start`.

use super::{
    Empty, Field, Items, Kind, List, Map, Pairs, Section, Short, Twice,
    attachments::{DEVICES, NETWORKS, VOLUMES},
    concat,
    shared::{
        ANY_INT, CONFIG_GRANTS, COUNT, DEVICE_REQUESTS, EXTRA_HOSTS, PATHS_KEEPING_TWICE,
        SECRET_GRANTS, TEXT_OR_TEXTS, TEXTS, TEXTS_REFUSING_TWICE, ULIMITS,
    },
};
use crate::canonical::{check, items, short};

const WINDOWS: &str = "it exists on Windows only";
const LATER: &str = "this version does not implement it yet";

/// An entry of `pre_start`: what it does not say is as in the service.
pub(crate) static INIT_HOOK: Section = Section {
    title: "a pre_start hook",
    fields: &concat::<{ CONTAINER.len() + 1 }>(&[
        CONTAINER,
        &[Field::new("per_replica", Kind::Flag)],
    ]),
    extensions: true,
};

/// The attributes of a container.
pub(super) const CONTAINER: &[Field] = &[
    Field::new("annotations", Kind::Pairs(Pairs::Labels)).no_effect("only labels can be asked for"),
    Field::new("blkio_config", Kind::Section(&BLKIO)).keep(),
    Field::new("cap_add", TEXTS),
    Field::new("cap_drop", TEXTS),
    Field::new("cgroup_parent", Kind::Text),
    Field::new("cgroup", Kind::OneOf(&["host", "private"])),
    Field::new("cpu_count", COUNT).no_effect(WINDOWS),
    Field::new("cpu_percent", Kind::Int(0, 100)).no_effect(WINDOWS),
    Field::new("cpu_period", Kind::Number),
    Field::new("cpu_quota", Kind::Number),
    Field::new("cpu_rt_period", Kind::Number),
    Field::new("cpu_rt_runtime", Kind::Number),
    Field::new("cpus", Kind::Float),
    Field::new("cpuset", Kind::Text),
    Field::new("cpu_shares", Kind::Number),
    Field::new("command", Kind::Command).empty(Empty::Null),
    Field::new("configs", CONFIG_GRANTS),
    Field::new("credential_spec", Kind::Section(&CREDENTIAL_SPEC))
        .keep()
        .no_effect(WINDOWS),
    Field::new("device_cgroup_rules", DEVICE_RULES),
    Field::new("devices", DEVICES),
    Field::new("dns", TEXT_OR_TEXTS),
    Field::new("dns_opt", TEXTS),
    Field::new("dns_search", TEXT_OR_TEXTS),
    Field::new("domainname", Kind::Text),
    Field::new("entrypoint", Kind::Command).empty(Empty::Null),
    Field::new("environment", Kind::Pairs(Pairs::Environment)),
    Field::new("env_file", ENV_FILES),
    Field::new("extra_hosts", EXTRA_HOSTS),
    Field::new("group_add", GROUPS),
    Field::new("gpus", GPUS),
    Field::new("hostname", Kind::Text),
    Field::new("image", Kind::Text),
    Field::new("init", Kind::Flag).keep(),
    Field::new("ipc", Kind::Checked(&check::IPC)),
    Field::new("isolation", Kind::Text).no_effect(WINDOWS),
    Field::new("labels", Kind::Pairs(Pairs::Labels)),
    Field::new("label_file", PATHS_KEEPING_TWICE),
    Field::new("logging", Kind::Section(&LOGGING)).keep(),
    Field::new("mem_limit", Kind::Size),
    Field::new("mem_reservation", Kind::Size),
    Field::new("memswap_limit", Kind::Size),
    Field::new("mem_swappiness", Kind::Size),
    Field::new("mac_address", Kind::Text),
    Field::new("models", MODELS).no_effect(LATER),
    Field::new("network_mode", Kind::Checked(&check::NETWORK_MODE)),
    Field::new("networks", NETWORKS),
    Field::new("oom_kill_disable", Kind::Flag),
    Field::new("oom_score_adj", Kind::Int(-1000, 1000)),
    Field::new("pid", Kind::Checked(&check::PID)),
    Field::new("pids_limit", Kind::Number),
    Field::new("platform", Kind::Text),
    Field::new("privileged", Kind::Flag),
    Field::new("pull_policy", Kind::Checked(&check::PULL_POLICY)),
    Field::new("pull_refresh_after", Kind::Text).no_effect("`pull_policy` has no such rule"),
    Field::new("read_only", Kind::Flag),
    Field::new("runtime", Kind::Text).no_effect("stack is the runtime"),
    Field::new("secrets", SECRET_GRANTS),
    Field::new("security_opt", TEXTS_REFUSING_TWICE),
    Field::new("shm_size", Kind::Size),
    Field::new("stop_grace_period", Kind::Duration).keep(),
    Field::new("stop_signal", Kind::Checked(&check::STOP_SIGNAL)),
    Field::new("storage_opt", Kind::Options),
    Field::new("sysctls", Kind::Pairs(Pairs::Labels)),
    Field::new("tmpfs", TEXT_OR_TEXTS),
    Field::new("ulimits", ULIMITS),
    Field::new("use_api_socket", Kind::StrictFlag).no_effect(LATER),
    Field::new("user", Kind::Text),
    Field::new("userns_mode", Kind::Checked(&check::USERNS)),
    Field::new("uts", Kind::Checked(&check::UTS)),
    Field::new("volumes", VOLUMES),
    Field::new("volumes_from", TEXTS_REFUSING_TWICE),
    Field::new("working_dir", Kind::Text),
];

static BLKIO: Section = Section {
    title: "`blkio_config`",
    fields: &[
        Field::new("weight", ANY_INT),
        Field::new("weight_device", Kind::List(&DEVICE_WEIGHTS)),
        Field::new("device_read_bps", Kind::List(&DEVICE_RATES)),
        Field::new("device_read_iops", Kind::List(&DEVICE_RATES)),
        Field::new("device_write_bps", Kind::List(&DEVICE_RATES)),
        Field::new("device_write_iops", Kind::List(&DEVICE_RATES)),
    ],
    extensions: false,
};
static DEVICE_WEIGHTS: List = List {
    item: Kind::Section(&Section {
        title: "a device weight",
        fields: &[
            Field::new("path", Kind::Text),
            Field::new("weight", ANY_INT),
        ],
        extensions: false,
    }),
    single: false,
    twice: Twice::Keep,
    replace: false,
};
static DEVICE_RATES: List = List {
    item: Kind::Section(&Section {
        title: "a device rate",
        fields: &[
            Field::new("path", Kind::Text),
            Field::new("rate", Kind::Size).keep(),
        ],
        extensions: false,
    }),
    single: false,
    twice: Twice::Keep,
    replace: false,
};

static CREDENTIAL_SPEC: Section = Section {
    title: "`credential_spec`",
    fields: &[
        Field::new("config", Kind::Text),
        Field::new("file", Kind::Text),
        Field::new("registry", Kind::Text),
    ],
    extensions: true,
};

const ENV_FILES: Kind = Kind::Items(&Items {
    single: true,
    expand: items::env_file,
    long: &ENV_FILE,
    finish: items::finish_env_file,
    key: items::path_key,
    keep_twice: false,
});
static ENV_FILE: Section = Section {
    title: "an env file",
    fields: &[
        Field::new("path", Kind::SpelledPath).required(),
        Field::new("required", Kind::Flag).empty(Empty::DropTrue),
        Field::new("format", Kind::Text),
    ],
    extensions: false,
};

const GROUPS: Kind = Kind::List(&List {
    item: Kind::TextOrNumber,
    single: false,
    twice: Twice::Refuse,
    replace: false,
});

const DEVICE_RULES: Kind = Kind::List(&List {
    item: Kind::Checked(&check::DEVICE_RULE),
    single: false,
    twice: Twice::Refuse,
    replace: false,
});

const GPUS: Kind = Kind::Short(&Short {
    expects: "`all` or a list",
    expand: short::gpus,
    long: DEVICE_REQUESTS,
});

static LOGGING: Section = Section {
    title: "`logging`",
    fields: &[
        Field::new("driver", Kind::Text),
        Field::new("options", Kind::Options),
    ],
    extensions: true,
};

const MODELS: Kind = Kind::Short(&Short {
    expects: "a list of models or a mapping",
    expand: short::names,
    long: Kind::Map(&Map {
        what: "model",
        value: Kind::OptionalSection(&Section {
            title: "a model binding",
            fields: &[
                Field::new("endpoint_var", Kind::Text),
                Field::new("model_var", Kind::Text),
            ],
            extensions: true,
        }),
        strict_names: true,
        replace: false,
    }),
});
