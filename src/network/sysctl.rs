//! Kernel parameters of the calling thread's network namespace, and the one that makes a host a router.

use std::{io, path::PathBuf};

use fs_err as fs;

use crate::store::Root;

use super::{error::NetworkError, netlink::Link};

const FORWARD: &str = "net/ipv4/ip_forward";

/// Sets a parameter (`net/ipv4/conf/eth0/rp_filter`); one that the kernel does not have is left.
pub(crate) fn set(name: &str, value: &str) -> Result<(), NetworkError> {
    let path = PathBuf::from("/proc/sys").join(name);
    let result = match fs::read_to_string(&path) {
        Ok(now) if now.trim() == value => Ok(()),
        Ok(_) => fs::write(&path, value),
        Err(error) => Err(error),
    };
    match result {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(NetworkError::Sysctl { path, source })
        }
        _ => Ok(()),
    }
}

/// Whether this host forwards packets, and whether that is our doing.
#[derive(Debug)]
pub(crate) struct Forwarding {
    /// Holds the boot id of the boot in which we switched it on.
    remembered: PathBuf,
}

impl Forwarding {
    /// Remembers in the run directory of a state root.
    pub(crate) fn new(root: &Root) -> Self {
        Self {
            remembered: root.run().join("ip_forward"),
        }
    }

    /// Makes this host a router.
    pub(crate) fn switch_on(&self) -> Result<(), NetworkError> {
        if read(FORWARD)?.as_deref() == Some("1") {
            return Ok(());
        }
        // First remembered, then done: the other order could forget.
        let boot = read("kernel/random/boot_id")?.unwrap_or_default();
        let error = |source| NetworkError::Sysctl {
            path: self.remembered.clone(),
            source,
        };
        if let Some(directory) = self.remembered.parent() {
            fs::create_dir_all(directory).map_err(error)?;
        }
        fs::write(&self.remembered, boot).map_err(error)?;
        set(FORWARD, "1")
    }

    /// Whether we made it a router, in this boot, and nobody else seems to need it.
    pub(crate) fn is_ours_alone(&self, links: &[Link]) -> bool {
        self.is_ours() && !links.iter().any(forwards_for_others)
    }

    /// Undoes [`Self::switch_on`] if it was ours alone.
    pub(crate) fn switch_off(&self, links: &[Link]) -> Result<(), NetworkError> {
        if self.is_ours_alone(links) {
            set(FORWARD, "0")?;
        }
        match fs::remove_file(&self.remembered) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(NetworkError::Sysctl {
                path: self.remembered.clone(),
                source,
            }),
            _ => Ok(()),
        }
    }

    fn is_ours(&self) -> bool {
        let boot = read("kernel/random/boot_id").ok().flatten();
        boot.is_some() && fs::read_to_string(&self.remembered).ok() == boot
    }
}

/// A link that only makes sense on a host that forwards: Docker's and libvirt's bridges, tunnels.
fn forwards_for_others(link: &Link) -> bool {
    matches!(
        link.kind.as_str(),
        "bridge" | "tun" | "wireguard" | "vxlan" | "geneve" | "macvlan" | "ipvlan"
    ) && !link.alias.starts_with("stack:")
}

fn read(name: &str) -> Result<Option<String>, NetworkError> {
    let path = PathBuf::from("/proc/sys").join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(NetworkError::Sysctl { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_bridges_and_tunnels_need_forwarding_ours_do_not() {
        let link = |kind: &str, alias: &str| Link {
            kind: kind.to_owned(),
            alias: alias.to_owned(),
            ..Link::default()
        };
        assert!(forwards_for_others(&link("bridge", "")));
        assert!(forwards_for_others(&link("wireguard", "")));
        assert!(!forwards_for_others(&link(
            "bridge",
            "stack:system network a"
        )));
        assert!(!forwards_for_others(&link("", "")));
        assert!(!forwards_for_others(&link("veth", "")));
    }
}
