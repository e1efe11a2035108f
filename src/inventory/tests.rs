//! Inventories of layers that are made here. They need root, as overlayfs's marks do.

mod real;

use std::os::unix::fs::{PermissionsExt, symlink};

use fs_err as fs;
use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};

use super::*;

/// Layers in directories, the lowest first.
struct Image {
    root: tempfile::TempDir,
    layers: usize,
}

impl Image {
    /// Makes layers of regular files.
    fn new(layers: &[&[(&str, &[u8])]]) -> Self {
        let image = Self {
            root: tempfile::tempdir().unwrap(),
            layers: layers.len(),
        };
        for (number, files) in layers.iter().enumerate() {
            fs::create_dir(image.at(number, "")).unwrap();
            for (path, content) in *files {
                image.write(number, path, content);
            }
        }
        image
    }

    fn at(&self, layer: usize, path: &str) -> PathBuf {
        self.root.path().join(layer.to_string()).join(path)
    }

    fn write(&self, layer: usize, path: &str, content: &[u8]) {
        let path = self.at(layer, path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn program(&self, layer: usize, path: &str) {
        let content = [&b"\x7fELF\x02\x01"[..], &[0; 90]].concat();
        self.write(layer, path, &content);
        let mode = std::fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.at(layer, path), mode).unwrap();
    }

    fn link(&self, layer: usize, target: &str, path: &str) {
        let path = self.at(layer, path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    fn whiteout(&self, layer: usize, path: &str) {
        self.write(layer, path, b"");
        let path = self.at(layer, path);
        fs::remove_file(&path).unwrap();
        mknodat(CWD, &path, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    }

    fn opaque(&self, layer: usize, path: &str) {
        let path = self.at(layer, path);
        fs::create_dir_all(&path).unwrap();
        setxattr(&path, c"trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    }

    fn read(&self) -> Inventory {
        let layers = (0..self.layers).rev().map(|number| LayerFiles {
            number,
            directory: self.at(number, ""),
        });
        read(&layers.collect::<Vec<_>>()).unwrap()
    }
}

/// `name version layer` of every package.
fn lines(inventory: &Inventory) -> Vec<String> {
    let lines = inventory
        .packages
        .iter()
        .map(|package| format!("{} {} {}", package.name, package.version, package.layer));
    lines.collect()
}

fn unread(inventory: &Inventory) -> Vec<String> {
    let unread = inventory.coverage.unread.iter();
    unread
        .map(|unread| format!("{}: {}", unread.path, unread.reason))
        .collect()
}

const INSTALLED: &str = "Status: install ok installed\nArchitecture: amd64\n";

fn status(packages: &[(&str, &str)]) -> Vec<u8> {
    let paragraph = |(name, version): &(&str, &str)| {
        format!("Package: {name}\n{INSTALLED}Version: {version}\n\n")
    };
    packages
        .iter()
        .map(paragraph)
        .collect::<String>()
        .into_bytes()
}

#[test]
fn dpkg_tells_packages_sources_licences_files_and_the_layer_of_each() {
    let rest: &[u8] = b"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: libc6\nSource: glibc (2.36-9)\nStatus: install ok installed\nVersion: 2.36-9+b1\nMaintainer: G \x1b[31m\n";
    let base = [&status(&[("a", "1"), ("b", "1")]), rest].concat();
    let top = [&status(&[("a", "1"), ("b", "2"), ("c", "1")]), rest].concat();
    let image = Image::new(&[
        &[
            ("var/lib/dpkg/status", &base),
            (
                "var/lib/dpkg/info/a.list",
                b"/.\n/bin\n/bin/tool\n/usr/lib/python3/dist-packages/x.egg-info\n",
            ),
            (
                "usr/lib/python3/dist-packages/x.egg-info",
                b"Name: x\nVersion: 1\n",
            ),
            (
                "usr/share/doc/a/copyright",
                b"Format: https://x/copyright-format/1.0/\n\nFiles: *\nLicense: Expat\n",
            ),
            ("etc/os-release", b"ID=debian\nVERSION_ID=12\n"),
        ],
        &[("etc/motd", b"x")],
        &[("var/lib/dpkg/status", &top)],
    ]);
    image.link(0, "usr/bin", "bin");
    image.program(0, "usr/bin/tool");
    image.program(1, "usr/local/bin/own");
    let found = image.read();
    assert_eq!(
        lines(&found),
        ["a 1 0", "b 2 2", "c 1 2", "libc6 2.36-9+b1 0"]
    );
    let libc = &found.packages[3];
    let source = libc.source.as_ref().unwrap();
    assert_eq!(
        (&*source.name, source.version.as_deref()),
        ("glibc", Some("2.36-9"))
    );
    assert_eq!(
        libc.supplier.as_deref(),
        Some("G \u{fffd}[31m"),
        "it is printed on terminals"
    );
    assert_eq!(found.packages[0].licences, ["Expat"]);
    assert_eq!(found.distro.as_ref().unwrap().slug(), "debian-12");
    let coverage = &found.coverage;
    assert_eq!(
        (coverage.binaries, coverage.binaries_without_package),
        (2, 1)
    );
    assert_eq!(
        coverage.binaries_without_package_examples,
        ["/usr/local/bin/own"]
    );
    assert_eq!(unread(&found), [""; 0]);
}

#[test]
fn what_upper_layers_hide_is_not_there() {
    let metadata: &[u8] = b"Name: p\nVersion: 1\n\n";
    let image = Image::new(&[
        &[
            ("var/lib/dpkg/status", &status(&[("a", "1")])),
            ("site/one.dist-info/METADATA", metadata),
            ("site/two.dist-info/METADATA", metadata),
            ("opaque/three.dist-info/METADATA", metadata),
            ("file/four.dist-info/METADATA", metadata),
        ],
        &[
            ("opaque/five.dist-info/METADATA", b"Name: q\nVersion: 1\n"),
            ("file", b""),
        ],
    ]);
    image.whiteout(1, "var/lib/dpkg/status");
    image.whiteout(1, "site/one.dist-info");
    image.opaque(1, "opaque");
    assert_eq!(lines(&image.read()), ["p 1 0", "q 1 1"]);
    // An opaque root hides everything.
    image.opaque(1, "");
    assert_eq!(lines(&image.read()), ["q 1 1"]);
}

#[test]
fn links_and_special_files_never_lead_out_of_the_image() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("status"), status(&[("host", "1")])).unwrap();
    let up = "../".repeat(30);
    for target in [
        outside.path().join("status").display().to_string(),
        format!("{up}{}", outside.path().join("status").display()),
        "/var/lib/dpkg/status".to_owned(),
        "status".to_owned(),
        "/dev/null".to_owned(),
    ] {
        let image = Image::new(&[&[]]);
        image.link(0, &target, "var/lib/dpkg/status");
        assert_eq!(lines(&image.read()), [""; 0], "{target}");
    }
    let image = Image::new(&[&[("real/status", &status(&[("inside", "1")]))], &[]]);
    image.link(0, "/../../real", "var/lib/dpkg");
    assert_eq!(
        lines(&image.read()),
        ["inside 1 0"],
        "inside of the image they are followed"
    );
    let image = Image::new(&[&[]]);
    fs::create_dir_all(image.at(0, "var/lib/dpkg/status.d")).unwrap();
    let fifo = |path: &str| {
        mknodat(
            CWD,
            image.at(0, path),
            FileType::Fifo,
            Mode::from_raw_mode(0o644),
            0,
        )
        .unwrap();
    };
    fifo("var/lib/dpkg/status");
    fifo("var/lib/dpkg/status.d/x");
    fifo("a.jar");
    let directory = image.at(0, "lib/apk/db/installed");
    fs::create_dir_all(directory).unwrap();
    let found = image.read();
    assert_eq!((lines(&found), unread(&found)), (vec![], vec![]));
}

#[test]
fn distroless_images_have_a_file_for_each_package() {
    let image = Image::new(&[
        &[
            (
                "var/lib/dpkg/status.d/base",
                b"Package: base-files\nVersion: 12\nArchitecture: amd64\n",
            ),
            (
                "var/lib/dpkg/status.d/base.md5sums",
                b"0123456789abcdef  usr/bin/tool\n",
            ),
        ],
        &[
            (
                "var/lib/dpkg/status.d/bGliYw",
                b"Package: libc6\nVersion: 2\nSource: glibc\n",
            ),
            ("var/lib/dpkg/status.d/odd", b"nothing\n"),
        ],
    ]);
    image.program(0, "usr/bin/tool");
    let found = image.read();
    assert_eq!(lines(&found), ["base-files 12 0", "libc6 2 1"]);
    assert_eq!(found.coverage.binaries_without_package, 0);
    assert_eq!(
        unread(&found),
        ["/var/lib/dpkg/status.d/odd: it names no package"]
    );
}

#[test]
fn languages_are_read_and_what_is_not_read_is_said() {
    let image = Image::new(&[&[
        (
            "app/node_modules/a/package.json",
            b"{\"name\":\"a\",\"version\":\"1.0.0\"}",
        ),
        (
            "app/node_modules/@s/b/package.json",
            b"{\"name\":\"@s/b\",\"version\":\"2.0.0\"}",
        ),
        (
            "app/node_modules/a/dist/package.json",
            b"{\"type\":\"module\"}",
        ),
        ("app/node_modules/broken/package.json", b"{"),
        (
            "app/package-lock.json",
            b"{\"packages\":{\"node_modules/not-installed\":{\"version\":\"1.0.0\"}}}",
        ),
        (
            "src/package-lock.json",
            b"{\"packages\":{\"node_modules/locked\":{\"version\":\"3.0.0\"}}}",
        ),
        (
            "usr/lib/python3/site-packages/P_q.dist-info/METADATA",
            b"Name: P_q\nVersion: 1\n",
        ),
        (
            "usr/lib/python3/site-packages/P_q.dist-info/RECORD",
            b"p/x.so,sha256=a,1\n../../../bin/y,,\n\"with,comma\",,\n",
        ),
        ("opt/lib-1.2.jar", b"not a ZIP archive"),
        ("gems/specifications/x-1.gemspec", b""),
        ("gems/specifications/y-1.gemspec", b""),
        ("srv/x.deps.json", b""),
    ]]);
    image.program(0, "app/node_modules/a/bin/native");
    image.program(0, "usr/lib/python3/site-packages/p/x.so");
    image.program(0, "usr/bin/y");
    let found = image.read();
    assert_eq!(
        lines(&found),
        ["P_q 1 0", "@s/b 2.0.0 0", "a 1.0.0 0", "locked 3.0.0 0"]
    );
    assert_eq!(
        found.coverage.binaries_without_package, 0,
        "{:?}",
        found.coverage
    );
    let declared: Vec<bool> = found
        .packages
        .iter()
        .map(|package| package.declared_only)
        .collect();
    assert_eq!(declared, [false, false, false, true]);
    let unread = unread(&found);
    assert!(
        unread[0].starts_with("/app/node_modules/broken/package.json: not the JSON"),
        "{unread:?}"
    );
    assert!(
        unread
            .iter()
            .any(|line| line == "/opt/lib-1.2.jar: not a ZIP archive"),
        "{unread:?}"
    );
    let unsupported = found.coverage.unsupported.iter();
    let unsupported: Vec<_> = unsupported.map(|found| (found.what, found.count)).collect();
    assert_eq!(unsupported, [(".NET packages", 1), ("Ruby gems", 2)]);
}

#[test]
fn names_longer_than_any_path_and_deep_directories_are_survived() {
    let long = "x/".repeat(3000);
    let list = format!("/{long}\n/{}\n", "y".repeat(300));
    let image = Image::new(&[&[
        ("var/lib/dpkg/status", &status(&[("a", "1")])),
        ("var/lib/dpkg/info/a.list", list.as_bytes()),
    ]]);
    // Deeper than one path can name: 4096 bytes.
    let mut directory =
        rustix::fs::open(image.at(0, ""), rustix::fs::OFlags::PATH, Mode::empty()).unwrap();
    for _ in 0..30 {
        let name = "d".repeat(200);
        rustix::fs::mkdirat(&directory, &name, Mode::from_raw_mode(0o755)).unwrap();
        directory =
            rustix::fs::openat(&directory, &name, rustix::fs::OFlags::PATH, Mode::empty()).unwrap();
    }
    let found = image.read();
    assert_eq!(lines(&found), ["a 1 0"]);
    let unread = unread(&found);
    assert_eq!(unread.len(), 1);
    assert!(
        unread[0].ends_with("its path is longer than 4096 bytes"),
        "{unread:?}"
    );
}

/// Databases whose bytes anybody may have written.
const PLACES: [&str; 12] = [
    "var/lib/dpkg/status",
    "var/lib/dpkg/status.d/x",
    "var/lib/dpkg/info/x.list",
    "lib/apk/db/installed",
    "var/lib/rpm/rpmdb.sqlite",
    "var/lib/rpm/Packages.db",
    "var/lib/rpm/Packages",
    "a/x.dist-info/METADATA",
    "a/x.dist-info/RECORD",
    "node_modules/x/package.json",
    "x/package-lock.json",
    "x.jar",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_in_any_place_are_survived(
        place in proptest::sample::select(&PLACES[..]),
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let image = Image::new(&[&[(place, &bytes), ("etc/os-release", &bytes)]]);
        drop(image.read());
    }
}
