//! All attributes of a service.

use super::{
    Empty, Field, Items, Kind, List, Map, Pairs, Section, Short, Twice,
    attachments::{DEVICES, NETWORKS, PORTS, VOLUMES},
    build::{BUILD_KIND, DEVELOP_KIND},
    deploy::DEPLOY_KIND,
    shared::{
        ANY_INT, CONFIG_GRANTS, COUNT, DEVICE_REQUESTS, EXTRA_HOSTS, HOOK, HOOK_FIELDS, PATHS,
        SECRET_GRANTS, TEXT_OR_TEXTS, TEXTS, TEXTS_OR_NUMBERS, TEXTS_REFUSING_TWICE, ULIMITS,
    },
};
use crate::canonical::{check, items, short};

const WINDOWS: &str = "it exists on Windows only";
const LATER: &str = "this version does not implement it yet";

/// A service. Its order is that of the canonical output.
pub(crate) static SERVICE: Section = Section {
    title: "a service",
    fields: &[
        Field::new("profiles", TEXTS),
        Field::new("annotations", Kind::Pairs(Pairs::Labels)),
        Field::new("attach", Kind::Flag).keep(),
        Field::new("build", BUILD_KIND).keep(),
        Field::new("develop", DEVELOP_KIND).keep().no_effect(LATER),
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
        Field::new("container_name", Kind::Checked(&check::CONTAINER_NAME)),
        Field::new("credential_spec", Kind::Section(&CREDENTIAL_SPEC))
            .keep()
            .no_effect(WINDOWS),
        Field::new("depends_on", DEPENDS_ON),
        Field::new("deploy", DEPLOY_KIND).keep(),
        Field::new("device_cgroup_rules", DEVICE_RULES),
        Field::new("devices", DEVICES),
        Field::new("dns", TEXT_OR_TEXTS),
        Field::new("dns_opt", TEXTS),
        Field::new("dns_search", TEXT_OR_TEXTS),
        Field::new("domainname", Kind::Text),
        Field::new("entrypoint", Kind::Command).empty(Empty::Null),
        Field::new("provider", Kind::Section(&PROVIDER))
            .keep()
            .no_effect("`up` refuses the service: providers are not run yet"),
        Field::new("environment", Kind::Pairs(Pairs::Environment)),
        Field::new("env_file", ENV_FILES),
        Field::new("expose", EXPOSE),
        Field::new("extends", EXTENDS),
        Field::new("external_links", TEXTS_REFUSING_TWICE)
            .no_effect("containers outside of the project are not linked"),
        Field::new("extra_hosts", EXTRA_HOSTS),
        Field::new("group_add", TEXTS_OR_NUMBERS),
        Field::new("gpus", GPUS),
        Field::new("hostname", Kind::Text),
        Field::new("healthcheck", Kind::Section(&HEALTHCHECK)).keep(),
        Field::new("image", Kind::Text),
        Field::new("init", Kind::Flag).keep(),
        Field::new("ipc", Kind::Checked(&check::IPC)),
        Field::new("isolation", Kind::Text).no_effect(WINDOWS),
        Field::new("labels", Kind::Pairs(Pairs::Labels)),
        Field::new("label_file", PATHS),
        Field::new("links", TEXTS),
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
        Field::new("ports", PORTS),
        Field::new("privileged", Kind::Flag),
        Field::new("pull_policy", Kind::Checked(&check::PULL_POLICY)),
        Field::new("pull_refresh_after", Kind::Text).no_effect("`pull_policy` has no such rule"),
        Field::new("read_only", Kind::Flag),
        Field::new("restart", Kind::Checked(&check::RESTART)),
        Field::new("runtime", Kind::Text).no_effect("stack is the runtime"),
        Field::new("scale", COUNT).keep(),
        Field::new("secrets", SECRET_GRANTS),
        Field::new("security_opt", TEXTS),
        Field::new("shm_size", Kind::Size),
        Field::new("stdin_open", Kind::Flag),
        Field::new("stop_grace_period", Kind::Duration).keep(),
        Field::new("stop_signal", Kind::Checked(&check::STOP_SIGNAL)),
        Field::new("storage_opt", Kind::Options),
        Field::new("sysctls", Kind::Pairs(Pairs::Labels)),
        Field::new("tmpfs", TEXT_OR_TEXTS),
        Field::new("tty", Kind::Flag),
        Field::new("ulimits", ULIMITS),
        Field::new("use_api_socket", Kind::StrictFlag).no_effect(LATER),
        Field::new("user", Kind::Text),
        Field::new("userns_mode", Kind::Checked(&check::USERNS)),
        Field::new("uts", Kind::Checked(&check::UTS)),
        Field::new("volumes", VOLUMES),
        Field::new("volumes_from", TEXTS_REFUSING_TWICE).no_effect(LATER),
        Field::new("working_dir", Kind::Text),
        Field::new("pre_start", Kind::List(&PRE_START)).no_effect(LATER),
        Field::new("post_start", Kind::List(&POST_START)).no_effect(LATER),
        Field::new("pre_stop", Kind::List(&POST_START)).no_effect(LATER),
    ],
    extensions: true,
};

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
static INIT_HOOK: Section = Section {
    title: "a pre_start hook",
    fields: &[
        Field::new("command", Kind::Command).empty(Empty::Null),
        Field::new("entrypoint", Kind::Command).empty(Empty::Null),
        HOOK_FIELDS[1],
        HOOK_FIELDS[2],
        HOOK_FIELDS[3],
        HOOK_FIELDS[4],
        Field::new("image", Kind::Text),
        Field::new("networks", NETWORKS),
        Field::new("per_replica", Kind::Flag),
    ],
    extensions: true,
};

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
            Field::new("rate", Kind::Size),
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
        Field::new("required", Kind::StrictFlag).keep(),
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
        Field::new("path", Kind::Path).required(),
        Field::new("required", Kind::Flag).empty(Empty::DropTrue),
        Field::new("format", Kind::Text),
    ],
    extensions: false,
};

const DEVICE_RULES: Kind = Kind::List(&List {
    item: Kind::Checked(&check::DEVICE_RULE),
    single: false,
    twice: Twice::Refuse,
    replace: false,
});

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

const GPUS: Kind = Kind::Short(&Short {
    expects: "`all` or a list",
    expand: short::gpus,
    long: DEVICE_REQUESTS,
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
