//! D1: what docker compose prints and then fails at, or never notices, is refused at load with its place.
//!
//! Each rule names an attribute and judges the value that docker compose printed for it: an error of this crate that no
//! rule explains fails the test.

use std::{collections::HashSet, net::IpAddr};

use serde_json::Value;

use crate::{case::Case, oracle::Refusal};

/// An attribute of a service whose value docker would refuse.
struct Rule {
    code: &'static str,
    /// The attribute, below the service.
    attribute: &'static str,
    /// Judges what docker compose printed.
    is_wrong: fn(&Value) -> bool,
}

const RULES: &[Rule] = &[
    Rule {
        code: "S0303",
        attribute: "working_dir",
        is_wrong: |value| !text(value).starts_with('/'),
    },
    Rule {
        code: "S0303",
        attribute: "image",
        is_wrong: |value| !is_image(text(value)),
    },
    Rule {
        code: "S0303",
        attribute: "domainname",
        is_wrong: |value| !is_host_name(text(value)),
    },
    Rule {
        code: "S0303",
        attribute: "environment",
        is_wrong: |value| {
            value.get("").is_some() || items(value).iter().any(|item| text(item).starts_with('='))
        },
    },
    Rule {
        code: "S0303",
        attribute: "sysctls",
        is_wrong: |value| {
            value
                .as_object()
                .is_some_and(|all| all.keys().any(|key| !key.contains('.')))
        },
    },
    Rule {
        code: "S0303",
        attribute: "security_opt",
        is_wrong: |value| items(value).iter().any(|item| text(item) == "a"),
    },
    Rule {
        code: "S0303",
        attribute: "env_file",
        is_wrong: |value| items(value).iter().any(|item| item["format"] == "x"),
    },
    Rule {
        code: "S0311",
        attribute: "mac_address",
        is_wrong: |value| text(value).split(':').count() != 6,
    },
    Rule {
        code: "S0312",
        attribute: "cpu_quota",
        is_wrong: |value| number(value).is_some_and(|quota| quota < 1000.0 && quota > -1.0),
    },
    Rule {
        code: "S0312",
        attribute: "mem_limit",
        is_wrong: |value| number(value).is_some_and(|limit| limit < 0.0),
    },
    Rule {
        code: "S0310",
        attribute: "tmpfs",
        is_wrong: |value| items(value).iter().any(|item| !is_tmpfs(text(item))),
    },
    Rule {
        code: "S0310",
        attribute: "volumes",
        is_wrong: |value| {
            items(value).iter().any(|item| {
                let target = text(&item["target"]);
                !target.starts_with('/')
                    || target == "/"
                    || target.contains(':')
                    || text(&item["source"]) == "a:b"
                    || item["type"] == "bind" && text(&item["source"]).is_empty()
            })
        },
    },
    Rule {
        code: "S0309",
        attribute: "expose",
        is_wrong: |value| {
            let is_right = |item: &Value| {
                let protocol = text(item).split('/').nth(1).unwrap_or("tcp");
                is_port(item) && ["tcp", "udp", "sctp"].contains(&protocol)
            };
            items(value).iter().any(|item| !is_right(item))
        },
    },
    Rule {
        code: "S0309",
        attribute: "ports",
        is_wrong: |value| {
            let published = |item: &Value| {
                let published = &item["published"];
                let is_plain = !text(published).contains('/') && is_port(published);
                published.is_null() || *published == "" || is_plain
            };
            let is_right = |item: &Value| is_port(&item["target"]) && published(item);
            items(value).iter().any(|item| !is_right(item))
        },
    },
    Rule {
        code: "S0311",
        attribute: "extra_hosts",
        is_wrong: |value| items(value).iter().any(|item| !is_extra_host(text(item))),
    },
    Rule {
        code: "S0303",
        attribute: "extra_hosts",
        is_wrong: |value| items(value).iter().any(|item| !is_extra_host(text(item))),
    },
    Rule {
        code: "S0303",
        attribute: "build",
        is_wrong: |value| {
            let hosts = items(&value["extra_hosts"]);
            hosts.iter().any(|item| !is_extra_host(text(item)))
        },
    },
    Rule {
        code: "S0303",
        attribute: "restart",
        is_wrong: |value| {
            let whole = text(value);
            let (policy, most) = whole.split_once(':').unwrap_or((whole, "1"));
            let known = ["no", "always", "on-failure", "unless-stopped"];
            !known.contains(&policy)
                || text(value).contains(':')
                    && (policy != "on-failure" || most.parse::<u32>().is_err())
        },
    },
    Rule {
        code: "S0312",
        attribute: "deploy",
        is_wrong: |value| text(&value["restart_policy"]["delay"]).starts_with('-'),
    },
    Rule {
        code: "S0312",
        attribute: "stop_grace_period",
        is_wrong: |value| text(value).starts_with('-'),
    },
    Rule {
        code: "S0312",
        attribute: "healthcheck",
        is_wrong: |value| text(&value["interval"]).starts_with('-'),
    },
    Rule {
        code: "S0303",
        attribute: "devices",
        is_wrong: |value| {
            let bad = |item: &Value| {
                let access = text(&item["permissions"]);
                access.is_empty() || !access.chars().all(|c| "rwm".contains(c))
            };
            items(value).iter().any(bad)
        },
    },
];

/// Returns whether an error may be one that docker compose does not have: `theirs` is what it printed.
pub(crate) fn may_refuse(case: &Case, found: &Refusal, theirs: &Value) -> bool {
    let services = &theirs["services"];
    match found.code.as_str() {
        "S0509" if found.message.contains("`container_name`") => is_twice(services, |service| {
            vec![text(&service["container_name"]).to_owned()]
        }),
        "S0509" => is_twice(services, addresses),
        "S0512" if found.message.contains("a fixed address") => each(services)
            .any(|service| is_scaled(service) && !addresses(service).concat().is_empty()),
        "S0507" => shares_network(found, services),
        "S0005" => case.is_merged() && found.text.contains('$'),
        "S0312"
            if found
                .message
                .contains("mem_reservation` is larger than the limit") =>
        {
            each(services)
                .any(|service| number(&service["mem_reservation"]) > number(&service["mem_limit"]))
        }
        "S0310" if found.message.ends_with(" is no option") => {
            let known = [
                "ro",
                "rw",
                "z",
                "Z",
                "nocopy",
                "cached",
                "delegated",
                "consistent",
                "rslave",
            ];
            let options = found.text.trim_matches('"').rsplit(':').next();
            options.is_some_and(|options| !options.split(',').all(|option| known.contains(&option)))
        }
        // It counts beyond the largest number of bytes, and begins anew.
        "S0312"
            if ["9999999999999999999", "100000000000"]
                .iter()
                .any(|many| found.text.contains(many)) =>
        {
            true
        }
        "S0204" if found.message.ends_with("a variable's name is missing") => {
            each(services).any(|service| service["environment"].get("").is_some())
        }
        // V1: laid over each other, the lists become mappings before they are judged.
        "S0308" if case.is_merged() => place(&found.message).is_some_and(|(_, attribute)| {
            ["models", "depends_on", "networks"].contains(&attribute)
        }),
        "S0511" | "S0512" => publishes_twice(services),
        "S0302" if found.message.contains(".dns_opt` must be a list") => case.is_merged(),
        "S0302" if found.message.contains(".environment.") => {
            case.is_merged() && found.text.starts_with('[')
        }
        _ => breaks_rule(found, services) || is_replaced(case, found, services),
    }
}

/// Returns the service and the attribute that a message names first: `services.a.ports[0].target`.
pub(crate) fn place(message: &str) -> Option<(&str, &str)> {
    let path = message.split('`').nth(1)?.strip_prefix("services.")?;
    let (service, attribute) = path.split_once('.')?;
    Some((service, attribute.split(['.', '[']).next()?))
}

fn breaks_rule(found: &Refusal, services: &Value) -> bool {
    let Some((service, attribute)) = place(&found.message) else {
        return false;
    };
    let value = &services[service][attribute];
    let fits = |rule: &&Rule| rule.code == found.code && rule.attribute == attribute;
    RULES
        .iter()
        .find(fits)
        .is_some_and(|rule| (rule.is_wrong)(value))
}

/// V1: a value that is wrong is wrong also where a later document lays another one over it.
fn is_replaced(case: &Case, found: &Refusal, services: &Value) -> bool {
    let Some((service, attribute)) = place(&found.message) else {
        return false;
    };
    let of_value = matches!(found.code.as_str(), "S0302" | "S0303" | "S0308" | "S0312");
    let printed = &services[service][attribute];
    let written = found.text.trim_matches(['\'', '"', '[', ']']);
    case.is_merged()
        && of_value
        && !found.text.is_empty()
        && *printed != *written
        && !printed.to_string().contains(&format!("\"{written}\""))
}

fn each(services: &Value) -> impl Iterator<Item = &Value> {
    services
        .as_object()
        .into_iter()
        .flat_map(|all| all.values())
}

fn is_twice(services: &Value, names: impl Fn(&Value) -> Vec<String>) -> bool {
    let mut seen = HashSet::new();
    each(services)
        .flat_map(names)
        .filter(|name| !name.is_empty())
        .any(|name| !seen.insert(name))
}

fn is_scaled(service: &Value) -> bool {
    let replicas = number(&service["scale"]).or_else(|| number(&service["deploy"]["replicas"]));
    replicas.is_some_and(|replicas| replicas > 1.0)
}

fn addresses(service: &Value) -> Vec<String> {
    let networks = service["networks"].as_object().into_iter().flatten();
    let addresses = networks.flat_map(|(_, network)| {
        ["ipv4_address", "ipv6_address"].map(|key| text(&network[key]).to_owned())
    });
    addresses.collect()
}

/// Two containers, of two services or of one with several replicas, cannot have one port of the host.
fn publishes_twice(services: &Value) -> bool {
    let mut seen = HashSet::new();
    each(services).any(|service| {
        let several = is_scaled(service);
        let ports = items(&service["ports"])
            .iter()
            .filter(|port| number(&port["published"]).is_some_and(|port| port > 0.0));
        let mut ports = ports.map(|port| {
            (
                text(&port["published"]).to_owned(),
                text(&port["protocol"]).to_owned(),
            )
        });
        ports.any(|port| several || !seen.insert(port))
    })
}

/// What belongs to the network cannot be set beside a network that is another container's.
fn shares_network(found: &Refusal, services: &Value) -> bool {
    let service = found.message.split('`').nth(1).unwrap_or_default();
    let mode = text(&services[service]["network_mode"]);
    mode.starts_with("service:") || mode.starts_with("container:")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

fn is_port(value: &Value) -> bool {
    let shown = value
        .as_u64()
        .map_or_else(|| text(value).to_owned(), |number| number.to_string());
    let range = shown.split('/').next().unwrap_or_default();
    let ports: Vec<u16> = range
        .split('-')
        .map_while(|port| port.parse().ok())
        .collect();
    let whole = ports.len() == range.split('-').count() && ports.len() <= 2;
    whole && ports[0] > 0 && ports.is_sorted()
}

fn is_extra_host(text: &str) -> bool {
    let (host, address) = text.split_once('=').unwrap_or((text, ""));
    !host.is_empty() && (address == "host-gateway" || address.parse::<IpAddr>().is_ok())
}

fn is_tmpfs(text: &str) -> bool {
    let size = text
        .split(['=', ':', ','])
        .skip_while(|part| *part != "size")
        .nth(1);
    let digits = |size: &str| {
        size.trim_end_matches(['k', 'm', 'g', '%'])
            .chars()
            .all(|c| c.is_ascii_digit())
    };
    size.is_none_or(|size| !size.is_empty() && digits(size))
}

/// `[host[:port]/]path[:tag][@digest]`
fn is_image(text: &str) -> bool {
    let (name, digest) = text.split_once('@').unwrap_or((text, "sha256:"));
    let (path, tag) = match name.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, tag),
        _ => (name, "latest"),
    };
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = |part: &str| {
        part.starts_with(word)
            && part.ends_with(word)
            && part.chars().all(|c| word(c) || "._-:".contains(c))
    };
    let hex = digest.strip_prefix("sha256:").unwrap_or("none");
    let is_host = |part: &str| path.contains('/') && part.split(':').count() <= 2;
    path.split('/')
        .enumerate()
        .all(|(at, part)| fits(part) && (at == 0 && is_host(part) || !part.contains(':')))
        && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && (hex.is_empty() || hex.len() == 64)
}

fn is_host_name(text: &str) -> bool {
    text.is_empty()
        || text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        || text.parse::<IpAddr>().is_ok()
}
