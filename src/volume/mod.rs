//! (seam until the real one is merged)
#![allow(missing_docs)]
use crate::{
    model::VolumeRecord,
    store::{self, Root, StoreError},
};
use std::path::{Path, PathBuf};
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    #[error("x")]
    S(#[source] StoreError),
    #[error("y")]
    C(#[source] crate::container::ContainerError),
    #[error("missing")]
    Missing(PathBuf),
    #[error("io")]
    Io(#[from] std::io::Error),
}
impl VolumeError {
    pub fn container(e: crate::container::ContainerError) -> Self {
        Self::C(e)
    }
    pub fn store(e: StoreError) -> Self {
        Self::S(e)
    }
}
pub fn ensure(root: &Root, r: &VolumeRecord) -> Result<(), VolumeError> {
    fs_err::create_dir_all(root.volumes().join(&r.name).join("_data"))?;
    store::write_json(&root.volumes().join(&r.name).join("volume.json"), r).map_err(VolumeError::S)
}
pub fn remove(root: &Root, n: &str) -> Result<(), VolumeError> {
    store::remove_tree(&root.volumes().join(n)).map_err(VolumeError::S)
}
pub fn list(root: &Root) -> Result<Vec<VolumeRecord>, StoreError> {
    let mut v = vec![];
    if let Ok(e) = fs_err::read_dir(root.volumes()) {
        for d in e.flatten() {
            v.extend(store::read_json(&d.path().join("volume.json"))?);
        }
    }
    Ok(v)
}
pub fn copy_up(_r: &Root, _n: &str, _l: &[PathBuf], _p: &str) -> Result<(), VolumeError> {
    Ok(())
}
pub fn bind_source(p: &Path, c: bool) -> Result<(), VolumeError> {
    if p.exists() {
        Ok(())
    } else if c {
        Ok(fs_err::create_dir_all(p)?)
    } else {
        Err(VolumeError::Missing(p.to_owned()))
    }
}
