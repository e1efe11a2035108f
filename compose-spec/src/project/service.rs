//! One service of the model.

use std::path::PathBuf;

use indexmap::IndexMap;

use super::{
    Builder, command, duration, extensions, extra_hosts, flag, int, network::port, optional_pairs,
    pairs, size, storage::grants, text, texts,
};
use crate::{
    canonical::check,
    model::{
        Build, Condition, Dependency, Health, HealthCheck, HealthTest, ImageSource, Logging,
        Namespace, PullPolicy, Resources, RestartPolicy, Service, ServiceName, Ulimit,
    },
    render,
    yaml::Node,
};

const DAY_SECONDS: u64 = 24 * 3600;
const NANOS_PER_CPU: f64 = 1e9;

impl Builder<'_> {
    pub(super) fn service(&mut self, name: ServiceName, node: &Node) -> Service {
        Service {
            image: image(node),
            pull_policy: pull_policy(node),
            platform: text(node, "platform"),
            command: command(node, "command"),
            entrypoint: command(node, "entrypoint"),
            environment: optional_pairs(node, "environment"),
            user: text(node, "user"),
            group_add: texts(node, "group_add"),
            working_dir: text(node, "working_dir"),
            hostname: text(node, "hostname"),
            domainname: text(node, "domainname"),
            init: flag(node, "init"),
            tty: flag(node, "tty"),
            stdin_open: flag(node, "stdin_open"),
            stop_signal: text(node, "stop_signal"),
            stop_grace: duration(node, "stop_grace_period"),
            depends_on: dependencies(node),
            network: self.network_mode(&name, node),
            ports: node.items_at("ports").iter().filter_map(port).collect(),
            expose: texts(node, "expose"),
            extra_hosts: extra_hosts(node),
            dns: texts(node, "dns"),
            dns_search: texts(node, "dns_search"),
            dns_opt: texts(node, "dns_opt"),
            mac_address: text(node, "mac_address"),
            mounts: self.mounts(node),
            secrets: grants(node, "secrets"),
            configs: grants(node, "configs"),
            read_only: flag(node, "read_only"),
            shm_size_bytes: size(node, "shm_size"),
            health: health(node),
            restart: restart(node),
            replicas: replicas(node),
            container_name: text(node, "container_name"),
            labels: pairs(node, "labels"),
            annotations: pairs(node, "annotations"),
            profiles: texts(node, "profiles"),
            attach: node.get("attach").is_none_or(Node::is_true),
            logging: logging(node),
            resources: resources(node),
            ulimits: ulimits(node),
            sysctls: pairs(node, "sysctls"),
            cap_add: capabilities(node, "cap_add"),
            cap_drop: capabilities(node, "cap_drop"),
            privileged: flag(node, "privileged"),
            security_opt: texts(node, "security_opt")
                .into_iter()
                .map(with_equals)
                .collect(),
            devices: devices(node),
            pid: namespace(node, "pid"),
            ipc: namespace(node, "ipc"),
            uts: namespace(node, "uts"),
            cgroup: namespace(node, "cgroup"),
            cgroup_parent: text(node, "cgroup_parent"),
            oom_score_adj: int(node, "oom_score_adj").and_then(|value| i32::try_from(value).ok()),
            extensions: extensions(node),
            name,
        }
    }
}

fn image(node: &Node) -> ImageSource {
    let image = text(node, "image");
    match node.get("build") {
        None => ImageSource::Pull {
            image: image.unwrap_or_default(),
        },
        Some(section) => ImageSource::Build {
            image,
            build: Box::new(build(section)),
        },
    }
}

/// Keys of `build` that the model has fields for.
const BUILD_KEYS: [&str; 13] = [
    "context",
    "dockerfile",
    "dockerfile_inline",
    "args",
    "target",
    "labels",
    "tags",
    "network",
    "no_cache",
    "pull",
    "shm_size",
    "extra_hosts",
    "additional_contexts",
];

fn build(node: &Node) -> Build {
    let rest = node
        .as_mapping()
        .into_iter()
        .flat_map(crate::yaml::Mapping::iter);
    Build {
        context: text(node, "context").unwrap_or_default(),
        dockerfile: text(node, "dockerfile"),
        dockerfile_inline: text(node, "dockerfile_inline"),
        args: optional_pairs(node, "args"),
        target: text(node, "target"),
        labels: pairs(node, "labels"),
        tags: texts(node, "tags"),
        network: text(node, "network"),
        no_cache: flag(node, "no_cache"),
        pull: flag(node, "pull"),
        shm_size_bytes: size(node, "shm_size"),
        extra_hosts: extra_hosts(node),
        additional_contexts: pairs(node, "additional_contexts"),
        rest: rest
            .filter(|(key, _)| !BUILD_KEYS.contains(&&***key))
            .map(|(key, entry)| (key.to_string(), render::plain(&entry.value)))
            .collect(),
    }
}

fn pull_policy(node: &Node) -> PullPolicy {
    match node.text_at("pull_policy").unwrap_or_default() {
        "always" | "refresh" => PullPolicy::Always,
        "never" => PullPolicy::Never,
        "build" => PullPolicy::Build,
        "daily" => PullPolicy::Every {
            seconds: DAY_SECONDS,
        },
        "weekly" => PullPolicy::Every {
            seconds: 7 * DAY_SECONDS,
        },
        text => match check::pull_interval_seconds(text) {
            Some(seconds) => PullPolicy::Every { seconds },
            None => PullPolicy::Missing,
        },
    }
}

fn dependencies(node: &Node) -> IndexMap<ServiceName, Dependency> {
    node.entries_at("depends_on")
        .filter_map(|(name, entry)| {
            let condition = match entry.value.text_at("condition") {
                Some("service_healthy") => Condition::ServiceHealthy,
                Some("service_completed_successfully") => Condition::ServiceCompletedSuccessfully,
                _ => Condition::ServiceStarted,
            };
            let dependency = Dependency {
                condition,
                restart: flag(&entry.value, "restart"),
                required: entry.value.get("required").is_none_or(Node::is_true),
            };
            Some((name.parse().ok()?, dependency))
        })
        .collect()
}

fn health(node: &Node) -> Health {
    let Some(check) = node.get("healthcheck") else {
        return Health::Inherit;
    };
    let test = check.items_at("test");
    let words = || {
        test.iter()
            .skip(1)
            .filter_map(Node::as_text)
            .map(str::to_owned)
    };
    let test = match test.first().and_then(Node::as_text) {
        Some("NONE") => return Health::Disabled,
        Some("CMD") => Some(HealthTest::Command(words().collect())),
        Some("CMD-SHELL") => Some(HealthTest::Shell(words().collect::<Vec<_>>().join(" "))),
        _ => None,
    };
    if flag(check, "disable") {
        return Health::Disabled;
    }
    Health::Check(HealthCheck {
        test,
        interval: duration(check, "interval"),
        timeout: duration(check, "timeout"),
        retries: int(check, "retries").and_then(|count| u32::try_from(count).ok()),
        start_period: duration(check, "start_period"),
        start_interval: duration(check, "start_interval"),
    })
}

/// `deploy.restart_policy` wins over `restart`.
fn restart(node: &Node) -> RestartPolicy {
    if let Some(policy) = node
        .get("deploy")
        .and_then(|deploy| deploy.get("restart_policy"))
    {
        let attempts_max = int(policy, "max_attempts").and_then(|count| u32::try_from(count).ok());
        return match policy.text_at("condition") {
            Some("none" | "no") => RestartPolicy::No,
            Some("on-failure") => RestartPolicy::OnFailure { attempts_max },
            Some("unless-stopped") => RestartPolicy::UnlessStopped,
            _ => RestartPolicy::Always,
        };
    }
    match node.text_at("restart").unwrap_or_default() {
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => RestartPolicy::OnFailure { attempts_max: None },
        text => match text
            .strip_prefix("on-failure:")
            .and_then(|count| count.parse().ok())
        {
            // `on-failure:0` means no limit, as in Docker.
            Some(0) => RestartPolicy::OnFailure { attempts_max: None },
            Some(count) => RestartPolicy::OnFailure {
                attempts_max: Some(count),
            },
            None => RestartPolicy::No,
        },
    }
}

fn replicas(node: &Node) -> u32 {
    let deployed = node
        .get("deploy")
        .and_then(|deploy| int(deploy, "replicas"));
    let count = int(node, "scale").or(deployed).unwrap_or(1);
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn logging(node: &Node) -> Logging {
    let Some(logging) = node.get("logging") else {
        return Logging::default();
    };
    Logging {
        driver: text(logging, "driver"),
        options: pairs(logging, "options"),
    }
}

fn resources(node: &Node) -> Resources {
    let deploy = node
        .get("deploy")
        .and_then(|deploy| deploy.get("resources"));
    let limits = deploy.and_then(|resources| resources.get("limits"));
    let reservations = deploy.and_then(|resources| resources.get("reservations"));
    let cpus = node
        .get("cpus")
        .or_else(|| limits?.get("cpus"))
        .and_then(Node::as_float);
    let positive = |key| {
        int(node, key)
            .and_then(|v| u64::try_from(v).ok())
            .filter(|v| *v > 0)
    };
    Resources {
        cpu_nanos: cpus.and_then(nanos),
        cpu_shares: positive("cpu_shares"),
        cpu_quota_us: int(node, "cpu_quota").filter(|quota| *quota != 0),
        cpu_period_us: positive("cpu_period"),
        cpuset: text(node, "cpuset"),
        memory_bytes: size(node, "mem_limit").or_else(|| size(limits?, "memory")),
        memory_reservation_bytes: size(node, "mem_reservation")
            .or_else(|| size(reservations?, "memory")),
        memory_swap_bytes: node
            .text_at("memswap_limit")
            .and_then(|text| text.parse().ok())
            .filter(|bytes| *bytes != 0),
        pids: int(node, "pids_limit")
            .or_else(|| int(limits?, "pids"))
            .filter(|pids| *pids != 0),
    }
}

/// Billionths of a CPU; 0 means no limit.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "only numbers within the bounds get here"
)]
fn nanos(cpus: f64) -> Option<u64> {
    (cpus > 0.0 && cpus < 1e9).then(|| (cpus * NANOS_PER_CPU).round() as u64)
}

fn ulimits(node: &Node) -> IndexMap<String, Ulimit> {
    node.entries_at("ulimits")
        .filter_map(|(name, entry)| {
            let value = &entry.value;
            let ulimit = match value.as_int() {
                Some(both) => Ulimit {
                    soft: both,
                    hard: both,
                },
                None => Ulimit {
                    soft: int(value, "soft")?,
                    hard: int(value, "hard")?,
                },
            };
            Some((name.to_ascii_lowercase(), ulimit))
        })
        .collect()
}

/// Names without the prefix, in upper case.
fn capabilities(node: &Node, key: &str) -> Vec<String> {
    texts(node, key)
        .into_iter()
        .map(|name| {
            let upper = name.to_ascii_uppercase();
            upper
                .strip_prefix("CAP_")
                .map(str::to_owned)
                .unwrap_or(upper)
        })
        .collect()
}

/// `label:x` is the older form of `label=x`.
fn with_equals(option: String) -> String {
    match option.find(['=', ':']) {
        Some(at) if option.as_bytes()[at] == b':' => {
            format!("{}={}", &option[..at], &option[at + 1..])
        }
        _ => option,
    }
}

fn devices(node: &Node) -> Vec<String> {
    node.items_at("devices")
        .iter()
        .map(|device| {
            let part = |key| device.text_at(key).unwrap_or_default();
            format!(
                "{}:{}:{}",
                part("source"),
                part("target"),
                part("permissions")
            )
        })
        .collect()
}

fn namespace(node: &Node, key: &str) -> Namespace {
    let text = node.text_at(key).unwrap_or_default();
    match text {
        "host" => Namespace::Host,
        "shareable" => Namespace::Shareable,
        _ => match text.split_once(':') {
            Some(("service", name)) => name.parse().map_or(Namespace::Private, Namespace::Service),
            Some(("container", name)) => Namespace::Container(name.to_owned()),
            _ => Namespace::Private,
        },
    }
}

/// Paths of the model are absolute by now.
pub(super) fn path(text: &str) -> PathBuf {
    PathBuf::from(text)
}
