use compose_spec::model::{
    Blkio, Device, DeviceAccess, DeviceChoice, DeviceRate, DeviceRequest, DeviceRule, DeviceWeight,
    UserNamespace,
};
use runtime::spec::{Hook, HookPoint, UserMap};

use super::*;
use crate::{
    model::{CdiDevice, CdiEdits, CdiHook, CdiMount, CdiNode, CdiRegistry, CdiSpec},
    plan::tests::fixture::{With, service},
};

fn node(source: &str, target: &str) -> Device {
    Device::Node {
        source: source.into(),
        target: target.into(),
        access: DeviceAccess::parse("rw").unwrap(),
    }
}

fn cdi_device(name: &str, edits: CdiEdits) -> CdiDevice {
    CdiDevice {
        name: name.to_owned(),
        container_edits: edits,
    }
}

fn cdi_node(path: &str) -> CdiNode {
    CdiNode {
        path: path.to_owned(),
        host_path: Some(format!("/host{path}").into()),
        permissions: Some("rw".to_owned()),
    }
}

/// Two GPUs by index and UUID, and something whose file asks for a hook.
fn registry() -> CdiRegistry {
    let gpu = |index: &str| CdiEdits {
        device_nodes: vec![cdi_node(&format!("/dev/nvidia{index}"))],
        ..CdiEdits::default()
    };
    let all = CdiEdits {
        device_nodes: vec![cdi_node("/dev/nvidia0"), cdi_node("/dev/nvidia1")],
        ..CdiEdits::default()
    };
    let hook = CdiHook {
        hook_name: "createContainer".to_owned(),
        path: "/usr/bin/vendor-hook".into(),
        args: vec!["vendor-hook".to_owned(), "link".to_owned()],
        env: vec!["A=1".to_owned()],
        timeout: Some(5),
    };
    let late = CdiHook {
        hook_name: "poststop".to_owned(),
        ..hook.clone()
    };
    CdiRegistry {
        specs: vec![
            CdiSpec {
                cdi_version: "0.6.0".to_owned(),
                kind: "nvidia.com/gpu".to_owned(),
                devices: vec![
                    cdi_device("1", gpu("1")),
                    cdi_device("0", gpu("0")),
                    cdi_device("GPU-f00", gpu("0")),
                    cdi_device("all", all),
                ],
                container_edits: CdiEdits {
                    env: vec!["NVIDIA_VISIBLE_DEVICES=void".to_owned(), "A=cdi".to_owned()],
                    device_nodes: vec![cdi_node("/dev/nvidiactl")],
                    mounts: vec![CdiMount {
                        host_path: "/usr/lib/libcuda.so".into(),
                        container_path: "/usr/lib/libcuda.so".to_owned(),
                        options: vec!["ro".to_owned(), "nosuid".to_owned()],
                    }],
                    additional_gids: vec![44],
                    ..CdiEdits::default()
                },
                path: "/etc/cdi/nvidia.yaml".into(),
            },
            CdiSpec {
                cdi_version: "0.6.0".to_owned(),
                kind: "vendor.com/net".to_owned(),
                devices: vec![
                    cdi_device(
                        "x",
                        CdiEdits {
                            hooks: vec![hook],
                            ..CdiEdits::default()
                        },
                    ),
                    cdi_device(
                        "late",
                        CdiEdits {
                            hooks: vec![late],
                            ..CdiEdits::default()
                        },
                    ),
                ],
                container_edits: CdiEdits::default(),
                path: "/etc/cdi/net.json".into(),
            },
        ],
        broken: vec!["/etc/cdi/bad.yaml: line 1: no".to_owned()],
    }
}

fn request(driver: Option<&str>, devices: DeviceChoice) -> DeviceRequest {
    DeviceRequest {
        path: "gpus[0]".to_owned(),
        capabilities: vec!["gpu".to_owned()],
        driver: driver.map(str::to_owned),
        devices,
        options: IndexMap::new(),
    }
}

fn spec_with(change: impl FnOnce(&mut Service)) -> ContainerSpec {
    let project = project([service("web").with(change)]);
    let host = HostFacts {
        cdi: registry(),
        ..HostFacts::default()
    };
    let lowered = lower_on(&project, &host).unwrap();
    runtime::check::check(lowered.record.spec.clone()).unwrap();
    lowered.record.spec
}

fn refused_with(change: impl FnOnce(&mut Service)) -> String {
    let project = project([service("web").with(change)]);
    let host = HostFacts {
        cdi: registry(),
        ..HostFacts::default()
    };
    let errors = lower_on(&project, &host).unwrap_err();
    let lines = errors
        .iter()
        .map(|error| format!("{}: {}", error.path, error.refusal));
    lines.collect::<Vec<_>>().join("\n")
}

fn nodes(spec: &ContainerSpec) -> Vec<String> {
    let line = |device: &runtime::spec::Device| {
        let access = device.access;
        let letters = [(access.read, 'r'), (access.write, 'w'), (access.make, 'm')];
        let letters: String = letters
            .iter()
            .filter(|(has, _)| *has)
            .map(|(_, c)| c)
            .collect();
        format!("{}:{}:{letters}", device.source.display(), device.target)
    };
    spec.devices.iter().map(line).collect()
}

#[test]
fn nodes_and_rules_are_passed_on() {
    let spec = spec_with(|service| {
        service.devices = vec![
            node("/dev/fuse", "/dev//fuse/"),
            node("/dev/snd", "/dev/snd"),
        ];
        service.device_cgroup_rules = ["c 189:* rm", "a *:* r"]
            .iter()
            .map(|text| DeviceRule::parse(text).unwrap())
            .collect();
    });
    assert_eq!(
        nodes(&spec),
        ["/dev/fuse:/dev/fuse:rw", "/dev/snd:/dev/snd:rw"]
    );
    // `a` is both kinds.
    assert_eq!(spec.device_rules.len(), 3);
    assert_eq!(
        (spec.device_rules[0].major, spec.device_rules[0].minor),
        (Some(189), None)
    );
    assert!(spec.device_rules[0].access.make && !spec.device_rules[0].access.write);
}

#[test]
fn cdi_devices_bring_nodes_mounts_variables_and_groups() {
    let spec = spec_with(|service| {
        service.devices = vec![
            Device::Cdi("nvidia.com/gpu=0".to_owned()),
            Device::Cdi("nvidia.com/gpu=GPU-f00".to_owned()),
        ];
        service
            .environment
            .insert("A".to_owned(), Some("own".to_owned()));
    });
    // Once each, although two devices bring them.
    assert_eq!(
        nodes(&spec),
        [
            "/host/dev/nvidiactl:/dev/nvidiactl:rw",
            "/host/dev/nvidia0:/dev/nvidia0:rw"
        ]
    );
    let mount = spec
        .mounts
        .iter()
        .find(|mount| mount.target == "/usr/lib/libcuda.so")
        .unwrap();
    assert!(mount.read_only);
    let env = &spec.process.env;
    assert!(env.contains(&"NVIDIA_VISIBLE_DEVICES=void".to_owned()));
    assert!(env.contains(&"A=own".to_owned()) && !env.contains(&"A=cdi".to_owned()));
    assert_eq!(spec.process.groups, ["44"]);
}

#[test]
fn hooks_of_cdi_devices_come_along_once() {
    let device = Device::Cdi("vendor.com/net=x".to_owned());
    let spec = spec_with(|service| service.devices = vec![device.clone(), device]);
    let hook = Hook {
        at: HookPoint::CreateContainer,
        path: "/usr/bin/vendor-hook".into(),
        args: vec!["vendor-hook".to_owned(), "link".to_owned()],
        env: vec!["A=1".to_owned()],
        timeout_s: Some(5),
    };
    assert_eq!(spec.hooks, [hook]);
    assert!(spec_with(|_| ()).hooks.is_empty());
}

#[test]
fn gpus_are_cdi_devices_by_count_id_and_driver() {
    let gpus = |driver: Option<&str>, devices: DeviceChoice| {
        let spec = spec_with(|service| service.device_requests = vec![request(driver, devices)]);
        nodes(&spec)
            .into_iter()
            .filter_map(|line| line.split(':').nth(1).map(str::to_owned))
            .filter(|target| target != "/dev/nvidiactl")
            .collect::<Vec<_>>()
    };
    let ids = |ids: &[&str]| DeviceChoice::Ids(ids.iter().map(ToString::to_string).collect());
    assert_eq!(
        gpus(None, DeviceChoice::All),
        ["/dev/nvidia0", "/dev/nvidia1"]
    );
    assert_eq!(gpus(None, DeviceChoice::Count(1)), ["/dev/nvidia0"]);
    assert_eq!(
        gpus(Some("nvidia"), DeviceChoice::Count(2)),
        ["/dev/nvidia0", "/dev/nvidia1"]
    );
    assert_eq!(gpus(Some("nvidia"), ids(&["1"])), ["/dev/nvidia1"]);
    assert_eq!(gpus(Some("nvidia"), ids(&["GPU-f00"])), ["/dev/nvidia0"]);
    assert_eq!(
        gpus(Some("cdi"), ids(&["nvidia.com/gpu=1"])),
        ["/dev/nvidia1"]
    );
}

#[test]
fn devices_that_cannot_be_had_are_refused_with_their_place() {
    let found = refused_with(|service| {
        service.devices = vec![
            node("dev/fuse", "/dev/fuse"),
            node("/dev/fuse", "/proc/fuse"),
            node("/dev/fuse", "/dev/../etc/x"),
            Device::Cdi("nvidia.com/gpu=7".to_owned()),
            Device::Cdi("amd.com/gpu=0".to_owned()),
            Device::Cdi("vendor.com/net=late".to_owned()),
        ];
        service.device_requests = vec![
            request(None, DeviceChoice::Count(3)),
            request(Some("magic"), DeviceChoice::All),
            request(Some("cdi"), DeviceChoice::All),
            DeviceRequest {
                capabilities: vec!["tpu".to_owned()],
                ..request(None, DeviceChoice::All)
            },
            request(Some("amd"), DeviceChoice::All),
        ];
    });
    insta::assert_snapshot!(found, @r"
    services.web.devices[0]: invalid device `dev/fuse:/dev/fuse:rw`: source and target must be absolute paths, the target below `/` and not in `/proc`
    services.web.devices[1]: invalid device `/dev/fuse:/proc/fuse:rw`: source and target must be absolute paths, the target below `/` and not in `/proc`
    services.web.devices[2]: invalid device `/dev/fuse:/dev/../etc/x:rw`: source and target must be absolute paths, the target below `/` and not in `/proc`
    services.web.devices[3]: invalid device `nvidia.com/gpu=7`: the devices of kind `nvidia.com/gpu` are `0`, `1`, `GPU-f00`, `all` (not used: /etc/cdi/bad.yaml: line 1: no)
    services.web.devices[4]: invalid device `amd.com/gpu=0`: no file in /etc/cdi or /var/run/cdi describes a device of kind `amd.com/gpu` (not used: /etc/cdi/bad.yaml: line 1: no)
    services.web.devices[5]: invalid device `vendor.com/net=late`: /etc/cdi/net.json wants the poststop hook `/usr/bin/vendor-hook`, and stack runs only those that prepare a container (createRuntime, createContainer)
    services.web.gpus[0]: invalid device request `3`: this host has 2 of kind `nvidia.com/gpu`
    services.web.gpus[0]: invalid device request `magic`: the drivers are `nvidia`, `amd` and `cdi`
    services.web.gpus[0]: invalid device request `cdi`: it needs `device_ids` with CDI names
    services.web.gpus[0]: invalid device request `tpu`: it is no capability of a GPU; other devices are asked for by `driver: cdi` and their names
    services.web.gpus[0]: invalid device request `amd.com/gpu`: no file in /etc/cdi or /var/run/cdi describes a device of kind `amd.com/gpu` (not used: /etc/cdi/bad.yaml: line 1: no)
    ");
}

#[test]
fn limits_of_block_devices_are_passed_on_or_refused() {
    use runtime::spec::ThrottleBound::{ReadBytes, ReadOperations, WriteBytes, WriteOperations};

    let rate = |path: &str, rate| DeviceRate {
        path: path.into(),
        rate,
    };
    let spec = spec_with(|service| {
        service.resources.memory_swappiness = Some(10);
        service.resources.oom_kill_disable = true;
        service.resources.cpu_rt_runtime_us = Some(5);
        service.resources.cpu_rt_period_us = Some(50);
        service.resources.blkio = Some(Box::new(Blkio {
            weight: Some(300),
            weight_device: vec![DeviceWeight {
                path: "/dev/sda".into(),
                weight: 400,
            }],
            read_bps: vec![rate("/dev/sda", 1)],
            read_iops: vec![rate("/dev/sda", 2)],
            write_bps: vec![rate("/dev/sda", 3)],
            write_iops: vec![rate("/dev/sda", 4)],
        }));
    });
    let resources = &spec.resources;
    assert_eq!(resources.block_io.weight, Some(300));
    assert_eq!(resources.block_io.weights[0].weight, 400);
    let rates: Vec<_> = resources
        .block_io
        .throttles
        .iter()
        .map(|t| (t.bound, t.rate))
        .collect();
    assert_eq!(
        rates,
        [
            (ReadBytes, 1),
            (WriteBytes, 3),
            (ReadOperations, 2),
            (WriteOperations, 4)
        ]
    );
    assert_eq!(
        (resources.memory_swappiness, resources.oom_kill_disable),
        (Some(10), true)
    );
    assert_eq!(
        (resources.cpu_rt_runtime_us, resources.cpu_rt_period_us),
        (Some(5), Some(50))
    );

    let found = refused_with(|service| {
        service.resources.memory_swappiness = Some(101);
        service.resources.cpu_rt_runtime_us = Some(51);
        service.resources.cpu_rt_period_us = Some(50);
        service
            .storage_opt
            .insert("size".to_owned(), "1G".to_owned());
        service
            .storage_opt
            .insert("magic".to_owned(), "1".to_owned());
        service.resources.blkio = Some(Box::new(Blkio {
            weight: Some(9),
            weight_device: vec![DeviceWeight {
                path: "sda".into(),
                weight: 1001,
            }],
            read_bps: vec![rate("/dev/sda", 0)],
            write_iops: vec![rate("sda", 4)],
            ..Blkio::default()
        }));
    });
    insta::assert_snapshot!(found, @r"
    services.web.storage_opt.size: invalid storage option `size=1G`: the root filesystem is an overlay, which has no size limit; limit a `tmpfs` or a volume on a filesystem of its own instead
    services.web.storage_opt.magic: invalid storage option `magic=1`: the overlay has no such option
    services.web.mem_swappiness: invalid number `101`: 0 to 100
    services.web.cpu_rt_runtime: invalid time `51`: 0 or more microseconds, and not more than `cpu_rt_period`
    services.web.blkio_config.weight: invalid weight `9`: 10 to 1000
    services.web.blkio_config.weight_device[0].weight: invalid weight `1001`: 10 to 1000
    services.web.blkio_config.device_read_bps[0].rate: invalid rate `0`: 1 or more a second
    services.web.blkio_config.device_write_iops[0].path: invalid device `sda`: it must be absolute
    services.web.blkio_config.weight_device[0].path: invalid device `sda`: it must be absolute
    ");
}

#[test]
fn users_of_its_own_come_from_the_service_or_the_project() {
    let x_stack = |mode: &str| ("x-stack".to_owned(), serde_json::json!({ "userns": mode }));
    let lowered = |own: Option<&str>, projects: Option<&str>, mode: UserNamespace| {
        let service = service("web").with(|service| {
            service.extensions.extend(own.map(x_stack));
            service.userns = mode;
        });
        let mut project = project([service]);
        project.extensions.extend(projects.map(x_stack));
        lower_on(&project, &HostFacts::default())
    };
    let users = |own, projects, mode| lowered(own, projects, mode).unwrap().record.spec.users;
    let default = UserNamespace::Default;
    assert_eq!(users(None, None, default), None);
    let map = users(Some("auto"), None, default).unwrap();
    assert_eq!(map.uids, map.gids);
    let first = map.uid(0).unwrap();
    assert!(first >= 1_879_048_192 && first % 65_536 == 0, "{first}");
    assert_eq!(map, UserMap::of_range(first, 65_536));
    // The same for all services of the project.
    assert_eq!(users(None, Some("auto"), default), Some(map));
    assert_eq!(users(Some("host"), Some("auto"), default), None);
    assert_eq!(users(None, Some("auto"), UserNamespace::Host), None);
    let errors = lowered(Some("yes"), None, default).unwrap_err();
    assert_eq!(
        (
            errors[0].path.as_str(),
            errors[0].refusal.to_string().as_str()
        ),
        (
            "services.web.x-stack.userns",
            "invalid mode `\"yes\"`: it is `auto` or `host`"
        )
    );
    let privileged = refused_with(|service| {
        service.privileged = true;
        service.extensions.extend([x_stack("auto")]);
    });
    assert_eq!(
        privileged,
        "services.web.x-stack.userns: `privileged` and users of its own exclude each other"
    );
    let lowered = lower_on(
        &project([service("web").with(|service| {
            service.extensions.extend([x_stack("auto")]);
            service.cap_add = vec!["NET_ADMIN".into(), "cap_chown".into()];
        })]),
        &HostFacts::default(),
    );
    let warnings = lowered.unwrap().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("`cap_add` of NET_ADMIN has no effect"));
    let small = HostFacts {
        users: crate::model::UserRange {
            first: 100_000,
            count: 65_535,
        },
        ..HostFacts::default()
    };
    let wants = service("web").with(|service| service.extensions.extend([x_stack("auto")]));
    let errors = lower_on(&project([wants]), &small).unwrap_err();
    assert!(
        errors[0]
            .refusal
            .to_string()
            .contains("`100000:65535`: it needs 65536"),
        "{}",
        errors[0].refusal
    );
}
