//! The records of networks.

use std::{io, path::PathBuf};

use super::{Root, StoreError, read_json, remove_tree, write_json};
use crate::model::NetworkRecord;

/// Reads the records of all networks, by name.
pub fn read_networks(root: &Root) -> Result<Vec<NetworkRecord>, StoreError> {
    let entries = match fs_err::read_dir(root.networks()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(StoreError::Io {
                intent: "list the networks",
                source,
            });
        }
    };
    let mut records: Vec<NetworkRecord> = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|source| StoreError::Io {
                intent: "list the networks",
                source,
            })?
            .path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            records.extend(read_json(&path)?);
        }
    }
    records.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(records)
}

/// Writes the record of a network.
pub fn write_network(root: &Root, record: &NetworkRecord) -> Result<(), StoreError> {
    write_json(&path(root, &record.name), record)
}

/// Removes the record of a network.
pub fn remove_network(root: &Root, name: &str) -> Result<(), StoreError> {
    remove_tree(&path(root, name))
}

fn path(root: &Root, name: &str) -> PathBuf {
    root.networks().join(format!("{name}.json"))
}
