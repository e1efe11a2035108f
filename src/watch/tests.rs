//! Rules judge paths; a tree of real files tells what has changed, however it was changed.

use std::{
    collections::BTreeMap,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use compose_spec::model::{Build, WatchAction, WatchRule};
use fs_err as fs;
use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, poll};

use super::*;

fn rule(path: &Path, ignore: &[&str], include: &[&str]) -> WatchRule {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    WatchRule {
        path: path.to_owned(),
        action: WatchAction::Sync {
            target: "/app".to_owned(),
        },
        include: texts(include),
        ignore: texts(ignore),
        initial_sync: false,
    }
}

fn ready(path: &Path, ignore: &[&str], include: &[&str]) -> Rule {
    Rule::new(&"web".parse().unwrap(), &rule(path, ignore, include), None).unwrap()
}

#[test]
fn patterns_start_from_the_path_of_the_rule() {
    let rule = ready(
        Path::new("/src"),
        &["node_modules", "*.md", "!README.md"],
        &[],
    );
    for (path, place) in [
        ("/src", Some("")),
        ("/src/a/b.js", Some("a/b.js")),
        ("/src/node_modules/x/y", None),
        ("/src/a/node_modules/x", Some("a/node_modules/x")),
        ("/src/NEWS.md", None),
        ("/src/README.md", Some("README.md")),
        ("/srcs/a", None),
        ("/other", None),
        // What editors and version control leave.
        ("/src/.git/HEAD", None),
        ("/src/a/.git/HEAD", None),
        ("/src/a/.b.js.swp", None),
        ("/src/a/b.js~", None),
        ("/src/a/4913", None),
        ("/src/.gitignore", Some(".gitignore")),
    ] {
        assert_eq!(
            rule.place_of(Path::new(path)),
            place.map(Path::new),
            "{path}"
        );
    }
    for (path, enters) in [
        ("/", true),
        ("/src", true),
        ("/src/a", true),
        ("/src/node_modules", false),
        ("/src/.git", false),
        ("/other", false),
    ] {
        assert_eq!(rule.enters(Path::new(path)), enters, "{path}");
    }
}

#[test]
fn only_what_is_included_counts() {
    let rule = ready(Path::new("/src"), &["gen"], &["**/*.go", "go.mod"]);
    for (path, counts) in [
        ("/src/a.go", true),
        ("/src/x/a.go", true),
        ("/src/go.mod", true),
        ("/src/x/go.mod", false),
        ("/src/a.txt", false),
        ("/src/gen/a.go", false),
    ] {
        assert_eq!(rule.place_of(Path::new(path)).is_some(), counts, "{path}");
    }
    let bad = Rule::new(
        &"web".parse().unwrap(),
        &self::rule(Path::new("/"), &["[a"], &[]),
        None,
    );
    assert_eq!(
        bad.unwrap_err().to_string(),
        "service `web`: `[a` in `develop.watch` is not a pattern"
    );
}

#[test]
fn what_the_build_leaves_out_does_not_count() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(".dockerignore"), "tests\n").unwrap();
    let sources = directory.path().join("src");
    let build = |dockerfile: Option<&str>| Build {
        dockerfile: dockerfile.map(str::to_owned),
        ..Build::new(directory.path().display().to_string())
    };
    let counts = |path: &Path, watched: &Path, build: &Build| {
        let rule = rule(watched, &[], &[]);
        let rule = Rule::new(&"web".parse().unwrap(), &rule, Some(build)).unwrap();
        rule.place_of(path).is_some()
    };
    let (all, test) = (directory.path(), directory.path().join("tests/a"));
    assert!(!counts(&test, all, &build(None)));
    assert!(counts(&sources.join("tests"), &sources, &build(None)));
    // The one beside the Dockerfile wins.
    fs::write(directory.path().join("Dev.dockerignore"), "docs\n").unwrap();
    assert!(counts(&test, all, &build(Some("Dev"))));
    let inline = Build {
        dockerfile_inline: Some("FROM scratch".to_owned()),
        ..build(Some("Dev"))
    };
    assert!(!counts(&test, all, &inline));
    fs::write(directory.path().join("Dev.dockerignore"), "[").unwrap();
    let rule = rule(all, &[], &[]);
    let bad = Rule::new(&"web".parse().unwrap(), &rule, Some(&build(Some("Dev"))));
    assert!(matches!(bad, Err(RuleError::IgnoreFile { .. })));
}

/// A directory with a tree over it.
struct Bed {
    directory: tempfile::TempDir,
    rules: Vec<Rule>,
    tree: Tree,
}

impl Bed {
    fn new(files: &[&str], rules: impl FnOnce(&Path) -> Vec<Rule>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            write(&directory.path().join(file), "first");
        }
        let rules = rules(directory.path());
        let tree = Tree::open(&rules).unwrap();
        Self {
            directory,
            rules,
            tree,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Says whether the tree was woken up, and what has changed.
    fn changes(&mut self) -> (bool, BTreeMap<String, Change>) {
        let mut fds = [PollFd::new(&self.tree, PollFlags::IN)];
        let zero = rustix::time::Timespec::default();
        let woken = poll(&mut fds, Some(&zero)).unwrap() > 0;
        assert_eq!(self.tree.drain().unwrap(), woken);
        let changes = self.tree.changes(&self.rules).unwrap();
        let named = changes.into_iter().map(|(path, change)| {
            let path = path.strip_prefix(self.directory.path()).unwrap();
            (path.display().to_string(), change)
        });
        (woken, named.collect())
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn all<const N: usize>(changes: [(&str, Change); N]) -> (bool, BTreeMap<String, Change>) {
    let changes = changes.map(|(path, change)| (path.to_owned(), change));
    (true, BTreeMap::from(changes))
}

#[test]
fn every_way_to_change_a_file_is_seen() {
    use Change::{Gone, Other};
    let files = ["src/a", "src/deep/er/b", "src/cache/x"];
    let mut bed = Bed::new(&files, |base| {
        vec![ready(&base.join("src"), &["cache"], &[])]
    });
    assert_eq!(bed.changes(), (false, BTreeMap::new()));
    fs::write(bed.path("src/a"), "second").unwrap();
    assert_eq!(bed.changes(), all([("src/a", Other)]));
    // As editors save: beside, and over it.
    fs::write(bed.path("src/.a.swp"), "third").unwrap();
    fs::rename(bed.path("src/.a.swp"), bed.path("src/a")).unwrap();
    assert_eq!(bed.changes(), all([("src/a", Other)]));
    // Same size and time.
    let before = fs::metadata(bed.path("src/a")).unwrap().modified().unwrap();
    fs::write(bed.path("src/a"), "thirD").unwrap();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(bed.path("src/a"))
        .unwrap();
    file.file().set_modified(before).unwrap();
    assert_eq!(bed.changes(), all([("src/a", Other)]));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(bed.path("src/a"), mode).unwrap();
    assert_eq!(bed.changes(), all([("src/a", Other)]));
    // A new directory is watched from its first moment.
    write(&bed.path("src/new/one"), "x");
    assert_eq!(
        bed.changes(),
        all([("src/new", Other), ("src/new/one", Other)])
    );
    write(&bed.path("src/new/two"), "x");
    assert_eq!(bed.changes(), all([("src/new/two", Other)]));
    fs::rename(bed.path("src/deep"), bed.path("src/moved")).unwrap();
    assert_eq!(
        bed.changes(),
        all([
            ("src/deep", Gone),
            ("src/deep/er", Gone),
            ("src/deep/er/b", Gone),
            ("src/moved", Other),
            ("src/moved/er", Other),
            ("src/moved/er/b", Other),
        ])
    );
    fs::write(bed.path("src/moved/er/b"), "y").unwrap();
    assert_eq!(bed.changes(), all([("src/moved/er/b", Other)]));
    fs::remove_dir_all(bed.path("src/moved")).unwrap();
    assert_eq!(bed.changes().1.len(), 3);
    // What is ignored wakes nobody up.
    fs::write(bed.path("src/cache/x"), "second").unwrap();
    write(&bed.path("src/cache/y/z"), "x");
    assert_eq!(bed.changes(), (false, BTreeMap::new()));
}

#[test]
fn watched_paths_may_come_and_go_and_lie_in_each_other() {
    use Change::{Gone, Other};
    let mut bed = Bed::new(&["web/index", "conf/a", "conf/b"], |base| {
        ["web", "web/lock", "conf/a", "later/on/src"]
            .map(|path| ready(&base.join(path), &[], &[]))
            .into()
    });
    // Only the file of its directory that is named.
    fs::write(bed.path("conf/b"), "second").unwrap();
    assert_eq!(bed.changes().1, BTreeMap::new());
    fs::write(bed.path("conf/new"), "first").unwrap();
    fs::rename(bed.path("conf/new"), bed.path("conf/a")).unwrap();
    assert_eq!(bed.changes(), all([("conf/a", Other)]));
    fs::remove_file(bed.path("conf/a")).unwrap();
    assert_eq!(bed.changes(), all([("conf/a", Gone)]));
    fs::write(bed.path("web/lock"), "x").unwrap();
    assert_eq!(bed.changes(), all([("web/lock", Other)]));
    for (path, changes) in [
        ("later", BTreeMap::new()),
        ("later/on", BTreeMap::new()),
        ("later/on/src", all([("later/on/src", Other)]).1),
    ] {
        fs::create_dir(bed.path(path)).unwrap();
        assert_eq!(bed.changes(), (true, changes), "{path}");
    }
    fs::write(bed.path("later/on/src/file"), "x").unwrap();
    assert_eq!(bed.changes(), all([("later/on/src/file", Other)]));
    assert!(bed.tree.as_fd().try_clone_to_owned().is_ok());
    fs::remove_dir_all(bed.path("later")).unwrap();
    assert_eq!(bed.changes().1.len(), 2);
    write(&bed.path("later/on/src/file"), "again");
    assert_eq!(bed.changes().1.len(), 2);
}

/// What came after the kernel had no room for notices is found by looking everywhere.
#[test]
fn an_overflown_queue_makes_it_look_at_everything() {
    let mut bed = Bed::new(&["src/a", "src/b"], |base| {
        vec![ready(&base.join("src"), &[], &[])]
    });
    let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    // Every write is at least two notices; the same one twice in a row would be one.
    for _round in 0..=most.trim().parse::<u32>().unwrap() / 4 {
        fs::write(bed.path("src/a"), "x").unwrap();
        fs::write(bed.path("src/b"), "x").unwrap();
    }
    write(&bed.path("src/late/file"), "x");
    let (_, changes) = bed.changes();
    assert!(changes.contains_key("src/late/file"), "{changes:?}");
    write(&bed.path("src/late/file"), "again");
    assert_eq!(bed.changes(), all([("src/late/file", Change::Other)]));
}

/// Something that happens to paths of three levels, by their numbers.
#[derive(Debug, Clone)]
enum Deed {
    Write(usize),
    Make(usize),
    Remove(usize),
    Move(usize, usize),
    /// The watcher looks.
    Look,
}

fn any_deed() -> impl Strategy<Value = Deed> {
    let place = 0..PLACES.len();
    prop_oneof![
        place.clone().prop_map(Deed::Write),
        place.clone().prop_map(Deed::Make),
        place.clone().prop_map(Deed::Remove),
        (place.clone(), place).prop_map(|(from, to)| Deed::Move(from, to)),
        Just(Deed::Look),
    ]
}

/// `src` is watched, `out` is not; some lie on the way to `later/on`, which is watched too.
const PLACES: [&str; 14] = [
    "src",
    "src/a",
    "src/b",
    "src/a/a",
    "src/a/b",
    "src/b/a",
    "src/a/a/a",
    "src/a/a/b",
    "src/gone",
    "out",
    "out/a",
    "later",
    "later/on",
    "later/on/a",
];

fn act(base: &Path, deed: &Deed) {
    let at = |place: &usize| base.join(PLACES[*place]);
    // What cannot be done is not done.
    let _done = match deed {
        Deed::Write(place) => fs::write(at(place), "x"),
        Deed::Make(place) => fs::create_dir(at(place)),
        Deed::Remove(place) if at(place).is_dir() => fs::remove_dir_all(at(place)),
        Deed::Remove(place) => fs::remove_file(at(place)),
        Deed::Move(from, to) => fs::rename(at(from), at(to)),
        Deed::Look => Ok(()),
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever happens between two looks: what is told leads from what there was to what there is.
    #[test]
    fn looking_where_something_happened_finds_what_looking_everywhere_does(
        deeds in prop::collection::vec(any_deed(), 0..60),
    ) {
        let mut bed = Bed::new(&["src/a/a/a", "src/b/a", "out/a"], |base| {
            ["src", "later/on"].map(|path| ready(&base.join(path), &["gone"], &[])).into()
        });
        let mut before = bed.tree.stamps();
        for deed in deeds.iter().chain([&Deed::Look]) {
            act(bed.directory.path(), deed);
            if !matches!(deed, Deed::Look) {
                continue;
            }
            bed.tree.drain().unwrap();
            let told = bed.tree.changes(&bed.rules).unwrap();
            let now = Tree::open(&bed.rules).unwrap().stamps();
            prop_assert_eq!(&bed.tree.stamps(), &now);
            for (path, change) in tree::differences(&before, &now) {
                prop_assert_eq!(told.get(&path), Some(&change), "{:?}", path);
            }
            for (path, change) in told {
                prop_assert_eq!(now.contains_key(&path), change == Change::Other, "{:?}", path);
            }
            before = now;
        }
    }
}
