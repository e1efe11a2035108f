//! Values that Compose lets through and the kernel or the container refuses later: each is judged here, with its line.

use std::net::IpAddr;

use super::{limits, words};
use crate::{
    diagnostic::{Code, Diagnostic, Sink, Span},
    yaml::Node,
};

/// Longest host name of Linux, `sethostname(2)`.
const HOSTNAME_MAX: usize = 64;

/// Checks the values of one service.
pub(super) fn check(name: &str, service: &Node, sink: &mut Sink) {
    let mut checks = Checks {
        path: format!("services.{name}"),
        sink,
    };
    checks.image(service);
    checks.words(service);
    checks.ulimits(service);
    checks.names(service);
    checks.addresses(service);
    checks.tmpfs(service);
    checks.health(service);
    checks.sysctls(service);
    limits::check(&mut checks, service);
}

/// Where findings go, and what they are about.
pub(super) struct Checks<'a> {
    path: String,
    sink: &'a mut Sink,
}

impl Checks<'_> {
    /// Reports a value. `what` completes the sentence "`services.web.KEY` …".
    pub(super) fn refuse(&mut self, code: Code, key: &str, span: Span, what: &str) {
        self.refuse_with(code, key, (span, ""), what, &[]);
    }

    /// Reports a value, with words at its place and suggestions.
    pub(super) fn refuse_with(
        &mut self,
        code: Code,
        key: &str,
        (span, label): (Span, &str),
        what: &str,
        help: &[String],
    ) {
        let message = format!("`{}.{key}` {what}", self.path);
        let mut diagnostic = Diagnostic::error(code, message).at(span, label);
        for help in help {
            diagnostic = diagnostic.help(help.clone());
        }
        self.sink.push(diagnostic);
    }

    /// Reports a value beside another that it contradicts.
    pub(super) fn refuse_beside(
        &mut self,
        code: Code,
        key: &str,
        span: Span,
        what: &str,
        (other, label): (Span, &str),
    ) {
        let message = format!("`{}.{key}` {what}", self.path);
        let diagnostic = Diagnostic::error(code, message).at(span, "");
        self.sink.push(diagnostic.and(other, label));
    }

    fn image(&mut self, service: &Node) {
        for (key, node) in [
            ("image", service.get("image")),
            ("platform", service.get("platform")),
        ] {
            let Some(node) = node else { continue };
            let text = node.as_text().unwrap_or_default();
            if text.is_empty() {
                continue;
            }
            let fault = match key {
                "image" => words::image_fault(text),
                _ => words::platform_fault(text),
            };
            if let Some(fault) = fault {
                let what = match key {
                    "image" => "is not the name of an image",
                    _ => "is not a platform",
                };
                self.refuse_with(Code::BadValue, key, (node.span, fault), what, &[]);
            }
        }
    }

    /// Capabilities, options of confinement, rules for devices.
    fn words(&mut self, service: &Node) {
        for key in ["cap_add", "cap_drop"] {
            for item in service.items_at(key) {
                let text = item.as_text().unwrap_or_default();
                if !words::is_capability(text) {
                    let help = words::near_capability(text);
                    let what = "lists a capability that the kernel does not have";
                    let help: Vec<String> = help.into_iter().collect();
                    self.refuse_with(Code::BadValue, key, (item.span, ""), what, &help);
                }
            }
        }
        for item in service.items_at("security_opt") {
            let text = item.as_text().unwrap_or_default();
            if let Some(help) = words::security_option_fault(text) {
                let what = "lists an option that does not exist";
                self.refuse_with(
                    Code::BadValue,
                    "security_opt",
                    (item.span, ""),
                    what,
                    &[help],
                );
            }
        }
        for item in service.items_at("device_cgroup_rules") {
            if !words::is_device_rule(item.as_text().unwrap_or_default()) {
                let what = "lists something that is no rule";
                let help =
                    "the form is `TYPE MAJOR:MINOR ACCESS`, for example `c 189:* rmw`".to_owned();
                self.refuse_with(
                    Code::BadValue,
                    "device_cgroup_rules",
                    (item.span, ""),
                    what,
                    &[help],
                );
            }
        }
    }

    fn ulimits(&mut self, service: &Node) {
        for (name, entry) in service.entries_at("ulimits") {
            let lower = name.to_ascii_lowercase();
            if !words::ULIMITS.contains(&lower.as_str()) {
                let near = crate::diagnostic::nearest(&lower, words::ULIMITS.iter().copied());
                let help = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("limits are {}", words::ULIMITS.join(", ")),
                };
                let key = format!("ulimits.{name}");
                self.refuse_with(
                    Code::BadValue,
                    &key,
                    (entry.key_span, ""),
                    "is no limit of the kernel",
                    &[help],
                );
            }
            let limit = |key| entry.value.get(key).and_then(Node::as_int);
            if let (Some(soft), Some(hard)) = (limit("soft"), limit("hard"))
                && hard != -1
                && (soft > hard || soft == -1)
            {
                let key = format!("ulimits.{name}");
                let hard = entry
                    .value
                    .get("hard")
                    .map_or(entry.key_span, |node| node.span);
                let soft = entry
                    .value
                    .get("soft")
                    .map_or(entry.key_span, |node| node.span);
                let what = "has a soft limit above the hard one";
                self.refuse_beside(
                    Code::BadQuantity,
                    &key,
                    soft,
                    what,
                    (hard, "the hard limit"),
                );
            }
        }
    }

    fn names(&mut self, service: &Node) {
        for key in ["hostname", "domainname"] {
            let Some(node) = service.get(key) else {
                continue;
            };
            let text = node.as_text().unwrap_or_default();
            if text.len() > HOSTNAME_MAX {
                let what = format!("is longer than {HOSTNAME_MAX} bytes, the kernel's limit");
                self.refuse(Code::BadValue, key, node.span, &what);
            } else if text.contains(|c: char| c.is_whitespace() || matches!(c, '/' | ':' | '@')) {
                let what = "is not a host name";
                let label = "letters, digits, `-` and `.` make one";
                self.refuse_with(Code::BadValue, key, (node.span, label), what, &[]);
            }
        }
        if let Some(node) = service.get("working_dir")
            && let Some(text) = node.as_text()
            && !text.is_empty()
            && !text.starts_with('/')
        {
            let label = "a path in the container begins with `/`";
            let what = "must be an absolute path";
            self.refuse_with(Code::BadValue, "working_dir", (node.span, label), what, &[]);
        }
    }

    fn addresses(&mut self, service: &Node) {
        for item in service.items_at("dns") {
            if item
                .as_text()
                .is_none_or(|text| text.parse::<IpAddr>().is_err())
            {
                let label = "name servers are given by address";
                self.refuse_with(
                    Code::BadAddress,
                    "dns",
                    (item.span, label),
                    "lists something that is no IP address",
                    &[],
                );
            }
        }
        for item in service.items_at("extra_hosts") {
            let text = item.as_text().unwrap_or_default();
            let address = text.split_once('=').map_or("", |(_, address)| address);
            if address != "host-gateway" && address.parse::<IpAddr>().is_err() {
                let label = "an IP address or `host-gateway` is wanted behind the name";
                self.refuse_with(
                    Code::BadAddress,
                    "extra_hosts",
                    (item.span, label),
                    "maps a host to something that is no address",
                    &[],
                );
            }
        }
        let own = service
            .get("mac_address")
            .map(|node| ("mac_address".to_owned(), node));
        let attached = service
            .entries_at("networks")
            .filter_map(|(network, entry)| {
                let node = entry.value.get("mac_address")?;
                Some((format!("networks.{network}.mac_address"), node))
            });
        for (key, node) in own.into_iter().chain(attached) {
            if !words::is_mac_address(node.as_text().unwrap_or_default()) {
                let label = "six pairs of hexadecimal digits, the first one even";
                self.refuse_with(
                    Code::BadAddress,
                    &key,
                    (node.span, label),
                    "is not the address of an interface",
                    &[],
                );
            }
        }
    }

    fn tmpfs(&mut self, service: &Node) {
        for item in service.items_at("tmpfs") {
            let text = item.as_text().unwrap_or_default();
            let options = text.split_once(':').map_or("", |(_, options)| options);
            for option in options.split(',').filter(|option| !option.is_empty()) {
                if let Some(fault) = words::tmpfs_option_fault(option) {
                    self.refuse_with(
                        Code::BadMount,
                        "tmpfs",
                        (item.span, &fault),
                        "has an option that tmpfs does not take",
                        &[],
                    );
                }
            }
        }
        for (index, volume) in service.items_at("volumes").iter().enumerate() {
            let key = format!("volumes[{index}]");
            if volume.text_at("target") == Some("/") {
                let target = volume.get("target").map_or(volume.span, |node| node.span);
                self.refuse(
                    Code::BadMount,
                    &key,
                    target,
                    "covers the whole container: its target is `/`",
                );
            }
            for section in ["volume", "image"] {
                if let Some(node) = volume
                    .get(section)
                    .and_then(|options| options.get("subpath"))
                    && let Some(text) = node.as_text()
                    && (text.starts_with('/') || text.split('/').any(|part| part == ".."))
                {
                    let label = "a relative path without `..`";
                    self.refuse_with(
                        Code::BadMount,
                        &key,
                        (node.span, label),
                        "has a `subpath` that leads out of it",
                        &[],
                    );
                }
            }
        }
    }

    fn health(&mut self, service: &Node) {
        let Some(check) = service.get("healthcheck") else {
            return;
        };
        if let Some(test) = check.get("test")
            && test.items().len() == 1
            && test.items()[0].as_text() != Some("NONE")
        {
            let what = "names no command";
            self.refuse(Code::BadValue, "healthcheck.test", test.span, what);
        }
        if let Some(retries) = check.get("retries")
            && retries.as_int().is_some_and(|retries| retries < 0)
        {
            self.refuse(
                Code::BadQuantity,
                "healthcheck.retries",
                retries.span,
                "must not be negative",
            );
        }
    }

    fn sysctls(&mut self, service: &Node) {
        for (key, entry) in service.entries_at("sysctls") {
            let Some(fault) = words::sysctl_fault(key) else {
                if let Some(conflict) = words::shared_namespace(key, service) {
                    let what = "would change the host, whose namespace the service shares";
                    let key = format!("sysctls.{key}");
                    self.refuse_beside(
                        Code::Conflict,
                        &key,
                        entry.key_span,
                        what,
                        (conflict.span, "shared here"),
                    );
                }
                continue;
            };
            let label = "a container has its own net.*, kernel.msg*, kernel.sem, kernel.shm* and fs.mqueue.*";
            let help: Vec<String> = Some(fault)
                .filter(|help| !help.is_empty())
                .map(str::to_owned)
                .into_iter()
                .collect();
            let key = format!("sysctls.{key}");
            self.refuse_with(
                Code::BadValue,
                &key,
                (entry.key_span, label),
                "is not a setting of containers",
                &help,
            );
        }
    }
}
