//! Every kind of mount as Compose has them, looked at from inside.

use std::os::unix::fs::MetadataExt;

use crate::support::{World, run_tool};

fn exec(world: &World, service: &str, words: &[&str]) -> String {
    let exec = ["exec", "-T", service];
    world.stack(&[&exec, words].concat()).ok().stdout
}

#[test]
fn named_volumes_are_filled_once_or_not_and_entered_below() {
    let world = World::new(
        r#"
x-app: &app { image: busybox, command: sleep 1000, init: true }
services:
  filled: { <<: *app, volumes: [ "filled:/data" ] }
  bare: { <<: *app, volumes: [ { type: volume, source: bare, target: /data, volume: { nocopy: true } } ] }
  below: { <<: *app, volumes: [ { type: volume, source: filled, target: /part, volume: { subpath: "a/b" } } ] }
volumes:
  filled: { labels: { team: a } }
  bare:
"#,
    );
    // A volume is filled while it is empty: the one who enters it below comes later.
    world.stack(&["up", "-d", "filled", "bare"]).ok();
    world.stack(&["up", "-d"]).ok();
    assert_eq!(
        exec(&world, "filled", &["cat", "/data/seed"]),
        "from the image\n"
    );
    assert_eq!(exec(&world, "bare", &["ls", "/data"]), "");
    exec(&world, "below", &["touch", "/part/file"]);
    assert_eq!(exec(&world, "filled", &["ls", "/data/a/b"]), "file\n");
    // What was removed does not come back: a volume is filled once.
    exec(&world, "filled", &["rm", "/data/seed"]);
    world
        .stack(&["up", "-d", "--force-recreate", "-t", "0"])
        .ok();
    assert_eq!(exec(&world, "filled", &["ls", "/data"]), "a\n");
    let labelled = world
        .stack(&["volume", "ls", "-q", "--filter", "label=team=a"])
        .ok();
    assert!(labelled.stdout.ends_with("_filled\n"), "{labelled:#?}");
    world.finish();
}

#[test]
fn anonymous_volumes_are_carried_over_until_they_are_renewed() {
    let world = World::new(
        "services: { web: { image: busybox, command: sleep 1000, init: true, volumes: [ /cache ] } }",
    );
    world.stack(&["up", "-d"]).ok();
    exec(&world, "web", &["touch", "/cache/file"]);
    world
        .stack(&["up", "-d", "--force-recreate", "-t", "0"])
        .ok();
    assert_eq!(exec(&world, "web", &["ls", "/cache"]), "file\n");
    world.stack(&["up", "-d", "-V", "-t", "0"]).ok();
    assert_eq!(exec(&world, "web", &["ls", "/cache"]), "");
    world.finish();
}

#[test]
fn binds_are_made_where_asked_and_pass_mounts_on_as_asked() {
    let world = World::new(
        r#"
x-app: &app { image: busybox, command: sleep 1000, init: true }
services:
  short: { <<: *app, volumes: [ "./made/here:/made:z", "./seen:/seen:ro,Z" ] }
  long:
    <<: *app
    volumes:
      - { type: bind, source: ./asked, target: /asked, bind: { create_host_path: true, selinux: z } }
      - { type: bind, source: ./tree, target: /private }
      - { type: bind, source: ./tree, target: /slave, bind: { propagation: rslave } }
  missing:
    <<: *app
    profiles: [ missing ]
    volumes: [ { type: bind, source: ./none, target: /none, bind: { create_host_path: false } } ]
"#,
    );
    let project = world.project();
    std::os::unix::fs::chown(&project, Some(1234), Some(77)).unwrap();
    for name in ["seen", "tree"] {
        fs_err::create_dir(project.join(name)).unwrap();
    }
    let tree = project.join("tree");
    let tree = tree.to_str().unwrap();
    run_tool("mount", &["--bind", tree, tree]);
    run_tool("mount", &["--make-shared", tree]);
    fs_err::create_dir(project.join("tree/later")).unwrap();
    world.stack(&["up", "-d"]).ok();
    for made in ["made", "made/here", "asked"] {
        let metadata = fs_err::metadata(project.join(made)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (1234, 77), "{made}");
    }
    exec(&world, "short", &["touch", "/made/file"]);
    assert!(project.join("made/here/file").exists());
    let refused = world.stack(&["exec", "-T", "short", "touch", "/seen/file"]);
    assert!(refused.stderr.contains("Read-only"), "{refused:#?}");
    let later = format!("{tree}/later");
    run_tool("mount", &["-t", "tmpfs", "tmpfs", &later]);
    fs_err::write(project.join("tree/later/file"), "").unwrap();
    assert_eq!(exec(&world, "long", &["ls", "/slave/later"]), "file\n");
    assert_eq!(exec(&world, "long", &["ls", "/private/later"]), "");
    let refused = world.stack(&["up", "-d", "missing"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("none"), "{refused:#?}");
    assert!(!project.join("none").exists());
    world.stack(&["down", "-t", "0"]).ok();
    run_tool("umount", &[&later]);
    run_tool("umount", &[tree]);
    world.finish();
}

#[test]
fn the_file_protects_its_volume() {
    let world = World::new(
        r#"
services: { db: { image: busybox, command: sleep 1000, init: true, volumes: [ "data:/data", "other:/other" ] } }
volumes: { data: { name: dear }, other: }
"#,
    );
    world.stack(&["up", "-d"]).ok();
    let text = fs_err::read_to_string(world.project().join("compose.yaml")).unwrap();
    let protecting = text.replace("name: dear", "name: dear, x-stack: { protect: true }");
    // The file says so only after the volume was made; both ways of hearing of it count.
    world.write("compose.yaml", &protecting);
    let down = world.stack(&["down", "-v", "-t", "0"]).ok();
    assert!(down.stderr.contains("protected"), "{down:#?}");
    let listed = world.stack(&["volume", "ls", "-q"]).ok();
    assert_eq!(listed.stdout, "dear\n");
    world.stack(&["volume", "unprotect", "dear"]).ok();
    world.stack(&["up", "-d"]).ok();
    let refused = world.stack(&["volume", "rm", "dear"]).fails(1);
    assert!(refused.stderr.contains("in use"), "{refused:#?}");
    let shown = world.stack(&["volume", "inspect", "dear"]).ok();
    assert!(shown.stdout.contains("\"Protected\": true"), "{shown:#?}");
    world.write(
        "compose.yaml",
        &text.replace("name: dear", "name: dear, x-stack: { protect: 5 }"),
    );
    let refused = world.stack(&["up", "-d"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("`protect: 5`"), "{refused:#?}");
    world.write("compose.yaml", &text);
    world.stack(&["volume", "unprotect", "dear"]).ok();
    world.finish();
}

#[test]
fn a_container_is_made_anew_when_its_mounted_image_moved() {
    let world = World::new(
        r#"
services:
  tools: { image: "tools:1", build: ., command: sleep 1000, init: true }
  web:
    image: busybox
    command: sleep 1000
    init: true
    volumes: [ { type: image, source: "tools:1", target: /tools } ]
"#,
    );
    world.write("Dockerfile", "FROM busybox\nCOPY seed /opt/seed\n");
    world.write("seed", "first\n");
    world.stack(&["up", "-d"]).ok();
    let before = world.container("web");
    world.stack(&["up", "-d"]).ok();
    assert_eq!(world.container("web"), before, "nothing moved");
    world.write("seed", "second\n");
    world.stack(&["build", "tools"]).ok();
    let rehearsed = world.stack(&["up", "-d", "--dry-run"]).ok();
    let said = rehearsed.stdout + &rehearsed.stderr;
    assert!(said.contains("mounted image tools:1 changed"), "{said}");
    world.stack(&["up", "-d", "-t", "0"]).ok();
    assert_ne!(world.container("web"), before);
    assert_eq!(exec(&world, "web", &["cat", "/tools/opt/seed"]), "second\n");
    world.finish();
}
