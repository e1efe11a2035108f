//! What may change of a volume that exists: its name, and whether it may be removed.

use compose_spec::model::Volume;
use indexmap::IndexMap;
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

use super::{
    Held, VolumeError,
    local::{Volumes, check_name},
};
use crate::{
    model::{ANONYMOUS_LABEL, VolumeRecord},
    store::{lock_shared, write_json},
};

impl Volumes {
    /// Allows the removal of a volume, or forbids it.
    pub(super) fn set_protected(&self, name: &str, protected: bool) -> Result<(), VolumeError> {
        let _lock = self.existing(name, "change")?;
        let mut record = self.known(name)?;
        record.protected = protected;
        self.write_record("change", &record)
    }

    /// Gives a volume another name. It belongs to no project afterwards: `down -v` of the old one must not find it.
    ///
    /// The record is changed first, the name is changed by one rename(2): cut off in between, the volume has its old name and no project.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), VolumeError> {
        check_name(to)?;
        let _lock = self.existing(from, "rename")?;
        let mut record = self.known(from)?;
        self.unmount_locked(from)?;
        record.project = None;
        record.key = None;
        self.write_record("rename", &record)?;
        let (old, new) = (self.volume_dir(from), self.volume_dir(to));
        match renameat_with(CWD, &old, CWD, &new, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                return Err(VolumeError::Exists {
                    name: to.to_owned(),
                });
            }
            Err(errno) => {
                return Err(VolumeError::Io {
                    intent: "rename",
                    name: from.to_owned(),
                    source: errno.into(),
                });
            }
        }
        to.clone_into(&mut record.name);
        let mut wanted = record.wanted.unwrap_or_else(|| named(to));
        to.clone_into(&mut wanted.name);
        wanted.labels.shift_remove(ANONYMOUS_LABEL);
        record.wanted = Some(wanted);
        self.write_record("rename", &record)
    }

    /// Takes the lock of a volume together with others who only read it.
    pub(super) fn hold(&self, name: &str) -> Result<Held, VolumeError> {
        self.known(name)?;
        let path = self.volume_dir(name).join(".lock");
        let lock = lock_shared(&path).map_err(|source| self.store_error("read", name, source))?;
        Ok(Held { _lock: lock })
    }

    /// Takes the lock of a volume without making its directory, unless somebody reads it.
    fn existing(
        &self,
        name: &str,
        intent: &'static str,
    ) -> Result<crate::store::Lock, VolumeError> {
        self.known(name)?;
        self.lock_now(name, intent)
    }

    pub(super) fn known(&self, name: &str) -> Result<VolumeRecord, VolumeError> {
        self.find(name)?.ok_or_else(|| VolumeError::Missing {
            name: name.to_owned(),
        })
    }

    fn write_record(&self, intent: &'static str, record: &VolumeRecord) -> Result<(), VolumeError> {
        write_json(&self.record_path(&record.name), record)
            .map_err(|source| self.store_error(intent, &record.name, source))
    }
}

/// What an anonymous volume is once it has a name.
fn named(name: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        external: false,
        driver: None,
        driver_opts: IndexMap::new(),
        labels: IndexMap::new(),
        extensions: IndexMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Timestamp, store::Root};

    fn bed() -> (tempfile::TempDir, Volumes) {
        let directory = tempfile::tempdir().unwrap();
        let volumes = Volumes::open(&Root::below(directory.path()));
        for name in ["shop_data", "other"] {
            let record = VolumeRecord {
                version: VolumeRecord::VERSION,
                name: name.to_owned(),
                project: Some("shop".parse().unwrap()),
                key: None,
                wanted: None,
                created: Timestamp(1),
                protected: false,
            };
            volumes.ensure(&record).unwrap();
            fs_err::write(volumes.data_dir(name).join("file"), name).unwrap();
        }
        (directory, volumes)
    }

    #[test]
    fn a_renamed_volume_has_its_data_and_no_project() {
        let (_directory, volumes) = bed();
        volumes.rename("shop_data", "archive").unwrap();
        assert_eq!(volumes.find("shop_data").unwrap(), None);
        let record = volumes.find("archive").unwrap().unwrap();
        assert_eq!((record.project, record.name.as_str()), (None, "archive"));
        let file = volumes.data_dir("archive").join("file");
        assert_eq!(fs_err::read(file).unwrap(), b"shop_data");
    }

    #[test]
    fn a_name_that_is_taken_or_none_leaves_the_volume() {
        let (_directory, volumes) = bed();
        let taken = volumes.rename("other", "shop_data");
        assert!(matches!(taken, Err(VolumeError::Exists { .. })));
        let missing = volumes.rename("nothing", "x");
        assert!(matches!(missing, Err(VolumeError::Missing { .. })));
        let bad = volumes.rename("other", "../x");
        assert!(matches!(bad, Err(VolumeError::InvalidName { .. })));
        for name in ["shop_data", "other"] {
            let file = volumes.data_dir(name).join("file");
            assert_eq!(fs_err::read(file).unwrap(), name.as_bytes());
        }
        assert!(!volumes.volume_dir("nothing").exists());
    }

    #[test]
    fn what_somebody_reads_is_not_changed_and_not_waited_for() {
        let (_directory, volumes) = bed();
        let (first, second) = (
            volumes.hold("other").unwrap(),
            volumes.hold("other").unwrap(),
        );
        let busy = |result| matches!(result, Err(VolumeError::Busy { .. }));
        drop(first);
        assert!(busy(volumes.remove("other")));
        assert!(busy(volumes.rename("other", "x")));
        assert!(busy(volumes.set_protected("other", true)));
        drop(second);
        volumes.rename("other", "x").unwrap();
        assert!(volumes.hold("other").is_err());
    }

    #[test]
    fn protection_is_kept_in_the_record() {
        let (_directory, volumes) = bed();
        for protected in [true, false] {
            volumes.set_protected("other", protected).unwrap();
            assert_eq!(volumes.known("other").unwrap().protected, protected);
        }
        assert!(volumes.set_protected("nothing", true).is_err());
    }
}
