//! Every element that needs a type of its own is one in the model.

use std::{path::Path, time::Duration};

use super::{findings, loaded};
use crate::model::{
    Attestation, Device, DeviceChoice, DeviceKind, FailureAction, Health, ImageSource, MountOwner,
    MountSource, NetworkMode, Project, RestartPolicy, RolloutOrder, SelinuxLabel, Service,
    UserNamespace, WatchAction,
};

const ELEMENTS: &str = include_str!("elements.yaml");

fn project() -> Project {
    loaded(ELEMENTS).project
}

fn web(project: &Project) -> &Service {
    &project.services["web"]
}

#[test]
fn block_devices_have_weights_and_rates() {
    let project = project();
    let blkio = web(&project).resources.blkio.as_ref().unwrap();
    assert_eq!(blkio.weight, Some(300));
    assert_eq!(blkio.weight_device[0].path, Path::new("/dev/sda"));
    assert_eq!(blkio.weight_device[0].weight, 400);
    let rates = [
        &blkio.read_bps,
        &blkio.read_iops,
        &blkio.write_bps,
        &blkio.write_iops,
    ];
    assert_eq!(
        rates.map(|rates| rates[0].rate),
        [12 << 20, 120, 1 << 20, 30]
    );
}

#[test]
fn devices_are_nodes_or_cdi_names() {
    let project = project();
    let service = web(&project);
    let shown: Vec<String> = service.devices.iter().map(Device::to_string).collect();
    assert_eq!(
        shown,
        [
            "/dev/ttyUSB0:/dev/ttyUSB0:rwm",
            "/dev/sda:/dev/xvda:r",
            "vendor.com/device=gpu0",
            "/dev/fuse:/dev/fuse:rw"
        ]
    );
    assert!(matches!(service.devices[2], Device::Cdi(_)));
    let rules = &service.device_cgroup_rules;
    assert_eq!(
        (rules[0].kind, rules[0].major, rules[0].minor),
        (DeviceKind::Char, Some(1), Some(3))
    );
    assert!(rules[0].access.read && rules[0].access.mknod && !rules[0].access.write);
    assert_eq!((rules[1].major, rules[1].minor), (Some(7), None));
    assert!(
        findings("services: {a: {image: i, device_cgroup_rules: [\"c 1 r\"]}}")
            .contains("device rule")
    );
}

#[test]
fn accelerators_are_requests() {
    let project = project();
    let requests = &web(&project).device_requests;
    let paths: Vec<&str> = requests
        .iter()
        .map(|request| request.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "gpus[0]",
            "gpus[1]",
            "deploy.resources.reservations.devices[0]"
        ]
    );
    assert_eq!(requests[0].driver.as_deref(), Some("nvidia"));
    assert_eq!(requests[0].devices, DeviceChoice::Count(2));
    assert_eq!(requests[0].capabilities, ["gpu"]);
    assert_eq!(requests[0].options["k"], "v");
    let ids = vec!["0".to_owned(), "GPU-1".to_owned()];
    assert_eq!(requests[1].devices, DeviceChoice::Ids(ids));
    assert_eq!(requests[1].capabilities, ["compute", "gpu"]);
    assert_eq!(requests[2].devices, DeviceChoice::All);
    let all = loaded("services: {a: {image: i, gpus: all}}").project;
    let request = &all.services["a"].device_requests[0];
    assert_eq!(request.devices, DeviceChoice::All);
    assert_eq!(request.capabilities, ["gpu"]);
}

#[test]
fn namespaces_groups_and_limits_of_old_are_kept() {
    let project = project();
    let service = web(&project);
    assert_eq!(service.userns, UserNamespace::Host);
    assert_eq!(service.cgroup_parent.as_deref(), Some("m-executor"));
    assert_eq!(service.storage_opt["size"], "1G");
    assert!(service.use_api_socket && service.resources.oom_kill_disable);
    assert_eq!(service.resources.memory_swappiness, Some(10));
    assert_eq!(service.resources.cpu_rt_period_us, Some(1000));
    assert_eq!(service.resources.cpu_rt_runtime_us, Some(400));
    assert!(findings("services: {a: {image: i, userns_mode: keep-id}}").contains("S0303"));
}

#[test]
fn links_and_volumes_name_their_owner() {
    let project = project();
    let service = web(&project);
    let links: Vec<_> = service
        .external_links
        .iter()
        .map(|link| (link.container.as_str(), link.alias.as_str()))
        .collect();
    assert_eq!(links, [("other", "other"), ("db_1", "db")]);
    let data = MountOwner::Service("data".parse().unwrap());
    let from: Vec<_> = service
        .volumes_from
        .iter()
        .map(|from| (&from.from, from.read_only))
        .collect();
    let old = MountOwner::Container("old".to_owned());
    assert_eq!(from, [(&data, false), (&data, true), (&old, true)]);
    assert!(service.depends_on.contains_key("data"));
}

#[test]
fn hooks_are_commands() {
    let project = project();
    let service = web(&project);
    let [first, second] = &service.pre_start[..] else {
        panic!("two init containers")
    };
    let image = |text: &str| ImageSource::Pull {
        image: text.to_owned(),
    };
    assert!(first.per_replica && !second.per_replica);
    let (first, second) = (&first.container, &second.container);
    assert_eq!(first.command.as_deref().unwrap(), ["echo", "a", "b"]);
    assert_eq!(first.image, image("busybox"));
    assert_eq!(first.user.as_deref(), Some("root"));
    assert_eq!(second.environment["A"], None);
    assert_eq!(second.environment["B"].as_deref(), Some("1"));
    // The rest is as in the service.
    assert_eq!(second.image, image("web:1"));
    assert_eq!(second.network, service.network);
    assert_eq!(second.mounts, service.mounts);
    assert_eq!(second.resources, service.resources);
    assert_eq!(second.health, Health::Disabled);
    assert_eq!(second.restart, RestartPolicy::No);
    assert!(second.pre_start.is_empty() && second.post_start.is_empty());
    let hook = &service.post_start[0];
    assert_eq!(hook.command, ["echo", "b"]);
    assert!(hook.privileged);
    assert_eq!(hook.working_dir.as_deref(), Some("/"));
    assert_eq!(hook.environment["A"].as_deref(), Some("1"));
    assert_eq!(service.pre_stop[0].command, ["c"]);
}

#[test]
fn watch_rules_say_what_to_do() {
    let project = project();
    let rules = &web(&project).watch;
    assert_eq!(rules[0].path, Path::new("/home/u/shop"));
    assert_eq!(
        (&rules[0].ignore[..], &rules[0].include[..]),
        (&["a".to_owned()][..], &["b".to_owned()][..])
    );
    assert!(rules[0].initial_sync);
    let target = "/x".to_owned();
    assert_eq!(rules[0].action, WatchAction::Sync { target });
    assert_eq!(rules[1].action, WatchAction::Rebuild);
    assert_eq!(rules[3].action, WatchAction::Restart);
    let target = "/t".to_owned();
    assert_eq!(rules[4].action, WatchAction::SyncRestart { target });
    let WatchAction::SyncExec { target, exec } = &rules[2].action else {
        panic!("sync+exec")
    };
    assert_eq!(
        (target.as_str(), &exec.command[..]),
        ("/t", &["x".to_owned(), "y".to_owned()][..])
    );
}

#[test]
fn rollouts_and_restarts_have_their_times() {
    let project = project();
    let service = web(&project);
    let update = service.update.as_ref().unwrap();
    assert_eq!(update.parallelism, Some(0));
    assert_eq!(update.delay, Some(Duration::from_secs(5)));
    assert_eq!(update.monitor, Some(Duration::from_secs(60)));
    assert_eq!(update.failure_action, FailureAction::Rollback);
    assert_eq!(update.order, RolloutOrder::StartFirst);
    assert!((update.max_failure_ratio - 0.5).abs() < f64::EPSILON);
    let rollback = service.rollback.as_ref().unwrap();
    assert_eq!(rollback.parallelism, Some(2));
    assert_eq!(rollback.order, RolloutOrder::StopFirst);
    assert_eq!(service.restart_delay, Some(Duration::from_secs(3)));
    assert_eq!(service.restart_window, Some(Duration::from_secs(60)));
}

#[test]
fn models_and_providers_have_types() {
    let project = project();
    let bindings = &web(&project).models;
    assert_eq!(bindings["llm"].endpoint_var.as_deref(), Some("URL"));
    assert_eq!(bindings["llm"].model_var.as_deref(), Some("NAME"));
    assert_eq!(bindings["other"].endpoint_var, None);
    let model = &project.models["llm"];
    assert_eq!(
        (model.model.as_str(), model.context_size),
        ("ai/smollm2", Some(1024))
    );
    assert_eq!(model.runtime_flags, ["--a", "--b"]);
    assert_eq!(project.models["other"].name, "long");
    let ImageSource::Provider(provider) = &project.services["outside"].image else {
        panic!("a provider")
    };
    assert_eq!(provider.kind, "awesomecloud");
    assert_eq!(provider.options["type"], ["mysql"]);
    assert_eq!(provider.options["sizes"], ["256", "512"]);
}

#[test]
fn seats_networks_and_mounts_have_every_option() {
    let project = project();
    let service = web(&project);
    let NetworkMode::Networks(seats) = &service.network else {
        panic!("networks")
    };
    let seat = &seats["front"];
    assert_eq!(seat.link_local_ips[0].to_string(), "169.254.8.1");
    assert!(seat.driver_opts["com.docker.network.endpoint.sysctls"].contains("IFNAME"));
    assert_eq!(seat.gw_priority, 3);
    assert_eq!(seat.interface_name.as_deref(), Some("eth7"));
    let network = &project.networks["front"];
    assert!(!network.enable_ipv4 && network.enable_ipv6);
    assert_eq!(
        network.subnets[0].aux_addresses["h"].to_string(),
        "10.9.1.1"
    );
    let source = |target: &str| {
        let mount = service.mounts.iter().find(|mount| mount.target == target);
        &mount.unwrap().source
    };
    let MountSource::Bind { options, .. } = source("/c") else {
        panic!("bind")
    };
    assert_eq!(options.selinux, Some(SelinuxLabel::Private));
    assert_eq!(options.recursive.as_deref(), Some("readonly"));
    let MountSource::Anonymous { labels, .. } = source("/anon") else {
        panic!("anonymous")
    };
    assert_eq!(labels["k"], "v");
    let MountSource::Image { image, subpath } = source("/img") else {
        panic!("image")
    };
    assert_eq!(
        (image.as_str(), subpath.as_deref()),
        ("busybox", Some("bin"))
    );
}

#[test]
fn builds_have_every_key() {
    let project = project();
    let ImageSource::Build { build, .. } = &project.services["built"].image else {
        panic!("a build")
    };
    assert_eq!(build.dockerfile_inline.as_deref(), Some("FROM scratch"));
    let ssh: Vec<_> = build
        .ssh
        .iter()
        .map(|key| (key.id.as_str(), key.path.as_deref()))
        .collect();
    assert_eq!(
        ssh,
        [
            ("default", None),
            ("key", Some(Path::new("/home/u/shop/id")))
        ]
    );
    let caches: Vec<_> = build
        .cache_from
        .iter()
        .map(|cache| (cache.kind.as_str(), cache.options.len()))
        .collect();
    assert_eq!(caches, [("registry", 1), ("local", 1), ("gha", 0)]);
    assert_eq!(build.cache_from[0].options["ref"], "alpine:latest");
    assert_eq!(build.cache_to[0].options["mode"], "max");
    assert_eq!(build.no_cache_filter, ["one", "two"]);
    assert_eq!(build.additional_contexts["res"], "/home/u/shop/res");
    assert_eq!(
        build.additional_contexts["app"],
        "docker-image://my-app:latest"
    );
    let Attestation::On(provenance) = &build.provenance else {
        panic!("provenance")
    };
    assert_eq!(provenance["mode"], "max");
    assert!(matches!(&build.sbom, Attestation::On(options) if options.is_empty()));
    assert!(build.privileged);
    let [first, second] = &build.secrets[..] else {
        panic!("two secrets")
    };
    assert_eq!((first.source.as_str(), first.id.as_str()), ("tok", "tok"));
    assert_eq!(second.id, "server");
    assert_eq!(
        (second.uid, second.gid, second.mode),
        (Some(103), Some(104), Some(0o440))
    );
    assert_eq!(
        (build.ulimits["nofile"].soft, build.ulimits["nofile"].hard),
        (1, 2)
    );
    assert_eq!(build.ulimits["nproc"].hard, 5);
    assert_eq!(build.platforms, ["linux/amd64", "linux/arm64"]);
    assert_eq!(build.entitlements, ["network.host", "security.insecure"]);
    assert_eq!(build.extensions["x-more"], 1);
    assert_eq!(build.tags, ["a:b"]);
}

#[test]
fn the_model_survives_its_stored_form() {
    let project = project();
    let text = serde_json::to_string(&project).unwrap();
    assert_eq!(serde_json::from_str::<Project>(&text).unwrap(), project);
}
