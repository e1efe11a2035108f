//! What is read of this host. Nothing is judged here, and nothing is changed: no module is loaded, no namespace made.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::{Path, PathBuf},
};

use fs_err as fs;
use runtime::{cgroup::Hierarchies, spec::CAPABILITIES};

/// Largest kernel configuration that is read.
const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// What was found; `None` = it could not be read.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// `uname -r`.
    pub(super) release: String,
    /// `uname -m`.
    pub(super) machine: String,
    /// Names of the permitted capabilities.
    pub(super) capabilities: BTreeSet<&'static str>,
    /// Controllers in v1 hierarchies.
    pub(super) v1: BTreeSet<String>,
    /// Controllers that the v2 hierarchy has; `None` = it is not mounted.
    pub(super) v2: Option<BTreeSet<String>>,
    /// Modules by name, of those that were asked for.
    pub(super) modules: BTreeMap<&'static str, Module>,
    /// `user.max_user_namespaces`.
    pub(super) user_namespaces: Option<u64>,
    /// Actions that seccomp(2) has.
    pub(super) seccomp_actions: BTreeSet<String>,
    /// `net.ipv4.ip_forward`.
    pub(super) ip_forward: Option<u64>,
    /// `net.bridge.bridge-nf-call-iptables`; `None` also when br_netfilter is not loaded.
    pub(super) bridge_calls_iptables: Option<u64>,
    /// Hard limit of open files.
    pub(super) files_hard: Option<u64>,
    /// AppArmor is on.
    pub(super) apparmor: bool,
    /// SELinux: `Some(true)` = enforcing.
    pub(super) selinux: Option<bool>,
    /// The state root, or the nearest directory above it that exists.
    pub(super) disk: PathBuf,
    /// Free bytes there.
    pub(super) disk_bytes: Option<u64>,
    /// Free inodes there; file systems without a number of them have `u64::MAX`.
    pub(super) disk_files: Option<u64>,
    /// Name servers of /etc/resolv.conf.
    pub(super) name_servers: Vec<String>,
}

/// How a part of the kernel that can be a module is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Module {
    /// Loaded, or built in.
    There,
    /// The kernel loads it when it is needed.
    Loadable,
    /// This kernel was built without it, or its file is not installed.
    Absent,
    /// Neither the kernel's configuration nor its modules can be read.
    Unknown,
}

/// Parts of the kernel that can be modules, with their configuration options.
pub(super) const MODULES: [(&str, &str); 7] = [
    ("overlay", "CONFIG_OVERLAY_FS"),
    ("bridge", "CONFIG_BRIDGE"),
    ("veth", "CONFIG_VETH"),
    ("nf_tables", "CONFIG_NF_TABLES"),
    ("nft_chain_nat", "CONFIG_NFT_NAT"),
    ("nft_masq", "CONFIG_NFT_MASQ"),
    ("nft_ct", "CONFIG_NFT_CT"),
];

impl Facts {
    /// Reads this host. `root` is the state root.
    pub(super) fn of_this_host(root: &Path) -> Self {
        let uname = rustix::system::uname();
        let release = uname.release().to_string_lossy().into_owned();
        let hierarchies = Hierarchies::detect().unwrap_or_default();
        let v2 = hierarchies.v2.as_ref();
        let disk = existing(root);
        let space = rustix::fs::statvfs(&disk).ok();
        Self {
            machine: uname.machine().to_string_lossy().into_owned(),
            capabilities: capabilities(),
            v1: hierarchies
                .v1
                .iter()
                .flat_map(|mount| mount.controllers.clone())
                .collect(),
            v2: v2.map(|mount| words(&mount.join("cgroup.controllers"))),
            modules: modules(&release),
            release,
            user_namespaces: number("/proc/sys/user/max_user_namespaces"),
            seccomp_actions: words(Path::new("/proc/sys/kernel/seccomp/actions_avail")),
            ip_forward: number("/proc/sys/net/ipv4/ip_forward"),
            bridge_calls_iptables: number("/proc/sys/net/bridge/bridge-nf-call-iptables"),
            files_hard: Some(
                rustix::process::getrlimit(rustix::process::Resource::Nofile)
                    .maximum
                    .unwrap_or(u64::MAX),
            ),
            apparmor: fs::read_to_string("/sys/module/apparmor/parameters/enabled")
                .is_ok_and(|text| text.starts_with('Y')),
            selinux: number("/sys/fs/selinux/enforce").map(|value| value == 1),
            disk_bytes: space
                .as_ref()
                .map(|space| space.f_bavail.saturating_mul(space.f_frsize)),
            disk_files: space.as_ref().map(|space| match space.f_files {
                0 => u64::MAX,
                _ => space.f_favail,
            }),
            disk,
            name_servers: name_servers(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default()),
        }
    }
}

/// The directory itself, or the nearest one above that exists.
fn existing(directory: &Path) -> PathBuf {
    let found = directory.ancestors().find(|path| path.is_dir());
    found.unwrap_or_else(|| Path::new("/")).to_owned()
}

fn capabilities() -> BTreeSet<&'static str> {
    let Ok(sets) = rustix::thread::capabilities(None) else {
        return BTreeSet::new();
    };
    let bits = sets.permitted.bits();
    let has = |number: usize| bits >> number & 1 == 1;
    let names = CAPABILITIES.into_iter().enumerate();
    names
        .filter_map(|(number, name)| has(number).then_some(name))
        .collect()
}

fn words(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Name servers in the order of resolv.conf(5).
pub(super) fn name_servers(text: &str) -> Vec<String> {
    let entries = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next())?
    });
    entries.map(str::to_owned).collect()
}

fn modules(release: &str) -> BTreeMap<&'static str, Module> {
    let directory = Path::new("/lib/modules").join(release);
    let listed = |file: &str| fs::read_to_string(directory.join(file)).ok();
    let sources = Sources {
        builtin: listed("modules.builtin"),
        dependencies: listed("modules.dep"),
        config: config(release),
    };
    MODULES
        .into_iter()
        .map(|(name, option)| {
            let is_loaded = Path::new("/sys/module").join(name).is_dir();
            let module = if is_loaded {
                Module::There
            } else {
                sources.module(name, option)
            };
            (name, module)
        })
        .collect()
}

/// Lists of a kernel's parts.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// `modules.builtin`.
    pub(super) builtin: Option<String>,
    /// `modules.dep`.
    pub(super) dependencies: Option<String>,
    /// The kernel's configuration.
    pub(super) config: Option<String>,
}

impl Sources {
    /// Tells how a part that is not seen in /sys/module is there.
    pub(super) fn module(&self, name: &str, option: &str) -> Module {
        if self.config.is_none() && self.builtin.is_none() && self.dependencies.is_none() {
            return Module::Unknown;
        }
        let lists = |text: &Option<String>| {
            text.as_deref().is_some_and(|text| {
                text.lines().any(|line| {
                    let path = line.split(':').next().unwrap_or_default();
                    let file = path.rsplit('/').next().unwrap_or_default();
                    file.split(".ko").next() == Some(name)
                })
            })
        };
        let built_in = format!("{option}=y");
        let in_config = |line: &str| {
            self.config
                .as_deref()
                .is_some_and(|text| text.lines().any(|found| found == line))
        };
        if lists(&self.builtin) || in_config(&built_in) {
            Module::There
        } else if lists(&self.dependencies) {
            Module::Loadable
        } else {
            Module::Absent
        }
    }
}

/// The running kernel's configuration, from itself or from where distributions put it.
fn config(release: &str) -> Option<String> {
    let mut text = String::new();
    if let Ok(file) = fs::File::open("/proc/config.gz") {
        let mut reader = flate2::read::GzDecoder::new(file).take(CONFIG_BYTES_MAX);
        reader.read_to_string(&mut text).ok()?;
        return Some(text);
    }
    fs::read_to_string(Path::new("/boot").join(format!("config-{release}"))).ok()
}
