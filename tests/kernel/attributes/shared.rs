//! What containers have of one another: mounts, namespaces, names.

use crate::support::World;

use super::shell;

#[test]
fn volumes_from_gives_the_mounts_of_another_container_and_follows_it() {
    let compose = |mark: &str| {
        format!(
            r#"
services:
  app:
    image: busybox
    command: sleep 1000
    init: true
    volumes_from: [ data, "middle:ro" ]
    volumes: [ "./own:/hidden" ]
  middle:
    image: busybox
    command: sleep 1000
    init: true
    volumes_from: [ far ]
    volumes: [ "./bind:/bind" ]
    tmpfs: /scratch
    configs: [ {{ source: note, target: /note }} ]
  data:
    image: busybox
    command: sleep 1000
    init: true
    environment: {{ MARK: "{mark}" }}
    volumes: [ "named:/data", "/anonymous", "./data:/hidden" ]
  far:
    image: busybox
    command: sleep 1000
    init: true
    volumes: [ "./far:/far" ]
volumes: {{ named: }}
configs: {{ note: {{ content: text }} }}
"#
        )
    };
    let world = World::new(&compose("one"));
    for name in ["own", "bind", "data", "far"] {
        world.write(&format!("{name}/{name}"), "");
    }
    world.stack(&["up", "-d"]).ok();
    assert_eq!(
        shell(&world, "app", "ls /hidden /bind /far && cat /data/seed"),
        "/bind:\nbind\n\n/far:\nfar\n\n/hidden:\nown\nfrom the image"
    );
    shell(
        &world,
        "app",
        "echo hello > /anonymous/file; test ! -e /scratch; test ! -e /note",
    );
    assert_eq!(shell(&world, "data", "cat /anonymous/file"), "hello");
    for path in ["/bind/x", "/far/x"] {
        let refused = world.stack(&["exec", "-T", "app", "touch", path]).fails(1);
        assert!(refused.stderr.contains("Read-only"), "{refused:?}");
    }
    shell(&world, "middle", "touch /far/y");

    // An unchanged one is left alone; one whose owner is made anew follows, and finds the data.
    let (app, middle) = (world.pids("app"), world.pids("middle"));
    world.stack(&["up", "-d"]).ok();
    assert_eq!((world.pids("app"), world.pids("middle")), (app, middle));
    world.write("compose.yaml", &compose("two"));
    world.stack(&["up", "-d"]).ok();
    assert_ne!(world.pids("app"), app);
    assert_eq!(world.pids("middle"), middle);
    assert_eq!(shell(&world, "app", "cat /anonymous/file"), "hello");

    // As long as somebody has them, they stay.
    world.stack(&["rm", "-fsv", "data"]).ok();
    assert_eq!(shell(&world, "app", "cat /anonymous/file"), "hello");
    world.finish();
}

#[test]
fn what_is_joined_by_name_is_followed_by_name() {
    let world = World::new(
        r#"
services:
  a:
    image: busybox
    command: sleep 1000
    init: true
    container_name: stack-test-named
    ipc: shareable
    volumes: [ "./share:/share" ]
"#,
    );
    let other = |file: &str| {
        let mut arguments = vec!["-p", "stack-test-joined", "-f", file];
        arguments.extend(["up", "-d"]);
        world.stack(&arguments)
    };
    world.write(
        "other.yaml",
        r#"
services:
  b:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    pid: container:stack-test-named
    ipc: container:stack-test-named
    network_mode: container:stack-test-named
    volumes_from: [ "container:stack-test-named:ro" ]
"#,
    );
    let missing = other("other.yaml").fails(1);
    assert!(missing.stderr.contains("stack-test-named"), "{missing:?}");
    world.write("share/file", "shared");
    world.stack(&["up", "-d"]).ok();
    other("other.yaml").ok();
    let (a, b) = (world.pids("a").0, world.pids("b").0);
    for kind in ["pid", "ipc", "net"] {
        let of = |pid| fs_err::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        assert_eq!(of(a), of(b), "{kind}");
    }
    let read = world
        .stack(&[
            "-p",
            "stack-test-joined",
            "-f",
            "other.yaml",
            "exec",
            "-T",
            "b",
            "cat",
            "/share/file",
        ])
        .ok();
    assert_eq!(read.stdout, "shared");
    world
        .stack(&[
            "-p",
            "stack-test-joined",
            "-f",
            "other.yaml",
            "down",
            "-t",
            "0",
        ])
        .ok();
    world.finish();
}

#[test]
fn a_namespace_is_followed_when_its_owner_is_made_anew_or_restarts() {
    let compose = |mark: &str| {
        format!(
            r#"
services:
  net: {{ image: busybox, command: sleep 1000, init: true, network_mode: "service:owner" }}
  pid: {{ image: busybox, command: sleep 1000, stop_grace_period: 0s, pid: "service:owner" }}
  owner: {{ image: busybox, command: sleep 1000, init: true, ipc: shareable, environment: {{ MARK: "{mark}" }} }}
"#
        )
    };
    let world = World::new(&compose("one"));
    world.stack(&["up", "-d"]).ok();
    let of = |service: &str, kind: &str| {
        let pid = world.pids(service).0;
        fs_err::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap()
    };
    let shared = || {
        assert_eq!(of("net", "net"), of("owner", "net"));
        assert_eq!(of("pid", "pid"), of("owner", "pid"));
    };
    shared();
    world.write("compose.yaml", &compose("two"));
    world.stack(&["up", "-d"]).ok();
    shared();
    world.stack(&["restart", "-t", "0", "owner"]).ok();
    world.stack(&["up", "-d"]).ok();
    shared();
    world.finish();
}

#[test]
fn links_give_a_service_another_name() {
    let world = World::new(
        r#"
services:
  app: { image: busybox, command: sleep 1000, init: true, links: [ "db:database", db ] }
  db: { image: busybox, command: httpd -f -p 80 -h /data, init: true, networks: [ default ] }
"#,
    );
    world.stack(&["up", "-d", "app"]).ok();
    for name in ["db", "database"] {
        let url = format!("http://{name}/seed");
        let seed = world
            .stack(&["exec", "-T", "app", "wget", "-qO-", &url])
            .ok();
        assert_eq!(seed.stdout, "from the image\n", "{name}");
    }
    world.finish();
}

#[test]
fn external_links_name_a_container_of_another_project_on_a_shared_network() {
    let world = World::new(
        r"
services:
  db: { image: busybox, command: httpd -f -p 80 -h /data, init: true, container_name: stack-test-external }
networks: { default: { name: stack-test-shared } }
",
    );
    let compose = |network: &str, link: &str| {
        format!(
            r#"
services:
  app: {{ image: busybox, command: sleep 1000, init: true, external_links: [ "{link}" ], networks: [ {network} ] }}
networks: {{ shared: {{ name: stack-test-shared, external: true }}, own: }}
"#
        )
    };
    let other = |arguments: &[&str]| {
        let mut all = vec!["-p", "stack-test-linked", "-f", "other.yaml"];
        all.extend(arguments);
        world.stack(&all)
    };
    world.stack(&["up", "-d"]).ok();
    for (network, link, reason) in [
        ("shared", "stack-test-nobody", "there is no such container"),
        (
            "own",
            "stack-test-external",
            "none of the service's networks",
        ),
    ] {
        world.write("other.yaml", &compose(network, link));
        let refused = other(&["up", "-d"]).fails(1);
        assert!(
            refused.stderr.contains(reason) && refused.stderr.contains("external_links[0]"),
            "{refused:?}"
        );
    }
    world.write(
        "other.yaml",
        &compose("shared", "stack-test-external:database"),
    );
    let up = other(&["up", "-d"]).ok();
    assert!(!up.stderr.contains("warning"), "{up:?}");
    let seed = other(&["exec", "-T", "app", "wget", "-qO-", "http://database/seed"]).ok();
    assert_eq!(seed.stdout, "from the image\n");
    other(&["down", "-t", "0"]).ok();
    world.finish();
}
