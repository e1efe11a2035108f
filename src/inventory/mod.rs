//! What packages an image's files are made of: a bill of materials, read from the layers in place.
//!
//! Nothing of the image is run or mounted, and no name in it is ever looked up on the host (see [`tree`]). Databases are
//! hostile bytes: every reader bounds what it takes, and what it cannot read becomes a line of [`Coverage`], never an error of
//! the whole and never silence. What surprises: a package belongs to the layer that *brought* it, although later layers write
//! the whole database of the distribution anew; `origin` finds that layer by comparing the copies.

mod apk;
mod cargo;
mod distro;
mod document;
mod dpkg;
mod elf;
mod files;
mod golang;
mod java;
mod licence;
mod npm;
mod origin;
mod path;
mod purl;
mod python;
mod rpm;
mod signs;
mod source;
mod stanza;
mod tree;
mod zip;

use std::path::PathBuf;

use serde::Serialize;

use files::Collector;

pub use distro::Distro;
pub use document::{About, cyclonedx, spdx};
pub use purl::{of_image as image_purl, of_package as package_purl};
pub(crate) use source::{ReadAt, ReadError, StoredFile};
pub(crate) use zip::Archive;
#[cfg(test)]
pub(crate) use zip::tests::archive as zip_archive;

/// A layer of an image, unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerFiles {
    /// Number of the layer, the lowest is 0.
    pub number: usize,
    /// The directory with its files, as overlayfs mounts it.
    pub directory: PathBuf,
}

/// Where a package comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Debian and its children: dpkg.
    Deb,
    /// Alpine, Wolfi: apk.
    Apk,
    /// Red Hat, SUSE and their children: rpm.
    Rpm,
    /// `*.dist-info` and `*.egg-info`.
    Pypi,
    /// `node_modules`, or a `package-lock.json` without it.
    Npm,
    /// Modules recorded in a Go program.
    Golang,
    /// Crates recorded in a program by cargo-auditable.
    Cargo,
    /// Java archives.
    Maven,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Deb,
        Self::Apk,
        Self::Rpm,
        Self::Pypi,
        Self::Npm,
        Self::Golang,
        Self::Cargo,
        Self::Maven,
    ];

    /// Returns its type in package URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Apk => "apk",
            Self::Rpm => "rpm",
            Self::Pypi => "pypi",
            Self::Npm => "npm",
            Self::Golang => "golang",
            Self::Cargo => "cargo",
            Self::Maven => "maven",
        }
    }

    /// Tells whether the distribution's package manager installed it.
    pub fn is_of_distro(self) -> bool {
        matches!(self, Self::Deb | Self::Apk | Self::Rpm)
    }
}

/// The package that binary packages were built from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SourcePackage {
    /// Its name; advisories of distributions name it.
    pub name: String,
    /// Its version, where that is known.
    pub version: Option<String>,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Package {
    /// Where it comes from.
    pub kind: Kind,
    /// Its name: of npm with the scope, of Go the module path, of Maven `group:artifact`.
    pub name: String,
    /// Its version, as its manager writes it: of rpm `[epoch:]version-release`.
    pub version: String,
    /// Architecture, where its manager has one.
    pub architecture: Option<String>,
    /// What it was built from, where that has another name or version, or is always told (dpkg, apk, rpm).
    pub source: Option<SourcePackage>,
    /// Licences as the package states them, not interpreted.
    pub licences: Vec<String>,
    /// Who is responsible for it.
    pub supplier: Option<String>,
    /// Its home page.
    pub homepage: Option<String>,
    /// The file that says so, absolute in the image.
    pub location: String,
    /// The layer that brought it, the lowest is 0.
    pub layer: usize,
    /// A lock file asks for it, but it was not found installed.
    pub declared_only: bool,
}

impl Package {
    /// Makes one with what every package has.
    pub(crate) fn new(kind: Kind, name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
            version: version.into(),
            architecture: None,
            source: None,
            licences: Vec::new(),
            supplier: None,
            homepage: None,
            location: String::new(),
            layer: 0,
            declared_only: false,
        }
    }
}

/// Something in the image that could not be taken into account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unread {
    /// Where it is, absolute in the image.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// Packages of a manager that is not read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unsupported {
    /// What they are: `Ruby gems`.
    pub what: &'static str,
    /// How many files say so.
    pub count: u64,
    /// One of them.
    pub example: String,
}

/// What the inventory could not see.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Regular files in the image.
    pub files: u64,
    /// Programs and shared libraries (ELF) among them.
    pub binaries: u64,
    /// Those that belong to no package.
    pub binaries_without_package: u64,
    /// The first of them by name.
    pub binaries_without_package_examples: Vec<String>,
    /// What was found but could not be read.
    pub unread: Vec<Unread>,
    /// What was found but is of a kind that is not read.
    pub unsupported: Vec<Unsupported>,
}

/// The packages of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Inventory {
    /// The distribution, if the image says which.
    pub distro: Option<Distro>,
    /// Packages, sorted by kind, name, version and place.
    pub packages: Vec<Package>,
    /// What could not be seen.
    pub coverage: Coverage,
}

/// The layers could not be read.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// A layer's directory.
    #[error("open the layer `{path}`")]
    Layer {
        /// Its directory.
        path: PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// A file or directory of the image.
    #[error("read `{path}` of the image")]
    File {
        /// Absolute in the image.
        path: String,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
}

/// Reads the packages of an image; `layers` are the topmost first, as they are mounted.
pub fn read(layers: &[LayerFiles]) -> Result<Inventory, InventoryError> {
    let tree = tree::Tree::open(layers)?;
    let mut found = files::Found::default();
    found.walk(&tree)?;
    let mut collector = Collector::new(&tree, found);
    dpkg::read(&mut collector)?;
    apk::read(&mut collector)?;
    rpm::read(&mut collector)?;
    python::read(&mut collector)?;
    npm::read(&mut collector)?;
    java::read(&mut collector)?;
    collector.binaries()?;
    let distro = distro::read(&mut collector)?;
    Ok(collector.end(distro))
}

#[cfg(test)]
mod tests;
