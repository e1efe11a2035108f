//! One walk over an image that sorts its files into those that tell of packages, and the collector that the readers fill.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{
    Coverage, Distro, Inventory, InventoryError, Kind, Package, ReadAt, ReadError, Unread,
    Unsupported, cargo,
    elf::Elf,
    golang,
    path::{printable, shown},
    signs::{
        contains, is_java, is_node_package, is_python, may_be_binary, tells_of_packages,
        unsupported,
    },
    tree::{Node, Tree},
};

/// Files that may tell of packages; what is beyond is not looked at, and said so.
const CANDIDATES_MAX: usize = 1_000_000;

/// Binaries without a package that are named.
const EXAMPLES_MAX: usize = 20;

/// A file of the image that was set aside.
pub(super) type Candidate = (Vec<u8>, Node);

/// What the walk found.
#[derive(Debug, Default)]
pub(super) struct Found {
    files: u64,
    /// Programs and shared libraries.
    binaries: BTreeMap<Vec<u8>, Binary>,
    /// METADATA, PKG-INFO and `*.egg-info` files.
    pub(super) python: Vec<Candidate>,
    /// `package.json` of packages in a `node_modules`.
    pub(super) npm: Vec<Candidate>,
    /// `package-lock.json` outside of `node_modules`.
    pub(super) npm_locks: Vec<Candidate>,
    /// Java archives.
    pub(super) java: Vec<Candidate>,
    unsupported: BTreeMap<&'static str, (u64, Vec<u8>)>,
    unread: Vec<Unread>,
}

#[derive(Debug)]
struct Binary {
    node: Node,
    owner: Option<Owner>,
}

/// Who a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A package of the distribution, whose advisories speak of what is linked into it too.
    Distro,
    /// A package of a language.
    Language,
}

impl Found {
    /// Walks the whole image.
    pub(super) fn walk(&mut self, tree: &Tree) -> Result<(), InventoryError> {
        let unseen = tree.walk(&mut |path, node| {
            if node.kind.is_file() {
                self.files += 1;
                self.sort(tree, path, node)
            } else {
                Ok(())
            }
        })?;
        for (path, reason) in unseen {
            self.unread.push(Unread {
                path: shown(&path),
                reason: reason.to_owned(),
            });
        }
        if self.candidates() >= CANDIDATES_MAX {
            self.unread.push(Unread {
                path: "/".to_owned(),
                reason: "more than a million files may tell of packages: not all were read".into(),
            });
        }
        Ok(())
    }

    fn candidates(&self) -> usize {
        self.binaries.len()
            + self.python.len()
            + self.npm.len()
            + self.npm_locks.len()
            + self.java.len()
    }

    fn sort(&mut self, tree: &Tree, path: &[u8], node: Node) -> Result<(), InventoryError> {
        if self.candidates() >= CANDIDATES_MAX {
            return Ok(());
        }
        let parts: Vec<&[u8]> = path.rsplitn(4, |byte| *byte == b'/').collect();
        let name = parts[0];
        let above = |count: usize| parts.get(count).copied().unwrap_or_default();
        let list = if is_python(name, above(1)) {
            Some(&mut self.python)
        } else if name == b"package.json" && is_node_package(above(2), above(3)) {
            Some(&mut self.npm)
        } else if name == b"package-lock.json" && !contains(path, b"node_modules/") {
            Some(&mut self.npm_locks)
        } else if is_java(name) {
            Some(&mut self.java)
        } else {
            None
        };
        if let Some(list) = list {
            list.push((path.to_vec(), node));
            return Ok(());
        }
        if let Some(what) = unsupported(path, name, above(1)) {
            let seen = self.unsupported.entry(what);
            seen.or_insert_with(|| (0, path.to_vec())).0 += 1;
        }
        if may_be_binary(name, node) && is_elf(tree, path, &node)? {
            let binary = Binary { node, owner: None };
            self.binaries.insert(path.to_vec(), binary);
        }
        Ok(())
    }
}

fn is_elf(tree: &Tree, path: &[u8], node: &Node) -> Result<bool, InventoryError> {
    let mut magic = [0; 4];
    match tree.open_file(path, node)?.fill(0, &mut magic) {
        Ok(()) => Ok(&magic == b"\x7fELF"),
        Err(_unreadable) => Ok(false),
    }
}

/// Takes what the readers find.
#[derive(Debug)]
pub(super) struct Collector<'a> {
    pub(super) tree: &'a Tree,
    pub(super) found: Found,
    packages: Vec<Package>,
    /// Directories as databases name them, and where they really are.
    directories: HashMap<Vec<u8>, Option<Vec<u8>>>,
    /// Candidates that packages of the distribution brought.
    claimed: HashSet<Vec<u8>>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(tree: &'a Tree, found: Found) -> Self {
        Self {
            tree,
            found,
            packages: Vec::new(),
            directories: HashMap::new(),
            claimed: HashSet::new(),
        }
    }

    /// Adds a package.
    pub(super) fn add(&mut self, mut package: Package) {
        for text in texts(&mut package) {
            *text = printable(text);
        }
        self.packages.push(package);
    }

    /// Notes that something could not be read.
    pub(super) fn unread(&mut self, path: &[u8], reason: impl Into<String>) {
        self.found.unread.push(Unread {
            path: shown(path),
            reason: printable(&reason.into()),
        });
    }

    /// Reads a file that was set aside, as text; what cannot be read is noted.
    pub(super) fn text(
        &mut self,
        (path, node): &Candidate,
        most: u64,
    ) -> Result<Option<String>, InventoryError> {
        let read = self.tree.open_file(path, node)?.all(most);
        Ok(self.or_unread(path, read).map(text))
    }

    /// Passes a value on, and notes what could not be read.
    pub(super) fn or_unread<T>(&mut self, path: &[u8], read: Result<T, ReadError>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(error) => {
                self.unread(path, error.to_string());
                None
            }
        }
    }

    /// Notes who a file belongs to. Links in the path are followed, but for the last component: the database of a system whose
    /// `/bin` is a link to `/usr/bin` names both.
    pub(super) fn own(&mut self, path: &[u8], owner: Owner) -> Result<(), InventoryError> {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let Some(at) = path.iter().rposition(|byte| *byte == b'/') else {
            return Ok(());
        };
        let (directory, name) = (&path[..at], &path[at + 1..]);
        let Some(real) = self.real(directory)? else {
            return Ok(());
        };
        let path = super::path::join(&real, name);
        if let Some(binary) = self.found.binaries.get_mut(&path) {
            binary.owner = binary.owner.or(Some(owner));
        } else if owner == Owner::Distro && tells_of_packages(name) {
            self.claimed.insert(path);
        }
        Ok(())
    }

    fn real(&mut self, directory: &[u8]) -> Result<Option<Vec<u8>>, InventoryError> {
        if let Some(real) = self.directories.get(directory) {
            return Ok(real.clone());
        }
        let real = self.tree.resolve(directory)?.map(|(path, _)| path);
        if self.directories.len() >= CANDIDATES_MAX {
            self.directories.clear();
        }
        self.directories.insert(directory.to_vec(), real.clone());
        Ok(real)
    }

    /// Notes that everything below a directory belongs to a package of a language.
    pub(super) fn own_below(&mut self, directory: &[u8]) {
        let prefix = super::path::join(directory, b"");
        let from = self.found.binaries.range_mut(prefix.clone()..);
        for (_, binary) in from.take_while(|(path, _)| path.starts_with(&prefix)) {
            binary.owner = binary.owner.or(Some(Owner::Language));
        }
    }

    /// Reads what compilers recorded in programs that are not of the distribution.
    pub(super) fn binaries(&mut self) -> Result<(), InventoryError> {
        let mut found = std::mem::take(&mut self.found.binaries);
        for (path, binary) in &mut found {
            if binary.owner == Some(Owner::Distro) {
                continue;
            }
            let file = self.tree.open_file(path, &binary.node)?;
            let packages = Elf::open(&file).and_then(|elf| {
                let mut packages = golang::read(&elf)?;
                packages.extend(cargo::read(&elf)?);
                Ok(packages)
            });
            let Some(packages) = self.or_unread(path, packages) else {
                continue;
            };
            if !packages.is_empty() {
                binary.owner = binary.owner.or(Some(Owner::Language));
            }
            for mut package in packages {
                package.location = shown(path);
                package.layer = binary.node.layer;
                self.add(package);
            }
        }
        self.found.binaries = found;
        Ok(())
    }

    /// Ends the reading.
    pub(super) fn end(self, distro: Option<Distro>) -> Inventory {
        let Found {
            files,
            binaries,
            unsupported,
            mut unread,
            ..
        } = self.found;
        let unowned: Vec<String> = (binaries.iter())
            .filter(|(_, binary)| binary.owner.is_none())
            .map(|(path, _)| shown(path))
            .collect();
        let unsupported = unsupported.into_iter();
        let unsupported = unsupported.map(|(what, (count, example))| Unsupported {
            what,
            count,
            example: shown(&example),
        });
        unread.sort();
        unread.dedup();
        let coverage = Coverage {
            files,
            binaries: binaries.len() as u64,
            binaries_without_package: unowned.len() as u64,
            binaries_without_package_examples: unowned.into_iter().take(EXAMPLES_MAX).collect(),
            unread,
            unsupported: unsupported.collect(),
        };
        let packages: BTreeSet<Package> = self.packages.into_iter().collect();
        Inventory {
            distro,
            packages: packages.into_iter().collect(),
            coverage,
        }
    }

    /// Returns the packages of a kind so far.
    pub(super) fn packages_of(&mut self, kind: Kind) -> impl Iterator<Item = &mut Package> {
        let packages = self.packages.iter_mut();
        packages.filter(move |package| package.kind == kind)
    }

    /// Leaves out what a package of the distribution brought: that one is listed already, with the distribution's fixes.
    pub(super) fn not_of_distro(&self, candidates: Vec<Candidate>) -> Vec<Candidate> {
        let kept = candidates.into_iter();
        kept.filter(|(path, _)| !self.claimed.contains(path))
            .collect()
    }
}

/// Everything in a package that an image says in its own words.
fn texts(package: &mut Package) -> impl Iterator<Item = &mut String> {
    let Package {
        name,
        version,
        architecture,
        source,
        licences,
        supplier,
        homepage,
        location,
        ..
    } = package;
    let source = source
        .iter_mut()
        .flat_map(|source| std::iter::once(&mut source.name).chain(&mut source.version));
    [name, version, location]
        .into_iter()
        .chain(source)
        .chain(licences)
        .chain(architecture)
        .chain(supplier)
        .chain(homepage)
}

/// Makes text of bytes; those that are no UTF-8 are replaced.
pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
