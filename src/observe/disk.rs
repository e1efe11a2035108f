//! What images, containers, volumes and logs take of the disk, and which of it nothing uses.

use std::{collections::BTreeSet, io, path::Path};

use compose_spec::model::ProjectName;

use super::{ObserveError, observed};
use crate::{
    build, container,
    image::{self, ImageError, ImageStore, SaveError, SaveFormat},
    model::{
        BuildCacheEntry, ContainerRecord, ImageDetails, ImageId, ObservedContainer, StoreDisk,
        VolumeRecord,
    },
    store::{Meter, Root},
    volume,
};

/// Everything below the state root, measured.
#[derive(Debug)]
pub struct DiskUse {
    /// Layers and blobs.
    pub images: StoreDisk,
    /// Containers with the bytes of what they wrote into their own layer.
    pub containers: Vec<(ObservedContainer, u64)>,
    /// Volumes with their bytes and the number of containers that mount them.
    pub volumes: Vec<(VolumeRecord, u64, usize)>,
    /// Logs of each project.
    pub logs: Vec<(ProjectName, u64)>,
    /// The build cache. Its layers are those of images too, or are among those that no image names.
    pub build_cache: Vec<BuildCacheEntry>,
}

/// Measures everything. Walks all of it.
pub fn disk_use(root: &Root) -> Result<DiskUse, ObserveError> {
    let images = ImageStore::open(root)
        .disk_use()
        .map_err(ObserveError::Image)?;
    let records = container::read_all(root)?;
    let mut volumes = Vec::new();
    for record in volume::list(root).map_err(ObserveError::Volume)? {
        let users = records
            .iter()
            .filter(|container| uses(container, &record.name));
        let bytes = super::volume_size(root, &record.name)?;
        let count = users.count();
        volumes.push((record, bytes, count));
    }
    let projects: BTreeSet<ProjectName> = records
        .iter()
        .map(|record| record.project.clone())
        .collect();
    let mut logs = Vec::new();
    for project in projects {
        let bytes = measure(&root.project_logs(&project))?;
        logs.push((project, bytes));
    }
    let mut containers = Vec::new();
    for record in records {
        let bytes = measure(&root.container(&record.id).join("upper"))?;
        containers.push((observed(root, record)?, bytes));
    }
    Ok(DiskUse {
        images,
        containers,
        volumes,
        logs,
        build_cache: super::build_cache(root).map_err(ObserveError::BuildCache)?,
    })
}

fn uses(container: &ContainerRecord, volume: &str) -> bool {
    container.used_volumes().any(|name| name == volume)
}

fn measure(path: &Path) -> Result<u64, ObserveError> {
    Meter::default().add(path).map_err(ObserveError::Disk)
}

/// Returns everything that is known of an image; fails when it is not there.
pub fn image(root: &Root, name: &str) -> Result<ImageDetails, ObserveError> {
    ImageStore::open(root).details(name).map_err(image_error)
}

/// What people ask for and is not there is no trouble of the store.
fn image_error(error: ImageError) -> ObserveError {
    match error {
        ImageError::NotFound(_) | ImageError::Reference(_) => ObserveError::NoImage(error),
        other => ObserveError::Image(other),
    }
}

/// Writes images into one archive; `oci` keeps compressed layers and manifests as they came.
pub fn save_images(
    root: &Root,
    names: &[String],
    oci: bool,
    out: &mut dyn io::Write,
) -> Result<(), SaveError> {
    let format = if oci {
        SaveFormat::Oci
    } else {
        SaveFormat::Docker
    };
    image::save(&ImageStore::open(root), names, format, out)
}

/// Writes the files of a container, as it sees them without its mounts, as one tar archive.
pub fn export_container(
    root: &Root,
    record: &ContainerRecord,
    out: &mut dyn io::Write,
) -> Result<(), ObserveError> {
    let store = ImageStore::open(root);
    let _lease = store.lease().map_err(ObserveError::Image)?;
    let mut directories = vec![root.container(&record.id).join("upper")];
    let details = store.details(record.image.as_str());
    directories.extend(details.map_err(ObserveError::Image)?.directories);
    image::export(&directories, out).map_err(ObserveError::Image)
}

/// Writes the files of an image as one tar archive.
pub fn export_image(root: &Root, name: &str, out: &mut dyn io::Write) -> Result<(), ObserveError> {
    let store = ImageStore::open(root);
    let _lease = store.lease().map_err(ObserveError::Image)?;
    let details = store.details(name).map_err(image_error)?;
    image::export(&details.directories, out).map_err(ObserveError::Image)
}

/// Lists the images that a name stands for, each with its platform (`os/architecture[/variant]`).
pub fn platform_images(root: &Root, name: &str) -> Result<Vec<(String, ImageId)>, ObserveError> {
    let images = ImageStore::open(root).platform_images(name);
    images.map_err(ObserveError::Image)
}

/// Copies the files of an image into a directory, owned by root.
pub fn copy_image(root: &Root, name: &str, destination: &Path) -> Result<(), ObserveError> {
    let store = ImageStore::open(root);
    let _lease = store.lease().map_err(ObserveError::Image)?;
    let details = store.details(name).map_err(image_error)?;
    build::copy_out(root, &details.directories, destination)
        .map_err(|error| ObserveError::Copy(Box::new(error)))
}
