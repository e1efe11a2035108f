//! RUN: the container that is asked for, the layer that comes out, and how failures look.

use std::sync::atomic::Ordering;

use runtime::spec::{MountKind, Namespace, Seccomp};

use super::{
    super::{BuildInput, BuildNetwork, Secret, ssh::samples},
    fixture::{Fixture, chain},
};

#[test]
fn the_upper_becomes_the_layer_and_nothing_that_was_mounted_is_in_it() {
    let fixture = Fixture::new();
    fixture
        .file("etc/passwd", "")
        .mode("etc", 0o711)
        .file("old", "old");
    fixture.link("etc/resolv.conf", "../run/stub/resolv.conf");
    let built = fixture.build(
        "FROM scratch\nCOPY . /\nRUN --mount=type=cache,target=/cache --mount=type=tmpfs,target=/tmp/deep mkdir /new && write /new/file text && remove /old",
    );
    assert_eq!(
        built.list("/"),
        [
            "d 755 0:0 /",
            "f 644 0:0 /Dockerfile",
            "d 755 0:0 /etc",
            "f 644 0:0 /etc/passwd",
            "l 777 0:0 /etc/resolv.conf -> ../run/stub/resolv.conf",
            "d 755 0:0 /new",
            "f 644 0:0 /new/file",
        ]
        .map(|line| if line == "d 755 0:0 /etc" {
            "d 711 0:0 /etc"
        } else {
            line
        })
    );
    assert_eq!(built.record.layers.len(), 2);
}

#[test]
fn the_container_is_dockers_default() {
    let fixture = Fixture::new();
    fixture.build(
        "FROM scratch\nENV A=1\nARG B=2\nUSER 5:6\nWORKDIR /w\nSHELL [\"/bin/x\", \"-c\"]\nRUN write /x $A",
    );
    let spec = fixture.runner.last();
    assert_eq!(spec.process.argv, ["/bin/x", "-c", "write /x $A"]);
    assert_eq!(
        spec.process.env,
        [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "A=1",
            "B=2"
        ]
    );
    assert_eq!(
        (spec.process.user.as_str(), spec.process.cwd.as_str()),
        ("5:6", "/w")
    );
    assert_eq!(spec.namespaces.net, Namespace::Join("/run/ns".into()));
    assert_eq!(spec.namespaces.pid, Namespace::Private);
    assert_eq!(spec.security.seccomp, Seccomp::Default);
    assert_eq!(spec.security.capabilities.len(), 14);
    assert!(!spec.security.privileged && spec.security.mask_paths);
    let mounted: Vec<&str> = spec
        .mounts
        .iter()
        .map(|mount| mount.target.as_str())
        .collect();
    assert_eq!(mounted, ["/etc/resolv.conf", "/etc/hosts", "/etc/hostname"]);
    assert!(spec.mounts.iter().all(|mount| mount.read_only));
}

#[test]
fn networks_are_those_that_the_step_asks_for() {
    let fixture = Fixture::new();
    fixture.build("FROM scratch\nRUN --network=none write /x x");
    assert_eq!(fixture.runner.last().namespaces.net, Namespace::Private);
    fixture.build("FROM scratch\nRUN write /x x");
    let bridged = Namespace::Join("/run/ns".into());
    assert_eq!(fixture.runner.last().namespaces.net, bridged);
    assert_eq!(fixture.runner.lent.load(Ordering::SeqCst), 0);
    let host = |input: &mut BuildInput| input.network = BuildNetwork::Host;
    let built = fixture.try_build_with("FROM scratch\nRUN write /x x", host);
    assert!(built.is_ok());
    assert_eq!(fixture.runner.last().namespaces.net, Namespace::Host);
    // Each of the three is another step.
    assert_eq!(fixture.runner.count(), 3);
}

#[test]
fn the_hosts_network_is_only_for_builds_that_may_have_it() {
    let fixture = Fixture::new();
    let dockerfile = "FROM scratch\nRUN --network=host write /x x";
    let refused = fixture.error(dockerfile);
    assert!(
        refused.contains("`network.host`, which is not allowed"),
        "{refused}"
    );
    assert_eq!(fixture.runner.count(), 0);
    let allowed = |input: &mut BuildInput| input.allow_host_network = true;
    assert!(fixture.try_build_with(dockerfile, allowed).is_ok());
    assert_eq!(fixture.runner.last().namespaces.net, Namespace::Host);
}

#[test]
fn devices_are_for_builds_that_may_have_them() {
    let fixture = Fixture::new();
    let dockerfile = "FROM scratch\nRUN --device=here.test/kind=one,required write /x x";
    let refused = fixture.error(dockerfile);
    assert!(
        refused.contains("`device`, which is not allowed"),
        "{refused}"
    );
    let allowed = |input: &mut BuildInput| input.allow_devices.all = true;
    assert!(fixture.try_build_with(dockerfile, allowed).is_ok());
    let spec = fixture.runner.last();
    assert_eq!(spec.devices[0].target, "/dev/one");
    assert!(spec.process.env.contains(&"DEVICE=one".to_owned()));
    assert_eq!(spec.process.groups, ["44"]);
    let gone = dockerfile.replace("one,required", "two");
    assert!(fixture.try_build_with(&gone, allowed).is_ok());
    let required = fixture.try_build_with(&dockerfile.replace("one", "two"), allowed);
    let error = chain(&required.map(drop).unwrap_err());
    assert!(error.contains("no file describes"), "{error}");
    let named = |input: &mut BuildInput| {
        let names = &mut input.allow_devices.names;
        names.insert("here.test/kind=one".to_owned());
    };
    assert!(fixture.try_build_with(dockerfile, named).is_ok());
    assert!(fixture.try_build_with(&gone, named).is_err());
}

#[test]
fn a_network_that_cannot_be_made_fails_the_steps_that_need_it() {
    let fixture = Fixture::new();
    fixture.runner.no_network.store(true, Ordering::SeqCst);
    fixture.build("FROM scratch\nRUN --network=none write /x x");
    let error = fixture.error("FROM scratch\nRUN write /x x");
    assert!(
        error.contains("no nf_tables") && error.contains("--network=none"),
        "{error}"
    );
}

#[test]
fn a_failure_names_line_command_code_and_output() {
    let fixture = Fixture::new();
    let error = fixture
        .try_build("FROM scratch\n\nRUN say one && \\\n    say two && exit 7\n")
        .map(drop)
        .unwrap_err();
    assert_eq!(
        chain(&error),
        "Dockerfile:3:1: RUN say one &&     say two && exit 7: the command ended with exit code 7"
    );
    assert_eq!(error.exit_code(), Some(7));
    assert_eq!(error.last_output(), ["one", "two"]);
    assert_eq!(
        error.excerpt().unwrap(),
        "3 | RUN say one && \\\n  | ^^^^^^^^^^^^^^^^"
    );
    let error = fixture
        .try_build("FROM scratch\nRUN missing")
        .map(drop)
        .unwrap_err();
    assert_eq!(error.exit_code(), Some(127));
    // A failed step is not remembered.
    fixture.error("FROM scratch\nRUN say one && \\\n    say two && exit 7\n");
    assert_eq!(fixture.runner.count(), 3);
}

#[test]
fn documents_are_scripts_or_text_for_the_shell() {
    let fixture = Fixture::new();
    fixture.build("FROM scratch\nRUN <<EOF\nwrite /a a\nEOF\n");
    assert_eq!(
        fixture.runner.last().process.argv,
        ["/bin/sh", "-c", "write /a a\n"]
    );
    fixture.build("FROM scratch\nRUN <<EOF cat > /x\nbody\nEOF\n");
    assert_eq!(
        fixture.runner.last().process.argv[2],
        "<<EOF cat > /x\nbody\nEOF"
    );
    fixture.build("FROM scratch\nRUN <<EOF\n#!/bin/python\nprint()\nEOF\n");
    let spec = fixture.runner.last();
    assert_eq!(spec.process.argv, ["/dev/pipes/EOF"]);
    assert!(spec.mounts.iter().any(|mount| mount.target == "/dev/pipes"));
}

#[test]
fn secrets_are_given_but_never_counted_or_kept() {
    let fixture = Fixture::new();
    let dockerfile = "FROM scratch\nRUN --mount=type=secret,id=token,required --mount=type=secret,id=key,env=KEY write /x x";
    let error = fixture.error(dockerfile);
    assert!(
        error.contains("secret `token` is required but was not given"),
        "{error}"
    );
    let build = |value: &str| {
        let built = fixture.try_build_with(dockerfile, |input| {
            for id in ["token", "key"] {
                let secret = Secret::Value(value.as_bytes().to_vec());
                input.secrets.insert(id.to_owned(), secret);
            }
        });
        assert!(built.is_ok());
    };
    build("one");
    let spec = fixture.runner.last();
    assert!(spec.process.env.contains(&"KEY=one".to_owned()));
    let target = "/run/secrets/token";
    assert!(spec.mounts.iter().any(|mount| mount.target == target));
    build("two");
    assert_eq!(fixture.runner.count(), 1);
}

#[test]
fn bind_mounts_count_by_content_and_caches_do_not() {
    let fixture = Fixture::new();
    fixture
        .file("src/a", "1")
        .file(".dockerignore", "src/hidden")
        .file("src/hidden", "1");
    let dockerfile = "FROM scratch\nRUN --mount=source=src,target=/src --mount=type=cache,target=/c,id=../x write /x x";
    fixture.build(dockerfile);
    let spec = fixture.runner.last();
    let sources: Vec<_> = spec
        .mounts
        .iter()
        .filter_map(|mount| match &mount.kind {
            MountKind::Bind { source, .. } => {
                Some((mount.target.as_str(), source, mount.read_only))
            }
            MountKind::Exact(_) | MountKind::Image { .. } | MountKind::Tmpfs { .. } => None,
        })
        .collect();
    let (_, bound, read_only) = sources
        .iter()
        .find(|(target, ..)| *target == "/src")
        .unwrap();
    assert!(*read_only && !bound.exists(), "the filtered copy is gone");
    let (_, cache, read_only) = sources.iter().find(|(target, ..)| *target == "/c").unwrap();
    let mounts = fixture.root().state().join("build/mounts");
    assert!(!*read_only && cache.starts_with(&mounts) && cache.is_dir());
    std::fs::write(cache.join("filled"), "x").unwrap();
    fixture.file("src/hidden", "2");
    fixture.build(dockerfile);
    assert_eq!(fixture.runner.count(), 1);
    fixture.file("src/a", "2");
    fixture.build(dockerfile);
    assert_eq!(fixture.runner.count(), 2);
    assert!(cache.join("filled").exists());
}

#[test]
fn what_is_not_possible_yet_is_an_error_with_its_line() {
    let fixture = Fixture::new();
    for (line, expected) in [
        (
            "RUN --mount=type=ssh,required x",
            "ssh agent `default` is required but was not given",
        ),
        (
            "RUN --security=insecure x",
            "asks for `security.insecure`, which is not allowed",
        ),
        ("RUN --device=a x", "--device `a` must name a device"),
        (
            "ARG t=bad\nRUN --mount=type=$t,target=/x x",
            "unsupported mount type \"bad\"",
        ),
        (
            "RUN --mount=source=none,target=/x x",
            "`none` does not exist",
        ),
        ("STOPSIGNAL SIGNOPE", "signal `SIGNOPE` must be"),
        ("EXPOSE http", "port `http` must be"),
        ("ENV a=${b:?needed}", "b: needed"),
    ] {
        let error = fixture.error(&format!("FROM scratch\n{line}"));
        assert!(error.starts_with("Dockerfile:"), "{line}: {error}");
        assert!(error.contains(expected), "{line}: {error}");
    }
}

#[test]
fn all_rights_need_an_allowance_and_count_for_the_cache() {
    let fixture = Fixture::new();
    let build = |change: fn(&mut BuildInput)| {
        let dockerfile = "FROM scratch\nRUN --security=insecure write /x x";
        let built = fixture.try_build_with(dockerfile, change);
        built.map(drop).map_err(|error| chain(&error)).unwrap();
    };
    build(|input| input.allow_insecure = true);
    let security = fixture.runner.last().security;
    assert!(security.privileged && !security.mask_paths);
    assert_eq!(security.seccomp, Seccomp::Unconfined);
    fixture.build("FROM scratch\nRUN write /x x");
    assert!(!fixture.runner.last().security.privileged);
    assert_eq!(fixture.runner.count(), 2, "the other one is no hit");
    let limited = fixture.try_build_with("FROM scratch\nRUN write /y y", |input| {
        input.memory_bytes = Some(64 << 20);
        input.privileged = true;
    });
    assert!(limited.is_ok());
    let spec = fixture.runner.last();
    assert_eq!(spec.resources.memory_bytes, Some(64 << 20));
    assert!(spec.security.privileged);
}

#[test]
fn an_agent_is_at_its_place_while_the_step_runs_and_its_path_counts_for_nothing() {
    let fixture = Fixture::new();
    let agents = tempfile::tempdir().unwrap();
    let dockerfile = "FROM scratch\nRUN --mount=type=ssh,required --mount=type=ssh,id=two,target=/agent,mode=0666 write /x x";
    let build = |name: &str| {
        let path = agents.path().join(name);
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let built = fixture.try_build_with(dockerfile, |input| {
            input.ssh.insert("default".to_owned(), vec![path.clone()]);
            input.ssh.insert("two".to_owned(), vec![path]);
        });
        drop(listener);
        built.map_err(|error| chain(&error)).unwrap()
    };
    let built = build("one");
    let spec = fixture.runner.last();
    let socket = "SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0".to_owned();
    assert!(spec.process.env.contains(&socket));
    assert!(spec.mounts.iter().any(|mount| mount.target == "/agent"));
    assert_eq!(
        built.list("/")[1..],
        ["f 644 0:0 /x"],
        "no socket, no directory for it"
    );
    build("other");
    assert_eq!(fixture.runner.count(), 1);
    let key = agents.path().join("id_ed25519");
    std::fs::write(&key, samples::ED25519).unwrap();
    let with_key = |step: &str| {
        fixture.try_build_with(&dockerfile.replace(" x", step), |input| {
            for id in ["default", "two"] {
                input.ssh.insert(id.to_owned(), vec![key.clone()]);
            }
        })
    };
    assert!(with_key(" y").is_ok());
    std::fs::write(&key, samples::ENCRYPTED).unwrap();
    let error = chain(&with_key(" z").map(drop).unwrap_err());
    assert!(error.contains("ssh-add"), "{error}");
}

#[test]
fn programs_of_another_architecture_are_refused_before_anything_runs() {
    let fixture = Fixture::new();
    let foreign = if cfg!(target_arch = "s390x") {
        "linux/riscv64"
    } else {
        "linux/s390x"
    };
    if crate::build::emulation::require(foreign).is_ok() {
        // This machine has an emulator for it.
        return;
    }
    let built = fixture.try_build_with("FROM scratch\nCOPY Dockerfile /", |input| {
        input.platform = Some(foreign.to_owned());
    });
    assert_eq!(built.unwrap().config["architecture"], foreign[6..]);
    let refused = fixture.try_build_with("FROM scratch\nRUN write /x x", |input| {
        input.platform = Some(foreign.to_owned());
    });
    let error = refused
        .map(drop)
        .map_err(|error| chain(&error))
        .unwrap_err();
    assert!(
        error.contains("apt-get install qemu-user-static"),
        "{error}"
    );
    assert_eq!(fixture.runner.count(), 0);
}
