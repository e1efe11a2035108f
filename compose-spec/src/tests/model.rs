//! The model says what the file says.

use indexmap::IndexMap;
use std::{path::Path, time::Duration};

use super::{load_files, loaded};
use crate::model::{
    BindOptions, Condition, FileSource, Health, HealthTest, ImageSource, MountSource, Namespace,
    NetworkMode, Project, PublishedPort, PullPolicy, RestartPolicy, Service, TmpfsOptions,
};

const FULL: &str = include_str!("full.yaml");

fn service<'a>(project: &'a Project, name: &str) -> &'a Service {
    &project.services[name]
}

#[test]
fn a_full_service_arrives() {
    let loaded = load_files(&[
        ("compose.yaml", FULL),
        ("web.env", "FROM_FILE=1\nBOTH=file\n"),
    ])
    .unwrap_or_else(|error| panic!("{error}"));
    let project = &loaded.project;
    let web = service(project, "web");
    let ImageSource::Build { image, build } = &web.image else {
        panic!("built")
    };
    assert_eq!(image.as_deref(), Some("shop/web"));
    assert_eq!(build.context, "/home/u/shop/web");
    assert_eq!(build.dockerfile.as_deref(), Some("Dockerfile.prod"));
    assert_eq!(build.args["VERSION"].as_deref(), Some("1.10"));
    assert_eq!(
        web.command.as_deref(),
        Some(&["serve".to_owned(), "--port".into(), "80".into()][..])
    );
    assert_eq!(web.entrypoint.as_deref(), Some(&[][..]));
    assert_eq!(web.environment["FROM_FILE"].as_deref(), Some("1"));
    assert_eq!(web.environment["BOTH"].as_deref(), Some("own"));
    assert_eq!(web.environment["GONE"], None);
    assert_eq!(web.stop_grace, Some(Duration::from_secs(90)));
    assert_eq!(web.depends_on["db"].condition, Condition::ServiceHealthy);
    assert!(web.depends_on["db"].restart && web.depends_on["db"].required);
    assert_eq!(
        web.restart,
        RestartPolicy::OnFailure {
            attempts_max: Some(3)
        }
    );
    assert_eq!(web.pull_policy, PullPolicy::Every { seconds: 36 * 3600 });
    assert_eq!(web.resources.cpu_nanos, Some(500_000_000));
    assert_eq!(web.resources.memory_bytes, Some(256 << 20));
    assert_eq!(web.resources.memory_swap_bytes, Some(-1));
    assert_eq!(web.resources.pids, Some(100));
    assert_eq!(web.replicas, 1);
    let many = super::loaded("services: {a: {image: i, scale: 3}}").project;
    assert_eq!(many.services["a"].replicas, 3);
    assert_eq!(web.ulimits["nofile"].hard, 2048);
    assert_eq!(web.cap_drop, ["ALL"]);
    assert_eq!(web.cap_add, ["NET_ADMIN"]);
    assert_eq!(
        web.security_opt,
        ["no-new-privileges=true", "label=disable"]
    );
    assert_eq!(web.devices[0].to_string(), "/dev/fuse:/dev/fuse:rwm");
    assert_eq!(web.ipc, Namespace::Shareable);
    assert_eq!(web.sysctls["net.core.somaxconn"], "1024");
    assert_eq!(web.extra_hosts[0].address, "host-gateway");
    assert_eq!(web.logging.options["max-size"], "10m");
    assert!(web.init && web.tty && web.stdin_open && web.read_only && !web.privileged);
    assert_eq!(web.extensions["x-note"], serde_json::json!({"cost": "$5"}));
}

#[test]
fn ports_are_expanded() {
    let project = loaded(
        "services: {a: {image: i, ports: ['8080:80', '127.0.0.1::90/udp', '5-6:5-6', '7-9:70']}}",
    )
    .project;
    let ports = &service(&project, "a").ports;
    let seen: Vec<_> = ports
        .iter()
        .map(|port| (port.published, port.target))
        .collect();
    assert_eq!(
        seen,
        [
            (PublishedPort::Fixed(8080), 80),
            (PublishedPort::Ephemeral, 90),
            (PublishedPort::Fixed(5), 5),
            (PublishedPort::Fixed(6), 6),
            (PublishedPort::Range(7, 9), 70),
        ]
    );
    assert_eq!(
        ports[1].host_ip.map(|ip| ip.to_string()).as_deref(),
        Some("127.0.0.1")
    );
}

#[test]
fn mounts_know_their_source() {
    let loaded = load_files(&[("compose.yaml", FULL), ("web.env", "")]).unwrap();
    let mounts = &service(&loaded.project, "web").mounts;
    let by_target = |target: &str| mounts.iter().find(|mount| mount.target == target).unwrap();
    let bind = MountSource::Bind {
        path: Path::new("/home/u/shop/conf").to_path_buf(),
        options: BindOptions {
            create_host_path: true,
            propagation: Some("rslave".to_owned()),
            recursive: None,
            selinux: None,
        },
    };
    assert_eq!(by_target("/etc/app").source, bind);
    assert!(by_target("/etc/app").read_only);
    let data = MountSource::Volume {
        key: "data".to_owned(),
        nocopy: true,
        subpath: None,
    };
    assert_eq!(by_target("/data").source, data);
    assert_eq!(
        by_target("/cache").source,
        MountSource::Anonymous {
            nocopy: false,
            labels: IndexMap::new()
        }
    );
    let MountSource::Bind { options, .. } = &by_target("/long").source else {
        panic!("bind")
    };
    assert!(!options.create_host_path);
    let tmpfs = MountSource::Tmpfs(TmpfsOptions {
        size_bytes: Some(64 << 20),
        mode: Some(0o1770),
        options: vec!["noexec".to_owned()],
    });
    assert_eq!(by_target("/run").source, tmpfs);
}

#[test]
fn networks_have_seats_by_priority() {
    let loaded = load_files(&[("compose.yaml", FULL), ("web.env", "")]).unwrap();
    let project = &loaded.project;
    let NetworkMode::Networks(seats) = &service(project, "web").network else {
        panic!("seats")
    };
    assert_eq!(seats.keys().collect::<Vec<_>>(), ["back", "front"]);
    assert_eq!(seats["back"].aliases, ["api", "www"]);
    assert_eq!(
        seats["back"]
            .ipv4_address
            .map(|ip| ip.to_string())
            .as_deref(),
        Some("10.9.0.5")
    );
    assert_eq!(project.networks["back"].name, "shop_back");
    assert_eq!(
        project.networks["back"].subnets[0].subnet.as_deref(),
        Some("10.9.0.0/24")
    );
    assert!(project.networks["front"].external);
    assert_eq!(project.networks["front"].name, "edge");
    assert!(
        !project.networks.contains_key("unused"),
        "unused networks are pruned"
    );
}

#[test]
fn health_checks_have_four_shapes() {
    let project = loaded(
        "services:
  a: {image: i}
  b: {image: i, healthcheck: {disable: true}}
  c: {image: i, healthcheck: {test: curl x, interval: 5s, retries: 2}}
  d: {image: i, healthcheck: {test: [CMD, curl, x]}}
  e: {image: i, healthcheck: {test: [NONE]}}
",
    )
    .project;
    assert_eq!(service(&project, "a").health, Health::Inherit);
    assert_eq!(service(&project, "b").health, Health::Disabled);
    assert_eq!(service(&project, "e").health, Health::Disabled);
    let Health::Check(check) = &service(&project, "c").health else {
        panic!("check")
    };
    assert_eq!(check.test, Some(HealthTest::Shell("curl x".to_owned())));
    assert_eq!(
        (check.interval, check.retries),
        (Some(Duration::from_secs(5)), Some(2))
    );
    let Health::Check(check) = &service(&project, "d").health else {
        panic!("check")
    };
    assert_eq!(
        check.test,
        Some(HealthTest::Command(vec!["curl".to_owned(), "x".to_owned()]))
    );
}

#[test]
fn secrets_and_configs_have_sources_and_places() {
    let loaded = load_files(&[("compose.yaml", FULL), ("web.env", "")]).unwrap();
    let project = &loaded.project;
    let web = service(project, "web");
    assert_eq!(web.secrets[0].target, "/run/secrets/key");
    assert_eq!(web.secrets[1].target, "/run/secrets/token.txt");
    assert_eq!(
        (web.secrets[1].uid, web.secrets[1].mode),
        (Some(1000), Some(0o400))
    );
    assert_eq!(web.configs[0].target, "/motd");
    assert_eq!(
        project.secrets["key"].source,
        FileSource::File("/home/u/shop/key.pem".into())
    );
    let variable = FileSource::Environment {
        variable: "TOKEN".to_owned(),
        value: None,
    };
    assert_eq!(project.secrets["token"].source, variable);
    assert_eq!(
        project.configs["motd"].source,
        FileSource::Content("hello".to_owned())
    );
}

#[test]
fn the_order_of_services_is_that_of_the_file() {
    let project = loaded("services: {z: {image: i}, a: {image: i}, m: {image: i}}").project;
    let names: Vec<_> = project
        .services
        .keys()
        .map(|name| name.as_str().to_owned())
        .collect();
    assert_eq!(names, ["z", "a", "m"]);
}

#[test]
fn links_wait_and_give_names() {
    let project = loaded("services: {a: {image: i, links: ['b:alias']}, b: {image: i}}").project;
    assert!(service(&project, "a").depends_on["b"].restart);
    let NetworkMode::Networks(seats) = &service(&project, "b").network else {
        panic!("seats")
    };
    assert_eq!(seats["default"].aliases, ["alias"]);
}

#[test]
fn every_value_has_a_place() {
    let loaded = loaded("services:\n  web:\n    image: i\n    ports:\n      - '80:80'\n");
    let place = |path: &str| {
        let place = loaded.locations.find(path).unwrap();
        (place.file.to_string(), place.line, place.column)
    };
    assert_eq!(
        place("services.web.image"),
        ("compose.yaml".to_owned(), 3, 12)
    );
    assert_eq!(place("services.web"), ("compose.yaml".to_owned(), 2, 3));
    assert_eq!(
        place("services.web.ports[0].target"),
        ("compose.yaml".to_owned(), 5, 9)
    );
    assert_eq!(
        place("services.web.unknown"),
        ("compose.yaml".to_owned(), 2, 3)
    );
    assert_eq!(loaded.locations.find("nothing"), None);
}

#[test]
fn a_project_survives_the_way_to_the_supervisor() {
    let loaded = load_files(&[("compose.yaml", FULL), ("web.env", "A=1")]).unwrap();
    let text = serde_json::to_string(&loaded.project).unwrap();
    let back: Project = serde_json::from_str(&text).unwrap();
    assert_eq!(back, loaded.project);
}

#[test]
fn values_of_variables_stay_out_of_findings() {
    let mut request = super::request();
    for name in ["SECRET", "TOKEN"] {
        request
            .environment
            .insert(name.to_owned(), "hunter2".to_owned());
    }
    let text = "services:
  a:
    image: i
    restart: $SECRET
    mem_limit: ${SECRET}
    ports: ['$SECRET:80']
    volumes: ['$SECRET', {type: bind, source: x, target: \"$SECRET\"}]
    stop_grace_period: $SECRET
    scale: $SECRET
    tty: $SECRET
    command: \"'$SECRET\"
    build: {ssh: [\"$SECRET\"]}
    extra_hosts: [\"$SECRET\"]
    environment: [\"${X?$SECRET}\"]
    networks: {default: {ipv4_address: $SECRET}}
";
    let files = super::memory(&[("compose.yaml", text)]);
    let error = crate::load(&request, &files).expect_err("refused");
    let shown = format!("{request:?}{error:?}{error}") + &super::findings_of(Err(error));
    assert!(!shown.contains("hunter2"), "{shown}");
}
