//! Volumes of the `local` driver.

use std::{
    io,
    path::{Path, PathBuf},
};

use fs_err as fs;

use super::VolumeError;
use crate::{
    model::{Backing, VolumeRecord},
    store::{Lock, Root, StoreError, lock, read_json, remove_tree, try_lock, write_json},
};

/// All volumes of a state root. Cheap to clone; makes nothing by itself.
#[derive(Debug, Clone)]
pub(super) struct Volumes {
    directory: PathBuf,
    tmp: PathBuf,
}

impl Volumes {
    /// Opens the volumes of a state root.
    pub(super) fn open(root: &Root) -> Self {
        Self {
            directory: root.volumes(),
            tmp: root.tmp(),
        }
    }

    /// Returns the directory that holds a volume's data.
    pub(super) fn data_dir(&self, name: &str) -> PathBuf {
        self.volume_dir(name).join("_data")
    }

    /// Makes a volume. One that exists keeps its data and its record.
    pub(super) fn ensure(&self, record: &VolumeRecord) -> Result<(), VolumeError> {
        check_name(&record.name)?;
        let name = || record.name.clone();
        let backing = match &record.wanted {
            None => Backing::Local,
            Some(wanted) => Backing::of(wanted).map_err(|source| VolumeError::Unsupported {
                name: name(),
                source,
            })?,
        };
        let io_error = |source| VolumeError::Io {
            intent: "make",
            name: name(),
            source,
        };
        let _lock = self.lock(&record.name, "make")?;
        if let Some(mut known) = self.find(&record.name)? {
            // The file forbids the removal of a volume that was made before it did.
            if record.protected && !known.protected {
                known.protected = true;
                let path = self.record_path(&known.name);
                write_json(&path, &known)
                    .map_err(|source| self.store_error("protect", &known.name, source))?;
            }
            return Ok(());
        }
        let data = self.data_dir(&record.name);
        match backing {
            Backing::Local | Backing::Mount(_) => fs::create_dir_all(&data).map_err(io_error)?,
            Backing::Bind(device) => {
                if !device.is_dir() {
                    return Err(VolumeError::DeviceMissing {
                        name: name(),
                        path: device,
                    });
                }
                // Left over from a making that was cut off.
                if fs::symlink_metadata(&data).is_ok() {
                    fs::remove_file(&data).map_err(io_error)?;
                }
                fs::os::unix::fs::symlink(&device, &data).map_err(io_error)?;
            }
        }
        // The record comes last: with it the volume exists.
        let path = self.record_path(&record.name);
        write_json(&path, record).map_err(|source| self.store_error("make", &record.name, source))
    }

    /// Removes a volume and its data; of a bound one only what is ours. One that does not exist counts as removed.
    pub(super) fn remove(&self, name: &str) -> Result<(), VolumeError> {
        check_name(name)?;
        let directory = self.volume_dir(name);
        if fs::symlink_metadata(&directory).is_err() {
            return Ok(());
        }
        let _lock = self.lock_now(name, "remove")?;
        let io_error = |source| VolumeError::Io {
            intent: "remove",
            name: name.to_owned(),
            source,
        };
        // What is mounted there is not ours to remove.
        self.unmount_locked(name)?;
        // Out of sight at once: a removal that is cut off leaves rubbish in tmp, not half a volume.
        let rubbish = self.unfinished().map_err(io_error)?;
        fs::rename(&directory, rubbish.path().join("volume")).map_err(io_error)?;
        remove_tree(rubbish.path()).map_err(|source| self.store_error("remove", name, source))
    }

    /// Finds a volume.
    pub(super) fn find(&self, name: &str) -> Result<Option<VolumeRecord>, VolumeError> {
        check_name(name)?;
        let found: Option<VolumeRecord> = read_json(&self.record_path(name))
            .map_err(|source| self.store_error("look up", name, source))?;
        // A renaming may have been cut off before the record was written again: the directory is right.
        Ok(found.map(|mut record| {
            name.clone_into(&mut record.name);
            record
        }))
    }

    /// Returns all volumes by name.
    pub(super) fn list(&self) -> Result<Vec<VolumeRecord>, VolumeError> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(VolumeError::List(error)),
        };
        let mut records = Vec::new();
        for entry in entries {
            let entry = entry.map_err(VolumeError::List)?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| check_name(name).is_ok()) else {
                continue;
            };
            records.extend(self.find(name)?);
        }
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(records)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn tmp(&self) -> &Path {
        &self.tmp
    }

    pub(super) fn volume_dir(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(super) fn record_path(&self, name: &str) -> PathBuf {
        self.volume_dir(name).join("volume.json")
    }

    pub(super) fn lock(&self, name: &str, intent: &'static str) -> Result<Lock, VolumeError> {
        let path: &Path = &self.volume_dir(name).join(".lock");
        lock(path).map_err(|source| self.store_error(intent, name, source))
    }

    /// Takes the lock of a volume, or says that somebody reads it: that may take long, and who waits here keeps others waiting.
    pub(super) fn lock_now(&self, name: &str, intent: &'static str) -> Result<Lock, VolumeError> {
        let path = self.volume_dir(name).join(".lock");
        let lock = try_lock(&path).map_err(|source| self.store_error(intent, name, source))?;
        lock.ok_or_else(|| VolumeError::Busy {
            intent,
            name: name.to_owned(),
        })
    }

    #[expect(
        clippy::unused_self,
        reason = "reads as the others do at the place of use"
    )]
    pub(super) fn store_error(
        &self,
        intent: &'static str,
        name: &str,
        source: StoreError,
    ) -> VolumeError {
        VolumeError::Store {
            intent,
            name: name.to_owned(),
            source,
        }
    }
}

/// Docker's rule; it also makes a name one harmless path component.
pub(super) fn check_name(name: &str) -> Result<(), VolumeError> {
    if VolumeRecord::is_name(name) {
        Ok(())
    } else {
        Err(VolumeError::InvalidName {
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use compose_spec::model::Volume;
    use indexmap::IndexMap;

    use super::*;
    use crate::model::Timestamp;

    fn record(name: &str, options: &[(&str, &str)]) -> VolumeRecord {
        let driver_opts = options
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        VolumeRecord {
            version: VolumeRecord::VERSION,
            name: name.to_owned(),
            project: Some("shop".parse().unwrap()),
            key: Some("data".to_owned()),
            wanted: Some(Volume {
                name: name.to_owned(),
                external: false,
                driver: None,
                driver_opts: driver_opts.collect::<IndexMap<_, _>>(),
                labels: IndexMap::new(),
                extensions: IndexMap::new(),
            }),
            created: Timestamp(1),
            protected: false,
        }
    }

    #[test]
    fn a_volume_is_made_once_found_listed_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::below(directory.path());
        let volumes = Volumes::open(&root);
        assert_eq!(volumes.list().unwrap(), []);
        let first = record("shop_data", &[]);
        volumes.ensure(&first).unwrap();
        fs::write(volumes.data_dir("shop_data").join("a"), "kept").unwrap();
        let mut again = first.clone();
        again.created = Timestamp(2);
        volumes.ensure(&again).unwrap();
        assert_eq!(volumes.find("shop_data").unwrap(), Some(first.clone()));
        assert_eq!(
            fs::read(volumes.data_dir("shop_data").join("a")).unwrap(),
            b"kept"
        );
        assert_eq!(volumes.list().unwrap(), [first]);
        volumes.remove("shop_data").unwrap();
        volumes.remove("shop_data").unwrap();
        assert_eq!(volumes.list().unwrap(), []);
        assert_eq!(fs::read_dir(root.tmp()).unwrap().count(), 0);
    }

    #[test]
    fn a_bound_volume_leads_to_its_device_and_leaves_it() {
        let directory = tempfile::tempdir().unwrap();
        let volumes = Volumes::open(&Root::below(directory.path().join("state")));
        let device = directory.path().join("photos");
        let device_text = device.to_str().unwrap();
        let options = [("type", "none"), ("o", "bind"), ("device", device_text)];
        let record = record("photos", &options);
        assert!(matches!(
            volumes.ensure(&record),
            Err(VolumeError::DeviceMissing { .. })
        ));
        assert_eq!(volumes.find("photos").unwrap(), None);
        fs::create_dir(&device).unwrap();
        fs::write(device.join("a"), "photo").unwrap();
        volumes.ensure(&record).unwrap();
        assert_eq!(
            fs::read(volumes.data_dir("photos").join("a")).unwrap(),
            b"photo"
        );
        volumes.remove("photos").unwrap();
        assert_eq!(fs::read(device.join("a")).unwrap(), b"photo");
    }

    #[test]
    fn what_is_not_supported_or_no_name_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let volumes = Volumes::open(&Root::below(directory.path()));
        for options in [
            [("type", "nfs"), ("o", ""), ("device", ":/x")],
            [("type", "none"), ("o", "size=1m"), ("device", "tmpfs")],
        ] {
            assert!(matches!(
                volumes.ensure(&record("x1", &options)),
                Err(VolumeError::Unsupported { .. })
            ));
        }
        for name in ["", "..", "a/b", ".x", "a b"] {
            assert!(matches!(
                volumes.ensure(&record(name, &[])),
                Err(VolumeError::InvalidName { .. })
            ));
        }
        assert_eq!(volumes.list().unwrap(), []);
    }
}
