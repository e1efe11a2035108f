//! Volumes by themselves: made, renamed, protected, and removed when nothing uses them.
//!
//! A container is on record before it starts and until it is gone, and it names its volumes; while one is being made, the lock of
//! [`volume::hold_uses`] is held. So under [`volume::freeze_uses`] the records tell all users of a volume, whatever happens beside.

use compose_spec::model::{ProjectName, Volume};

use super::{container::random_bytes, now};
use crate::{
    container::{self, ContainerError},
    model::{ANONYMOUS_LABEL, Backing, ContainerId, ContainerRecord, VolumeRecord},
    protocol::VolumeRequest,
    store::{Meter, Root},
    volume::{self, VolumeError},
};

/// Why a volume was not made, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum VolumeChangeError {
    /// The volume itself.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// It is not known who uses it.
    #[error("find out who uses volume `{name}`")]
    Users {
        /// The volume.
        name: String,
        /// What happened.
        #[source]
        source: ContainerError,
    },
    /// Containers have it, running or not.
    #[error("volume `{name}` is in use by {}", users.join(", "))]
    InUse {
        /// The volume.
        name: String,
        /// Names of the containers.
        users: Vec<String>,
    },
    /// The user forbade its removal.
    #[error("volume `{name}` is protected")]
    Protected {
        /// The volume.
        name: String,
    },
    /// Its project is wanted, and would make another one of this name.
    #[error("volume `{name}` belongs to project `{project}`, which is up")]
    Wanted {
        /// The volume.
        name: String,
        /// The project.
        project: ProjectName,
    },
    /// There is another one of that name.
    #[error("volume `{name}` exists already with another driver or other options")]
    Differs {
        /// The volume.
        name: String,
    },
}

impl VolumeChangeError {
    /// Tells whether the volume stays because somebody needs it, and nothing went wrong.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::InUse { .. } | Self::Protected { .. })
    }

    /// The next thing to do.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Protected { name } => vec![format!(
                "`stack volume unprotect {name}` allows its removal"
            )],
            Self::Wanted { project, .. } => {
                vec![format!("`stack -p {project} down` leaves the volume")]
            }
            Self::InUse { .. } => {
                vec!["`stack down` or `stack rm` removes the containers".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

/// What was changed, and what could not be.
#[derive(Debug, Default)]
pub struct VolumeChanges {
    /// Names of the volumes that it was done to.
    pub names: Vec<String>,
    /// What removed ones took of the disk.
    pub reclaimed_bytes: u64,
    /// Why it was not done to others.
    pub errors: Vec<VolumeChangeError>,
}

/// Does what a call asks. `wanted`: the projects of which something is wanted. Blocks.
pub fn change_volumes(
    root: &Root,
    request: VolumeRequest,
    wanted: &[ProjectName],
) -> VolumeChanges {
    match request {
        VolumeRequest::Create {
            name,
            driver,
            options,
            labels,
        } => {
            let mut volume = Volume {
                name: String::new(),
                external: false,
                driver,
                driver_opts: options,
                labels,
                extensions: indexmap::IndexMap::new(),
            };
            volume.name = name.unwrap_or_else(|| {
                volume
                    .labels
                    .insert(ANONYMOUS_LABEL.to_owned(), String::new());
                ContainerId::from_bytes(random_bytes()).as_str().to_owned()
            });
            each([volume.name.clone()], |_| create(root, volume.clone()))
        }
        VolumeRequest::Remove { names, force } => each(names, |name| {
            if !force {
                known(root, name)?;
            }
            remove_unused(root, name).map(|()| true)
        }),
        VolumeRequest::Prune { names } => {
            let mut reclaimed_bytes = 0;
            let changes = each(names, |name| {
                let bytes = measure(root, name)?;
                let is_removed = prune(root, name, wanted)?;
                reclaimed_bytes += if is_removed { bytes } else { 0 };
                Ok(is_removed)
            });
            VolumeChanges {
                reclaimed_bytes,
                ..changes
            }
        }
        VolumeRequest::Rename { from, to } => each([to], |to| {
            let _frozen = volume::freeze_uses(root)?;
            refuse_used(root, &from)?;
            if let Some(project) = known(root, &from)?.project
                && wanted.contains(&project)
            {
                let name = from.clone();
                return Err(VolumeChangeError::Wanted { name, project });
            }
            volume::rename(root, &from, to)?;
            Ok(true)
        }),
        VolumeRequest::Backup { .. }
        | VolumeRequest::Copy { .. }
        | VolumeRequest::Restore { .. } => unreachable!("they are carried out by `backup`"),
        VolumeRequest::Protect { names, protected } => each(names, |name| {
            volume::set_protected(root, name, protected)?;
            Ok(true)
        }),
    }
}

/// Removes a volume that no container has.
pub(super) async fn remove(root: &Root, name: &str) -> Result<(), VolumeChangeError> {
    let (root, name) = (root.clone(), name.to_owned());
    tokio::task::spawn_blocking(move || remove_unused(&root, &name))
        .await
        .expect("file work does not panic")
}

/// Tells whether a container has a volume, mounted or not.
fn uses(container: &ContainerRecord, volume: &str) -> bool {
    container.used_volumes().any(|name| name == volume)
}

fn each(
    names: impl IntoIterator<Item = String>,
    mut work: impl FnMut(&str) -> Result<bool, VolumeChangeError>,
) -> VolumeChanges {
    let mut changes = VolumeChanges::default();
    for name in names {
        match work(&name) {
            Ok(true) => changes.names.push(name),
            Ok(false) => {}
            Err(error) => changes.errors.push(error),
        }
    }
    changes
}

fn create(root: &Root, wanted: Volume) -> Result<bool, VolumeChangeError> {
    let _held = volume::hold_uses(root)?;
    let name = wanted.name.clone();
    if let Some(known) = volume::find(root, &name)? {
        let same = match &known.wanted {
            Some(old) => Backing::of(old) == Backing::of(&wanted),
            None => wanted.driver_opts.is_empty(),
        };
        return if same {
            Ok(true)
        } else {
            Err(VolumeChangeError::Differs { name })
        };
    }
    let record = VolumeRecord {
        version: VolumeRecord::VERSION,
        name,
        project: None,
        key: None,
        wanted: Some(wanted),
        created: now(),
        protected: false,
    };
    volume::ensure(root, &record)?;
    Ok(true)
}

fn remove_unused(root: &Root, name: &str) -> Result<(), VolumeChangeError> {
    let _frozen = volume::freeze_uses(root)?;
    refuse_used(root, name)?;
    if volume::find(root, name)?.is_some_and(|record| record.protected) {
        return Err(VolumeChangeError::Protected {
            name: name.to_owned(),
        });
    }
    volume::remove(root, name)?;
    Ok(())
}

/// What a project that is wanted may want again is not rubbish, even when no container has it at the moment.
fn prune(root: &Root, name: &str, wanted: &[ProjectName]) -> Result<bool, VolumeChangeError> {
    let Some(record) = volume::find(root, name)? else {
        return Ok(false);
    };
    let may_be_wanted = |project: &ProjectName| wanted.contains(project);
    if !record.is_anonymous() && record.project.as_ref().is_some_and(may_be_wanted) {
        return Ok(false);
    }
    match remove_unused(root, name) {
        Ok(()) => Ok(true),
        Err(error) if error.is_refusal() => Ok(false),
        Err(error) => Err(error),
    }
}

fn measure(root: &Root, name: &str) -> Result<u64, VolumeError> {
    let directory = root.volumes().join(name);
    Meter::default()
        .add(&directory)
        .map_err(|source| VolumeError::Io {
            intent: "measure",
            name: name.to_owned(),
            source,
        })
}

/// Returns the containers that have one of the volumes, running or not.
pub(super) fn users(
    root: &Root,
    names: &[String],
) -> Result<Vec<ContainerRecord>, VolumeChangeError> {
    let mut records = container::read_all(root).map_err(|source| VolumeChangeError::Users {
        name: names.join(", "),
        source,
    })?;
    records.retain(|container| names.iter().any(|name| uses(container, name)));
    Ok(records)
}

fn refuse_used(root: &Root, name: &str) -> Result<(), VolumeChangeError> {
    let users = users(root, &[name.to_owned()])?;
    let users: Vec<String> = users.into_iter().map(|container| container.name).collect();
    if users.is_empty() {
        return Ok(());
    }
    Err(VolumeChangeError::InUse {
        name: name.to_owned(),
        users,
    })
}

pub(super) fn known(root: &Root, name: &str) -> Result<VolumeRecord, VolumeError> {
    volume::find(root, name)?.ok_or_else(|| VolumeError::Missing {
        name: name.to_owned(),
    })
}
