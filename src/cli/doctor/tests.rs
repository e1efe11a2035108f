use super::facts::{MODULES, Sources, name_servers};
use super::*;
use facts::Module;

/// A host that has everything.
fn good() -> Facts {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    Facts {
        release: "6.1.0-56-cloud-amd64".into(),
        machine: "x86_64".into(),
        capabilities: runtime::spec::CAPABILITIES.into_iter().collect(),
        v1: words(&[]),
        v2: Some(words(&["cpu", "cpuset", "io", "memory", "pids"])),
        modules: MODULES
            .into_iter()
            .map(|(name, _)| (name, Module::There))
            .collect(),
        user_namespaces: Some(15_000),
        seccomp_actions: words(&["allow", "errno"]),
        ip_forward: Some(1),
        bridge_calls_iptables: None,
        files_hard: Some(1 << 20),
        apparmor: false,
        selinux: None,
        disk: "/var/lib".into(),
        disk_bytes: Some(50 << 30),
        disk_files: Some(1 << 20),
        name_servers: vec!["192.0.2.1".into()],
    }
}

/// What is not ok on a host.
fn troubles(change: impl FnOnce(&mut Facts)) -> Vec<(Level, &'static str)> {
    let mut facts = good();
    change(&mut facts);
    let findings = judge(&facts).into_iter();
    findings
        .filter(|finding| finding.level > Level::Ok)
        .inspect(|finding| assert!(finding.hint.is_some(), "{finding:?}"))
        .map(|finding| (finding.level, finding.what))
        .collect()
}

#[test]
fn a_good_host_has_no_troubles() {
    assert_eq!(troubles(|_| ()), []);
    assert_eq!(judge(&good()).len(), 22);
}

#[test]
fn each_fault_is_one_finding() {
    use Level::{Missing, Warn};
    type Change = fn(&mut Facts);
    let cases: [(Change, Level, &str); 22] = [
        (|facts| facts.release = "5.19.0".into(), Warn, "kernel"),
        (
            |facts| facts.machine = "riscv64".into(),
            Warn,
            "architecture",
        ),
        (
            |facts| assert!(facts.capabilities.remove("SYS_ADMIN")),
            Missing,
            "privileges",
        ),
        (
            |facts| assert!(facts.capabilities.remove("SYS_RESOURCE")),
            Warn,
            "privileges",
        ),
        (
            |facts| assert!(facts.v2.as_mut().unwrap().remove("memory")),
            Warn,
            "controllers",
        ),
        (
            |facts| assert!(facts.modules.insert("veth", Module::Absent).is_some()),
            Missing,
            "veth",
        ),
        (
            |facts| assert!(facts.modules.insert("overlay", Module::Unknown).is_some()),
            Warn,
            "overlay",
        ),
        (
            |facts| facts.user_namespaces = Some(0),
            Warn,
            "user namespaces",
        ),
        (
            |facts| facts.user_namespaces = None,
            Warn,
            "user namespaces",
        ),
        (|facts| facts.seccomp_actions.clear(), Missing, "seccomp"),
        (|facts| facts.ip_forward = None, Missing, "IP forwarding"),
        (
            |facts| facts.bridge_calls_iptables = Some(1),
            Warn,
            "bridge filter",
        ),
        (|facts| facts.files_hard = Some(1024), Warn, "open files"),
        (|facts| facts.apparmor = true, Warn, "access control"),
        (|facts| facts.selinux = Some(true), Warn, "access control"),
        (|facts| facts.disk_bytes = Some(1 << 30), Warn, "disk"),
        (|facts| facts.disk_bytes = Some(1 << 20), Missing, "disk"),
        (|facts| facts.disk_bytes = None, Missing, "disk"),
        (|facts| facts.disk_files = Some(10), Warn, "disk"),
        (|facts| facts.name_servers.clear(), Warn, "DNS"),
        (
            |facts| {
                facts.v1 = ["cpu", "cpuset", "blkio", "memory", "pids", "devices"]
                    .map(String::from)
                    .into();
                facts.v2 = None;
            },
            Warn,
            "cgroups",
        ),
        (
            |facts| {
                facts.capabilities.remove("SYS_RESOURCE");
                facts.release = "6.18.44".into();
            },
            Warn,
            "privileges",
        ),
    ];
    for (number, (change, level, what)) in cases.into_iter().enumerate() {
        assert_eq!(troubles(change), [(level, what)], "case {number}");
    }
    assert!(troubles(|facts| facts.release = "4.19.0".into()).contains(&(Missing, "kernel")));
    assert!(troubles(|facts| facts.release = "5.15.1".into()).contains(&(Warn, "idmapped layers")));
    assert!(troubles(|facts| facts.release = "odd".into()).contains(&(Missing, "kernel")));
    assert!(troubles(|facts| facts.v2 = None).contains(&(Missing, "cgroups")));
}

#[test]
fn modules_are_found_wherever_a_kernel_lists_them() {
    let sources = |builtin: &str, dependencies: &str, config: &str| Sources {
        builtin: Some(builtin.into()),
        dependencies: Some(dependencies.into()),
        config: Some(config.into()),
    };
    let ask = |sources: Sources| sources.module("veth", "CONFIG_VETH");
    let path = "kernel/drivers/net/veth.ko";
    assert_eq!(ask(sources(path, "", "")), Module::There);
    assert_eq!(ask(sources("", "", "CONFIG_VETH=y\n")), Module::There);
    assert_eq!(
        ask(sources(
            "",
            "kernel/drivers/net/veth.ko.xz: kernel/a.ko",
            ""
        )),
        Module::Loadable
    );
    // Configured as a module, but the module's file is not installed.
    assert_eq!(ask(sources("", "", "CONFIG_VETH=m\n")), Module::Absent);
    assert_eq!(
        ask(sources(
            "",
            "kernel/drivers/net/xveth.ko:",
            "CONFIG_VETH_X=y"
        )),
        Module::Absent
    );
    assert_eq!(ask(Sources::default()), Module::Unknown);
}

#[test]
fn name_servers_are_read_as_the_resolver_does() {
    let text = "# nameserver 9.9.9.9\nnameserver 192.0.2.1\n search x\nnameserver\t2001:db8::1 \nnameserver\n";
    assert_eq!(name_servers(text), ["192.0.2.1", "2001:db8::1"]);
}

#[test]
fn findings_are_lines_and_objects() {
    let mut facts = good();
    facts.name_servers.clear();
    let findings = judge(&facts);
    let text = table(&findings);
    assert_eq!(text.lines().count(), findings.len());
    assert!(text.contains(
        "warn     DNS              no name server in /etc/resolv.conf; containers find each other, but no other host\n"
    ));
    let array = array(&findings);
    assert_eq!(array[0]["Check"], "kernel");
    assert_eq!(array[0]["Status"], "ok");
    assert_eq!(array[0]["Hint"], serde_json::Value::Null);
}

#[test]
fn this_host_can_be_read() {
    let facts = Facts::of_this_host("/nowhere/at/all".as_ref());
    assert_eq!(facts.disk.to_str(), Some("/"));
    assert!(facts.disk_bytes.is_some());
    assert!(!facts.release.is_empty());
    assert_eq!(facts.modules.len(), MODULES.len());
}
