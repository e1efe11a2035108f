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

/// Lowers the users; `None` = they are the host's.
pub(super) fn lower(input: &LowerInput<'_>, checks: &mut Checks<'_>) -> Option<UserMap> {
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

/// The project's place in the range follows from its name, so that its containers share files, and every host gives the same.
fn slot(input: &LowerInput<'_>, slots: u32) -> u32 {
    let sum = Sha256::digest(input.project.name.as_str());
    let number = u32::from_be_bytes([sum[0], sum[1], sum[2], sum[3]]);
    number % slots
}
