//! Reads what is there: records, monitor states, images, host network. Changes nothing.
//!
//! Two callers: the reading commands (`ps`, `images`, …), which need no supervisor, and the supervisor's loop, which adds what only it knows.

mod cdi;
mod disk;
mod host;
mod packages;

use std::collections::{BTreeMap, BTreeSet};

use compose_spec::model::{ImageSource, MountSource, Project, ProjectName, Service};

use crate::{
    build::{self, HousekeepingError},
    container::{self, ContainerError},
    image::{ImageError, ImageStore},
    inventory::InventoryError,
    model::{
        Backing, BuildCacheEntry, ContainerRecord, EndpointRecord, HostUse, ImageRecord,
        ImageSummary, NetworkRecord, NetworkUser, Observed, ObservedContainer, ObservedNetwork,
        ObservedVolume, PortUse, PostStart, Timestamp, VolumeRecord,
    },
    network::{self, Wiring},
    store::{self, Meter, Root, StoreError},
    volume::{self, VolumeError},
};

pub use crate::build::sizes as build_cache_sizes;
pub use disk::{
    DiskUse, copy_image, disk_use, export_container, export_image, image, platform_images,
    save_images,
};
pub use host::{files_digests, host_facts};
pub use packages::packages;

/// The state of the host could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// A container's record or state.
    #[error("read the containers")]
    Container(#[from] ContainerError),
    /// A network's record.
    #[error("read the networks")]
    Network(#[source] StoreError),
    /// A volume's record.
    #[error("read the volumes")]
    Volume(#[source] VolumeError),
    /// The image store.
    #[error("read the images")]
    Image(#[source] ImageError),
    /// There is no such image.
    #[error(transparent)]
    NoImage(ImageError),
    /// The files of an image.
    #[error("read the packages of the image")]
    Packages(#[source] InventoryError),
    /// The build cache.
    #[error("read the build cache")]
    BuildCache(#[source] HousekeepingError),
    /// Files of an image could not be copied.
    #[error("copy the files of the image")]
    Copy(#[source] Box<build::StepFailure>),
    /// What something takes of the disk.
    #[error(transparent)]
    Disk(std::io::Error),
    /// The host's routes and links.
    #[error("read the host's network")]
    Host(#[source] network::NetworkError),
}

/// Lists what the build cache holds, the least recently used first.
pub fn build_cache(root: &Root) -> Result<Vec<BuildCacheEntry>, HousekeepingError> {
    build::usage(&ImageStore::open(root), root)
}

/// Returns the containers of a project and what they do, oldest first. Their network counts as intact: only the supervisor checks it.
pub fn project(root: &Root, name: &ProjectName) -> Result<Vec<ObservedContainer>, ObserveError> {
    container::read_all(root)?
        .into_iter()
        .filter(|record| record.project == *name)
        .map(|record| observed(root, record))
        .collect()
}

/// Returns every project that has containers, with what they do.
pub fn projects(
    root: &Root,
) -> Result<BTreeMap<ProjectName, Vec<ObservedContainer>>, ObserveError> {
    let mut projects = BTreeMap::<_, Vec<_>>::new();
    for record in container::read_all(root)? {
        let project = record.project.clone();
        projects
            .entry(project)
            .or_default()
            .push(observed(root, record)?);
    }
    Ok(projects)
}

/// Returns the images of the store.
pub fn images(root: &Root) -> Result<Vec<ImageSummary>, ObserveError> {
    ImageStore::open(root).list().map_err(ObserveError::Image)
}

/// Returns everything that planning a project needs. `named` is the project as wanted, if there is one: the external objects and images it names are
/// looked up too.
pub fn observe(
    root: &Root,
    name: &ProjectName,
    named: Option<&Project>,
) -> Result<Observed, ObserveError> {
    let records = container::read_all(root)?;
    let networks = store::read_networks(root).map_err(ObserveError::Network)?;
    let volumes = volume::list(root).map_err(ObserveError::Volume)?;
    let taken = host_use(&records, &networks, name)?;
    let wiring = Wiring::read(root).map_err(ObserveError::Host)?;
    let mut containers = Vec::new();
    for record in records.into_iter().filter(|record| record.project == *name) {
        let mut container = observed(root, record)?;
        container.network_intact = wiring.is_intact(&container.record, &networks);
        containers.push(container);
    }
    let networks_down = networks
        .iter()
        .filter(|network| !wiring.has_bridge(network))
        .map(|network| network.name.clone())
        .collect();
    let (images, images_fetched) = read_images(&ImageStore::open(root), named)?;
    Ok(Observed {
        containers,
        images,
        images_fetched,
        networks_down,
        networks: pick(networks, |record| {
            record.project.as_ref() == Some(name) || names_network(named, &record.name)
        }),
        volumes: pick_volumes(volumes, name, named),
        taken,
    })
}

fn observed(root: &Root, record: ContainerRecord) -> Result<ObservedContainer, ObserveError> {
    let (state, restarts) = container::read_state(root, &record.id)?;
    let post_start = if state.is_live() {
        container::post_start(root, &record)?
    } else {
        PostStart::Over
    };
    Ok(ObservedContainer {
        record,
        state,
        restarts,
        network_intact: true,
        post_start,
    })
}

fn pick(
    records: Vec<NetworkRecord>,
    wanted: impl Fn(&NetworkRecord) -> bool,
) -> BTreeMap<String, NetworkRecord> {
    records
        .into_iter()
        .filter(wanted)
        .map(|record| (record.name.clone(), record))
        .collect()
}

fn names_network(named: Option<&Project>, full_name: &str) -> bool {
    named.is_some_and(|project| {
        project
            .networks
            .values()
            .any(|network| network.name == full_name)
    })
}

fn pick_volumes(
    records: Vec<VolumeRecord>,
    name: &ProjectName,
    named: Option<&Project>,
) -> BTreeMap<String, VolumeRecord> {
    records
        .into_iter()
        .filter(|record| {
            record.project.as_ref() == Some(name)
                || named.is_some_and(|project| {
                    project
                        .volumes
                        .values()
                        .any(|volume| volume.name == record.name)
                })
        })
        .map(|record| (record.name.clone(), record))
        .collect()
}

/// What was found, by reference.
type Found<T> = BTreeMap<String, T>;

fn read_images(
    images: &ImageStore,
    named: Option<&Project>,
) -> Result<(Found<ImageRecord>, Found<Timestamp>), ObserveError> {
    let (mut found, mut fetched) = (BTreeMap::new(), BTreeMap::new());
    let references = named.map(image_references).unwrap_or_default();
    if references.is_empty() {
        return Ok((found, fetched));
    }
    let times: BTreeMap<_, _> = images
        .list()
        .map_err(ObserveError::Image)?
        .into_iter()
        .map(|summary| (summary.id, summary.fetched))
        .collect();
    for reference in references {
        if let Some(record) = images.find(&reference).map_err(ObserveError::Image)? {
            fetched.extend(times.get(&record.id).map(|time| (reference.clone(), *time)));
            found.insert(reference, record);
        }
    }
    Ok((found, fetched))
}

/// Returns the references that a project's services run, as written, or as built, and those that they mount.
fn image_references(project: &Project) -> BTreeSet<String> {
    let own = |service: &Service| match &service.image {
        ImageSource::Pull { image }
        | ImageSource::Build {
            image: Some(image), ..
        } => Some(image.clone()),
        ImageSource::Build { image: None, .. } => {
            Some(format!("{}-{}", project.name, service.name))
        }
        ImageSource::Provider(_) => None,
    };
    let services = || {
        project.services.values().flat_map(|service| {
            let inits = service.pre_start.iter().map(|hook| &*hook.container);
            std::iter::once(service).chain(inits)
        })
    };
    let mounts = services().flat_map(|service| &service.mounts);
    let mounted = mounts.filter_map(|mount| match &mount.source {
        MountSource::Image { image, .. } => Some(image.clone()),
        _ => None,
    });
    services().filter_map(own).chain(mounted).collect()
}

fn host_use(
    records: &[ContainerRecord],
    networks: &[NetworkRecord],
    name: &ProjectName,
) -> Result<HostUse, ObserveError> {
    let facts = network::host_facts().map_err(ObserveError::Host)?;
    let mut subnets: Vec<_> = facts.taken().collect();
    subnets.extend(
        networks
            .iter()
            .map(|network| (network.subnet, network.prefix)),
    );
    let mut addresses = BTreeMap::<String, Vec<_>>::new();
    for endpoint in records.iter().flat_map(|record| &record.endpoints) {
        addresses
            .entry(endpoint.network.clone())
            .or_default()
            .push(endpoint.address);
    }
    let others = || records.iter().filter(|record| record.project != *name);
    Ok(HostUse {
        subnets,
        addresses,
        volumes: volume_users(others()),
        container_names: others().map(|record| record.name.clone()).collect(),
        ports: others()
            .flat_map(|record| {
                record.published.iter().map(|port| PortUse {
                    host_ip: port.host_ip,
                    host_port: port.host_port,
                    protocol: port.protocol,
                    container: record.name.clone(),
                })
            })
            .collect(),
    })
}

/// Returns the volumes that containers have, with the names of the containers.
fn volume_users<'a>(
    records: impl Iterator<Item = &'a ContainerRecord>,
) -> BTreeMap<String, Vec<String>> {
    let mut users = BTreeMap::<String, Vec<String>>::new();
    for record in records {
        for volume in record.used_volumes() {
            users
                .entry(volume.clone())
                .or_default()
                .push(record.name.clone());
        }
    }
    users
}

/// Returns every network, by name.
pub fn networks(root: &Root) -> Result<Vec<ObservedNetwork>, ObserveError> {
    let containers = container::read_all(root)?;
    let records = store::read_networks(root).map_err(ObserveError::Network)?;
    let users = |network: &NetworkRecord| {
        let endpoints = containers.iter().flat_map(|record| {
            record
                .endpoints
                .iter()
                .map(move |endpoint| (record, endpoint))
        });
        let on_it = endpoints.filter(|(_, endpoint)| endpoint.network == network.name);
        let user = |(record, endpoint): (&ContainerRecord, &EndpointRecord)| NetworkUser {
            id: record.id.clone(),
            name: record.name.clone(),
            project: record.project.clone(),
            address: endpoint.address,
            mac: endpoint.mac,
        };
        on_it.map(user).collect()
    };
    let observed = records.into_iter().map(|record| ObservedNetwork {
        users: users(&record),
        record,
    });
    Ok(observed.collect())
}

/// Returns every volume, by name.
pub fn volumes(root: &Root) -> Result<Vec<ObservedVolume>, ObserveError> {
    let mut users = volume_users(container::read_all(root)?.iter());
    let records = volume::list(root).map_err(ObserveError::Volume)?;
    let mounted = volume::mounted(root).map_err(ObserveError::Volume)?;
    let is_detached = |record: &VolumeRecord| {
        let backing = record.wanted.as_ref().map(Backing::of);
        matches!(backing, Some(Ok(Backing::Mount(_)))) && !mounted.contains(&record.name)
    };
    let observed = records.into_iter().map(|record| ObservedVolume {
        detached: is_detached(&record),
        users: users.remove(&record.name).unwrap_or_default(),
        mountpoint: volume::data_dir(root, &record.name),
        record,
    });
    Ok(observed.collect())
}

/// Returns what a volume takes of the disk in bytes; of one that is bound to a directory of the host nothing but its record, of one
/// with a file system of its own what is used of that.
pub fn volume_size(root: &Root, name: &str) -> Result<u64, ObserveError> {
    let mounted = volume::mounted(root).map_err(ObserveError::Volume)?;
    if mounted.iter().any(|mounted| mounted == name) {
        let found = rustix::fs::statvfs(volume::data_dir(root, name));
        let found = found.map_err(|errno| ObserveError::Disk(errno.into()))?;
        return Ok((found.f_blocks - found.f_bfree) * found.f_frsize);
    }
    let measured = Meter::default().add(&root.volumes().join(name));
    measured.map_err(ObserveError::Disk)
}
