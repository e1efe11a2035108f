//! `containers/<id>/`: made in `tmp/` and renamed, so that a container exists wholly or not at all.

use std::{
    io,
    path::{Path, PathBuf},
};

use fs_err as fs;
use runtime::spec::{ContainerState, StateRecord};

use super::mount_points;
use crate::{
    model::{ContainerId, ContainerRecord},
    store::{self, Root, StoreError},
};

/// A container's directory could not be made, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// A record is unreadable or cannot be written.
    #[error("keep the record of container `{name}`")]
    Record {
        /// Name or id of the container.
        name: String,
        /// What happened.
        #[source]
        source: StoreError,
    },
    /// A directory could not be made or moved.
    #[error("make the directory of container `{name}`")]
    Directory {
        /// Name or id of the container.
        name: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
}

/// Makes the directory of a container: record, spec and the empty directories of its root filesystem.
pub fn create(root: &Root, record: &ContainerRecord, files: &Path) -> Result<(), ContainerError> {
    let io_error = |source| ContainerError::Directory {
        name: record.name.clone(),
        source,
    };
    let store_error = |source| ContainerError::Record {
        name: record.name.clone(),
        source,
    };
    fs::create_dir_all(root.tmp()).map_err(io_error)?;
    fs::create_dir_all(root.containers()).map_err(io_error)?;
    mount_points::ensure(root).map_err(io_error)?;
    let unfinished = tempfile::Builder::new()
        .prefix("container-")
        .tempdir_in(root.tmp())
        .map_err(io_error)?;
    for name in ["rootfs", "upper", "work"] {
        fs::create_dir(unfinished.path().join(name)).map_err(io_error)?;
    }
    if fs::symlink_metadata(files).is_ok() {
        fs::rename(files, unfinished.path().join("files")).map_err(io_error)?;
    }
    let spec = serde_json::to_vec(&record.spec).map_err(|error| io_error(error.into()))?;
    fs::write(unfinished.path().join("spec.json"), spec).map_err(io_error)?;
    store::write_json(&unfinished.path().join("record.json"), record).map_err(store_error)?;
    // The upper directory becomes the container's `/`: it needs the mode of a root directory, not that of a temporary one.
    set_mode(&unfinished.path().join("upper"), 0o755).map_err(io_error)?;
    fs::rename(unfinished.path(), root.container(&record.id)).map_err(io_error)?;
    let _renamed_away = unfinished.keep();
    Ok(())
}

/// Reads the record of one container; `None` when it does not exist.
pub fn read_record(
    root: &Root,
    id: &ContainerId,
) -> Result<Option<ContainerRecord>, ContainerError> {
    store::read_json(&root.container(id).join("record.json")).map_err(|source| {
        ContainerError::Record {
            name: id.short().to_owned(),
            source,
        }
    })
}

/// Reads the records of all containers, oldest first.
pub fn read_all(root: &Root) -> Result<Vec<ContainerRecord>, ContainerError> {
    let entries = match fs::read_dir(root.containers()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(ContainerError::Directory {
                name: "*".to_owned(),
                source,
            });
        }
    };
    let mut records: Vec<ContainerRecord> = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| ContainerError::Directory {
            name: "*".to_owned(),
            source,
        })?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(id) = name.parse::<ContainerId>() else {
            continue;
        };
        records.extend(read_record(root, &id)?);
    }
    records.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
    Ok(records)
}

/// Reads what a container does. A live state counts only while its monitor holds its lock and the host has not restarted.
pub fn read_state(root: &Root, id: &ContainerId) -> Result<(ContainerState, u32), ContainerError> {
    let directory = root.container(id);
    let keep = |source| ContainerError::Record {
        name: id.short().to_owned(),
        source,
    };
    let Some(record) =
        store::read_json::<StateRecord>(&directory.join("state.json")).map_err(keep)?
    else {
        return Ok((ContainerState::Created, 0));
    };
    let state = match record.state {
        state @ (ContainerState::Created
        | ContainerState::Exited { .. }
        | ContainerState::Lost { .. }) => state,
        live => {
            if record.boot_id != store::boot_id() {
                ContainerState::Lost {
                    reason: "the host restarted".to_owned(),
                }
            } else if monitor_lives(&directory).map_err(keep)? {
                live
            } else {
                // The monitor may have ended properly between the two reads.
                match store::read_json::<StateRecord>(&directory.join("state.json"))
                    .map_err(keep)?
                    .map(|record| record.state)
                {
                    Some(state @ ContainerState::Exited { .. }) => state,
                    _ => ContainerState::Lost {
                        reason: "its monitor was killed".to_owned(),
                    },
                }
            }
        }
    };
    Ok((state, record.restarts))
}

/// Removes a container's directory. The record goes first, so that an interrupted removal leaves no container behind, only litter.
pub fn remove(root: &Root, id: &ContainerId) -> Result<(), ContainerError> {
    let keep = |source| ContainerError::Record {
        name: id.short().to_owned(),
        source,
    };
    let aside: PathBuf = root.tmp().join(format!("removed-{}", id.short()));
    fs::create_dir_all(root.tmp()).map_err(|source| ContainerError::Directory {
        name: id.short().to_owned(),
        source,
    })?;
    match fs::rename(root.container(id), &aside) {
        Ok(()) => store::remove_tree(&aside).map_err(keep),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(ContainerError::Directory {
            name: id.short().to_owned(),
            source,
        }),
    }
}

fn monitor_lives(directory: &Path) -> Result<bool, StoreError> {
    store::is_locked(&directory.join("monitor.lock"))
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}
