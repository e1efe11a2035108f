//! Volumes: which are made, and what happens to one whose definition changed.

use std::collections::BTreeMap;

use compose_spec::model::{MountSource, Service, Volume};
use indexmap::IndexMap;

use super::{Action, ChangedVolumes, Inputs, Mode, PlanError, StepId, graph::Draft};
use crate::model::{Backing, SubjectKind, VolumeRecord};

/// Volumes that are made anew, by full name: why, and the step that removes the old one. Every container that mounts one goes with it.
pub(super) type Renewed = BTreeMap<String, (String, StepId)>;

/// Returns the full names of a service's named volumes in the order of its mounts, each once.
pub(super) fn names(volumes: &IndexMap<String, Volume>, service: &Service) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for mount in &service.mounts {
        if let MountSource::Volume { key, .. } = &mount.source
            && let Some(volume) = volumes.get(key)
            && !names.contains(&volume.name)
        {
            names.push(volume.name.clone());
        }
    }
    names
}

/// Plans all volumes that the call is about.
pub(super) fn plan(
    inputs: &Inputs<'_>,
    used: &dyn Fn(&str) -> bool,
    draft: &mut Draft,
    errors: &mut Vec<PlanError>,
) -> Renewed {
    let mut renewed = Renewed::new();
    for (key, volume) in inputs
        .project
        .volumes
        .iter()
        .filter(|(_, volume)| used(&volume.name))
    {
        if draft.volumes.contains_key(&volume.name) {
            continue;
        }
        if let Err(error) = plan_one(inputs, (key, volume), draft, &mut renewed) {
            errors.push(error);
        }
    }
    renewed
}

fn plan_one(
    inputs: &Inputs<'_>,
    (key, volume): (&str, &Volume),
    draft: &mut Draft,
    renewed: &mut Renewed,
) -> Result<(), PlanError> {
    let known = inputs.observed.volumes.get(&volume.name);
    if volume.external {
        return if known.is_some() {
            Ok(())
        } else {
            Err(PlanError::ExternalVolumeMissing {
                key: key.to_owned(),
                name: volume.name.clone(),
            })
        };
    }
    if !VolumeRecord::is_name(&volume.name) {
        return Err(PlanError::VolumeUnsupported {
            key: key.to_owned(),
            field: "name",
            what: format!("the name `{}`", volume.name),
        });
    }
    Backing::of(volume).map_err(|unsupported| PlanError::VolumeUnsupported {
        key: key.to_owned(),
        field: unsupported.field,
        what: unsupported.what,
    })?;
    let protect = VolumeRecord::wants_protection(volume);
    let protect = protect.map_err(|value| PlanError::VolumeUnsupported {
        key: key.to_owned(),
        field: "x-stack",
        what: format!("`protect: {value}`: it is `true` or `false`"),
    })?;
    let Some(known) = known else {
        ensure(inputs, (key, volume), "not there", draft);
        return Ok(());
    };
    if inputs.options.mode == Mode::Enforce {
        return Ok(());
    }
    if known.project.as_ref() != Some(&inputs.project.name) {
        let owner = match &known.project {
            Some(project) => format!("was made for project `{project}`"),
            None => "was not made by a project".to_owned(),
        };
        draft.plan.notices.push(format!(
            "volume `{}` exists but {owner}; declare it `external: true` to use it without this notice",
            volume.name
        ));
        return Ok(());
    }
    if let Some(change) = difference(known, volume) {
        change_volume(inputs, (key, volume), change, (draft, renewed));
    } else if protect && !known.protected {
        ensure(inputs, (key, volume), "x-stack.protect", draft);
    }
    Ok(())
}

/// A volume holds data: it stays as it is, or the user is asked.
fn change_volume(
    inputs: &Inputs<'_>,
    (key, volume): (&str, &Volume),
    change: String,
    (draft, renewed): (&mut Draft, &mut Renewed),
) {
    let name = &volume.name;
    let protect = VolumeRecord::wants_protection(volume).unwrap_or(true);
    if protect
        || known_protected(inputs, name)
        || inputs.options.changed_volumes == ChangedVolumes::Keep
    {
        draft.plan.notices.push(format!(
            "volume `{name}` differs from the Compose file ({change}) and is kept as it is"
        ));
        return;
    }
    if draft.images_first {
        return;
    }
    draft.plan.confirmations.push(format!(
        "volume `{name}` differs from the Compose file ({change}). Make it anew? Its data will be lost"
    ));
    let remove = draft.step(
        (SubjectKind::Volume, name),
        Action::RemoveVolume { name: name.clone() },
        &*change,
    );
    let step = ensure(inputs, (key, volume), &change, draft);
    draft.needs(step, remove);
    renewed.insert(name.clone(), (change, remove));
}

/// What the user forbade to remove is never made anew.
fn known_protected(inputs: &Inputs<'_>, name: &str) -> bool {
    let known = inputs.observed.volumes.get(name);
    known.is_some_and(|record| record.protected)
}

fn ensure(
    inputs: &Inputs<'_>,
    (key, volume): (&str, &Volume),
    cause: &str,
    draft: &mut Draft,
) -> StepId {
    let record = VolumeRecord {
        version: VolumeRecord::VERSION,
        name: volume.name.clone(),
        project: Some(inputs.project.name.clone()),
        key: Some(key.to_owned()),
        wanted: Some(volume.clone()),
        created: inputs.now,
        protected: VolumeRecord::wants_protection(volume).unwrap_or(false),
    };
    let action = Action::EnsureVolume(Box::new(record));
    let step = draft.step((SubjectKind::Volume, &volume.name), action, cause);
    draft.volumes.insert(volume.name.clone(), step);
    step
}

/// Says what of a volume's definition changed; labels do not matter to its data.
fn difference(known: &VolumeRecord, volume: &Volume) -> Option<String> {
    let old = known.wanted.as_ref()?;
    let driver = |volume: &Volume| volume.driver.clone().unwrap_or_else(|| "local".to_owned());
    if driver(old) != driver(volume) {
        return Some(format!("driver {} -> {}", driver(old), driver(volume)));
    }
    let mut keys = old.driver_opts.keys().chain(volume.driver_opts.keys());
    let changed = keys.find(|key| old.driver_opts.get(*key) != volume.driver_opts.get(*key))?;
    Some(format!("driver_opts.{changed} changed"))
}
