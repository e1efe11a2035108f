//! Sections by tables: what they become, and what is refused with its key.

use compose_spec::model::{BuildSecret, SshKey};

use super::*;

fn lowered(change: impl FnOnce(&mut Build)) -> Result<BuildInput, String> {
    let mut build = Build {
        tags: vec!["more:1".to_owned()],
        pull: true,
        ..Build::new("/ctx")
    };
    change(&mut build);
    let object = |source| FileObject {
        name: "full".to_owned(),
        source,
        labels: IndexMap::new(),
    };
    let variable = |value: Option<&str>| FileSource::Environment {
        variable: "V".to_owned(),
        value: value.map(str::to_owned),
    };
    let secrets = IndexMap::from([
        ("file".to_owned(), object(FileSource::File("/s".into()))),
        ("set".to_owned(), object(variable(Some("v")))),
        ("unset".to_owned(), object(variable(None))),
        ("far".to_owned(), object(FileSource::External)),
    ]);
    let around = Surroundings {
        directory: Path::new("/project"),
        tag: Some("app"),
        platform: None,
        secrets: &secrets,
        service_image: &|name| (name == "db").then(|| "p-db".to_owned()),
    };
    BuildInput::from_compose(&build, &around).map_err(|error| error.to_string())
}

fn secret(source: &str, id: &str) -> BuildSecret {
    BuildSecret {
        source: source.to_owned(),
        id: id.to_owned(),
        uid: None,
        gid: None,
        mode: None,
    }
}

#[test]
fn a_section_becomes_a_build() {
    let input = lowered(|build| {
        build.args.insert("SET".to_owned(), Some("1".to_owned()));
        build.args.insert("UNSET".to_owned(), None);
        build.network = Some("none".to_owned());
        for (name, value) in [
            ("base", "docker-image://alpine"),
            ("lib", "../lib"),
            ("db", "service:db"),
            ("tagged", "oci-layout:///layouts/a:1"),
            ("plain", "oci-layout://b"),
        ] {
            let contexts = &mut build.additional_contexts;
            contexts.insert(name.to_owned(), value.to_owned());
        }
        build.no_cache_filter.push("one".to_owned());
        build.platforms.push("linux/arm64".to_owned());
        let limit = |soft, hard| Ulimit { soft, hard };
        build.ulimits.insert("nofile".to_owned(), limit(1, -1));
        build.ulimits.insert("nproc".to_owned(), limit(5, 5));
        build.secrets = vec![secret("file", "f"), secret("set", "s")];
        build.ssh.push(SshKey {
            id: "default".to_owned(),
            path: Some("/agent".into()),
        });
        build.entitlements = vec!["security.insecure".to_owned(), "network.host".to_owned()];
    })
    .unwrap();
    assert_eq!(input.tags, ["app", "more:1"]);
    assert_eq!(input.args.len(), 1);
    assert_eq!(input.network, BuildNetwork::None);
    assert_eq!(input.platform.as_deref(), Some("linux/arm64"));
    assert_eq!(input.no_cache_filter, ["one"]);
    assert!(input.allow_insecure && input.notes.is_empty());
    let layout = |path: &str, reference: Option<&str>| NamedContext::Layout {
        path: path.into(),
        reference: reference.map(str::to_owned),
    };
    let contexts: Vec<_> = input.additional_contexts.into_values().collect();
    assert_eq!(
        contexts,
        [
            NamedContext::Image("alpine".to_owned()),
            NamedContext::Directory("/ctx/../lib".into()),
            NamedContext::Built("p-db".to_owned()),
            layout("/layouts/a", Some("1")),
            layout("/ctx/b", None),
        ]
    );
    let limits = input.rlimits.iter();
    let limits: Vec<_> = limits
        .map(|limit| (limit.name.as_str(), limit.soft, limit.hard))
        .collect();
    assert_eq!(limits, [("nofile", 1, u64::MAX), ("nproc", 5, 5)]);
    assert_eq!(input.secrets["f"], Secret::File("/s".into()));
    assert_eq!(input.secrets["s"], Secret::Value(b"v".to_vec()));
    assert!(
        !format!("{:?}", input.secrets).contains("118"),
        "values are not shown"
    );
    assert_eq!(input.ssh["default"], [Path::new("/agent")]);
}

#[test]
fn of_several_platforms_the_hosts_runs_here_and_the_rest_is_made_along() {
    let host = host_platform();
    let of = |listed: &[&str]| {
        let listed = listed.iter().map(|text| (*text).to_owned()).collect();
        let input = lowered(|build| build.platforms = listed).unwrap();
        (input.platform.unwrap(), input.other_platforms)
    };
    let own = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    let (chosen, others) = of(&["linux/s390x", host, "linux/mips64le"]);
    assert_eq!(
        (chosen.as_str(), others),
        (host, own(&["linux/s390x", "linux/mips64le"]))
    );
    let (chosen, others) = of(&["linux/s390x", "linux/mips64le"]);
    assert_eq!(
        (chosen.as_str(), others),
        ("linux/s390x", own(&["linux/mips64le"]))
    );
    assert!(is_same_platform("linux/arm64/v8", "linux/arm64"));
}

#[test]
fn what_cannot_be_done_is_named_with_its_key() {
    for (change, expected) in [
        (
            (|build| {
                let contexts = &mut build.additional_contexts;
                contexts.insert("x".to_owned(), "service:none".to_owned());
            }) as fn(&mut Build),
            "`build.additional_contexts: service:none` cannot be used: there is no such service with an image",
        ),
        (
            |build| build.secrets = vec![secret("unset", "x")],
            "`build.secrets: unset` cannot be used: its environment variable is not set",
        ),
        (
            |build| build.secrets = vec![secret("far", "x")],
            "`build.secrets: far` cannot be used: external secrets are not known here: give it a `file`",
        ),
        (
            |build| build.entitlements = vec!["gpu".to_owned()],
            "`build.entitlements: gpu` cannot be used: security.insecure, network.host and device are known",
        ),
        (
            |build| {
                let limit = Ulimit { soft: -2, hard: 1 };
                build.ulimits.insert("nofile".to_owned(), limit);
            },
            "`build.ulimits: nofile: -2:1` cannot be used: a limit is at least 0, or -1 for none",
        ),
    ] {
        assert_eq!(lowered(change).map(drop).unwrap_err(), expected);
    }
}
