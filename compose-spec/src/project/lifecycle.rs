//! Hooks, rollouts, watch rules, providers and models of the model.

use indexmap::IndexMap;

use super::{Builder, command, duration, flag, int, optional_pairs, service::path, text, texts};
use crate::{
    model::{
        FailureAction, Health, Hook, InitHook, Model, ModelBinding, Mount, Provider, Rollout,
        RolloutOrder, Service, WatchAction, WatchRule,
    },
    yaml::Node,
};

impl Builder<'_> {
    /// Returns the init containers of a service, which is their base.
    pub(super) fn init_hooks(&mut self, service: &Service, node: &Node) -> Vec<InitHook> {
        let hooks = node.items_at("pre_start").iter();
        hooks.map(|item| self.init_hook(service, item)).collect()
    }

    fn init_hook(&mut self, service: &Service, item: &Node) -> InitHook {
        let mut container = self.service(service.name.clone(), item);
        if item.get("image").is_none() {
            container.image = service.image.clone();
        }
        let own = std::mem::take(&mut container.mounts);
        let hidden = |mount: &&Mount| !own.iter().any(|other| other.target == mount.target);
        let shared = service.mounts.iter().filter(hidden).cloned();
        container.mounts = shared.collect();
        container.mounts.extend(own);
        container.health = Health::Disabled;
        InitHook {
            container: Box::new(container),
            per_replica: flag(item, "per_replica"),
        }
    }

    pub(super) fn models(&self) -> IndexMap<String, Model> {
        self.tree
            .entries_at("models")
            .map(|(key, entry)| {
                let node = &entry.value;
                let model = Model {
                    name: text(node, "name").unwrap_or_else(|| key.to_string()),
                    model: text(node, "model").unwrap_or_default(),
                    context_size: int(node, "context_size").filter(|tokens| *tokens != 0),
                    runtime_flags: texts(node, "runtime_flags"),
                };
                (key.to_string(), model)
            })
            .collect()
    }
}

/// Returns the entries of `post_start` or `pre_stop`.
pub(super) fn hooks(node: &Node, key: &str) -> Vec<Hook> {
    node.items_at(key).iter().map(hook).collect()
}

fn hook(node: &Node) -> Hook {
    Hook {
        command: command(node, "command").unwrap_or_default(),
        user: text(node, "user"),
        privileged: flag(node, "privileged"),
        working_dir: text(node, "working_dir"),
        environment: optional_pairs(node, "environment"),
    }
}

/// Returns `deploy.update_config` or `deploy.rollback_config`.
pub(super) fn rollout(node: &Node, key: &str) -> Option<Box<Rollout>> {
    let node = node.get("deploy")?.get(key)?;
    let rollout = Rollout {
        parallelism: int(node, "parallelism").and_then(|count| u32::try_from(count).ok()),
        delay: duration(node, "delay"),
        failure_action: match node.text_at("failure_action") {
            Some("continue") => FailureAction::Continue,
            Some("rollback") => FailureAction::Rollback,
            _ => FailureAction::Pause,
        },
        monitor: duration(node, "monitor"),
        max_failure_ratio: node
            .get("max_failure_ratio")
            .and_then(Node::as_float)
            .unwrap_or_default(),
        order: match node.text_at("order") {
            Some("start-first") => RolloutOrder::StartFirst,
            _ => RolloutOrder::StopFirst,
        },
    };
    Some(Box::new(rollout))
}

/// Returns the rules of `develop.watch`.
pub(super) fn watch(node: &Node) -> Vec<WatchRule> {
    let Some(develop) = node.get("develop") else {
        return Vec::new();
    };
    let rule = |item: &Node| {
        let target = text(item, "target").unwrap_or_default();
        let action = match item.text_at("action")? {
            "rebuild" => WatchAction::Rebuild,
            "restart" => WatchAction::Restart,
            "sync" => WatchAction::Sync { target },
            "sync+restart" => WatchAction::SyncRestart { target },
            _ => WatchAction::SyncExec {
                target,
                exec: Box::new(item.get("exec").map(hook).unwrap_or_default()),
            },
        };
        Some(WatchRule {
            path: path(item.text_at("path")?),
            action,
            include: texts(item, "include"),
            ignore: texts(item, "ignore"),
            initial_sync: flag(item, "initial_sync"),
        })
    };
    let items = develop.items_at("watch").iter();
    items.filter_map(rule).collect()
}

/// Returns the program that runs a service.
pub(super) fn provider(node: &Node) -> Provider {
    let options = node.entries_at("options").map(|(key, entry)| {
        let value = &entry.value;
        let values = match value.as_text() {
            Some(text) => vec![text.to_owned()],
            None => value
                .items()
                .iter()
                .filter_map(Node::as_text)
                .map(str::to_owned)
                .collect(),
        };
        (key.to_string(), values)
    });
    Provider {
        kind: text(node, "type").unwrap_or_default(),
        options: options.collect(),
    }
}

/// Returns `models` of a service.
pub(super) fn model_bindings(node: &Node) -> IndexMap<String, ModelBinding> {
    node.entries_at("models")
        .map(|(key, entry)| {
            let binding = ModelBinding {
                endpoint_var: text(&entry.value, "endpoint_var"),
                model_var: text(&entry.value, "model_var"),
            };
            (key.to_string(), binding)
        })
        .collect()
}
