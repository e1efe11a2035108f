//! Small Dockerfiles with what must come out: every instruction and flag, file trees with modes, owners, links, contents and attributes, and
//! the image's config and history.
//!
//! `tests/build-cases/cases/*.txt` hold input and expectation. With `STACK_CASES_WRITE=1` the expectations are written anew (read the diff!);
//! `tests/build-cases/compare` checks them against BuildKit or buildah where these are installed, and explains each difference.

use std::{
    collections::BTreeMap,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stack::{image::ImageStore, store::Root};

use crate::support::World;

/// Fewer would mean that somebody lost some.
const CASES_MIN: usize = 60;
/// Keys of an image's config that are compared.
const KEYS: [&str; 13] = [
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "Shell",
    "Healthcheck",
    "OnBuild",
    "ArgsEscaped",
];

/// One file of the directory: its input, and what is expected.
struct Case {
    name: String,
    path: PathBuf,
    input: String,
    expected: String,
}

/// Path in the image to what is there.
type Tree = BTreeMap<PathBuf, String>;

#[test]
fn small_dockerfiles_give_the_trees_and_configs_that_are_written_down() {
    let cases = cases();
    assert!(cases.len() >= CASES_MIN, "only {} cases", cases.len());
    let world = World::new("services: {}");
    let mut compose = "services:\n".to_owned();
    for case in &cases {
        let build = write_context(&world.project().join(&case.name), &case.input);
        compose += &format!(
            "  {0}:\n    image: case-{0}\n    build:\n      context: ./{0}\n",
            case.name
        );
        for line in build.lines() {
            compose += &format!("      {line}\n");
        }
    }
    world.write("compose.yaml", &compose);
    // All at once: independent builds must not disturb each other.
    world.stack(&["--progress", "plain", "build"]).ok();
    let store = ImageStore::open(&Root::below(world.root()));
    let base = tree(&world, &store, "busybox");
    let mut wrong = Vec::new();
    for case in &cases {
        let result = describe(&world, &store, &format!("case-{}", case.name), &base);
        if std::env::var_os("STACK_CASES_WRITE").is_some() {
            let text = format!("{}-- expect --\n{result}", case.input);
            fs_err::write(&case.path, text).unwrap();
        } else if result != case.expected {
            wrong.push(format!(
                "== {}\n-- expected\n{}-- is\n{result}",
                case.name, case.expected
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let again = world.stack(&["--progress", "plain", "build"]).ok();
    assert!(!again.stderr.contains("DONE"), "{}", again.stderr);
    if let Some(to) = std::env::var_os("STACK_CASES_EXPORT") {
        export(&world, Path::new(&to));
    }
    world.finish();
}

/// The same inputs and SOURCE_DATE_EPOCH give the same image in another state root, from another directory, at another time.
#[test]
fn images_are_reproducible_with_a_given_time() {
    let ids: Vec<String> = ["one", "another"]
        .into_iter()
        .map(|directory| {
            let world = World::new("services: {}");
            let context = world.project().join(directory);
            let dockerfile = "FROM busybox\nRUN mkdir /w && echo x > /w/f && rm /data/seed\nCOPY --chown=app d /d\nWORKDIR /new\nCMD [\"x\"]\n";
            write_context(
                &context,
                &format!("-- Dockerfile --\n{dockerfile}-- file d/a 0644 --\na\n-- link d/l a --\n"),
            );
            world.write(
                "compose.yaml",
                &format!("services:\n  web:\n    image: web\n    build:\n      context: ./{directory}\n      args: {{ SOURCE_DATE_EPOCH: '1700000000' }}\n"),
            );
            world.stack(&["build"]).ok();
            let store = ImageStore::open(&Root::below(world.root()));
            let id = store.find("web").unwrap().unwrap().id.to_string();
            world.stack(&["build", "--no-cache"]).ok();
            assert_eq!(store.find("web").unwrap().unwrap().id.to_string(), id);
            world.finish();
            id
        })
        .collect();
    assert_eq!(ids[0], ids[1]);
}

fn cases() -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/build-cases/cases");
    let mut paths: Vec<_> = fs_err::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = fs_err::read_to_string(&path).unwrap();
            let (input, expected) = text.split_once("-- expect --\n").unwrap_or((&text, ""));
            Case {
                name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
                input: input.to_owned(),
                expected: expected.to_owned(),
                path: path.clone(),
            }
        })
        .collect()
}

/// Writes the files of a case and returns its `build` section.
fn write_context(directory: &Path, input: &str) -> String {
    fs_err::create_dir_all(directory).unwrap();
    let mut build = String::new();
    let mut sections = input.split_inclusive('\n').peekable();
    while let Some(header) = sections.next() {
        let words = header.trim().trim_matches('-').trim().to_owned();
        let mut body = String::new();
        while let Some(line) = sections.next_if(|line| !line.starts_with("-- ")) {
            body += line;
        }
        // Names may hold blanks; the last word is the mode or the target.
        let (kind, rest) = words.split_once(' ').unwrap_or((&words, ""));
        let (name, last) = rest.rsplit_once(' ').unwrap_or((rest, ""));
        let path = directory.join(name);
        let mode = || PermissionsExt::from_mode(u32::from_str_radix(last, 8).unwrap());
        if let Some(parent) = path.parent().filter(|_| !name.is_empty()) {
            fs_err::create_dir_all(parent).unwrap();
        }
        match kind {
            "Dockerfile" => fs_err::write(directory.join("Dockerfile"), body).unwrap(),
            "file" => {
                fs_err::write(&path, body).unwrap();
                fs_err::set_permissions(&path, mode()).unwrap();
            }
            "dir" => {
                fs_err::create_dir_all(&path).unwrap();
                fs_err::set_permissions(&path, mode()).unwrap();
            }
            "link" => fs_err::os::unix::fs::symlink(last, &path).unwrap(),
            "xattr" => {
                let (key, value) = last.split_once('=').unwrap();
                let flags = rustix::fs::XattrFlags::empty();
                rustix::fs::setxattr(&path, key, &unhex(value), flags).unwrap();
            }
            "build" => build = body,
            other => panic!("unknown section `{other}`"),
        }
    }
    build
}

/// Says what an image is: what differs from the base, then its config and history.
fn describe(world: &World, store: &ImageStore, name: &str, base: &Tree) -> String {
    let tree = tree(world, store, name);
    let record = store.find(name).unwrap().unwrap();
    let document = store.config_json(&record.id).unwrap();
    let is_on_base =
        record.diff_ids.first() == store.find("busybox").unwrap().unwrap().diff_ids.first();
    let nothing = Tree::new();
    let base = if is_on_base { base } else { &nothing };
    let mut text = String::new();
    for (path, what) in &tree {
        if base.get(path) != Some(what) {
            text += &format!("{what} /{}\n", path.display());
        }
    }
    for path in base.keys().filter(|path| !tree.contains_key(*path)) {
        text += &format!("removed /{}\n", path.display());
    }
    let config = &document["config"];
    for key in KEYS {
        let value = &config[key];
        let is_default = match value {
            Value::Null => true,
            Value::String(text) => text.is_empty() || (key == "WorkingDir" && text == "/"),
            Value::Object(map) => map.is_empty(),
            Value::Array(list) => list.is_empty(),
            _ => false,
        };
        if !is_default {
            text += &format!("config {key} {value}\n");
        }
    }
    if let Some(author) = document["author"].as_str() {
        text += &format!("author {author}\n");
    }
    for line in document["history"].as_array().unwrap() {
        let kind = if line["empty_layer"] == json!(true) {
            "empty"
        } else {
            "layer"
        };
        let created_by = &line["created_by"];
        if created_by != "busybox" {
            text += &format!("history {kind} {created_by}\n");
        }
    }
    text
}

/// Lists everything in an image.
fn tree(world: &World, store: &ImageStore, name: &str) -> Tree {
    let record = store.find(name).unwrap().unwrap();
    let view = world.root().join("view");
    let empty = world.root().join("empty");
    fs_err::create_dir_all(&view).unwrap();
    fs_err::create_dir_all(&empty).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let mut lowers: Vec<String> = record
        .layers
        .iter()
        .filter(|layer| seen.insert(*layer))
        .map(|layer| layer.to_str().unwrap().to_owned())
        .collect();
    lowers.push(empty.to_str().unwrap().to_owned());
    lowers.push(view.to_str().unwrap().to_owned());
    let options = format!("lowerdir={}", lowers[..lowers.len() - 1].join(":"));
    let options = match record.layers.len() {
        0 => None,
        _ => Some(options.as_str()),
    };
    let mut tree = Tree::new();
    if let Some(options) = options {
        let kind = nix::mount::MsFlags::MS_RDONLY;
        nix::mount::mount(Some("overlay"), &view, Some("overlay"), kind, Some(options)).unwrap();
        let mut links = BTreeMap::new();
        walk(&view, Path::new(""), &mut tree, &mut links);
        nix::mount::umount(&view).unwrap();
    }
    tree
}

fn walk(root: &Path, path: &Path, tree: &mut Tree, links: &mut BTreeMap<u64, PathBuf>) {
    let mut names: Vec<_> = fs_err::read_dir(root.join(path))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    for name in names {
        let path = path.join(name);
        let whole = root.join(&path);
        let stat = fs_err::symlink_metadata(&whole).unwrap();
        let kind = stat.file_type();
        let owner = format!("{:04o} {}:{}", stat.mode() & 0o7777, stat.uid(), stat.gid());
        let what = if kind.is_dir() {
            format!("dir {owner}")
        } else if kind.is_symlink() {
            let target = fs_err::read_link(&whole).unwrap();
            format!("link {}:{} -> {}", stat.uid(), stat.gid(), target.display())
        } else if kind.is_file() {
            let first = links.entry(stat.ino()).or_insert_with(|| path.clone());
            if *first == path {
                let sum = Sha256::digest(fs_err::read(&whole).unwrap());
                let sum: String = sum
                    .iter()
                    .take(4)
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                format!("file {owner} {} {sum}", stat.len())
            } else {
                format!("same {}", first.display())
            }
        } else if kind.is_fifo() {
            format!("fifo {owner}")
        } else {
            format!("device {owner}")
        };
        tree.insert(path.clone(), what + &attributes(&whole));
        if kind.is_dir() {
            walk(root, &path, tree, links);
        }
    }
}

/// Copies the contexts and the base image out, for `compare`.
fn export(world: &World, to: &Path) {
    let status = std::process::Command::new("cp")
        .args([
            "-a",
            "--",
            world.project().to_str().unwrap(),
            to.to_str().unwrap(),
        ])
        .status()
        .unwrap();
    assert!(status.success());
    fs_err::copy(
        world.project().join("../busybox.tar"),
        to.join("busybox.tar"),
    )
    .unwrap();
}

/// Lists extended attributes as ` name=hex`; those of the overlay are how layers are kept, not what is in them.
fn attributes(path: &Path) -> String {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let names = String::from_utf8(names[..length].to_vec()).unwrap();
    let mut names: Vec<&str> = names.split_terminator('\0').collect();
    names.retain(|name| !name.starts_with("trusted."));
    names.sort_unstable();
    let mut text = String::new();
    for name in names {
        let mut value = vec![0; 4096];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
        let value: String = value[..length]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        text += &format!(" {name}={value}");
    }
    text
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}
