//! Reads the CDI specifications of the host, as the Container Device Interface 0.8 says: JSON and YAML files in /etc/cdi and /var/run/cdi.
//!
//! A file that cannot be used takes nothing away from the others; its fault is told to whoever misses a device.

use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::model::{CdiRegistry, CdiSpec};

/// Directories of specifications; later ones win.
const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
/// Files read at most.
const FILES_MAX: usize = 256;
/// Bytes of a file; that of a machine with 16 GPUs has 100 KiB.
const BYTES_MAX: u64 = 4 << 20;

/// Reads the host's specifications.
pub(super) fn registry() -> CdiRegistry {
    read(&DIRECTORIES.map(Path::new))
}

fn read(directories: &[&Path]) -> CdiRegistry {
    let mut registry = CdiRegistry::default();
    for path in directories.iter().flat_map(|directory| files(directory)) {
        if registry.specs.len() >= FILES_MAX {
            registry.broken.push(format!("more than {FILES_MAX} files"));
            break;
        }
        match read_file(&path) {
            Ok(spec) => registry.specs.push(spec),
            Err(reason) => registry
                .broken
                .push(format!("{}: {reason}", path.display())),
        }
    }
    registry
}

/// The specifications of a directory by name; none when it is not there.
fn files(directory: &Path) -> Vec<PathBuf> {
    let is_spec = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("json" | "yaml" | "yml"))
    };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(is_spec).collect();
    files.sort();
    files
}

fn read_file(path: &Path) -> Result<CdiSpec, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > BYTES_MAX {
        return Err(format!("it has more than {BYTES_MAX} bytes"));
    }
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let mut spec = parse(
        &text,
        path.extension()
            .is_some_and(|extension| extension == "json"),
    )?;
    path.clone_into(&mut spec.path);
    Ok(spec)
}

fn parse(text: &str, is_json: bool) -> Result<CdiSpec, String> {
    let spec: CdiSpec = if is_json {
        serde_json::from_str(text).map_err(|error| error.to_string())?
    } else {
        let value = compose_spec::plain_yaml(text)?;
        serde_json::from_value(value).map_err(|error| error.to_string())?
    };
    let major = spec.cdi_version.split('.').next();
    if !matches!(major, Some("0" | "1")) {
        return Err(format!("its version is `{}`, not 0 or 1", spec.cdi_version));
    }
    let is_name = |text: &str| {
        let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        !text.is_empty() && text.chars().all(is_letter)
    };
    let kind = spec.kind.split_once('/');
    if !kind.is_some_and(|(vendor, class)| is_name(vendor) && is_name(class)) {
        return Err(format!("its kind `{}` is not `vendor/class`", spec.kind));
    }
    match spec.devices.iter().find(|device| !is_name(&device.name)) {
        Some(device) => Err(format!("`{}` is no name of a device", device.name)),
        None => Ok(spec),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JSON: &str = r#"{"cdiVersion": "0.6.0", "kind": "vendor.com/net",
        "containerEdits": {"env": ["A=1"]},
        "devices": [{"name": "one", "containerEdits": {"deviceNodes": [{"path": "/dev/one", "hostPath": "/dev/zero",
            "type": "c", "major": 1, "minor": 5, "fileMode": 438, "permissions": "rw", "uid": 0}],
            "additionalGids": [44], "hooks": [{"hookName": "createContainer", "path": "/bin/x", "args": ["x"]}]}}]}"#;
    const YAML: &str = "cdiVersion: 0.5.0\nkind: vendor.com/gpu\ndevices:\n  - name: \"0\"\n    containerEdits:\n      additionalGids: [44, 45]\n      mounts:\n        - {hostPath: /usr/lib, containerPath: /usr/lib/x, options: [ro, nosuid]}\n";

    #[test]
    fn both_forms_are_read_and_broken_files_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("b.json"), JSON).unwrap();
        fs::write(path("a.yaml"), YAML).unwrap();
        fs::write(path("c.yml"), "kind: [").unwrap();
        fs::write(path("d.json"), r#"{"cdiVersion": "2.0", "kind": "a/b"}"#).unwrap();
        fs::write(path("notes.txt"), "no specification").unwrap();
        let registry = read(&[directory.path(), Path::new("/no/such/directory")]);
        let kinds: Vec<&str> = registry
            .specs
            .iter()
            .map(|spec| spec.kind.as_str())
            .collect();
        assert_eq!(kinds, ["vendor.com/gpu", "vendor.com/net"]);
        let gpu = &registry.specs[0].devices[0].container_edits;
        assert_eq!(gpu.additional_gids, [44, 45]);
        assert_eq!(gpu.mounts[0].options, ["ro", "nosuid"]);
        let one = &registry.specs[1].devices[0].container_edits;
        assert_eq!(one.device_nodes[0].permissions.as_deref(), Some("rw"));
        assert_eq!(one.hooks[0].hook_name, "createContainer");
        assert_eq!(registry.specs[1].path, path("b.json"));
        assert_eq!(registry.broken.len(), 2);
        assert!(
            registry.broken[0].contains("c.yml: line 1"),
            "{:?}",
            registry.broken
        );
        assert!(
            registry.broken[1].contains("its version is `2.0`"),
            "{:?}",
            registry.broken
        );
    }

    #[test]
    fn names_that_could_be_something_else_are_refused() {
        for kind in ["", "gpu", "/gpu", "a b/gpu", "a/b/c"] {
            let text = format!(r#"{{"cdiVersion": "0.5.0", "kind": "{kind}"}}"#);
            assert!(parse(&text, true).is_err(), "{kind}");
        }
        let text = r#"{"cdiVersion": "0.5.0", "kind": "a/b", "devices": [{"name": "x=y"}]}"#;
        assert_eq!(
            parse(text, true).unwrap_err(),
            "`x=y` is no name of a device"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[ -~\n]{0,200}", is_json in any::<bool>()) {
            drop(parse(&text, is_json));
        }
    }
}
