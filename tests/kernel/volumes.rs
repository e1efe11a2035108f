//! `stack volume …`: volumes by themselves, and what never takes them away.

mod backup;
mod filesystems;
mod kinds;

use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::World;

const SHOP: &str = r#"
services:
  web:
    image: busybox
    command: sleep 1000
    init: true
    volumes: [ "data:/data", "/cache" ]
  idle: { image: busybox, command: sleep 1000, init: true }
volumes: { data: }
"#;

/// Names of the volumes that `volume ls` shows with these filters.
fn names(world: &World, filters: &[&str]) -> Vec<String> {
    let mut arguments = vec!["volume", "ls", "-q"];
    for filter in filters {
        arguments.extend(["--filter", filter]);
    }
    let listed = world.stack(&arguments).ok();
    listed.stdout.lines().map(str::to_owned).collect()
}

fn inspected(world: &World, name: &str) -> serde_json::Value {
    let shown = world.stack(&["volume", "inspect", "-s", name]).ok();
    let array: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    array[0].clone()
}

#[test]
fn a_volume_is_made_shown_used_renamed_and_removed() {
    let world = World::new(
        r#"
services:
  web:
    image: busybox
    command: sleep 1000
    init: true
    volumes: [ "mine:/data" ]
volumes: { mine: { external: true, name: mine } }
"#,
    );
    world.stack(&["up", "-d"]).fails(1);
    let made = world
        .stack(&["volume", "create", "--label", "team=a", "mine"])
        .ok();
    assert_eq!(made.stdout, "mine\n");
    world.stack(&["volume", "create", "mine"]).ok();
    let other = ["type=none", "o=bind", "device=/tmp"];
    let other = other.iter().flat_map(|option| ["--opt", option]);
    let again: Vec<&str> = ["volume", "create", "mine"]
        .into_iter()
        .chain(other)
        .collect();
    let differs = world.stack(&again).fails(1);
    assert!(differs.stderr.contains("other options"), "{differs:#?}");
    world
        .stack(&["volume", "create", "--driver", "nfs", "x"])
        .fails(1);
    world.stack(&["volume", "create", "../x"]).fails(1);
    assert_eq!(names(&world, &["label=team=a", "dangling=true"]), ["mine"]);

    world.stack(&["up", "-d"]).ok();
    let volume = inspected(&world, "mine");
    let user = volume["UsedBy"][0].as_str().unwrap();
    assert!(user.ends_with("-web-1"), "{volume}");
    assert!(volume["UsageData"]["Size"].as_u64().unwrap() > 0);
    assert_eq!(names(&world, &["dangling=true"]), [""; 0]);
    for arguments in [
        &["volume", "rm", "-f", "mine"][..],
        &["volume", "mv", "mine", "other"],
    ] {
        let refused = world.stack(arguments).fails(1);
        assert!(refused.stderr.contains(user), "who: {refused:#?}");
    }
    // It is not the project's: neither `down -v` nor prune of anonymous ones takes it.
    world.stack(&["down", "-v", "-t", "0"]).ok();
    world.stack(&["volume", "prune", "-f"]).ok();
    let data = world.root().join("volumes/mine/_data/seed");
    assert_eq!(std::fs::read(&data).unwrap(), b"from the image\n");
    world.stack(&["volume", "mv", "mine", "other"]).ok();
    assert_eq!(names(&world, &["label=team"]), ["other"]);
    let data = world.root().join("volumes/other/_data/seed");
    assert_eq!(std::fs::read(&data).unwrap(), b"from the image\n");
    // One that is missing does not keep the others.
    let removed = world.stack(&["volume", "rm", "mine", "other"]).fails(1);
    assert_eq!(removed.stdout, "other\n");
    assert!(removed.stderr.contains("no such volume: mine"));
    world.stack(&["volume", "rm", "-f", "mine"]).ok();
    world.finish();
}

#[test]
fn prune_takes_only_what_nothing_wants() {
    let world = World::new(SHOP);
    world.stack(&["up", "-d"]).ok();
    let of_project = world.stack(&["volumes", "-q"]).ok();
    assert_eq!(of_project.stdout.lines().count(), 2, "{of_project:#?}");
    let of_service = world.stack(&["volumes", "-q", "web"]).ok();
    assert_eq!(of_service.stdout.lines().count(), 2, "{of_service:#?}");
    let of_other = world.stack(&["volumes", "-q", "idle"]).ok();
    assert_eq!(of_other.stdout, "", "{of_other:#?}");
    let anonymous = world.stack(&["volume", "create"]).ok().stdout;
    world.stack(&["volume", "create", "byhand"]).ok();
    // Nobody can be asked here.
    world.stack(&["volume", "prune"]).fails(1);
    assert_eq!(names(&world, &[]).len(), 4);
    let planned = world.stack(&["--dry-run", "volume", "prune"]).ok();
    assert!(planned.stdout.contains(anonymous.trim()), "{planned:#?}");
    let pruned = world.stack(&["volume", "prune", "-f"]).ok();
    assert!(pruned.stdout.contains(anonymous.trim()), "{pruned:#?}");
    assert!(pruned.stdout.contains("Total reclaimed space: "));
    assert_eq!(names(&world, &[]).len(), 3);
    // No container has `data` now, but the project is wanted, and may want it again.
    world.stack(&["rm", "-s", "-f", "web"]).ok();
    let pruned = world.stack(&["volume", "prune", "-a", "-f"]).ok();
    assert!(pruned.stdout.contains("byhand"), "{pruned:#?}");
    let of_project = names(&world, &["name=_data"]).remove(0);
    let refused = world.stack(&["volume", "mv", &of_project, "x"]).fails(1);
    assert!(refused.stderr.contains("which is up"), "{refused:#?}");
    assert_eq!(names(&world, &["name=_data"]).len(), 1);
    world.stack(&["down", "-t", "0"]).ok();
    let pruned = world.stack(&["volume", "prune", "-a", "-f"]).ok();
    assert_eq!(names(&world, &[]), [""; 0], "{pruned:#?}");
    world.finish();
}

#[test]
fn a_protected_volume_stays_whatever_is_asked() {
    let world = World::new(SHOP);
    world.stack(&["up", "-d"]).ok();
    let name = names(&world, &["name=_data"]).remove(0);
    world.stack(&["volume", "protect", &name]).ok();
    let down = world.stack(&["down", "-v", "-t", "0"]).ok();
    assert!(down.stderr.contains("is protected"), "{down:#?}");
    assert_eq!(names(&world, &[]), [name.as_str()]);
    let pruned = world.stack(&["volume", "prune", "-a", "-f"]).ok();
    assert!(
        pruned.stderr.contains("is protected: it is kept"),
        "{pruned:#?}"
    );
    let refused = world.stack(&["volume", "rm", "-f", &name]).fails(1);
    assert!(refused.stderr.contains("unprotect"), "{refused:#?}");
    let shown = world.stack(&["volume", "df", "--format", "json"]).ok();
    let row: serde_json::Value = serde_json::from_str(shown.stdout.trim()).unwrap();
    assert_eq!(
        (&row["Name"], &row["Protected"]),
        (&name.as_str().into(), &true.into())
    );
    world.stack(&["volume", "unprotect", &name]).ok();
    world.stack(&["volume", "rm", &name]).ok();
    world.finish();
}

/// Somebody prunes and removes all the time while a project is brought up and taken down: every container that starts has its volume.
#[test]
fn no_volume_goes_while_a_container_is_made_with_it() {
    let world = World::new(
        r#"
services:
  web:
    image: busybox
    command: sh -c 'test -e /data/seed && exec sleep 1000'
    init: true
    volumes: [ "data:/data" ]
volumes: { data: { name: contested } }
"#,
    );
    for _ in 0..5 {
        let is_up = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let attack = || {
                while !is_up.load(Ordering::SeqCst) {
                    let mut remove = world.command(&["volume", "rm", "-f", "contested"]);
                    let _refused = remove.output().unwrap();
                }
            };
            scope.spawn(attack);
            scope.spawn(attack);
            let up = world.stack(&["up", "-d", "--wait"]);
            is_up.store(true, Ordering::SeqCst);
            up.ok();
        });
        assert!(world.root().join("volumes/contested/_data/seed").exists());
        world.stack(&["volume", "rm", "-f", "contested"]).fails(1);
        world.stack(&["down", "-t", "0"]).ok();
    }
    world.finish();
}

#[test]
fn an_image_is_mounted_read_only_and_stays_while_it_is() {
    let world = World::new(
        r#"
services:
  tools:
    image: tools:1
    build: .
    command: sleep 1000
    init: true
  web:
    image: busybox
    command: sleep 1000
    init: true
    volumes:
      - { type: image, source: "tools:1", target: /tools }
      - { type: image, source: "tools:1", target: /part, image: { subpath: opt } }
"#,
    );
    world.write("Dockerfile", "FROM busybox\nCOPY seed /opt/seed\n");
    world.write("seed", "of the tools\n");
    // The image is built although only its mounting service is asked for.
    world.stack(&["up", "-d", "web"]).ok();
    let run = |words: &[&str]| {
        let exec = ["exec", "-T", "web"];
        world.stack(&[&exec, words].concat())
    };
    for path in ["/tools/opt/seed", "/part/seed"] {
        assert_eq!(run(&["cat", path]).ok().stdout, "of the tools\n");
    }
    assert_eq!(
        run(&["cat", "/tools/data/seed"]).ok().stdout,
        "from the image\n"
    );
    let refused = run(&["touch", "/tools/x"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("Read-only"), "{refused:#?}");
    world.stack(&["image", "rm", "tools:1"]).fails(4);
    world.stack(&["restart", "-t", "0", "web"]).ok();
    run(&["cat", "/part/seed"]).ok();
    world.stack(&["down", "-v", "-t", "0"]).ok();
    world.stack(&["image", "rm", "tools:1"]).ok();
    world.finish();
}
