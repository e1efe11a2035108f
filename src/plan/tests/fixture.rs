//! Small projects, written in few words.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use compose_spec::model::{
    Attachment, Build, Condition, Dependency, Health, HealthCheck, HealthTest, Hook, ImageSource,
    InitHook, Mount, MountSource, Network, NetworkMode, Port, PortProtocol, Project, PublishedPort,
    Service, ServiceName, Volume,
};
use indexmap::IndexMap;

use crate::model::{Digest, ImageConfig, ImageRecord, Timestamp};

pub(in crate::plan) fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

pub(in crate::plan) fn service(text: &str) -> Service {
    let mut networks = IndexMap::new();
    networks.insert("default".to_owned(), Attachment::default());
    let image = ImageSource::Pull {
        image: format!("{text}:1"),
    };
    Service {
        network: NetworkMode::Networks(networks),
        ..Service::new(name(text), image)
    }
}

/// Changes of a service, to be chained.
pub(in crate::plan) trait With: Sized {
    fn with(self, change: impl FnOnce(&mut Service)) -> Self;
    fn needs(self, other: &str, condition: Condition) -> Self;
    fn restarts_with(self, other: &str) -> Self;
    fn probed(self) -> Self;
    fn publishes(self, host: u16, target: u16) -> Self;
    fn mounts(self, key: &str, target: &str) -> Self;
    fn built(self) -> Self;
    fn on(self, networks: &[&str]) -> Self;
    fn env(self, name: &str, value: &str) -> Self;
    fn hooked(self) -> Self;
    fn inits(self, per_replica: &[bool]) -> Self;
}

impl With for Service {
    fn with(mut self, change: impl FnOnce(&mut Service)) -> Self {
        change(&mut self);
        self
    }

    fn needs(self, other: &str, condition: Condition) -> Self {
        self.with(|service| {
            service.depends_on.insert(
                name(other),
                Dependency {
                    condition,
                    restart: false,
                    required: true,
                },
            );
        })
    }

    fn restarts_with(self, other: &str) -> Self {
        self.needs(other, Condition::ServiceStarted)
            .with(|service| {
                service.depends_on.get_mut(other).unwrap().restart = true;
            })
    }

    fn inits(self, per_replica: &[bool]) -> Self {
        let networks = self.network.clone();
        let entry = |per_replica: &bool| InitHook {
            container: Box::new(Service {
                image: self.image.clone(),
                command: Some(vec!["migrate".to_owned()]),
                network: networks.clone(),
                mounts: self.mounts.clone(),
                ..Service::new(
                    self.name.clone(),
                    ImageSource::Pull {
                        image: String::new(),
                    },
                )
            }),
            per_replica: *per_replica,
        };
        let entries = per_replica.iter().map(entry).collect();
        self.with(|service| service.pre_start = entries)
    }

    fn hooked(self) -> Self {
        let hook = |word: &str| Hook {
            command: vec![word.to_owned()],
            ..Hook::default()
        };
        self.with(|service| {
            service.post_start = vec![hook("warm-up")];
            service.pre_stop = vec![hook("drain")];
        })
    }

    fn probed(self) -> Self {
        self.with(|service| {
            service.health = Health::Check(HealthCheck {
                test: Some(HealthTest::Shell("true".to_owned())),
                interval: Some(Duration::from_secs(1)),
                timeout: None,
                retries: None,
                start_period: None,
                start_interval: None,
            });
        })
    }

    fn publishes(self, host: u16, target: u16) -> Self {
        self.with(|service| {
            service.ports.push(Port {
                target,
                published: PublishedPort::Fixed(host),
                host_ip: None,
                protocol: PortProtocol::Tcp,
            });
        })
    }

    fn mounts(self, key: &str, target: &str) -> Self {
        self.with(|service| {
            service.mounts.push(Mount {
                target: target.to_owned(),
                read_only: false,
                source: MountSource::Volume {
                    key: key.to_owned(),
                    nocopy: false,
                    subpath: None,
                },
            });
        })
    }

    fn built(self) -> Self {
        self.with(|service| {
            service.image = ImageSource::Build {
                image: None,
                build: Box::new(build("/src")),
            };
        })
    }

    fn on(self, networks: &[&str]) -> Self {
        self.with(|service| {
            let attachments = networks
                .iter()
                .map(|key| ((*key).to_owned(), Attachment::default()));
            service.network = NetworkMode::Networks(attachments.collect());
        })
    }

    fn env(self, name: &str, value: &str) -> Self {
        self.with(|service| {
            service
                .environment
                .insert(name.to_owned(), Some(value.to_owned()));
        })
    }
}

pub(in crate::plan) fn build(context: &str) -> Build {
    Build::new(context)
}

/// A project `shop` with the networks and volumes that its services name.
pub(in crate::plan) fn project(services: impl IntoIterator<Item = Service>) -> Project {
    let services: IndexMap<ServiceName, Service> = services
        .into_iter()
        .map(|service| (service.name.clone(), service))
        .collect();
    let mut networks = IndexMap::new();
    let mut volumes = IndexMap::new();
    for service in services.values() {
        if let NetworkMode::Networks(attachments) = &service.network {
            for key in attachments.keys() {
                networks.insert(key.clone(), network(key));
            }
        }
        for mount in &service.mounts {
            if let MountSource::Volume { key, .. } = &mount.source
                && key != "undefined"
            {
                volumes.insert(key.clone(), volume(key));
            }
        }
    }
    Project {
        name: "shop".parse().unwrap(),
        working_dir: PathBuf::from("/srv/shop"),
        files: vec![PathBuf::from("/srv/shop/compose.yaml")],
        services,
        networks,
        volumes,
        secrets: IndexMap::new(),
        configs: IndexMap::new(),
        models: IndexMap::new(),
        extensions: IndexMap::new(),
    }
}

pub(in crate::plan) fn network(key: &str) -> Network {
    Network {
        name: format!("shop_{key}"),
        external: false,
        driver: None,
        driver_opts: IndexMap::new(),
        internal: false,
        enable_ipv4: true,
        enable_ipv6: false,
        subnets: Vec::new(),
        labels: IndexMap::new(),
    }
}

pub(in crate::plan) fn volume(key: &str) -> Volume {
    Volume {
        name: format!("shop_{key}"),
        external: false,
        driver: None,
        driver_opts: IndexMap::new(),
        labels: IndexMap::new(),
        extensions: IndexMap::new(),
    }
}

pub(in crate::plan) fn image(seed: &str, revision: u8) -> ImageRecord {
    use sha2::Digest as _;
    let sum = sha2::Sha256::digest(format!("{seed}#{revision}"));
    ImageRecord {
        id: Digest::from_sha256(&sum.into()),
        manifest: None,
        config: ImageConfig {
            cmd: Some(vec!["/serve".to_owned()]),
            volumes: if seed.starts_with("anon") {
                vec!["/var/lib/anon".to_owned()]
            } else {
                Vec::new()
            },
            ..ImageConfig::default()
        },
        platform: "linux/amd64".to_owned(),
        layers: vec![PathBuf::from("/layers/1")],
        diff_ids: Vec::new(),
        created: Timestamp(0),
        size_bytes: 1,
    }
}

pub(in crate::plan) fn scale(service: &str, count: u32) -> BTreeMap<ServiceName, u32> {
    BTreeMap::from([(name(service), count)])
}
