//! Of what kind a refusal is, whom it concerns, and where in the project it is written.

use compose_spec::model::{NetworkMode, Project, Service, ServiceName};

use super::PlanError;
use crate::{model::FailureKind, plan::volumes};

impl PlanError {
    /// Returns what kind of refusal it is.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::NameTaken { .. }
            | Self::PortTaken { .. }
            | Self::RangeTaken { .. }
            | Self::SubnetTaken { .. }
            | Self::PoolsExhausted { .. }
            | Self::NetworkInUse { .. }
            | Self::VolumeInUse { .. }
            | Self::NetworkOfOtherProject { .. }
            | Self::AddressesExhausted { .. }
            | Self::AddressRefused { .. } => FailureKind::Conflict,
            Self::NetworkUnsupported { .. } | Self::VolumeUnsupported { .. } => {
                FailureKind::Unsupported
            }
            Self::Service(error) if error.is_unsupported() => FailureKind::Unsupported,
            _ => FailureKind::Operation,
        }
    }

    /// Returns the services that cannot be planned because of it; none = nothing can.
    pub(in crate::plan) fn concerns(&self, project: &Project) -> Vec<ServiceName> {
        let on_network = |key: &str| {
            let has = |service: &&Service| match &service.network {
                NetworkMode::Networks(attachments) => attachments.contains_key(key),
                _ => false,
            };
            let services = project.services.values().filter(has);
            services.map(|service| service.name.clone()).collect()
        };
        let on_volume = |name: &str| {
            let has = |service: &&Service| {
                volumes::names(&project.volumes, service)
                    .iter()
                    .any(|used| used == name)
            };
            let services = project.services.values().filter(has);
            services.map(|service| service.name.clone()).collect()
        };
        match self {
            Self::Service(error) => vec![error.service.clone()],
            Self::NoContainer { service, .. }
            | Self::ImageMissing { service, .. }
            | Self::NamedAndScaled { service, .. }
            | Self::NameTaken { service, .. }
            | Self::PortTaken { service, .. }
            | Self::PortScaled { service, .. }
            | Self::RangeTaken { service, .. }
            | Self::AddressesExhausted { service, .. }
            | Self::AddressRefused { service, .. }
            | Self::AttachmentRefused { service, .. }
            | Self::NamespaceOwnerMissing { service, .. }
            | Self::NoHealthCheck { service, .. } => vec![service.clone()],
            Self::TagTwice { first, second, .. } => vec![first.clone(), second.clone()],
            Self::ExternalNetworkMissing { key, .. }
            | Self::NetworkOfOtherProject { key, .. }
            | Self::NetworkUnsupported { key, .. }
            | Self::NetworkInvalid { key, .. }
            | Self::SubnetTaken { key, .. }
            | Self::PoolsExhausted { key }
            | Self::NetworkInUse { key, .. } => on_network(key),
            Self::ExternalVolumeMissing { name, .. } | Self::VolumeInUse { name, .. } => {
                on_volume(name)
            }
            Self::VolumeUnsupported { key, .. } => project
                .volumes
                .get(key)
                .map_or_else(Vec::new, |volume| on_volume(&volume.name)),
            Self::UnknownService { .. }
            | Self::UnknownSignal { .. }
            | Self::DependencyCycle { .. } => Vec::new(),
        }
    }

    /// Returns the path in the project that the error is about (`services.web.ports[0]`).
    pub fn config_path(&self) -> Option<String> {
        Some(match self {
            Self::Service(error) => error.path.clone(),
            Self::ImageMissing { service, .. } => format!("services.{service}.image"),
            Self::TagTwice { second, .. } => format!("services.{second}.image"),
            Self::NamedAndScaled { service, .. } | Self::NameTaken { service, .. } => {
                format!("services.{service}.container_name")
            }
            Self::PortTaken { service, index, .. }
            | Self::PortScaled { service, index, .. }
            | Self::RangeTaken { service, index, .. } => {
                format!("services.{service}.ports[{index}]")
            }
            Self::ExternalNetworkMissing { key, .. }
            | Self::NetworkOfOtherProject { key, .. }
            | Self::NetworkInUse { key, .. }
            | Self::PoolsExhausted { key } => format!("networks.{key}"),
            Self::NetworkUnsupported { key, field, .. } => format!("networks.{key}.{field}"),
            Self::NetworkInvalid { key, .. } | Self::SubnetTaken { key, .. } => {
                format!("networks.{key}.ipam")
            }
            Self::AddressRefused {
                service, network, ..
            } => format!("services.{service}.networks.{network}.ipv4_address"),
            Self::AttachmentRefused {
                service,
                network,
                field,
                ..
            } => format!("services.{service}.networks.{network}.{field}"),
            Self::ExternalVolumeMissing { key, .. } => format!("volumes.{key}"),
            Self::VolumeUnsupported { key, field, .. } => format!("volumes.{key}.{field}"),
            Self::NamespaceOwnerMissing { service, field, .. } => {
                format!("services.{service}.{field}")
            }
            Self::DependencyCycle { services } => {
                format!("services.{}.depends_on", services.first()?)
            }
            Self::NoHealthCheck {
                service,
                dependency,
            } => format!("services.{service}.depends_on.{dependency}"),
            Self::VolumeInUse { .. }
            | Self::UnknownService { .. }
            | Self::NoContainer { .. }
            | Self::AddressesExhausted { .. }
            | Self::UnknownSignal { .. } => return None,
        })
    }
}
