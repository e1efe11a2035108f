//! What one Linux machine cannot give: accepted, and told once with its place.

use crate::Code;

use super::load_files;

/// An element of a service, and the path that its warning names.
const ELEMENTS: [(&str, &str); 13] = [
    ("runtime: runc", "services.a.runtime"),
    ("isolation: hyperv", "services.a.isolation"),
    (
        "credential_spec: {file: x.json}",
        "services.a.credential_spec",
    ),
    ("cpu_count: 2", "services.a.cpu_count"),
    ("cpu_percent: 50", "services.a.cpu_percent"),
    ("deploy: {mode: global}", "services.a.deploy.mode"),
    ("deploy: {labels: {a: b}}", "services.a.deploy.labels"),
    (
        "deploy: {endpoint_mode: vip}",
        "services.a.deploy.endpoint_mode",
    ),
    (
        "deploy: {placement: {constraints: [node.role == manager]}}",
        "services.a.deploy.placement",
    ),
    (
        "deploy: {resources: {reservations: {cpus: '0.5'}}}",
        "services.a.deploy.resources.reservations.cpus",
    ),
    (
        "build: {context: ., isolation: hyperv}",
        "services.a.build.isolation",
    ),
    ("use_api_socket: true", "services.a.use_api_socket"),
    (
        "networks: {n: {link_local_ips: [169.254.1.1]}}",
        "services.a.networks.n.link_local_ips",
    ),
];

#[test]
fn each_is_told_once_with_its_place() {
    for (text, path) in ELEMENTS {
        let file = format!("services:\n  a:\n    image: x\n    {text}\nnetworks: {{n: }}\n");
        let loaded = load_files(&[("compose.yaml", &file)]).unwrap();
        let told: Vec<_> = loaded
            .warnings
            .iter()
            .filter(|warning| warning.message.contains("no effect"))
            .collect();
        assert_eq!(told.len(), 1, "{text}: {:?}", loaded.warnings);
        assert!(
            told[0].message.contains(&format!("`{path}`")),
            "{text}: {}",
            told[0].message
        );
        assert!(told[0].primary.is_some(), "{text} has a place");
    }
}

#[test]
fn what_acts_is_not_told() {
    let file = r#"
services:
  a:
    image: x
    pre_start: [{command: [a]}]
    post_start: [{command: [a]}]
    pre_stop: [{command: [a], user: u, privileged: true, working_dir: /w, environment: {A: b}}]
    volumes_from: [b, "container:c:ro"]
    external_links: ["d:e"]
    links: ["b:f"]
  b: {image: x}
"#;
    let loaded = load_files(&[("compose.yaml", file)]).unwrap();
    let codes: Vec<Code> = loaded.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [], "{:?}", loaded.warnings);
}
