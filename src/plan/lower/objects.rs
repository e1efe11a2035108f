//! Secrets and configs: files that a service may read.

use compose_spec::model::{FileGrant, FileObject, FileSource};
use indexmap::IndexMap;

use super::{
    BindUse, FileContent, GeneratedFile, LowerInput,
    error::{Checks, Refusal},
    mounts::{Mounts, clean},
};

/// Mode of a secret or config without one.
const MODE: u32 = 0o444;

/// Adds the mounts of all secrets and configs of the service.
pub(super) fn lower(input: &LowerInput<'_>, mounts: &mut Mounts, checks: &mut Checks<'_>) {
    let service = &input.new.service;
    let project = input.project;
    for (kind, grants, objects) in [
        ("secret", &service.secrets, &project.secrets),
        ("config", &service.configs, &project.configs),
    ] {
        add(kind, (grants, objects), (input, &mut *mounts), checks);
    }
}

fn add(
    kind: &'static str,
    (grants, objects): (&[FileGrant], &IndexMap<String, FileObject>),
    (input, mounts): (&LowerInput<'_>, &mut Mounts),
    checks: &mut Checks<'_>,
) {
    for (index, grant) in grants.iter().enumerate() {
        let path = format!("{kind}s[{index}]");
        let name = grant.source.clone();
        let target = clean(&grant.target);
        if !grant.target.starts_with('/') || target == "/" || target.split('/').any(|p| p == "..") {
            let reason = "it must be an absolute path of a file, without `..`";
            checks.invalid(path, "target", &grant.target, reason);
            continue;
        }
        if mounts.has(&target) {
            let first = format!("another mount on `{target}`");
            checks.conflict(path, &first, &format!("{kind} `{name}`"));
            continue;
        }
        let Some(object) = objects.get(&grant.source) else {
            checks.refuse(path, Refusal::Undefined { kind, name });
            continue;
        };
        match &object.source {
            FileSource::External => {
                checks.unsupported(path, format!("external {kind} `{name}`"));
            }
            FileSource::Environment {
                variable,
                value: None,
            } => {
                let variable = variable.clone();
                checks.refuse(
                    path,
                    Refusal::VariableUnset {
                        kind,
                        name,
                        variable,
                    },
                );
            }
            // A plain host file is bound as it is: no copy of a secret lies around, and edits in place are seen.
            FileSource::File(host) if grant.uid.or(grant.gid).or(grant.mode).is_none() => {
                mounts.binds.push(BindUse {
                    source: host.clone(),
                    create: false,
                    path: checks.path(&path),
                });
                mounts.bind_file(target, host, true);
            }
            source => {
                let file = format!("{kind}s/{index}-{}", file_name(&name));
                mounts.bind_file(target, &input.places.files.join(&file), true);
                mounts.files.push(GeneratedFile {
                    name: file,
                    content: FileContent::Object(source.clone()),
                    uid: grant.uid.unwrap_or(0),
                    gid: grant.gid.unwrap_or(0),
                    mode: grant.mode.unwrap_or(MODE),
                });
            }
        }
    }
}

/// Keys may hold any character; the index before it keeps names apart.
fn file_name(key: &str) -> String {
    key.chars()
        .take(100)
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                c
            } else {
                '_'
            }
        })
        .collect()
}
