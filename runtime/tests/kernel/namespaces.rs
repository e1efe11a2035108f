//! Namespaces are private, shared or the host's, as asked for.

use std::fs;

use runtime::netns;
use runtime::spec::Namespace;

use crate::harness::Test;
use crate::world::World;

pub(crate) const TESTS: &[Test] = &[
    ("namespaces_are_private", namespaces_are_private),
    (
        "host_namespaces_are_the_hosts",
        host_namespaces_are_the_hosts,
    ),
    (
        "a_pinned_network_is_joined_and_outlives_the_container",
        a_pinned_network_is_joined_and_outlives_the_container,
    ),
    ("a_pid_namespace_is_shared", a_pid_namespace_is_shared),
    ("names_are_set", names_are_set),
    (
        "shared_memory_goes_with_the_ipc_namespace",
        shared_memory_goes_with_the_ipc_namespace,
    ),
    (
        "kernel_parameters_are_set_in_the_container_only",
        kernel_parameters_are_set_in_the_container_only,
    ),
];

fn own(name: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{name}"))
        .unwrap()
        .display()
        .to_string()
}

const KINDS: [&str; 7] = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];

fn namespaces_are_private() {
    let world = World::new();
    let finished = world.run(world.spec(&["namespaces", "ls:/proc", "links", "names"]));
    assert_eq!(finished.code, 0, "{}", finished.text);
    let answer = finished.answer("namespaces");
    let namespaces: Vec<_> = answer.split(' ').collect();
    for (kind, found) in KINDS.iter().zip(namespaces) {
        assert_eq!(*kind == "user", found == own(kind), "{kind}");
    }
    let processes: Vec<_> = finished
        .answer("ls:/proc")
        .split(' ')
        .filter(|name| name.parse::<u32>().is_ok())
        .map(str::to_owned)
        .collect();
    assert_eq!(processes, ["1"]);
    assert_eq!(finished.answer("links"), "lo");
}

fn host_namespaces_are_the_hosts() {
    let world = World::new();
    let mut spec = world.spec(&["namespaces"]);
    let host = || Namespace::Host;
    spec.namespaces = runtime::spec::Namespaces {
        net: host(),
        pid: host(),
        ipc: host(),
        uts: host(),
        cgroup: host(),
    };
    let finished = world.run(spec);
    let answer = finished.answer("namespaces");
    for (kind, found) in KINDS.iter().zip(answer.split(' ')) {
        assert_eq!(*kind != "mnt", found == own(kind), "{kind}");
    }
}

fn a_pinned_network_is_joined_and_outlives_the_container() {
    let world = World::new();
    let path = world.path("share/net");
    netns::create(&path).unwrap();
    assert!(
        netns::create(&path)
            .unwrap_err()
            .to_string()
            .ends_with("file exists")
    );
    let inside =
        netns::enter(&path, || fs::read_link("/proc/thread-self/ns/net").unwrap()).unwrap();
    for _ in 0..2 {
        let mut spec = world.spec(&["namespaces", "links"]);
        spec.namespaces.net = Namespace::Join(path.clone());
        let finished = world.run(spec);
        assert!(
            finished
                .answer("namespaces")
                .contains(inside.to_str().unwrap())
        );
        assert_eq!(finished.answer("links"), "lo");
    }
    netns::remove(&path).unwrap();
    netns::remove(&path).unwrap();
    assert!(!path.exists());
    let error = netns::enter(&path, || ()).unwrap_err();
    assert_eq!(error.source.0, libc::ENOENT);
}

fn a_pid_namespace_is_shared() {
    let world = World::new();
    let mut first = world.start(world.spec(&["sleep"])).unwrap();
    first.await_text("ready");
    let mut spec = world.spec(&["read:/proc/1/cmdline", "namespaces"]);
    let pid = first.launched.pid;
    spec.namespaces.pid = Namespace::Join(format!("/proc/{pid}/ns/pid").into());
    let own_children = fs::read_link("/proc/self/ns/pid_for_children").unwrap();
    let second = world.run(spec);
    assert!(
        second.answer("read:/proc/1/cmdline").contains("sleep"),
        "{}",
        second.text
    );
    assert_eq!(
        fs::read_link("/proc/self/ns/pid_for_children").unwrap(),
        own_children
    );
    assert_eq!(first.kill().code, 137);
}

fn names_are_set() {
    let world = World::new();
    let mut spec = world.spec(&["names"]);
    spec.hostname = "db-7".into();
    spec.domainname = Some("example.test".into());
    assert_eq!(world.run(spec).answer("names"), "db-7 example.test");
    assert_ne!(
        fs::read_to_string("/proc/sys/kernel/hostname")
            .unwrap()
            .trim(),
        "db-7"
    );
}

fn kernel_parameters_are_set_in_the_container_only() {
    let world = World::new();
    let files = [
        "/proc/sys/net/ipv4/ip_unprivileged_port_start",
        "/proc/sys/kernel/shm_rmid_forced",
    ];
    let before = files.map(|path| fs::read_to_string(path).unwrap());
    let commands = files.map(|path| format!("read:{path}"));
    let mut spec = world.spec(&commands.each_ref().map(String::as_str));
    spec.sysctls = vec![
        ("net.ipv4.ip_unprivileged_port_start".into(), "7".into()),
        ("kernel.shm_rmid_forced".into(), "1".into()),
    ];
    let finished = world.run(spec);
    assert_eq!(
        commands.each_ref().map(|command| finished.answer(command)),
        ["7", "1"]
    );
    assert_eq!(files.map(|path| fs::read_to_string(path).unwrap()), before);
    let mut spec = world.spec(&["exit:0"]);
    spec.sysctls = vec![("net.ipv4.no_such_thing".into(), "1".into())];
    let error = world.start(spec).err().unwrap().to_string();
    assert_eq!(
        error,
        "set kernel parameter net.ipv4.no_such_thing=1: no such file or directory"
    );
}

fn shared_memory_goes_with_the_ipc_namespace() {
    let world = World::new();
    let mut first = world
        .start(world.spec(&["create:/dev/shm/first", "sleep"]))
        .unwrap();
    first.await_text("ready");
    let mut spec = world.spec(&[
        "stat:/dev/shm/first",
        "create:/dev/shm/second",
        "namespaces",
    ]);
    spec.namespaces.ipc = Namespace::Join(format!("/proc/{}/ns/ipc", first.launched.pid).into());
    let second = world.run(spec);
    assert!(
        second.answer("stat:/dev/shm/first").starts_with("file "),
        "{}",
        second.text
    );
    assert_eq!(second.answer("create:/dev/shm/second"), "created");
    let seen = first.exec(&["stat:/dev/shm/second", "namespaces"]);
    assert!(
        seen.answer("stat:/dev/shm/second").starts_with("file "),
        "{}",
        seen.text
    );
    let ipc = |text: String| text.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(
        ipc(second.answer("namespaces")),
        ipc(seen.answer("namespaces"))
    );
    first.kill();
    let other = world.run(world.spec(&["stat:/dev/shm/first"]));
    assert_eq!(other.answer("stat:/dev/shm/first"), "error ENOENT");
}
