//! Labels of a container: the image's, the service's, and those that tools which know Docker Compose look for.

use compose_spec::model::{Condition, Service};
use indexmap::IndexMap;
use sha2::{Digest as _, Sha256};

use super::{super::drift, LowerInput};
use crate::model::{ContainerRole, Digest};

const PREFIX: &str = "com.docker.compose.";

/// Returns all labels; those of the service win over the image's, ours over both.
pub(super) fn lower(input: &LowerInput<'_>) -> IndexMap<String, String> {
    let service = &input.new.service;
    let mut labels = input.image.config.labels.clone();
    labels.extend(service.labels.clone());
    let mut own = |name: &str, value: String| {
        labels.insert(format!("{PREFIX}{name}"), value);
    };
    own("project", input.project.name.to_string());
    own("service", service.name.to_string());
    own("config-hash", config_hash(service));
    own("image", input.image.id.to_string());
    own("depends_on", depends_on(service));
    own("version", env!("CARGO_PKG_VERSION").to_owned());
    own(
        "project.working_dir",
        input.project.working_dir.display().to_string(),
    );
    let files: Vec<String> = input
        .project
        .files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    own("project.config_files", files.join(","));
    match &input.new.role {
        ContainerRole::Replica(number) => {
            own("container-number", number.to_string());
            own("oneoff", "False".to_owned());
        }
        ContainerRole::OneOff { slug, .. } => {
            own("container-number", "1".to_owned());
            own("oneoff", "True".to_owned());
            own("slug", slug.clone());
        }
        // As compose marks them, so that its tools do not take them for replicas.
        ContainerRole::Init { .. } => own("hook", "pre_start".to_owned()),
    }
    labels
}

/// Digest of what makes containers of a service differ; for tools only, stack itself compares field by field.
fn config_hash(service: &Service) -> String {
    let text = drift::comparable(service).to_string();
    Digest::from_sha256(&Sha256::digest(text).into())
        .hex()
        .to_owned()
}

/// `db:service_healthy:false`, the last part telling whether the service restarts with it.
fn depends_on(service: &Service) -> String {
    let entries: Vec<String> = service
        .depends_on
        .iter()
        .map(|(name, dependency)| {
            let condition = match dependency.condition {
                Condition::ServiceStarted => "service_started",
                Condition::ServiceHealthy => "service_healthy",
                Condition::ServiceCompletedSuccessfully => "service_completed_successfully",
            };
            format!("{name}:{condition}:{}", dependency.restart)
        })
        .collect();
    entries.join(",")
}
