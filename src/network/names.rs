//! Names of kernel objects, so that each says whose it is.
//!
//! ```text
//! bridge   st-<8 hex>   (chosen by the plan)   alias  stack:<tag> network shop_default
//! veth     stv-<8 hex>  (random)               alias  stack:<tag> <container id> shop_default shop-web-1
//! table    inet stack | inet stack-<tag>
//! ```
//! The tag names the state root, so that two roots on one host leave each other alone. No name starts with `ve-` or `vb-`, which
//! systemd-networkd would take for its own (trap T26).

use sha2::{Digest, Sha256};

use crate::{
    model::{ContainerId, ContainerRecord},
    store::Root,
};

/// What every bridge of every state root starts with.
pub(crate) const BRIDGE_PREFIX: &str = "st-";
/// Longest alias that the kernel takes.
const ALIAS_BYTES_MAX: usize = 255;

/// Names a state root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag(String);

impl Tag {
    /// Returns the tag of a state root: `system`, or a hash of its path.
    pub(crate) fn of(root: &Root) -> Self {
        if *root == Root::system() {
            return Self("system".to_owned());
        }
        let sum = Sha256::digest(root.state().as_os_str().as_encoded_bytes());
        let number = u32::from_be_bytes([sum[0], sum[1], sum[2], sum[3]]);
        Self(format!("{number:08x}"))
    }

    /// Returns the name of the nf_tables table.
    pub(crate) fn table(&self) -> String {
        if self.0 == "system" {
            "stack".to_owned()
        } else {
            format!("stack-{}", self.0)
        }
    }

    /// Returns the comment that marks our rules in foreign chains.
    pub(crate) fn comment(&self) -> String {
        format!("stack:{}", self.0)
    }

    /// Returns the alias of a bridge.
    pub(crate) fn bridge_alias(&self, network: &str) -> String {
        cut(format!("stack:{} network {network}", self.0))
    }

    /// Returns the alias of a container's veth.
    pub(crate) fn endpoint_alias(&self, record: &ContainerRecord, network: &str) -> String {
        let prefix = self.container_prefix(&record.id);
        cut(format!("{prefix}{network} {}", record.name))
    }

    /// Returns how the aliases of a container's veths start.
    pub(crate) fn container_prefix(&self, id: &ContainerId) -> String {
        format!("stack:{} {id} ", self.0)
    }

    /// Whether an alias belongs to this state root.
    pub(crate) fn owns(&self, alias: &str) -> bool {
        alias
            .strip_prefix("stack:")
            .and_then(|rest| rest.strip_prefix(self.0.as_str()))
            .is_some_and(|rest| rest.starts_with(' '))
    }
}

/// Returns a new name for the host's end of a veth: a dropped one lives on for some 25 ms, so none is used twice (trap T13).
pub(crate) fn veth() -> String {
    format!("stv-{:08x}", random_u64() & 0xffff_ffff)
}

/// Returns a random number; good for names and shuffling, not for secrets.
pub(crate) fn random_u64() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

fn cut(mut text: String) -> String {
    let mut end = text.len().min(ALIAS_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_have_their_own_tags_and_know_their_aliases() {
        let system = Tag::of(&Root::system());
        let other = Tag::of(&Root::below("/tmp/a"));
        assert_eq!(system.table(), "stack");
        assert_eq!(other.table().len(), "stack-".len() + 8);
        assert_ne!(other, Tag::of(&Root::below("/tmp/b")));
        let alias = other.bridge_alias("shop_default");
        assert!(other.owns(&alias));
        assert!(!system.owns(&alias));
        assert!(!other.owns("stack:"));
        assert!(other.bridge_alias(&"x".repeat(300)).len() <= ALIAS_BYTES_MAX);
    }

    #[test]
    fn veth_names_fit_and_differ() {
        let name = veth();
        assert!(name.len() <= 15);
        assert!(!name.starts_with(BRIDGE_PREFIX));
        assert_ne!(name, veth());
    }
}
