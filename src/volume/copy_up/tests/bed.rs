//! A state root with one volume, and layers made by hand.

use std::path::{Path, PathBuf};

use compose_spec::model::Volume;
use fs_err as fs;
use indexmap::IndexMap;
use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};

use crate::{
    model::{Timestamp, VolumeRecord},
    store::Root,
    volume::{copy_up::Filled, local::Volumes},
};

pub(super) struct Bed {
    pub(super) directory: tempfile::TempDir,
    pub(super) volumes: Volumes,
}

impl Bed {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let volumes = Volumes::open(&Root::below(directory.path().join("state")));
        let bed = Self { directory, volumes };
        bed.make("data", &[]);
        bed
    }

    pub(super) fn make(&self, name: &str, options: &[(&str, &str)]) {
        let driver_opts = options
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        self.volumes
            .ensure(&VolumeRecord {
                version: VolumeRecord::VERSION,
                name: name.to_owned(),
                project: None,
                key: None,
                wanted: Some(Volume {
                    name: name.to_owned(),
                    external: false,
                    driver: None,
                    driver_opts: driver_opts.collect::<IndexMap<_, _>>(),
                    labels: IndexMap::new(),
                    extensions: IndexMap::new(),
                }),
                created: Timestamp(0),
                protected: false,
            })
            .unwrap();
    }

    /// Makes a layer directory with files; a path that ends with `/` is a directory.
    pub(super) fn layer(&self, name: &str, entries: &[(&str, &str)]) -> PathBuf {
        let layer = self.directory.path().join(name);
        fs::create_dir_all(&layer).unwrap();
        for (path, content) in entries {
            let file = layer.join(path);
            if path.ends_with('/') {
                fs::create_dir_all(&file).unwrap();
            } else {
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(&file, content).unwrap();
            }
        }
        layer
    }

    pub(super) fn fill(&self, layers: &[PathBuf], source: &str) -> Filled {
        self.volumes
            .copy_up(("data", None), (layers, source))
            .unwrap()
    }

    pub(super) fn data(&self, path: &str) -> PathBuf {
        self.volumes.data_dir("data").join(path)
    }

    pub(super) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.data(path)).unwrap()
    }
}

pub(super) fn whiteout(path: &Path) {
    mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
}

pub(super) fn opaque(path: &Path) {
    setxattr(path, c"trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
}

pub(super) fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
