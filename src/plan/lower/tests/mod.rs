//! What a service becomes, checked field by field, and against what the runtime accepts.

mod devices;
mod limits;
mod mounts;
mod process;
mod security;

use compose_spec::model::{Project, Service};
use indexmap::IndexMap;

use super::*;
use crate::{
    model::ContainerRole,
    plan::{
        ImageInput, Joins,
        tests::fixture::{image, project},
    },
};

/// Lowers the first service of a project.
pub(super) fn lower_in(
    project: &Project,
    image: &ImageRecord,
    change: impl FnOnce(&mut NewContainer, &mut Places),
) -> Result<Lowered, Vec<LowerError>> {
    let host = HostFacts {
        cpus: 2,
        hostname: "box".to_owned(),
        ..HostFacts::default()
    };
    lower_with(project, image, &host, change)
}

fn lower_with(
    project: &Project,
    image: &ImageRecord,
    host: &HostFacts,
    change: impl FnOnce(&mut NewContainer, &mut Places),
) -> Result<Lowered, Vec<LowerError>> {
    let service = project.services[0].clone();
    let mut new = NewContainer {
        name: format!("shop-{}-1", service.name),
        role: ContainerRole::Replica(1),
        image: ImageInput::Known(Box::new(image.clone())),
        image_reference: "x:1".to_owned(),
        endpoints: Vec::new(),
        published: Vec::new(),
        inherited_volumes: IndexMap::new(),
        joins: Joins::default(),
        files_digest: "digest".to_owned(),
        service,
    };
    let mut places = Places {
        container: "/s/containers/1".into(),
        mount_points: "/s/mount-points".into(),
        volumes: "/s/volumes".into(),
        files: "/s/containers/1/files".into(),
        netns: "/run/netns/1".into(),
        log: "/s/logs/web-1".into(),
        cgroup_parent: "stack".to_owned(),
        joined: JoinedPlaces::default(),
    };
    change(&mut new, &mut places);
    lower(&LowerInput {
        project,
        new: &new,
        id: &id(),
        image,
        mounted: &BTreeMap::new(),
        places: &places,
        host,
        now: Timestamp(5),
    })
}

/// Lowers the first service of a project on a certain host.
pub(super) fn lower_on(project: &Project, host: &HostFacts) -> Result<Lowered, Vec<LowerError>> {
    lower_with(project, &plain_image(), host, |_, _| {})
}

pub(super) fn id() -> ContainerId {
    ContainerId::from_bytes([0xab; 32])
}

/// Lowers a service that must be fine; the runtime must find it so too.
pub(super) fn lowered(service: Service, image: &ImageRecord) -> Lowered {
    let lowered = lower_in(&project([service]), image, |_, _| {}).unwrap();
    runtime::check::check(lowered.record.spec.clone()).unwrap();
    lowered
}

pub(super) fn plain_image() -> ImageRecord {
    image("plain", 0)
}

/// Returns the refusals of a service as `path: message` lines.
pub(super) fn refusals(service: Service) -> Vec<String> {
    let errors = lower_in(&project([service]), &plain_image(), |_, _| {}).unwrap_err();
    errors
        .iter()
        .map(|error| format!("{}: {}", error.path, error.refusal))
        .collect()
}
