//! Reads and writes what is wanted of projects: `projects/<name>/desired.json`.

use compose_spec::model::ProjectName;

use crate::{
    plan::Desired,
    store::{self, Root, StoreError},
};

/// Reads the desired state of a project; `None` when nothing is wanted of it.
pub(super) fn read(root: &Root, name: &ProjectName) -> Result<Option<Desired>, StoreError> {
    store::read_json(&root.desired(name))
}

/// Writes it, one generation on.
pub(super) fn write(desired: &mut Desired, root: &Root) -> Result<(), StoreError> {
    desired.generation += 1;
    desired.boot_id = store::boot_id();
    store::write_json(&root.desired(&desired.project.name), desired)
}

/// Notes that an `up` that was cut off has been brought to its end.
pub(super) fn finish(root: &Root, name: &ProjectName) -> Result<(), StoreError> {
    match read(root, name)? {
        Some(mut desired) if desired.unfinished.is_some() => {
            desired.unfinished = None;
            write(&mut desired, root)
        }
        _ => Ok(()),
    }
}

/// Starts again what a reboot starts again, if there was one since this was written.
pub(super) fn note_boot(root: &Root, name: &ProjectName) -> Result<(), StoreError> {
    let Some(mut desired) = read(root, name)? else {
        return Ok(());
    };
    if desired.boot_id == store::boot_id() {
        return Ok(());
    }
    if !desired.boot_id.is_empty() {
        desired.stopped.forget_after_reboot(&desired.project);
    }
    write(&mut desired, root)
}

/// Removes the desired state of a project.
pub(super) fn remove(root: &Root, name: &ProjectName) -> Result<(), StoreError> {
    store::remove_tree(&root.project(name))?;
    // Containers that are left have their range in their records, and it is not given to others.
    store::free_users(root, name)
}

/// Returns the projects of which something is wanted.
pub(super) fn wanted_projects(root: &Root) -> Result<Vec<ProjectName>, StoreError> {
    let entries = match fs_err::read_dir(root.projects()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(StoreError::Io {
                intent: "list the projects",
                source,
            });
        }
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| StoreError::Io {
            intent: "list the projects",
            source,
        })?;
        names.extend(
            entry
                .file_name()
                .to_string_lossy()
                .parse::<ProjectName>()
                .ok(),
        );
    }
    names.sort();
    Ok(names)
}
