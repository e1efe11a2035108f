//! Projects and containers for tests.

use std::{
    io,
    path::{Path, PathBuf},
};

use compose_spec::{FileKind, Files, Loaded, Request};
use indexmap::IndexMap;
use runtime::spec::{
    CgroupPlace, ContainerSpec, ContainerState, Health, LogPlace, Namespace, Namespaces, Process,
    Resources, RestartPolicy, Rootfs, Seccomp, Security, Stdio, StopPolicy,
};

use crate::model::{
    ContainerId, ContainerRecord, ContainerRole, Digest, ObservedContainer, Timestamp,
};

/// A disk with one file, `/shop/compose.yaml`.
struct OneFile<'a>(&'a str);

impl Files for OneFile<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.kind(path) {
            Some(_) => Ok(self.0.as_bytes().to_vec()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        (path == Path::new("/shop/compose.yaml")).then_some(FileKind::File)
    }
}

/// Loads the text of a Compose file of the project `shop`.
pub(crate) fn load(yaml: &str) -> Result<Loaded, compose_spec::LoadError> {
    let request = Request {
        working_dir: "/shop".into(),
        ..Request::default()
    };
    compose_spec::load(&request, &OneFile(yaml))
}

/// Makes a container of a service of the project `shop`, made at `created`.
pub(crate) fn container(
    loaded: &Loaded,
    service: &str,
    replica: u32,
    state: ContainerState,
) -> ObservedContainer {
    let wanted = loaded.project.services[service].clone();
    let id = ContainerId::from_bytes([u8::try_from(replica).unwrap(); 32]);
    ObservedContainer {
        record: ContainerRecord {
            version: ContainerRecord::VERSION,
            name: format!("shop-{service}-{replica}"),
            project: loaded.project.name.clone(),
            service: wanted.name.clone(),
            role: ContainerRole::Replica(replica),
            files_digest: String::new(),
            image: Digest::from_sha256(&[7; 32]),
            image_reference: "redis:7".into(),
            spec: spec(id.as_str()),
            id,
            endpoints: Vec::new(),
            published: Vec::new(),
            anonymous_volumes: IndexMap::new(),
            volumes: Vec::new(),
            labels: IndexMap::new(),
            created: Timestamp(1_767_323_045_000),
            wanted,
        },
        state,
        restarts: 0,
        network_intact: true,
    }
}

/// A running state without a probe.
pub(crate) fn running(since_ms: u64) -> ContainerState {
    ContainerState::Running {
        pid: 4321,
        since_ms,
        health: Health::None,
    }
}

fn spec(id: &str) -> ContainerSpec {
    ContainerSpec {
        version: ContainerSpec::VERSION,
        id: id.to_owned(),
        hostname: "web".into(),
        domainname: None,
        rootfs: Rootfs::Directory(PathBuf::from("/")),
        rootfs_read_only: false,
        process: Process {
            argv: vec!["docker-entrypoint.sh".into(), "redis-server".into()],
            env: vec!["PATH=/bin".into(), "MODE=prod".into()],
            cwd: "/data".into(),
            user: "redis".into(),
            groups: Vec::new(),
        },
        init: false,
        namespaces: Namespaces {
            net: Namespace::Private,
            pid: Namespace::Private,
            ipc: Namespace::Private,
            uts: Namespace::Private,
            cgroup: Namespace::Private,
        },
        mounts: Vec::new(),
        shm_size_bytes: 0,
        cgroup: CgroupPlace {
            parent: "stack/shop".into(),
            name: id.to_owned(),
        },
        resources: Resources::default(),
        rlimits: Vec::new(),
        sysctls: Vec::new(),
        oom_score_adj: None,
        security: Security {
            privileged: false,
            capabilities: Vec::new(),
            no_new_privs: false,
            seccomp: Seccomp::Default,
            mask_paths: true,
        },
        stdio: Stdio {
            tty: false,
            stdin: false,
        },
        restart: RestartPolicy::No,
        probe: None,
        stop: StopPolicy {
            signal: 15,
            grace_ms: 10_000,
        },
        log: LogPlace {
            dir: None,
            file_bytes_max: 0,
            files_max: 1,
        },
    }
}
