//! `stack network`: networks of no project, which projects share.

use std::time::Duration;

use crate::support::{World, eventually, run_tool};

const SOON: Duration = Duration::from_secs(10);

const COMPOSE: &str = r"
services:
  db:
    image: busybox
    command: httpd -f -p 8000 -h /data
    init: true
    networks: { lan: { aliases: [ store ] } }
networks: { lan: { external: true, name: st-test-lan } }
";

const OTHER: &str = r"
services:
  client:
    image: busybox
    command: sh -c 'wget -qO- http://store:8000/seed && exec sleep 1000'
    init: true
    networks: { lan: { ipv4_address: 10.77.5.9 } }
networks: { lan: { external: true, name: st-test-lan } }
";

#[test]
fn projects_meet_on_a_network_that_belongs_to_none() {
    let world = World::new(COMPOSE);
    world.write("other.yaml", OTHER);
    let other = |arguments: &[&str]| {
        let project = ["-p", "st-test-other", "-f", "other.yaml"];
        world.stack(&[&project[..], arguments].concat())
    };
    let missing = world.stack(&["up", "-d"]);
    let advice = "`stack network create st-test-lan` makes it";
    assert!(
        missing.code != 0 && missing.stderr.contains(advice),
        "{missing:?}"
    );

    let create = [
        "network",
        "create",
        "--subnet",
        "10.77.5.0/24",
        "--label",
        "team=a",
        "--opt",
        "com.docker.network.driver.mtu=1400",
        "st-test-lan",
    ];
    assert_eq!(world.stack(&create).ok().stdout, "st-test-lan\n");
    let again = world.stack(&create);
    assert!(
        again.code == 1 && again.stderr.contains("exists already"),
        "{again:?}"
    );
    let overlapping = [
        "network",
        "create",
        "--subnet",
        "10.77.5.128/25",
        "st-test-other",
    ];
    let refused = world.stack(&overlapping).fails(1);
    assert!(
        refused.stderr.contains("network `st-test-lan`"),
        "{refused:?}"
    );

    world.stack(&["up", "-d"]).ok();
    other(&["up", "-d"]).ok();
    let finds_the_alias = || {
        let logs = other(&["logs", "--no-log-prefix", "client"]).ok().stdout;
        if logs == "from the image\n" {
            Ok(())
        } else {
            Err(logs)
        }
    };
    eventually("the other project finds the alias", SOON, finds_the_alias);
    let mtu = other(&["exec", "-T", "client", "cat", "/sys/class/net/eth0/mtu"]).ok();
    assert_eq!(mtu.stdout, "1400\n");
    let text = world
        .stack(&["network", "inspect", "st-test-lan"])
        .ok()
        .stdout;
    let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
    let users = shown[0]["Containers"].as_object().unwrap();
    let address = |name: &str| {
        let user = users.values().find(|user| user["Name"] == name);
        user.map(|user| user["IPv4Address"].as_str().unwrap().to_owned())
    };
    assert_eq!(address("st-test-other-client-1").unwrap(), "10.77.5.9/24");
    assert_eq!(users.len(), 2);

    let used = world.stack(&["network", "rm", "st-test-lan"]).fails(1);
    assert!(
        used.stderr.contains("in use by") && used.stderr.contains("-db-1"),
        "{used:?}"
    );
    world.stack(&["network", "prune", "--force"]).ok();
    // Nobody but its maker makes or removes it, whoever comes and goes.
    world.stack(&["down", "-t", "0"]).ok();
    other(&["down", "-t", "0"]).ok();
    let ids = world
        .stack(&["network", "ls", "-q", "--filter", "name=lan"])
        .ok()
        .stdout;
    assert_eq!(ids.len(), "0123456789ab\n".len());

    // A supervisor that finds it without containers starts without it, and brings it back with them.
    for pid in world.supervisors() {
        run_tool("kill", &["-9", &pid.to_string()]);
    }
    world.stack(&["up", "-d"]).ok();
    other(&["up", "-d"]).ok();
    eventually("the alias is found again", SOON, finds_the_alias);
    world.stack(&["down", "-t", "0"]).ok();
    other(&["down", "-t", "0"]).ok();
    assert_eq!(
        world.stack(&["network", "rm", ids.trim()]).ok().stdout,
        "st-test-lan\n"
    );
    world.stack(&["network", "rm", ids.trim()]).fails(1);
    world.stack(&["network", "rm", "--force", ids.trim()]).ok();
    world.finish();
}

#[test]
fn a_prune_leaves_networks_that_somebody_uses_or_wants() {
    let world = World::new(
        r"
services:
  app: { image: busybox, command: sleep 1000, init: true }
",
    );
    world.stack(&["up", "-d"]).ok();
    world.stack(&["network", "create", "st-test-idle"]).ok();
    world
        .stack(&["network", "create", "--label", "keep", "st-test-kept"])
        .ok();
    let plan = world.stack(&["--dry-run", "network", "prune"]).ok();
    assert!(plan.stdout.contains("st-test-idle"), "{plan:?}");
    // Without a terminal and without --force nobody can be asked.
    world.stack(&["network", "prune"]).fails(1);
    let pruned = world
        .stack(&["network", "prune", "--force", "--filter", "label!=keep"])
        .ok();
    assert_eq!(pruned.stdout, "Deleted Networks:\nst-test-idle\n");
    let left = world
        .stack(&["network", "ls", "--format", "{{.Name}}"])
        .ok()
        .stdout;
    let left: Vec<&str> = left.lines().collect();
    assert!(
        left.len() == 2 && left.contains(&"st-test-kept"),
        "{left:?}"
    );
    for name in ["host", "none", "bridge", "a/b", ".."] {
        world.stack(&["network", "create", name]).fails(1);
    }
    world
        .stack(&["network", "create", "-d", "macvlan", "st-test-x"])
        .fails(1);
    world
        .stack(&["network", "create", "--ipv6", "st-test-x"])
        .fails(1);
    let all = world.stack(&["system", "prune", "--force"]).ok().stdout;
    assert!(all.contains("deleted: network st-test-kept"), "{all}");
    world.finish();
}
