//! The `build` section of the model.

use indexmap::IndexMap;

use super::{
    extensions, extra_hosts, flag, optional_pairs, pairs, resources::ulimits, service::path, size,
    storage::grant, text, texts,
};
use crate::{
    canonical::items,
    model::{Attestation, Build, BuildSecret, CacheEntry, SshKey},
    yaml::Node,
};

/// Returns the build section.
pub(super) fn build(node: &Node) -> Build {
    Build {
        context: text(node, "context").unwrap_or_default(),
        dockerfile: text(node, "dockerfile"),
        dockerfile_inline: text(node, "dockerfile_inline"),
        args: optional_pairs(node, "args"),
        target: text(node, "target"),
        labels: pairs(node, "labels"),
        tags: texts(node, "tags"),
        network: text(node, "network"),
        no_cache: flag(node, "no_cache"),
        pull: flag(node, "pull"),
        shm_size_bytes: size(node, "shm_size"),
        extra_hosts: extra_hosts(node),
        additional_contexts: pairs(node, "additional_contexts"),
        platforms: texts(node, "platforms"),
        no_cache_filter: texts(node, "no_cache_filter"),
        cache_from: caches(node, "cache_from"),
        cache_to: caches(node, "cache_to"),
        ssh: ssh(node),
        secrets: node.items_at("secrets").iter().map(secret).collect(),
        ulimits: ulimits(node),
        entitlements: texts(node, "entitlements"),
        privileged: flag(node, "privileged"),
        provenance: attestation(node, "provenance"),
        sbom: attestation(node, "sbom"),
        extensions: extensions(node),
    }
}

/// `type=registry,ref=alpine`; a text without `=` is a reference in a registry, as in BuildKit.
fn caches(node: &Node, key: &str) -> Vec<CacheEntry> {
    let entry = |text: String| {
        if !text.contains('=') {
            return CacheEntry {
                kind: "registry".to_owned(),
                options: IndexMap::from([("ref".to_owned(), text)]),
            };
        }
        let mut options = parts(&text);
        CacheEntry {
            kind: options
                .shift_remove("type")
                .unwrap_or_else(|| "registry".to_owned()),
            options,
        }
    };
    texts(node, key).into_iter().map(entry).collect()
}

/// Returns `key=value` parts between commas; a part without a value has the empty one.
fn parts(text: &str) -> IndexMap<String, String> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn ssh(node: &Node) -> Vec<SshKey> {
    optional_pairs(node, "ssh")
        .into_iter()
        .map(|(id, file)| SshKey {
            id,
            path: file.filter(|file| !file.is_empty()).map(|file| path(&file)),
        })
        .collect()
}

fn secret(node: &Node) -> BuildSecret {
    let grant = grant(node, items::secret_key);
    BuildSecret {
        id: text(node, "target").unwrap_or_else(|| grant.source.clone()),
        source: grant.source,
        uid: grant.uid,
        gid: grant.gid,
        mode: grant.mode,
    }
}

fn attestation(node: &Node, key: &str) -> Attestation {
    match node.text_at(key).unwrap_or_default() {
        "" => Attestation::Default,
        "false" => Attestation::Off,
        "true" => Attestation::On(IndexMap::new()),
        text => Attestation::On(parts(text)),
    }
}
