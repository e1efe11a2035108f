#![expect(
    clippy::disallowed_methods,
    reason = "tests make files where they need them"
)]

use std::os::unix::fs::{PermissionsExt, symlink};

use proptest::prelude::*;

use super::*;
use crate::build::{
    files::{Selector, Tree, digest},
    ignore::Ignore,
};

/// A context with files that are older than the clock's tick, and where its index lies.
struct Fixture(tempfile::TempDir);

impl Fixture {
    fn new() -> Self {
        let fixture = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir_all(fixture.path("d")).unwrap();
        fixture.write("a", "one").write("d/b", "two");
        symlink("a", fixture.path("link")).unwrap();
        Self::ripen();
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("context").join(name)
    }

    fn write(&self, name: &str, text: &str) -> &Self {
        std::fs::write(self.path(name), text).unwrap();
        self
    }

    /// Waits until the clock has left the tick of the last change.
    fn ripen() {
        let end = clock() + 2 * TICK;
        while clock() < end {
            std::thread::yield_now();
        }
    }

    fn index(&self) -> ContextIndex {
        ContextIndex::open(&self.0.path().join("contexts"), &self.path(""))
    }

    /// Digests the context with an index; returns the digest and how many files were read.
    fn digest_with(&self, index: &ContextIndex) -> (String, usize) {
        let tree = Tree::open(&self.path("")).unwrap();
        let nothing = Ignore::default();
        let selector = Selector {
            tree: &tree,
            ignore: &nothing,
            exclude: &nothing,
            ownerless: true,
            parents: false,
        };
        let items = selector.select(".").unwrap();
        let with = digest(&tree, &items, Some(index)).unwrap();
        assert_eq!(with, digest(&tree, &items, None).unwrap());
        (with.to_string(), index.fresh.lock().unwrap().len())
    }

    fn digest(&self) -> (String, usize) {
        let index = self.index();
        let result = self.digest_with(&index);
        index.save().unwrap();
        result
    }
}

#[test]
fn an_unchanged_context_is_not_read() {
    let fixture = Fixture::new();
    let (first, read) = fixture.digest();
    assert_eq!(read, 5);
    assert_eq!(fixture.digest(), (first, 0));
}

#[test]
fn every_change_is_seen() {
    let fixture = Fixture::new();
    let mut last = fixture.digest().0;
    let mut differs = |what: &str| {
        let now = fixture.digest().0;
        assert_ne!(now, last, "{what}");
        last = now;
    };
    fixture.write("a", "ONE");
    differs("same size");
    let file = std::fs::File::options()
        .write(true)
        .open(fixture.path("a"))
        .unwrap();
    let time = file.metadata().unwrap().modified().unwrap();
    fixture.write("a", "eno");
    file.set_modified(time).unwrap();
    differs("same size and time");
    fixture.write("new", "neo");
    std::fs::rename(fixture.path("new"), fixture.path("a")).unwrap();
    differs("replaced");
    std::fs::set_permissions(fixture.path("a"), PermissionsExt::from_mode(0o600)).unwrap();
    differs("mode");
    rustix::fs::setxattr(
        fixture.path("a"),
        "user.x",
        b"1",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    differs("attribute");
    std::fs::remove_file(fixture.path("a")).unwrap();
    std::fs::create_dir(fixture.path("a")).unwrap();
    differs("became a directory");
    std::fs::remove_dir(fixture.path("a")).unwrap();
    symlink("d", fixture.path("a")).unwrap();
    differs("became a link");
    std::fs::remove_file(fixture.path("a")).unwrap();
    symlink("e", fixture.path("a")).unwrap();
    differs("another target");
    std::fs::remove_file(fixture.path("d/b")).unwrap();
    differs("removed");
}

#[test]
fn changes_within_a_tick_are_seen() {
    let fixture = Fixture::new();
    let mut digests = std::collections::BTreeSet::new();
    // No waiting in between: times may repeat, contents have the same length.
    for number in 100..150 {
        fixture.write("a", &number.to_string());
        digests.insert(fixture.digest().0);
    }
    assert_eq!(digests.len(), 50);
}

#[test]
fn a_touched_file_is_read_again_and_is_the_same() {
    let fixture = Fixture::new();
    let first = fixture.digest().0;
    let file = std::fs::File::options()
        .write(true)
        .open(fixture.path("a"))
        .unwrap();
    file.set_modified(UNIX_EPOCH).unwrap();
    assert_eq!(fixture.digest(), (first, 1));
}

#[test]
fn a_damaged_or_foreign_index_is_built_anew() {
    let fixture = Fixture::new();
    let (first, all) = fixture.digest();
    let file = fixture.index().file;
    let whole = std::fs::read(&file).unwrap();
    for (what, bytes) in [
        ("truncated", whole[..whole.len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("other version", [b"stkctx\0\x63", &whole[8..]].concat()),
    ] {
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(fixture.digest(), (first.clone(), all), "{what}");
    }
    std::fs::rename(fixture.path(""), fixture.0.path().join("moved")).unwrap();
    std::fs::create_dir(fixture.path("")).unwrap();
    assert!(
        fixture.index().stored.len() == 0,
        "another directory of the same name"
    );
}

#[test]
fn two_builders_at_once_lose_at_most_time() {
    let fixture = Fixture::new();
    let (one, two) = (fixture.index(), fixture.index());
    let first = fixture.digest_with(&one);
    assert_eq!(fixture.digest_with(&two), first);
    one.save().unwrap();
    two.save().unwrap();
    assert_eq!(fixture.digest(), (first.0, 0));
}

#[test]
fn files_that_are_gone_leave_the_index_after_a_while() {
    let fixture = Fixture::new();
    fixture.digest();
    std::fs::remove_file(fixture.path("d/b")).unwrap();
    for number in 0..=u32::from(AGE_MAX) {
        assert!(fixture.index().stored.len() >= 5);
        fixture.write("a", &number.to_string());
        fixture.digest();
    }
    let index = fixture.index();
    assert!(index.stored.find(b"d/b", 0).is_none());
    assert!(index.stored.find(b"link", 0).is_some());
}

#[test]
fn unused_indexes_are_removed() {
    let fixture = Fixture::new();
    fixture.digest();
    let file = fixture.index().file;
    let directory = file.parent().unwrap();
    prune(directory, KEEP).unwrap();
    assert!(file.exists());
    prune(directory, Duration::ZERO).unwrap();
    assert!(!file.exists());
}

proptest! {
    #[test]
    fn any_bytes_are_an_index_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..400), flip in 0_usize..300) {
        let owner = Owner { dev: 1, ino: 2, path: b"/x".to_vec() };
        prop_assert!(Stored::parse(bytes, &owner).is_none());
        let record = Record::new(&Stamp::default(), 7, [1; 32]);
        let entries = [(&b"a"[..], record.clone()), (b"a/b", record.clone()), (b"a.b", record.clone())];
        let mut whole = write(&owner, 9, entries.into_iter());
        let stored = Stored::parse(whole.clone(), &owner).unwrap();
        prop_assert_eq!(stored.find(b"a.b", 0), Some(2));
        prop_assert_eq!(stored.record(1), record);
        let at = flip % whole.len();
        whole[at] ^= 0x10;
        prop_assert!(Stored::parse(whole, &owner).is_none());
    }
}
