//! No element of the project is understood and then forgotten: each field of the typed model is read somewhere, or its
//! element is told to have no effect (`compose-spec/src/tests/without_effect.rs` sees each of those warnings).

use std::path::Path;

use fs_err as fs;

/// Fields that nothing reads, because their elements have no effect in this version.
const UNREAD: &[&str] = &[
    "Attachment.link_local_ips",
    "Model.context_size",
    "Model.model",
    "Model.runtime_flags",
    "ModelBinding.endpoint_var",
    "ModelBinding.model_var",
    "Network.enable_ipv4",
    "Rollout.delay",
    "Rollout.failure_action",
    "Rollout.max_failure_ratio",
    "Rollout.parallelism",
    "Service.annotations",
    "Service.restart_delay",
    "Service.restart_window",
    "Service.rollback",
    "Service.update",
    "Service.use_api_socket",
];

#[test]
fn every_field_of_the_project_is_read_or_has_no_effect() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    // What lies beside the project: bundles and images have annotations of their own.
    for part in ["plan", "apply", "build", "cli", "network", "supervisor"] {
        read(&root.join("src").join(part), &mut code);
    }
    let mut model = String::new();
    read(&root.join("compose-spec/src/model"), &mut model);
    let fields = fields(&model);
    assert!(fields.len() > 150, "{} fields", fields.len());
    let is_read = |field: &str| {
        let name = field.split('.').nth(1).unwrap();
        let access = format!(".{name}");
        let mut uses = code.match_indices(&access);
        uses.any(|(at, text)| {
            let next = code[at + text.len()..].chars().next();
            !next.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '(')
        })
    };
    let unread: Vec<&str> = fields
        .iter()
        .map(String::as_str)
        .filter(|field| !is_read(field))
        .collect();
    assert_eq!(unread, UNREAD);
}

/// Adds the Rust files of a directory that are no tests.
fn read(directory: &Path, code: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.contains("test") {
            continue;
        }
        if path.is_dir() {
            read(&path, code);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            code.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// Returns `Type.field` of every public field, sorted.
fn fields(model: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut owner = "";
    for line in model.lines() {
        if let Some(rest) = line.strip_prefix("pub struct ") {
            owner = rest.split([' ', '(', '<', ';']).next().unwrap();
        }
        if let Some((name, _)) = line
            .strip_prefix("    pub ")
            .and_then(|rest| rest.split_once(": "))
            && !name.contains(' ')
        {
            fields.push(format!("{owner}.{name}"));
        }
    }
    fields.sort();
    fields
}
