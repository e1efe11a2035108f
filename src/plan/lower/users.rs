//! Users of the container on the host: `userns_mode`, and `x-stack.userns` of a service or of the project.

use compose_spec::model::UserNamespace;
use runtime::spec::UserMap;
use sha2::{Digest as _, Sha256};

use super::{LowerInput, error::Checks};
use crate::model::UserRange;

/// Ids that each project gets: as many as an image's files can sensibly have owners.
const IDS: u32 = 65_536;
/// Section of our own settings in a service or project.
const SECTION: &str = "x-stack";

/// Capabilities that count in the host's user namespace only, or over namespaces that belong to it, as the network's does
/// (capabilities(7), user_namespaces(7)): a container with users of its own has them in name.
const NOT_ITS_OWN: [&str; 18] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "IPC_LOCK",
    "LINUX_IMMUTABLE",
    "MKNOD",
    "NET_ADMIN",
    "NET_RAW",
    "PERFMON",
    "SYS_BOOT",
    "SYS_MODULE",
    "SYS_PACCT",
    "SYS_RAWIO",
    "SYS_TIME",
    "SYSLOG",
    "WAKE_ALARM",
];

/// Lowers the users; `None` = they are the host's. Tells of capabilities that were asked for and have no effect with them.
pub(super) fn lower(input: &LowerInput<'_>, checks: &mut Checks<'_>) -> Option<UserMap> {
    let users = map(input, checks)?;
    let added = &input.new.service.cap_add;
    let plain = |name: &String| {
        let upper = name.to_ascii_uppercase();
        upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
    };
    let mut without: Vec<_> = added.iter().map(plain).collect();
    if without.iter().any(|name| name == "ALL") {
        without = NOT_ITS_OWN.map(str::to_owned).to_vec();
    }
    without.retain(|name| NOT_ITS_OWN.contains(&name.as_str()));
    without.sort();
    without.dedup();
    if !without.is_empty() {
        checks.warn(format!(
            "`cap_add` of {} has no effect with users of its own (`x-stack.userns: auto`): they count on the host only",
            without.join(", ")
        ));
    }
    Some(users)
}

fn map(input: &LowerInput<'_>, checks: &mut Checks<'_>) -> Option<UserMap> {
    let service = &input.new.service;
    if service.userns == UserNamespace::Host {
        return None;
    }
    let own = service.extensions.get(SECTION);
    let section = own
        .filter(|section| section.get("userns").is_some())
        .or_else(|| input.project.extensions.get(SECTION))?;
    let wanted = section.get("userns")?;
    match wanted.as_str() {
        Some("host") => return None,
        Some("auto") => {}
        _ => {
            let text = wanted.to_string();
            checks.invalid("x-stack.userns", "mode", text, "it is `auto` or `host`");
            return None;
        }
    }
    if service.privileged {
        checks.conflict("x-stack.userns", "`privileged`", "users of its own");
        return None;
    }
    let UserRange { first, count } = input.host.users;
    let slots = count / IDS;
    if slots == 0 {
        let text = format!("{first}:{count}");
        checks.invalid(
            "x-stack.userns",
            "range of user `stack` in /etc/subuid and /etc/subgid",
            text,
            "it needs 65536 ids at least",
        );
        return None;
    }
    Some(UserMap::of_range(first + slot(input, slots) * IDS, IDS))
}

/// The project's place in the range that it gets if nobody has it: it follows from its name, so that hosts give the same where they can.
/// What it has got is recorded (`store::take_users`).
fn slot(input: &LowerInput<'_>, slots: u32) -> u32 {
    let sum = Sha256::digest(input.project.name.as_str());
    let number = u32::from_be_bytes([sum[0], sum[1], sum[2], sum[3]]);
    number % slots
}
