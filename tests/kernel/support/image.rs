//! A busybox image as a docker-archive, made from Debian's busybox-static.

use std::path::Path;

use sha2::{Digest, Sha256};

const BUSYBOX: &str = "/bin/busybox";
/// Applets that scenarios use.
const APPLETS: [&str; 24] = [
    "sh", "sleep", "true", "false", "cat", "echo", "ls", "id", "hostname", "wget", "nc", "httpd",
    "nslookup", "env", "touch", "test", "mkdir", "rm", "kill", "ps", "ip", "stat", "seq", "trap",
];

/// Writes an archive with the image `busybox:latest`.
pub(super) fn write_busybox(path: &Path) {
    let layer = layer();
    let diff_id = format!("sha256:{}", hex(&layer));
    let config = serde_json::json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": ["sh"]
        },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        "history": [{ "created_by": "busybox" }]
    })
    .to_string();
    let config_name = format!("{}.json", hex(config.as_bytes()));
    let manifest = serde_json::json!([{
        "Config": config_name, "RepoTags": ["busybox:latest"], "Layers": ["layer.tar"]
    }])
    .to_string();
    let mut archive = tar::Builder::new(fs_err::File::create(path).unwrap());
    for (name, bytes) in [
        ("layer.tar", layer.as_slice()),
        (config_name.as_str(), config.as_bytes()),
        ("manifest.json", manifest.as_bytes()),
    ] {
        append(&mut archive, name, bytes, 0o644);
    }
    archive.finish().unwrap();
}

fn layer() -> Vec<u8> {
    let busybox = fs_err::read(BUSYBOX).expect("busybox-static; ./tests/run installs it");
    let mut layer = tar::Builder::new(Vec::new());
    for directory in ["bin/", "etc/", "tmp/", "data/"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(if directory == "tmp/" { 0o1777 } else { 0o755 });
        header.set_size(0);
        layer
            .append_data(&mut header, directory, std::io::empty())
            .unwrap();
    }
    append(&mut layer, "bin/busybox", &busybox, 0o755);
    for applet in APPLETS {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        layer
            .append_link(&mut header, format!("bin/{applet}"), "busybox")
            .unwrap();
    }
    append(
        &mut layer,
        "etc/passwd",
        b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n",
        0o644,
    );
    append(&mut layer, "etc/group", b"root:x:0:\napp:x:1000:\n", 0o644);
    append(&mut layer, "data/seed", b"from the image\n", 0o640);
    layer.into_inner().unwrap()
}

fn append<W: std::io::Write>(archive: &mut tar::Builder<W>, name: &str, bytes: &[u8], mode: u32) {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    archive.append_data(&mut header, name, bytes).unwrap();
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
