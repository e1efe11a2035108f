use compose_spec::model::{Device, DeviceAccess, Namespace, NetworkMode};
use runtime::spec::Seccomp;

use super::*;
use crate::plan::tests::fixture::{With, service};

fn capabilities(add: &[&str], drop: &[&str]) -> Vec<String> {
    let service = service("web").with(|service| {
        service.cap_add = add.iter().map(ToString::to_string).collect();
        service.cap_drop = drop.iter().map(ToString::to_string).collect();
    });
    lowered(service, &plain_image())
        .record
        .spec
        .security
        .capabilities
}

#[test]
fn capabilities_are_added_and_dropped_as_in_docker() {
    assert_eq!(capabilities(&[], &[]).len(), 14);
    assert_eq!(capabilities(&[], &["ALL"]), [""; 0]);
    assert_eq!(capabilities(&["cap_sys_time"], &["all"]), ["SYS_TIME"]);
    assert_eq!(
        capabilities(&["NET_ADMIN", "CHOWN"], &["CAP_CHOWN"]).len(),
        15
    );
    assert_eq!(capabilities(&["ALL"], &["SYS_ADMIN"]).len(), 40);
    assert!(!capabilities(&["ALL"], &["SYS_ADMIN"]).contains(&"SYS_ADMIN".to_owned()));
    let privileged = service("web").with(|service| {
        service.privileged = true;
        service.devices = vec![fuse()];
    });
    let security = lowered(privileged, &plain_image()).record.spec.security;
    assert_eq!(security.capabilities.len(), 41);
    assert_eq!(
        (security.seccomp, security.mask_paths),
        (Seccomp::Unconfined, false)
    );
}

#[test]
fn security_options_are_applied() {
    let service = service("web").with(|service| {
        service.security_opt = [
            "no-new-privileges",
            "seccomp=unconfined",
            "systempaths=unconfined",
            "label=disable",
            "apparmor:unconfined",
        ]
        .map(str::to_owned)
        .to_vec();
    });
    let security = lowered(service, &plain_image()).record.spec.security;
    assert!(security.no_new_privs && !security.mask_paths);
    assert_eq!(security.seccomp, Seccomp::Unconfined);
}

#[test]
fn what_cannot_be_confined_so_is_refused_with_its_place() {
    let service = service("web").with(|service| {
        service.cap_add = vec!["NET_ADMIN".to_owned(), "CAP_FLY".to_owned()];
        service.cap_drop = vec!["nope".to_owned()];
        service.security_opt = ["seccomp=/x.json", "apparmor=mine", "label=user:x", "magic"]
            .map(str::to_owned)
            .to_vec();
        service.devices = vec![fuse()];
        service.pid = Namespace::Container("x".to_owned());
        service.cgroup = Namespace::Container("x".to_owned());
        for (name, value) in [
            ("kernel.panic", "1"),
            ("vm.swappiness", "1"),
            ("net..x", "1"),
            ("kernel.sem", "1\n2"),
            ("net", "1"),
        ] {
            service.sysctls.insert(name.to_owned(), value.to_owned());
        }
    });
    insta::assert_snapshot!(refusals(service).join("\n"), @r"
    services.web.cap_add[1]: unknown capability `CAP_FLY`
    services.web.cap_drop[0]: unknown capability `nope`
    services.web.security_opt[1]: AppArmor profile `mine` is not supported
    services.web.security_opt[2]: SELinux label `user:x` is not supported
    services.web.security_opt[3]: unknown security option `magic`
    services.web.pid: joining the pid namespace of `x` is not supported
    services.web.cgroup: joining the cgroup namespace of `x` is not supported
    services.web.sysctls.kernel.panic: sysctl `kernel.panic` is not one of the container's own (net.*, fs.mqueue.*, kernel.msg*, kernel.sem, kernel.shm*, kernel.domainname, and no namespace of the host)
    services.web.sysctls.vm.swappiness: sysctl `vm.swappiness` is not one of the container's own (net.*, fs.mqueue.*, kernel.msg*, kernel.sem, kernel.shm*, kernel.domainname, and no namespace of the host)
    services.web.sysctls.net..x: sysctl `net..x` is not one of the container's own (net.*, fs.mqueue.*, kernel.msg*, kernel.sem, kernel.shm*, kernel.domainname, and no namespace of the host)
    services.web.sysctls.kernel.sem: invalid value `1
    2`: it must be one line that is not empty
    services.web.sysctls.net: sysctl `net` is not one of the container's own (net.*, fs.mqueue.*, kernel.msg*, kernel.sem, kernel.shm*, kernel.domainname, and no namespace of the host)
    ");
}

#[test]
fn sysctls_belong_to_the_container_or_are_refused() {
    let with = |mode: NetworkMode, ipc: Namespace| {
        service("web").with(|service| {
            service.network = mode;
            service.ipc = ipc;
            for name in [
                "net.core.somaxconn",
                "net/ipv4/conf/eth0.1/forwarding",
                "kernel.shmmax",
                "fs.mqueue.msg_max",
            ] {
                service.sysctls.insert(name.to_owned(), "5".to_owned());
            }
        })
    };
    let own = lowered(with(NetworkMode::None, Namespace::Private), &plain_image());
    let names: Vec<&str> = own
        .record
        .spec
        .sysctls
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "net.ipv4.ping_group_range",
            "net.ipv4.ip_unprivileged_port_start",
            "net.core.somaxconn",
            "net/ipv4/conf/eth0.1/forwarding",
            "kernel.shmmax",
            "fs.mqueue.msg_max",
        ]
    );
    assert_eq!(
        refusals(with(NetworkMode::Host, Namespace::Private)).len(),
        2
    );
    assert_eq!(refusals(with(NetworkMode::None, Namespace::Host)).len(), 2);
}

#[test]
fn namespaces_are_joined_where_the_caller_found_them() {
    use runtime::spec::Namespace as Lowered;
    let wanted = service("web").with(|service| {
        service.network = NetworkMode::Service("db".parse().unwrap());
        service.pid = Namespace::Service("db".parse().unwrap());
        service.ipc = Namespace::Host;
        service.uts = Namespace::Host;
    });
    let project = project([wanted]);
    let result = lower_in(&project, &plain_image(), |_, places| {
        places.joined.network = Some("/run/netns/db".into());
        places.joined.network_files = Some("/s/containers/db/files".into());
        places.joined.pid = Some("/proc/5/ns/pid".into());
    })
    .unwrap();
    let namespaces = &result.record.spec.namespaces;
    assert_eq!(namespaces.net, Lowered::Join("/run/netns/db".into()));
    assert_eq!(namespaces.pid, Lowered::Join("/proc/5/ns/pid".into()));
    assert_eq!(
        (&namespaces.ipc, &namespaces.uts),
        (&Lowered::Host, &Lowered::Host)
    );
    // Its name resolution is the owner's.
    assert_eq!(result.files, []);
    let hosts = result
        .record
        .spec
        .mounts
        .iter()
        .find(|mount| mount.target == "/etc/hosts")
        .unwrap();
    assert!(format!("{:?}", hosts.kind).contains("/s/containers/db/files/hosts"));
    let missing = lower_in(&project, &plain_image(), |_, _| {}).unwrap_err();
    assert_eq!(missing.len(), 2);
}

fn fuse() -> Device {
    Device::Node {
        source: "/dev/fuse".into(),
        target: "/dev/fuse".into(),
        access: DeviceAccess::ALL,
    }
}
