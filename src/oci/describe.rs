//! `features` and `spec`: what this runtime can do, and a description to begin with.

use fs_err as fs;
use runtime::{
    rootfs::mask::{HIDDEN, PROTECTED},
    spec::{CAPABILITIES, CAPABILITIES_DEFAULT},
};
use serde_json::{Value, json};

use super::{arguments::Spec, error::OciError, state::OCI_VERSION};

/// Prints what this runtime can do (runtime-spec, features.md).
pub(super) fn features() -> Result<(), OciError> {
    let capabilities: Vec<_> = CAPABILITIES
        .iter()
        .map(|name| format!("CAP_{name}"))
        .collect();
    let text = json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": [
            "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
        ],
        "mountOptions": [
            "async", "atime", "bind", "defaults", "dev", "diratime", "exec", "loud", "noatime", "nodev",
            "nodiratime", "noexec", "nomand", "norelatime", "nostrictatime", "nosuid", "nosymfollow",
            "private", "rbind", "relatime", "rnoatime", "rnodev", "rnodiratime", "rnoexec", "rnosuid",
            "rnosymfollow", "ro", "rprivate", "rro", "rshared", "rslave", "rstrictatime", "runbindable", "rw",
            "shared", "slave", "strictatime", "suid", "symfollow", "unbindable",
        ],
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"],
            "capabilities": capabilities,
            "cgroup": { "v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": true },
            "seccomp": { "enabled": true, "archs": ["SCMP_ARCH_X86", "SCMP_ARCH_X86_64"] },
            "apparmor": { "enabled": false },
            "selinux": { "enabled": false },
            "intelRdt": { "enabled": false },
            "mountExtensions": { "idmap": { "enabled": false } },
        },
        "annotations": {
            "io.stack.version": env!("CARGO_PKG_VERSION"),
        },
        "potentiallyUnsafeConfigAnnotations": [],
    });
    super::print(&format!("{text:#}\n"))
}

/// Writes a config.json that runs a shell, with Docker's confinement. One that exists is left alone.
pub(super) fn spec(arguments: &Spec) -> Result<(), OciError> {
    let path = arguments.directory.bundle.join("config.json");
    if path.exists() {
        return Err(OciError::Usage(format!(
            "`{}` exists already",
            path.display()
        )));
    }
    let mut template = template();
    if arguments.rootless {
        let user = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        make_rootless(&mut template, user);
    }
    let text = format!("{template:#}\n");
    fs::write(&path, text).map_err(|error| OciError::Write(path, error))
}

/// Changes a description so that this user, who is nobody special on the host, may run it: root is the user, nobody else exists, the
/// network is the host's, and /sys with it.
fn make_rootless(template: &mut Value, (uid, gid): (u32, u32)) {
    let linux = &mut template["linux"];
    linux["resources"] = json!({});
    linux["namespaces"] = json!([
        { "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }, { "type": "cgroup" },
        { "type": "user" },
    ]);
    linux["uidMappings"] = json!([{ "containerID": 0, "hostID": uid, "size": 1 }]);
    linux["gidMappings"] = json!([{ "containerID": 0, "hostID": gid, "size": 1 }]);
    for mount in template["mounts"].as_array_mut().into_iter().flatten() {
        match mount["destination"].as_str() {
            Some("/sys") => {
                *mount = json!({
                    "destination": "/sys", "type": "none", "source": "/sys",
                    "options": ["rbind", "nosuid", "noexec", "nodev", "ro"],
                });
            }
            Some("/dev/pts") => {
                if let Some(options) = mount["options"].as_array_mut() {
                    options.retain(|option| option != "gid=5");
                }
            }
            _ => {}
        }
    }
}

/// The description that `spec` writes.
pub(super) fn template() -> Value {
    let default: Vec<_> = CAPABILITIES_DEFAULT
        .iter()
        .map(|name| format!("CAP_{name}"))
        .collect();
    let texts = |paths: &[&std::ffi::CStr]| -> Vec<String> {
        let text = |path: &&std::ffi::CStr| path.to_string_lossy().into_owned();
        paths.iter().map(text).collect()
    };
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": kind, "options": options });
    json!({
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": true,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": { "bounding": default, "effective": default, "permitted": default },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "stack",
        "mounts": [
            mount("/proc", "proc", &[]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        ],
        "linux": {
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" },
                { "type": "mount" }, { "type": "cgroup" },
            ],
            "maskedPaths": texts(&HIDDEN),
            "readonlyPaths": texts(&PROTECTED),
        },
    })
}
