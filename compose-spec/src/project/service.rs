//! One service of the model.

use std::path::PathBuf;

use indexmap::IndexMap;

use super::{
    Builder, build::build, command, device, duration, extensions, extra_hosts, flag, int,
    lifecycle, network::port, optional_pairs, pairs, resources, size, storage::grants, text, texts,
};
use crate::{
    canonical::check,
    model::{
        Condition, Dependency, ExternalLink, Health, HealthCheck, HealthTest, ImageSource, Logging,
        MountOwner, Namespace, PullPolicy, RestartPolicy, Service, ServiceName, UserNamespace,
        VolumesFrom,
    },
    yaml::Node,
};

const DAY_SECONDS: u64 = 24 * 3600;

impl Builder<'_> {
    pub(super) fn service(&mut self, name: ServiceName, node: &Node) -> Service {
        let mut service = self.without_init_hooks(name, node);
        service.pre_start = self.init_hooks(&service, node);
        service
    }

    fn without_init_hooks(&mut self, name: ServiceName, node: &Node) -> Service {
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
            external_links: external_links(node),
            dns: texts(node, "dns"),
            dns_search: texts(node, "dns_search"),
            dns_opt: texts(node, "dns_opt"),
            mac_address: text(node, "mac_address"),
            mounts: self.mounts(node),
            volumes_from: volumes_from(node),
            secrets: grants(node, "secrets"),
            configs: grants(node, "configs"),
            read_only: flag(node, "read_only"),
            shm_size_bytes: size(node, "shm_size"),
            health: health(node),
            restart: restart(node),
            restart_delay: restart_policy(node).and_then(|policy| duration(policy, "delay")),
            restart_window: restart_policy(node).and_then(|policy| duration(policy, "window")),
            pre_start: Vec::new(),
            post_start: lifecycle::hooks(node, "post_start"),
            pre_stop: lifecycle::hooks(node, "pre_stop"),
            replicas: replicas(node),
            update: lifecycle::rollout(node, "update_config"),
            rollback: lifecycle::rollout(node, "rollback_config"),
            watch: lifecycle::watch(node),
            models: lifecycle::model_bindings(node),
            container_name: text(node, "container_name"),
            labels: pairs(node, "labels"),
            annotations: pairs(node, "annotations"),
            profiles: texts(node, "profiles"),
            attach: node.get("attach").is_none_or(Node::is_true),
            logging: logging(node),
            resources: resources::resources(node),
            ulimits: resources::ulimits(node),
            sysctls: pairs(node, "sysctls"),
            cap_add: capabilities(node, "cap_add"),
            cap_drop: capabilities(node, "cap_drop"),
            privileged: flag(node, "privileged"),
            security_opt: texts(node, "security_opt")
                .into_iter()
                .map(with_equals)
                .collect(),
            devices: device::devices(node),
            device_cgroup_rules: device::rules(node),
            device_requests: device::requests(node),
            storage_opt: pairs(node, "storage_opt"),
            userns: match node.text_at("userns_mode") {
                Some("host") => UserNamespace::Host,
                _ => UserNamespace::Default,
            },
            use_api_socket: flag(node, "use_api_socket"),
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

/// A provider runs the service whatever image it names; a build makes the image that `image` names.
fn image(node: &Node) -> ImageSource {
    let image = text(node, "image");
    match (node.get("provider"), node.get("build")) {
        (Some(provider), _) => ImageSource::Provider(lifecycle::provider(provider)),
        (None, Some(section)) => ImageSource::Build {
            image,
            build: Box::new(build(section)),
        },
        (None, None) => ImageSource::Pull {
            image: image.unwrap_or_default(),
        },
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
    if let Some(policy) = restart_policy(node) {
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

fn restart_policy(node: &Node) -> Option<&Node> {
    node.get("deploy")?.get("restart_policy")
}

/// `name[:alias]`
fn external_links(node: &Node) -> Vec<ExternalLink> {
    texts(node, "external_links")
        .into_iter()
        .map(|link| {
            let (container, alias) = link.split_once(':').unwrap_or((&link, &link));
            ExternalLink {
                container: container.to_owned(),
                alias: alias.to_owned(),
            }
        })
        .collect()
}

/// `service[:mode]` or `container:name[:mode]`
fn volumes_from(node: &Node) -> Vec<VolumesFrom> {
    let owner = |text: &str| {
        let container = text.strip_prefix("container:");
        let rest = container.unwrap_or(text);
        let (name, mode) = rest.split_once(':').unwrap_or((rest, ""));
        let from = if container.is_some() {
            MountOwner::Container(name.to_owned())
        } else {
            MountOwner::Service(name.parse().ok()?)
        };
        let read_only = mode.split(',').any(|option| option == "ro");
        Some(VolumesFrom { from, read_only })
    };
    texts(node, "volumes_from")
        .iter()
        .filter_map(|text| owner(text))
        .collect()
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
