//! Volumes, mounts, secrets and configs of the model.

use indexmap::IndexMap;

use super::{Builder, extensions, flag, int, pairs, service::path, size, text};
use crate::{
    canonical::{items, units},
    diagnostic::{Code, Diagnostic, Span},
    model::{
        BindOptions, FileGrant, FileObject, FileSource, Mount, MountSource, SelinuxLabel,
        TmpfsOptions, Volume,
    },
    yaml::Node,
};

impl Builder<'_> {
    pub(super) fn volumes(&mut self) -> IndexMap<String, Volume> {
        self.tree
            .entries_at("volumes")
            .map(|(key, entry)| {
                let node = &entry.value;
                let volume = Volume {
                    name: text(node, "name").unwrap_or_default(),
                    external: flag(node, "external"),
                    driver: text(node, "driver"),
                    driver_opts: pairs(node, "driver_opts"),
                    labels: pairs(node, "labels"),
                    extensions: extensions(node),
                };
                (key.to_string(), volume)
            })
            .collect()
    }

    pub(super) fn file_objects(&mut self, section: &str) -> IndexMap<String, FileObject> {
        let environment = self.environment;
        self.tree
            .entries_at(section)
            .map(|(key, entry)| {
                let node = &entry.value;
                let source = if let Some(file) = text(node, "file") {
                    FileSource::File(path(&file))
                } else if let Some(variable) = text(node, "environment") {
                    let value = environment.get(&variable).map(str::to_owned);
                    FileSource::Environment { variable, value }
                } else if let Some(content) = node.text_at("content") {
                    FileSource::Content(content.to_owned())
                } else {
                    FileSource::External
                };
                let name = text(node, "name").unwrap_or_default();
                (
                    key.to_string(),
                    FileObject {
                        name,
                        source,
                        labels: pairs(node, "labels"),
                    },
                )
            })
            .collect()
    }

    pub(super) fn mounts(&mut self, node: &Node) -> Vec<Mount> {
        let mut mounts: Vec<Mount> = node.items_at("volumes").iter().filter_map(mount).collect();
        for item in node.items_at("tmpfs") {
            mounts.extend(self.tmpfs(item));
        }
        mounts
    }

    /// `tmpfs: /run:size=64m,mode=1777,noexec`
    fn tmpfs(&mut self, node: &Node) -> Option<Mount> {
        let text = node.as_text()?;
        let (target, written) = text.split_once(':').unwrap_or((text, ""));
        let mut options = TmpfsOptions::default();
        let mut read_only = false;
        for option in written.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("size", value)) => {
                    let bytes = units::parse_size(value).and_then(|size| u64::try_from(size).ok());
                    self.must(bytes.is_some() || value.ends_with('%'), node.span, "size");
                    if value.ends_with('%') {
                        options.options.push(option.to_owned());
                    }
                    options.size_bytes = bytes;
                }
                Some(("mode", value)) => {
                    options.mode = u32::from_str_radix(value, 8).ok();
                    self.must(options.mode.is_some(), node.span, "mode");
                }
                _ if option == "ro" => read_only = true,
                _ if option == "rw" => read_only = false,
                _ => options.options.push(option.to_owned()),
            }
        }
        let target = crate::paths::clean(std::path::Path::new(target));
        let target = target.to_string_lossy().into_owned();
        Some(Mount {
            target,
            read_only,
            source: MountSource::Tmpfs(options),
        })
    }

    fn must(&mut self, holds: bool, span: Span, option: &str) {
        if !holds {
            let message = format!("the option `{option}` of a tmpfs is not valid");
            self.sink
                .push(Diagnostic::error(Code::BadValue, message).at(span, ""));
        }
    }
}

fn mount(node: &Node) -> Option<Mount> {
    let source = node.text_at("source").unwrap_or_default();
    let details = |key| node.get(key);
    let nocopy = details("volume").is_some_and(|volume| flag(volume, "nocopy"));
    let source = match node.text_at("type")? {
        "bind" => MountSource::Bind {
            path: path(source),
            options: bind_options(details("bind")),
        },
        "volume" if source.is_empty() => MountSource::Anonymous {
            nocopy,
            labels: details("volume")
                .map(|volume| pairs(volume, "labels"))
                .unwrap_or_default(),
        },
        "volume" => MountSource::Volume {
            key: source.to_owned(),
            nocopy,
            subpath: details("volume").and_then(|volume| text(volume, "subpath")),
        },
        "tmpfs" => MountSource::Tmpfs(TmpfsOptions {
            size_bytes: details("tmpfs").and_then(|tmpfs| size(tmpfs, "size")),
            mode: details("tmpfs")
                .and_then(|tmpfs| int(tmpfs, "mode"))
                .and_then(|mode| u32::try_from(mode).ok()),
            options: Vec::new(),
        }),
        "image" => MountSource::Image {
            image: source.to_owned(),
            subpath: details("image").and_then(|image| text(image, "subpath")),
        },
        _ => return None,
    };
    let target = text(node, "target")?;
    Some(Mount {
        target,
        read_only: flag(node, "read_only"),
        source,
    })
}

/// Returns the secrets or configs that a service may read.
pub(super) fn grants(node: &Node, section: &str) -> Vec<FileGrant> {
    let key = match section {
        "secrets" => items::secret_key,
        _ => items::config_key,
    };
    node.items_at(section)
        .iter()
        .map(|item| grant(item, key))
        .collect()
}

/// Returns one grant, whose place in the container `key` tells.
pub(super) fn grant(node: &Node, key: fn(&Node) -> String) -> FileGrant {
    let id = |key| node.text_at(key).and_then(|text| text.parse().ok());
    FileGrant {
        source: text(node, "source").unwrap_or_default(),
        target: key(node),
        uid: id("uid"),
        gid: id("gid"),
        mode: node
            .text_at("mode")
            .and_then(|text| u32::from_str_radix(text, 8).ok()),
    }
}

/// Without a `bind:` block a missing source is reported instead of made.
fn bind_options(node: Option<&Node>) -> BindOptions {
    let Some(node) = node else {
        return BindOptions {
            create_host_path: false,
            propagation: None,
            recursive: None,
            selinux: None,
        };
    };
    BindOptions {
        create_host_path: node.get("create_host_path").is_none_or(Node::is_true),
        propagation: text(node, "propagation"),
        recursive: text(node, "recursive"),
        selinux: match node.text_at("selinux") {
            Some("z") => Some(SelinuxLabel::Shared),
            Some("Z") => Some(SelinuxLabel::Private),
            _ => None,
        },
    }
}
