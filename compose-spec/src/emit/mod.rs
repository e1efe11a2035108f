//! Writes what `config` prints, as YAML or JSON: byte for byte what docker compose v5.6 prints for the same project.
//!
//! The two forms differ in more than syntax. JSON sorts the top level and writes `null` for a command that is not set; YAML
//! begins with the name and leaves out what is empty. Both write a service in the order of Compose's own structure,
//! which is [`SERVICE_ORDER`]. Where Compose's JSON lacks what its YAML has (`models`), the JSON here is complete.

mod natural;
mod scalar;
mod yaml;

use serde_json::{Map, Value};

/// Keys of the top level in the order of the YAML output; what is not named follows.
const TOP_ORDER: [&str; 7] = [
    "name", "services", "networks", "volumes", "secrets", "configs", "models",
];

/// Keys of a service in the order of both outputs; extensions follow. First what only a service has, then what it has in
/// common with the containers of its hooks, then the rest.
#[rustfmt::skip]
const SERVICE_ORDER: &[&str] = &[
    "profiles", "deploy", "develop", "provider", "restart", "scale", "attach", "container_name", "extends",
    "external_links", "links", "pre_start", "post_start", "pre_stop",
    "annotations", "blkio_config", "cap_add", "cap_drop", "cgroup_parent", "cgroup", "cpu_count", "cpu_percent",
    "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime", "cpus", "cpuset", "cpu_shares", "command", "configs",
    "credential_spec", "device_cgroup_rules", "devices", "dns", "dns_opt", "dns_search", "domainname", "entrypoint",
    "environment", "env_file", "extra_hosts", "group_add", "gpus", "hostname", "image", "init", "ipc", "isolation",
    "labels", "label_file", "logging", "mem_limit", "mem_reservation", "memswap_limit", "mem_swappiness", "mac_address",
    "models", "network_mode", "networks", "oom_kill_disable", "oom_score_adj", "pid", "pids_limit", "platform",
    "privileged", "pull_policy", "pull_refresh_after", "read_only", "runtime", "secrets", "security_opt", "shm_size",
    "stop_grace_period", "stop_signal", "storage_opt", "sysctls", "tmpfs", "ulimits", "use_api_socket", "user",
    "userns_mode", "uts", "volumes", "volumes_from", "working_dir", "per_replica",
    "build", "depends_on", "expose", "healthcheck", "ports", "stdin_open", "tty",
];

/// Keys below which names stand, not attributes: YAML sorts those as go-yaml sorts the keys of a map.
#[rustfmt::skip]
const MAPS: &[&str] = &[
    "additional_contexts", "annotations", "args", "aux_addresses", "configs", "depends_on", "driver_opts",
    "environment", "labels", "models", "networks", "options", "secrets", "services", "ssh", "storage_opt", "sysctls",
    "ulimits", "volumes",
];

/// Returns a project as YAML.
pub fn yaml(value: &Value) -> String {
    let mut value = with_service_order(value);
    leave_out_empty(&mut value);
    yaml::document(&in_order(&in_natural_order(value, "", false), &TOP_ORDER))
}

/// Returns a project as JSON, indented by two blanks. As Compose does, `x-*` keys of services are left to the YAML output.
pub fn json(value: &Value) -> String {
    let mut value = with_service_order(value);
    if let Some(services) = value.get_mut("services").and_then(Value::as_object_mut) {
        for (_, service) in services.iter_mut() {
            if let Some(service) = service.as_object_mut() {
                service.retain(|key, _| !key.starts_with("x-"));
            }
        }
    }
    escaped(&serde_json::to_string_pretty(&value).unwrap_or_default())
}

/// Returns a model that was not interpolated as YAML: every mapping sorted by key, nothing left out.
pub fn model_yaml(value: &Value) -> String {
    yaml::document(&in_natural_order(value.clone(), "", true))
}

/// Returns a model that was not interpolated as JSON: every mapping sorted by key, nothing left out.
pub fn model_json(value: &Value) -> String {
    escaped(&serde_json::to_string_pretty(&sorted(value)).unwrap_or_default())
}

/// Escapes what Go escapes for the sake of HTML, and characters that JSON allows and YAML does not, so that the output is
/// also a Compose file. Outside of strings none of them occurs.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if matches!(
            c,
            '<' | '>' | '&' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}'
        ) {
            let code = format!("\\u{:04x}", u32::from(c));
            out.push_str(&code);
        } else {
            out.push(c);
        }
    }
    out
}

fn with_service_order(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(services) = value.get_mut("services").and_then(Value::as_object_mut) {
        for (_, service) in services.iter_mut() {
            *service = in_order(service, SERVICE_ORDER);
            for hook in items_mut(service, "pre_start") {
                *hook = in_order(hook, SERVICE_ORDER);
            }
        }
    }
    value
}

/// Returns a mapping with the keys named first, in their order, and the others behind them.
fn in_order(value: &Value, order: &[&str]) -> Value {
    let Value::Object(map) = value else {
        return value.clone();
    };
    let known = order.iter().filter_map(|key| map.get_key_value(*key));
    let rest = map.iter().filter(|(key, _)| !order.contains(&key.as_str()));
    Value::Object(
        known
            .chain(rest)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect::<Map<_, _>>(),
    )
}

/// Sorts what is below a key: names, and everything below an extension or when `all` is.
fn in_natural_order(value: Value, key: &str, all: bool) -> Value {
    let all = all || key.starts_with("x-");
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map
                .into_iter()
                .map(|(key, value)| {
                    let value = in_natural_order(value, &key, all);
                    (key, value)
                })
                .collect();
            if all || MAPS.contains(&key) {
                entries.sort_by(|(a, _), (b, _)| natural::compare(a, b));
            }
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => Value::Array(
            items
                .into_iter()
                .map(|item| in_natural_order(item, "", all))
                .collect(),
        ),
        value => value,
    }
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            Value::Object(
                entries
                    .into_iter()
                    .map(|(key, value)| (key.clone(), sorted(value)))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        _ => value.clone(),
    }
}

fn items_mut<'v>(value: &'v mut Value, key: &str) -> impl Iterator<Item = &'v mut Value> {
    value
        .get_mut(key)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

/// Removes what the YAML form does not write: commands that are not set and sections with nothing in them.
fn leave_out_empty(value: &mut Value) {
    if let Some(services) = value.get_mut("services").and_then(Value::as_object_mut) {
        for (_, service) in services.iter_mut() {
            leave_out(service, &["command", "entrypoint"]);
            for hook in ["pre_start", "post_start", "pre_stop"] {
                items_mut(service, hook)
                    .for_each(|hook| leave_out(hook, &["command", "entrypoint"]));
            }
            if let Some(deploy) = service.get_mut("deploy") {
                leave_out(deploy, &["placement", "resources"]);
            }
            if let Some(develop) = service.get_mut("develop") {
                for rule in items_mut(develop, "watch") {
                    if let Some(exec) = rule.get_mut("exec") {
                        leave_out(exec, &["command"]);
                    }
                    leave_out(rule, &["exec"]);
                }
            }
        }
    }
    if let Some(networks) = value.get_mut("networks").and_then(Value::as_object_mut) {
        networks
            .iter_mut()
            .for_each(|(_, network)| leave_out(network, &["ipam"]));
    }
}

fn leave_out(value: &mut Value, keys: &[&str]) {
    if let Some(map) = value.as_object_mut() {
        map.retain(|key, value| {
            let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
            !(empty && keys.contains(&key.as_str()))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::SERVICE_ORDER;
    use crate::schema::SERVICE;

    #[test]
    fn the_order_names_every_attribute_once() {
        for field in SERVICE.fields {
            let count = SERVICE_ORDER.iter().filter(|key| **key == field.name);
            assert_eq!(count.count(), 1, "{}", field.name);
        }
    }
}
