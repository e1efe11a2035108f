//! Several documents becoming one: merge, tags, extends, include.

use serde_json::{Value, json};

use super::{findings_of, load_files, loaded, memory, request};
use crate::load;

/// Returns a service of the canonical output.
fn service(files: &[(&str, &str)], name: &str) -> Value {
    let loaded = load_files(files).unwrap_or_else(|error| panic!("{error}"));
    loaded.canonical["services"][name].clone()
}

fn merged(base: &str, over: &str) -> Value {
    let files = [
        ("compose.yaml", format!("services:\n  a: {base}\n")),
        ("compose.override.yaml", format!("services:\n  a: {over}\n")),
    ];
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    service(&files, "a")
}

#[test]
fn merge_rules_are_those_of_compose() {
    let cases = [
        ("command", "[a, b]", "[c]", json!(["c"])),
        ("entrypoint", "x y", "z", json!(["z"])),
        (
            "environment",
            "{A: 1, B: 2}",
            "[B=3, C=4]",
            json!({"A": "1", "B": "3", "C": "4"}),
        ),
        ("environment", "{A: 1}", "null", json!({"A": "1"})),
        (
            "dns",
            "1.1.1.1",
            "[2.2.2.2, 1.1.1.1]",
            json!(["1.1.1.1", "2.2.2.2"]),
        ),
        (
            "cap_add",
            "[KILL]",
            "[KILL, CHOWN]",
            json!(["KILL", "CHOWN"]),
        ),
        ("hostname", "x", "y", json!("y")),
        (
            "build",
            "./x",
            "{target: t}",
            json!({
                "context": "/home/u/shop/x", "dockerfile": "Dockerfile", "target": "t"
            }),
        ),
        (
            "ulimits",
            "{nproc: {soft: 1, hard: 2}}",
            "{nproc: 5}",
            json!({"nproc": 5}),
        ),
        (
            "extra_hosts",
            "['h:1.1.1.1']",
            "{h: 2.2.2.2}",
            json!(["h=1.1.1.1", "h=2.2.2.2"]),
        ),
        (
            "logging",
            "{driver: a, options: {x: 1}}",
            "{driver: b}",
            json!({"driver": "b"}),
        ),
        (
            "logging",
            "{driver: a, options: {x: 1}}",
            "{options: {y: 2}}",
            json!({
                "driver": "a", "options": {"x": "1", "y": "2"}
            }),
        ),
        (
            "healthcheck",
            "{test: [CMD, a], interval: 5s}",
            "{test: b}",
            json!({
                "test": ["CMD-SHELL", "b"], "interval": "5s"
            }),
        ),
        (
            "ports",
            "['80:80']",
            "['80:80', '81:81']",
            json!([
                {"mode": "ingress", "target": 80, "published": "80", "protocol": "tcp"},
                {"mode": "ingress", "target": 81, "published": "81", "protocol": "tcp"}
            ]),
        ),
        (
            "volumes",
            "['/a:/x', '/b:/y']",
            "['/c:/x:ro']",
            json!([
                {"type": "bind", "source": "/c", "target": "/x", "read_only": true, "bind": {}},
                {"type": "bind", "source": "/b", "target": "/y", "bind": {}}
            ]),
        ),
        (
            "ports",
            "['80:80']",
            "!override ['81:81']",
            json!([
                {"mode": "ingress", "target": 81, "published": "81", "protocol": "tcp"}
            ]),
        ),
        ("ports", "['80:80']", "!reset null", Value::Null),
        (
            "environment",
            "{A: 1, B: 2}",
            "{A: !reset null}",
            json!({"B": "2"}),
        ),
    ];
    for (key, base, over, wanted) in cases {
        let found = merged(
            &format!("{{image: i, {key}: {base}}}"),
            &format!("{{{key}: {over}}}"),
        );
        assert_eq!(
            found.get(key).cloned().unwrap_or_default(),
            wanted,
            "{key}: {base} + {over}"
        );
    }
}

#[test]
fn reset_works_in_one_file_and_over_two() {
    let canonical = loaded("services: {a: {image: i, ports: !reset ['80:80']}}\n").canonical;
    assert_eq!(canonical["services"]["a"].get("ports"), None);
    let files = [
        ("a.yaml", "services: {a: {image: i, ports: ['1:1']}}"),
        ("b.yaml", "services: {a: {ports: !reset null}}"),
        ("c.yaml", "services: {a: {ports: ['2:2']}}"),
    ];
    let mut request = request();
    request.files = vec!["a.yaml".into(), "b.yaml".into(), "c.yaml".into()];
    let loaded = load(&request, &memory(&files)).unwrap();
    let ports = &loaded.canonical["services"]["a"]["ports"];
    assert_eq!(ports.as_array().map(Vec::len), Some(1));
    assert_eq!(ports[0]["published"], "2");
}

#[test]
fn documents_of_one_file_are_laid_over_each_other() {
    let text = "services:\n  a: {image: i}\n---\nservices:\n  a: {image: k}\n  b: {image: j}\n";
    let services = &loaded(text).canonical["services"];
    assert_eq!(
        (&services["a"]["image"], &services["b"]["image"]),
        (&json!("k"), &json!("j"))
    );
}

#[test]
fn extends_brings_everything_with_paths_of_its_own_file() {
    let files = [
        (
            "compose.yaml",
            "services:
  a:
    extends: {file: sub/base.yaml, service: b}
    environment: {B: own}
    ports: !reset null
",
        ),
        (
            "sub/base.yaml",
            "services:
  b: {extends: c, environment: {A: 1, B: 2}, ports: ['1:1']}
  c: {image: j, volumes: ['./x:/x'], build: .}
  broken: {image: \"${UNSET:?never read}\"}
",
        ),
    ];
    let service = service(&files, "a");
    assert_eq!(service["environment"], json!({"A": "1", "B": "own"}));
    assert_eq!(service["image"], "j");
    assert_eq!(service["volumes"][0]["source"], "/home/u/shop/sub/x");
    assert_eq!(service["build"]["context"], "/home/u/shop/sub");
    assert_eq!(service.get("ports"), None);
}

#[test]
fn includes_have_their_own_directory_and_environment() {
    let files = [
        (
            "compose.yaml",
            "include: [sub/compose.yaml, other.yaml]
name: outer
services:
  web: {hostname: laid-over}
",
        ),
        (
            "sub/compose.yaml",
            "name: inner
services:
  web: {image: \"i${V}\", volumes: ['./x:/x']}
  two: {image: first}
",
        ),
        ("sub/.env", "V=7\n"),
        ("other.yaml", "services: {two: {image: second}}"),
    ];
    let loaded = load_files(&files).unwrap_or_else(|error| panic!("{error}"));
    let services = &loaded.canonical["services"];
    assert_eq!(loaded.project.name.as_str(), "outer");
    assert_eq!(services["web"]["image"], "i7");
    assert_eq!(services["web"]["hostname"], "laid-over");
    assert_eq!(
        services["web"]["volumes"][0]["source"],
        "/home/u/shop/sub/x"
    );
    assert_eq!(services["two"]["image"], "first");
}

#[test]
fn anchors_and_chained_merge_keys_work() {
    let text = "x-a: &a {image: i, restart: always}
x-b: &b {<<: *a, hostname: h}
services:
  m: {<<: *b, restart: 'no'}
  n: {<<: [{image: own}, *b]}
";
    let services = &loaded(text).canonical["services"];
    assert_eq!(services["m"]["image"], "i");
    assert_eq!(services["m"]["restart"], "no");
    assert_eq!(services["n"]["image"], "own");
    assert_eq!(services["n"]["hostname"], "h");
}

#[test]
fn a_tag_on_an_item_is_told_to_do_nothing() {
    let files = [
        (
            "compose.yaml",
            "services: {a: {image: i, ports: ['80:80']}}",
        ),
        (
            "compose.override.yaml",
            "services: {a: {ports: [!reset '80:80']}}",
        ),
    ];
    assert!(findings_of(load_files(&files)).contains("a tag in front of an item has no effect"));
    assert_eq!(
        service(&files, "a")["ports"].as_array().map(Vec::len),
        Some(1)
    );
}

#[test]
fn a_limit_of_zero_leaves_the_word_to_deploy() {
    let file = "
services:
  a:
    image: i
    mem_limit: 0
    mem_reservation: 0
    cpus: 0
    pids_limit: 0
    deploy:
      resources:
        limits: {memory: 1g, cpus: 2, pids: 5}
        reservations: {memory: 1m}
";
    let project = loaded(file).project;
    let resources = &project.services["a"].resources;
    assert_eq!(resources.memory_bytes, Some(1 << 30));
    assert_eq!(resources.memory_reservation_bytes, Some(1 << 20));
    assert_eq!(resources.cpu_nanos, Some(2_000_000_000));
    assert_eq!(resources.pids, Some(5));
}
