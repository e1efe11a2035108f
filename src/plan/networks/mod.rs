//! Networks: which are made, repaired or made anew.

mod build;
mod record;

use std::collections::BTreeMap;

use compose_spec::model::{Network, NetworkMode, Service};

use super::{Action, Inputs, Mode, PlanError, StepId, addresses::Subnet, graph::Draft};
use crate::model::{NetworkRecord, SubjectKind};

use self::record::{BRIDGE_NAME, Ground, MTU, new_record};

pub use self::{
    build::{build_network, build_seat},
    record::standalone_network,
};

/// Driver options that the network area honours.
const DRIVER_OPTS: [&str; 5] = [
    BRIDGE_NAME,
    MTU,
    "com.docker.network.bridge.enable_icc",
    "com.docker.network.bridge.enable_ip_masquerade",
    "com.docker.network.bridge.host_binding_ipv4",
];

/// The networks of a plan, by key.
#[derive(Debug, Default)]
pub(super) struct Networks(BTreeMap<String, Planned>);

/// A network as it will be.
#[derive(Debug)]
pub(super) struct Planned {
    /// Its record.
    pub(super) record: NetworkRecord,
    /// The step that makes or repairs it.
    pub(super) step: Option<StepId>,
    /// It is made anew, for this reason: every container on it goes with it. The step that removes the old one.
    pub(super) renewed: Option<(String, StepId)>,
}

impl Networks {
    /// Returns a network by its key.
    pub(super) fn by_key(&self, key: &str) -> Option<&Planned> {
        self.0.get(key)
    }

    /// Returns a network by its full name.
    pub(super) fn by_name(&self, name: &str) -> Option<&Planned> {
        self.0.values().find(|planned| planned.record.name == name)
    }

    /// Tells whether any network is made anew.
    pub(super) fn renews(&self) -> bool {
        self.0.values().any(|planned| planned.renewed.is_some())
    }

    /// Tells whether a network, by its full name, is made anew.
    pub(super) fn is_renewed(&self, name: &str) -> bool {
        self.renewal(name).is_some()
    }

    /// Returns key and removing step of a network that is made anew, by its full name.
    pub(super) fn renewal(&self, name: &str) -> Option<(&str, StepId)> {
        let (key, planned) = self
            .0
            .iter()
            .find(|(_, planned)| planned.record.name == name)?;
        planned
            .renewed
            .as_ref()
            .map(|(_, step)| (key.as_str(), *step))
    }
}

/// Returns keys of a service's networks, eth0 first.
pub(super) fn keys(service: &Service) -> Vec<&String> {
    let NetworkMode::Networks(attachments) = &service.network else {
        return Vec::new();
    };
    let mut keys: Vec<&String> = attachments.keys().collect();
    keys.sort_by_key(|key| std::cmp::Reverse(attachments[*key].priority));
    keys
}

/// Plans all networks. `used` tells whether the call is about a network; others are only looked up.
pub(super) fn plan(
    inputs: &Inputs<'_>,
    used: &dyn Fn(&str) -> bool,
    draft: &mut Draft,
    errors: &mut Vec<PlanError>,
) -> Networks {
    let mut networks = Networks::default();
    for (key, network) in &inputs.project.networks {
        let known = inputs.observed.networks.get(&network.name);
        if !used(key) && known.is_none() {
            continue;
        }
        match plan_one(inputs, (key, network), (used(key), &networks), draft) {
            Ok(planned) => {
                networks.0.insert(key.clone(), planned);
            }
            Err(error) => errors.push(error),
        }
    }
    networks
}

fn plan_one(
    inputs: &Inputs<'_>,
    (key, network): (&str, &Network),
    (used, others): (bool, &Networks),
    draft: &mut Draft,
) -> Result<Planned, PlanError> {
    let known = inputs.observed.networks.get(&network.name);
    if let Some(planned) = others.by_name(&network.name) {
        // Two keys with one `name:` are one network.
        return Ok(Planned {
            record: planned.record.clone(),
            step: planned.step,
            renewed: planned.renewed.clone(),
        });
    }
    let Some(known) = known else {
        if network.external {
            return Err(PlanError::ExternalNetworkMissing {
                key: key.to_owned(),
                name: network.name.clone(),
            });
        }
        let record = new_record(&Ground::of_plan(inputs, others, None), key, network, None)?;
        let step = ensure(draft, &record, "not there");
        return Ok(Planned {
            record,
            step: Some(step),
            renewed: None,
        });
    };
    let keep = |step| Planned {
        record: known.clone(),
        step,
        renewed: None,
    };
    let down = used && inputs.observed.networks_down.contains(&network.name);
    if !network.external && used && known.project.as_ref() != Some(&inputs.project.name) {
        return Err(PlanError::NetworkOfOtherProject {
            key: key.to_owned(),
            name: network.name.clone(),
            owner: known.project.clone(),
        });
    }
    let settled = network.external || !used || inputs.options.mode == Mode::Enforce;
    if settled || known.wanted == *network {
        return Ok(keep(
            down.then(|| ensure(draft, known, "its bridge is gone")),
        ));
    }
    let ground = Ground::of_plan(inputs, others, Some(known));
    let wanted = new_record(&ground, key, network, Some(known))?;
    let Some(cause) = difference(known, &wanted) else {
        // Only labels and the like: the record is written anew, nothing on the network notices.
        let record = NetworkRecord {
            wanted: network.clone(),
            ..known.clone()
        };
        let step = ensure(draft, &record, "its labels or address settings changed");
        return Ok(Planned {
            record,
            step: Some(step),
            renewed: None,
        });
    };
    if draft.images_first {
        return Ok(keep(
            down.then(|| ensure(draft, known, "its bridge is gone")),
        ));
    }
    renew(inputs, (key, known), (wanted, cause), draft)
}

/// Makes a network anew: its containers are removed first, which is the services' pass's to add.
fn renew(
    inputs: &Inputs<'_>,
    (key, known): (&str, &NetworkRecord),
    (wanted, cause): (NetworkRecord, String),
    draft: &mut Draft,
) -> Result<Planned, PlanError> {
    let own = |address| {
        let mut endpoints = inputs
            .observed
            .containers
            .iter()
            .flat_map(|c| &c.record.endpoints);
        endpoints.any(|endpoint| endpoint.network == known.name && endpoint.address == address)
    };
    let taken = inputs.observed.taken.addresses.get(&known.name);
    if taken.is_some_and(|addresses| addresses.iter().any(|address| !own(*address))) {
        return Err(PlanError::NetworkInUse {
            key: key.to_owned(),
            name: known.name.clone(),
        });
    }
    let action = Action::RemoveNetwork(Box::new(known.clone()));
    let remove = draft.step((SubjectKind::Network, &known.name), action, &*cause);
    let step = ensure(draft, &wanted, &cause);
    draft.needs(step, remove);
    Ok(Planned {
        record: wanted,
        step: Some(step),
        renewed: Some((cause, remove)),
    })
}

fn ensure(draft: &mut Draft, record: &NetworkRecord, cause: &str) -> StepId {
    let action = Action::EnsureNetwork(Box::new(record.clone()));
    let step = draft.step((SubjectKind::Network, &record.name), action, cause);
    draft.networks.insert(record.name.clone(), step);
    step
}

/// Adds the step that repairs a network that a container needs, once in a plan.
pub(super) fn repair(draft: &mut Draft, record: &NetworkRecord) -> StepId {
    match draft.networks.get(&record.name) {
        Some(step) => *step,
        None => ensure(draft, record, "a container on it is not connected"),
    }
}

/// Says why a network must be made anew; `None` = it can stay.
fn difference(known: &NetworkRecord, wanted: &NetworkRecord) -> Option<String> {
    let (old, new) = (&known.wanted, &wanted.wanted);
    let subnet = |record: &NetworkRecord| Subnet::of(record.subnet, record.prefix).to_string();
    let changes = [
        (
            "internal",
            old.internal.to_string(),
            new.internal.to_string(),
        ),
        (
            "enable_ipv6",
            old.enable_ipv6.to_string(),
            new.enable_ipv6.to_string(),
        ),
        ("subnet", subnet(known), subnet(wanted)),
        (
            "gateway",
            known.gateway.to_string(),
            wanted.gateway.to_string(),
        ),
        ("bridge", known.bridge.clone(), wanted.bridge.clone()),
        ("mtu", known.mtu.to_string(), wanted.mtu.to_string()),
    ];
    let mut texts: Vec<String> = changes
        .into_iter()
        .filter(|(_, old, new)| old != new)
        .map(|(name, old, new)| format!("{name} {old} -> {new}"))
        .collect();
    if texts.is_empty() && old.driver_opts != new.driver_opts {
        texts.push("driver_opts changed".to_owned());
    }
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// Says what of a network has no effect.
pub(super) fn notices(inputs: &Inputs<'_>, used: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut texts = Vec::new();
    for (key, network) in inputs.project.networks.iter().filter(|(key, _)| used(key)) {
        if network.external {
            continue;
        }
        if network.enable_ipv6 {
            texts.push(format!("network `{key}`: `enable_ipv6` has no effect yet"));
        }
        for option in network
            .driver_opts
            .keys()
            .filter(|o| !DRIVER_OPTS.contains(&o.as_str()))
        {
            texts.push(format!(
                "network `{key}`: driver option `{option}` has no effect"
            ));
        }
    }
    texts
}

/// dev_valid_name() of the kernel: 1 to 15 bytes without `/`, `:` and white space.
pub(super) fn is_interface_name(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && !matches!(name, "." | "..")
        && !name.contains(|c: char| matches!(c, '/' | ':' | '%') || c.is_whitespace())
}
