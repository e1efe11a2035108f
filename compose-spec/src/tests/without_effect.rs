//! What one Linux machine cannot give: accepted, and told once with its place.

use super::{load_files, readme::inner};
use crate::{
    Code,
    schema::{Effect, Section, TOP},
};

/// An element of a service, and the path that its warning names.
const ELEMENTS: &[(&str, &str)] = &[
    ("annotations: {a: b}", "services.a.annotations"),
    ("provider: {type: t}", "services.a.provider"),
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
        "deploy: {resources: {reservations: {generic_resources: [{discrete_resource_spec: {kind: g, value: 1}}]}}}",
        "services.a.deploy.resources.reservations.generic_resources",
    ),
    (
        "deploy: {restart_policy: {delay: 5s}}",
        "services.a.deploy.restart_policy.delay",
    ),
    (
        "deploy: {restart_policy: {window: 5s}}",
        "services.a.deploy.restart_policy.window",
    ),
    (
        "deploy: {update_config: {parallelism: 2, delay: 5s}}",
        "services.a.deploy.update_config",
    ),
    (
        "deploy: {rollback_config: {parallelism: 2}}",
        "services.a.deploy.rollback_config",
    ),
    (
        "build: {context: ., isolation: hyperv}",
        "services.a.build.isolation",
    ),
    (
        "build: {context: ., provenance: true}",
        "services.a.build.provenance",
    ),
    ("build: {context: ., sbom: true}", "services.a.build.sbom"),
    ("use_api_socket: true", "services.a.use_api_socket"),
    (
        "networks: {n: {link_local_ips: [169.254.1.1]}}",
        "services.a.networks.n.link_local_ips",
    ),
    (
        "networks: {n: {driver_opts: {a: b}}}",
        "services.a.networks.n.driver_opts",
    ),
    (
        "ports: [{target: 80, name: web}]",
        "services.a.ports[0].name",
    ),
    (
        "ports: [{target: 80, app_protocol: http}]",
        "services.a.ports[0].app_protocol",
    ),
    (
        "ports: [{target: 80, mode: host}]",
        "services.a.ports[0].mode",
    ),
    (
        "volumes: [{type: bind, source: ., target: /t, consistency: cached}]",
        "services.a.volumes[0].consistency",
    ),
    (
        "volumes: [{type: bind, source: ., target: /t, bind: {selinux: z}}]",
        "services.a.volumes[0].bind.selinux",
    ),
    (
        "volumes: [{type: volume, target: /t, volume: {labels: {a: b}}}]",
        "services.a.volumes[0].volume.labels",
    ),
    ("pull_refresh_after: 1h", "services.a.pull_refresh_after"),
    (
        "pre_start: [{command: a, cpu_count: 2}]",
        "services.a.pre_start[0].cpu_count",
    ),
];

/// A top-level element, and the path that its warning names.
const TOP_ELEMENTS: &[(&str, &str)] = &[
    ("networks: {n: {attachable: true}}", "networks.n.attachable"),
    (
        "networks: {n: {enable_ipv4: false, enable_ipv6: true}}",
        "networks.n.enable_ipv4",
    ),
    (
        "networks: {n: {ipam: {driver: other}}}",
        "networks.n.ipam.driver",
    ),
    (
        "networks: {n: {ipam: {options: {a: b}}}}",
        "networks.n.ipam.options",
    ),
    ("models: {m: {model: ai/x}}", "models"),
    ("secrets: {s: {file: s, driver: d}}", "secrets.s.driver"),
    (
        "secrets: {s: {file: s, driver_opts: {a: b}}}",
        "secrets.s.driver_opts",
    ),
    (
        "secrets: {s: {file: s, template_driver: d}}",
        "secrets.s.template_driver",
    ),
    (
        "configs: {c: {file: c, template_driver: d}}",
        "configs.c.template_driver",
    ),
];

/// Returns the files and the path of every element that is tried.
fn tried() -> Vec<(String, &'static str)> {
    let services = ELEMENTS.iter().map(|(text, path)| {
        let networks = if text.starts_with("networks") {
            "networks: {n: }\n"
        } else {
            ""
        };
        let file = format!("services:\n  a:\n    image: x\n    {text}\n{networks}");
        (file, *path)
    });
    let top = TOP_ELEMENTS.iter().map(|(text, path)| {
        let file = format!("services: {{a: {{image: x}}}}\n{text}\n");
        (file, *path)
    });
    let model = "services: {a: {image: x, models: [m]}}\nmodels: {m: {model: ai/x}}\n";
    let model = (model.to_owned(), "services.a.models");
    services.chain(top).chain([model]).collect()
}

#[test]
fn each_is_told_once_with_its_place() {
    for (file, path) in tried() {
        let loaded = load_files(&[("compose.yaml", &file)]).unwrap();
        let named = format!("`{path}`");
        let told: Vec<_> = loaded
            .warnings
            .iter()
            .filter(|warning| warning.code == Code::NoEffect)
            .collect();
        let own: Vec<_> = told
            .iter()
            .filter(|warning| warning.message.contains(&named))
            .collect();
        assert_eq!(own.len(), 1, "{file}: {:?}", loaded.warnings);
        // A model of a service needs one of the project, which is told too.
        assert!(told.len() == 1 || path == "services.a.models", "{told:?}");
        let label = own[0].primary.as_ref().expect("a place");
        let key = path.rsplit('.').next().unwrap();
        assert_eq!(loaded.sources.slice(label.span), key, "{file}");
    }
}

/// Collects the paths of a section that have no effect, the outermost ones.
fn without_effect(section: &'static Section, path: &str, out: &mut Vec<String>) {
    for field in section.fields {
        let dot = if path.is_empty() { "" } else { "." };
        let here = format!("{path}{dot}{}", field.name);
        if field.effect != Effect::Full {
            out.push(here);
        } else if let (true, Some((section, between))) =
            (here.matches('.').count() < 6, inner(&field.kind))
        {
            without_effect(section, &format!("{here}{between}"), out);
        }
    }
}

/// Returns whether a path of a project is one of the schema, in which `*` is any name and `[]` any index.
fn is_of(path: &str, schema: &str) -> bool {
    let (mut own, mut wanted) = (path.split('.'), schema.split('.'));
    let alike = |(own, wanted): (&str, &str)| {
        let own = own.split('[').next().unwrap_or(own);
        wanted == "*" || own == wanted.trim_end_matches("[]")
    };
    own.clone().count() == wanted.clone().count() && own.by_ref().zip(wanted.by_ref()).all(alike)
}

#[test]
fn every_element_without_effect_is_tried() {
    let mut all = Vec::new();
    without_effect(&TOP, "", &mut all);
    assert!(all.len() > 30, "{all:?}");
    let tried = tried();
    let untried = all.iter().filter(|schema| {
        // An init container has the attributes of a service, by the same lines of the schema.
        let of_service = schema.replace("pre_start[].", "");
        !tried
            .iter()
            .any(|(_, path)| is_of(path, schema) || is_of(path, &of_service))
    });
    assert_eq!(untried.collect::<Vec<_>>(), Vec::<&String>::new());
    for (_, path) in &tried {
        assert!(all.iter().any(|schema| is_of(path, schema)), "`{path}`");
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
