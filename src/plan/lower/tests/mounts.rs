use std::path::PathBuf;

use compose_spec::model::{
    BindOptions, FileGrant, FileObject, FileSource, Mount as Wanted, MountSource, TmpfsOptions,
};
use runtime::spec::{Mount, MountKind};

use super::*;
use crate::plan::tests::fixture::{With, service};

fn mount(target: &str, source: MountSource) -> Wanted {
    Wanted {
        target: target.to_owned(),
        read_only: false,
        source,
    }
}

fn bind(path: &str, create: bool) -> MountSource {
    MountSource::Bind {
        path: path.into(),
        options: BindOptions {
            create_host_path: create,
            propagation: None,
            recursive: None,
            selinux: None,
        },
    }
}

/// `target <- source [ro]`
fn lines(mounts: &[Mount]) -> String {
    let line = |mount: &Mount| {
        let source = match &mount.kind {
            MountKind::Bind {
                source, subpath, ..
            } => {
                let below = subpath.as_ref().map(|path| format!(" below {path}"));
                format!("{}{}", source.display(), below.unwrap_or_default())
            }
            MountKind::Image { lowers, subpath } => format!("image {lowers:?} {subpath:?}"),
            MountKind::Exact(_) => unreachable!("no service asks for them"),
            MountKind::Tmpfs {
                size_bytes,
                mode,
                options,
            } => {
                format!("tmpfs {size_bytes:?} {mode:o} {}", options.join(","))
            }
        };
        let read_only = if mount.read_only { " ro" } else { "" };
        format!("{} <- {source}{read_only}", mount.target)
    };
    mounts
        .iter()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
        .replace(id_volume("/anon").as_str(), "<anon>")
        .replace(id_volume("/img").as_str(), "<img>")
}

fn id_volume(target: &str) -> String {
    use sha2::Digest as _;
    let sum: [u8; 32] = sha2::Sha256::digest(format!("{}\0{target}", id())).into();
    Digest::from_sha256(&sum).hex().to_owned()
}

#[test]
fn mounts_come_shallow_first_with_volumes_of_the_image() {
    let service = service("web").mounts("data", "/srv/a/b").with(|service| {
        service.mounts.push(Wanted {
            read_only: true,
            ..mount("/srv/a", bind("/host/a", true))
        });
        service.mounts.push(mount(
            "/anon/",
            MountSource::Anonymous {
                nocopy: true,
                labels: IndexMap::new(),
            },
        ));
        service.mounts.push(mount(
            "/tmp",
            MountSource::Tmpfs(TmpfsOptions {
                size_bytes: Some(1 << 20),
                mode: None,
                options: vec!["exec".to_owned(), "uid=5".to_owned(), "ro".to_owned()],
            }),
        ));
    });
    let mut image = plain_image();
    image.config.volumes = ["/img", "/srv/a/b/", "/"].map(str::to_owned).to_vec();
    let result = lowered(service, &image);
    insta::assert_snapshot!(lines(&result.record.spec.mounts), @r"
    /anon <- /s/volumes/<anon>/_data
    /tmp <- tmpfs Some(1048576) 1777 exec,uid=5 ro
    /img <- /s/volumes/<img>/_data
    /srv/a <- /host/a ro
    /etc/hosts <- /s/containers/1/files/hosts
    /etc/resolv.conf <- /s/containers/1/files/resolv.conf
    /etc/hostname <- /s/containers/1/files/hostname
    /srv/a/b <- /s/volumes/shop_data/_data
    ");
    let volumes: Vec<(bool, Option<&str>)> = result
        .volumes
        .iter()
        .map(|used| {
            (
                used.record
                    .as_ref()
                    .is_some_and(|record| record.key.is_none()),
                used.copy_up.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        volumes,
        [
            (false, Some("/srv/a/b")),
            (true, None),
            (true, Some("/img"))
        ]
    );
    assert_eq!(result.record.volumes, ["shop_data"]);
    assert_eq!(
        result.record.anonymous_volumes.keys().collect::<Vec<_>>(),
        ["/anon", "/img"]
    );
    assert_eq!(result.binds[0].path, "services.web.volumes[1]");
    let names: Vec<&str> = result.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["hosts", "resolv.conf", "hostname"]);
}

#[test]
fn anonymous_volumes_are_taken_over_by_target() {
    let mut image = plain_image();
    image.config.volumes = vec!["/img".to_owned()];
    let project = project([service("web")]);
    let result = lower_in(&project, &image, |new, _| {
        new.inherited_volumes
            .insert("/img".to_owned(), "old".to_owned());
        new.inherited_volumes
            .insert("/gone".to_owned(), "unused".to_owned());
    })
    .unwrap();
    assert_eq!(result.record.anonymous_volumes.len(), 1);
    assert_eq!(result.record.anonymous_volumes["/img"], "old");
}

#[test]
fn the_users_own_file_wins_over_the_generated_one() {
    let service = service("web").with(|service| {
        service
            .mounts
            .push(mount("/etc/hosts", bind("/host/hosts", false)));
        service.read_only = true;
    });
    let result = lowered(service, &plain_image());
    assert_eq!(result.files.len(), 2);
    let hosts: Vec<&Mount> = result
        .record
        .spec
        .mounts
        .iter()
        .filter(|mount| mount.target == "/etc/hosts")
        .collect();
    assert_eq!(hosts.len(), 1);
    assert!(!hosts[0].read_only);
    assert!(
        result
            .record
            .spec
            .mounts
            .iter()
            .any(|m| m.target == "/etc/hostname" && m.read_only)
    );
}

fn granted() -> Project {
    let grant = |source: &str, target: &str| FileGrant {
        source: source.to_owned(),
        target: target.to_owned(),
        uid: None,
        gid: None,
        mode: None,
    };
    let mut project = project([service("web").with(|service| {
        service.secrets = vec![
            grant("plain", "/run/secrets/plain"),
            FileGrant {
                mode: Some(0o400),
                uid: Some(70),
                ..grant("plain", "/run/secrets/owned")
            },
            grant("env", "/run/secrets/env"),
        ];
        service.configs = vec![grant("a/b", "/cfg")];
    })]);
    let object = |source| FileObject {
        name: "x".to_owned(),
        source,
        labels: IndexMap::new(),
    };
    let variable = |value: Option<&str>| FileSource::Environment {
        variable: "PW".to_owned(),
        value: value.map(str::to_owned),
    };
    project.secrets.insert(
        "plain".to_owned(),
        object(FileSource::File("/host/pw".into())),
    );
    project
        .secrets
        .insert("env".to_owned(), object(variable(Some("hunter2"))));
    project.configs.insert(
        "a/b".to_owned(),
        object(FileSource::Content("x=1".to_owned())),
    );
    project
}

#[test]
fn secrets_and_configs_are_bound_read_only() {
    let result = lower_in(&granted(), &plain_image(), |_, _| {}).unwrap();
    insta::assert_snapshot!(lines(&result.record.spec.mounts), @r"
    /cfg <- /s/containers/1/files/configs/0-a_b ro
    /etc/hosts <- /s/containers/1/files/hosts
    /etc/resolv.conf <- /s/containers/1/files/resolv.conf
    /etc/hostname <- /s/containers/1/files/hostname
    /run/secrets/plain <- /host/pw ro
    /run/secrets/owned <- /s/containers/1/files/secrets/1-plain ro
    /run/secrets/env <- /s/containers/1/files/secrets/2-env ro
    ");
    let owned = result
        .files
        .iter()
        .find(|file| file.name == "secrets/1-plain")
        .unwrap();
    assert_eq!((owned.uid, owned.gid, owned.mode), (70, 0, 0o400));
    assert_eq!(result.binds[0].source, PathBuf::from("/host/pw"));
    assert!(!result.binds[0].create);
}

#[test]
fn secrets_without_a_source_are_refused_with_their_place() {
    let mut project = granted();
    project.secrets["plain"].source = FileSource::External;
    project.secrets["env"].source = FileSource::Environment {
        variable: "PW".to_owned(),
        value: None,
    };
    project.configs.clear();
    let errors = lower_in(&project, &plain_image(), |_, _| {}).unwrap_err();
    let texts: Vec<String> = errors
        .iter()
        .map(|error| format!("{}: {}", error.path, error.refusal))
        .collect();
    insta::assert_snapshot!(texts.join("\n"), @r"
    services.web.secrets[0]: external secret `plain` is not supported
    services.web.secrets[1]: external secret `plain` is not supported
    services.web.secrets[2]: environment variable `PW` of secret `env` is not set
    services.web.configs[0]: undefined config `a/b`
    ");
}

#[test]
fn mounts_that_cannot_be_are_refused_with_their_place() {
    let service = service("web").with(|service| {
        let options = |propagation: Option<&str>, recursive: Option<&str>| MountSource::Bind {
            path: "/host".into(),
            options: BindOptions {
                create_host_path: true,
                propagation: propagation.map(str::to_owned),
                recursive: recursive.map(str::to_owned),
                selinux: None,
            },
        };
        let volume = MountSource::Volume {
            key: "undefined".to_owned(),
            nocopy: false,
            subpath: None,
        };
        let tmpfs = TmpfsOptions {
            size_bytes: None,
            mode: Some(0o10_000),
            options: vec!["fast".to_owned()],
        };
        let image = MountSource::Image {
            image: "x".to_owned(),
            subpath: None,
        };
        service.mounts = vec![
            mount("relative", bind("/x", true)),
            mount("/", bind("/x", true)),
            mount("/a/../..", bind("/x", true)),
            mount("/proc/sys", bind("/x", true)),
            mount("/ok", bind("/x", true)),
            mount("/ok/", bind("/y", true)),
            mount("/b", bind("relative", true)),
            mount("/c", options(Some("sideways"), None)),
            mount("/d", options(None, Some("readonly"))),
            mount("/e", options(None, Some("twice"))),
            mount("/f", volume),
            mount("/g", MountSource::Tmpfs(tmpfs)),
            mount("/h", image),
        ];
    });
    insta::assert_snapshot!(refusals(service).join("\n"), @r"
    services.web.volumes[0]: invalid mount target `relative`: it must be an absolute path other than `/`, without `..`
    services.web.volumes[1]: invalid mount target `/`: it must be an absolute path other than `/`, without `..`
    services.web.volumes[2]: invalid mount target `/a/../..`: it must be an absolute path other than `/`, without `..`
    services.web.volumes[3]: invalid mount target `/proc/sys`: it would hide the kernel's /proc
    services.web.volumes[5]: another mount on `/ok` and this one exclude each other
    services.web.volumes[6]: invalid bind source `relative`: it must be absolute
    services.web.volumes[7].bind.propagation: unknown propagation `sideways`
    services.web.volumes[8].bind.recursive: invalid mode `readonly`: it needs `read_only: true`
    services.web.volumes[9].bind.recursive: unknown mode `twice`
    services.web.volumes[10]: undefined volume `undefined`
    services.web.volumes[11]: unknown tmpfs option `fast`
    services.web.volumes[11]: invalid mode `10000`: at most 7777
    ");
}
