//! Trees go into an archive and come out of it as they were; archives that are not ours, or not whole, change nothing.

mod bed;

use std::{os::unix::fs::MetadataExt, process::Command};

use fs_err as fs;
use proptest::prelude::*;

use super::*;
use crate::model::Timestamp;
use bed::{Bed, bare, plant, plant_holes, renamed, request, seen};

#[test]
fn a_tree_comes_out_as_it_went_in() {
    let bed = Bed::new();
    plant(&bed.data("shop_data"));
    let archive = bed.archive(&["shop_data"]);
    assert_eq!(bed.restore(&renamed(&archive, "copy")).unwrap(), ["copy"]);
    let (old, new) = (seen(&bed.data("shop_data")), seen(&bed.data("copy")));
    for (path, seen) in &old {
        assert_eq!(Some(seen), new.get(path), "{}", path.display());
    }
    assert_eq!(old.len(), new.len());
    let record = volume::find(&bed.root, "copy").unwrap().unwrap();
    assert_eq!((&record.project, &record.key), (&None, &None));
    assert_eq!(record.all_labels()["team"], "a");
}

#[test]
fn a_copy_of_a_volume_is_as_the_volume() {
    let bed = Bed::new();
    plant(&bed.data("shop_data"));
    plant_holes(&bed.data("shop_data"));
    fs::remove_file(bed.data("shop_data").join("end")).unwrap();
    let unfinished = volume::unfinished(&bed.root).unwrap();
    let tree = unfinished.path().join("data");
    volume::copy_data(&bed.root, "shop_data", &tree).unwrap();
    let (old, new) = (seen(&bed.data("shop_data")), seen(&tree));
    for (path, seen) in &old {
        assert!(Some(seen) == new.get(path), "{}", path.display());
    }
    let blocks = fs::metadata(tree.join("all")).unwrap().blocks();
    assert!(blocks < 100, "a hole became {blocks} blocks");
}

#[test]
fn holes_stay_holes() {
    let bed = Bed::new();
    plant_holes(&bed.data("shop_data"));
    let archive = bed.archive(&["shop_data"]);
    let size = fs::metadata(&archive).unwrap().len();
    assert!(size < 100_000, "2 GB of holes take {size} bytes");
    bed.restore(&renamed(&archive, "copy")).unwrap();
    for entry in fs::read_dir(bed.data("shop_data")).unwrap() {
        let entry = entry.unwrap();
        let (old, new) = (
            entry.metadata().unwrap(),
            fs::metadata(bed.data("copy").join(entry.file_name())).unwrap(),
        );
        let name = entry.file_name();
        assert_eq!(old.len(), new.len(), "{name:?}");
        assert!(
            new.blocks() <= old.blocks() + 64,
            "{name:?} {}",
            new.blocks()
        );
    }
    for name in ["many", "start"] {
        let old = fs::read(bed.data("shop_data").join(name)).unwrap();
        assert!(
            old == fs::read(bed.data("copy").join(name)).unwrap(),
            "{name}"
        );
    }
}

/// The archive is no secret of stack's: tar(1) reads it.
#[test]
#[expect(clippy::disallowed_methods, reason = "tar is the oracle")]
fn tar_unpacks_it_too() {
    let bed = Bed::new();
    plant(&bed.data("shop_data"));
    plant_holes(&bed.data("shop_data"));
    let archive = bed.archive(&["shop_data"]);
    let target = bed.directory.path().join("by tar");
    fs::create_dir(&target).unwrap();
    let status = Command::new("tar")
        .args([
            "--zstd",
            "--numeric-owner",
            "--xattrs",
            "--xattrs-include=*",
            "-xpf",
        ])
        .arg(&archive)
        .arg("-C")
        .arg(&target)
        .status()
        .expect("tar and zstd; ./tests/run installs them");
    assert!(status.success());
    for name in ["end", "all"] {
        for data in [bed.data("shop_data"), target.join("volumes/shop_data")] {
            let metadata = fs::metadata(data.join(name)).unwrap();
            assert!(metadata.len() >= 1 << 26 && metadata.blocks() < 100);
            fs::remove_file(data.join(name)).unwrap();
        }
    }
    let (old, new) = (
        seen(&bed.data("shop_data")),
        seen(&target.join("volumes/shop_data")),
    );
    for (path, seen) in old.iter().filter(|(path, _)| *path != Path::new(".")) {
        assert!(Some(seen) == new.get(path), "{}", path.display());
    }
    assert!(target.join(BackupHead::MEMBER).exists());
}

#[test]
fn an_own_name_belongs_to_its_project_again_and_an_existing_one_is_left() {
    let bed = Bed::new();
    fs::write(bed.data("shop_data").join("file"), "old").unwrap();
    let archive = bed.archive(&["shop_data"]);
    fs::write(bed.data("shop_data").join("file"), "new").unwrap();
    let refused = bed.restore(&request(&archive)).unwrap_err();
    assert!(matches!(&refused, BackupError::Exists(name) if name == "shop_data"));
    assert_eq!(
        fs::read(bed.data("shop_data").join("file")).unwrap(),
        b"new"
    );
    volume::set_protected(&bed.root, "shop_data", true).unwrap();
    let replace = Restore {
        replace: true,
        ..request(&archive)
    };
    let refused = bed.restore(&replace).unwrap_err();
    assert!(refused.to_string().contains("is protected"), "{refused}");
    assert_eq!(
        fs::read(bed.data("shop_data").join("file")).unwrap(),
        b"new"
    );
    volume::set_protected(&bed.root, "shop_data", false).unwrap();
    bed.restore(&replace).unwrap();
    assert_eq!(
        fs::read(bed.data("shop_data").join("file")).unwrap(),
        b"old"
    );
    volume::remove(&bed.root, "shop_data").unwrap();
    bed.restore(&request(&archive)).unwrap();
    let record = volume::find(&bed.root, "shop_data").unwrap().unwrap();
    assert_eq!(record.project.unwrap().as_str(), "shop");
    assert_eq!(record.key.as_deref(), Some("data"));
}

#[test]
fn one_of_several_is_restored_or_all() {
    let bed = Bed::new();
    bed.volume("other");
    for name in ["shop_data", "other"] {
        fs::write(bed.data(name).join("file"), name).unwrap();
    }
    let archive = bed.archive(&["other", "shop_data"]);
    let several = bed.restore(&renamed(&archive, "x")).unwrap_err();
    assert!(matches!(several, BackupError::Several(2)));
    let one = Restore {
        names: vec!["other".to_owned()],
        ..renamed(&archive, "x1")
    };
    assert_eq!(bed.restore(&one).unwrap(), ["x1"]);
    assert_eq!(fs::read(bed.data("x1").join("file")).unwrap(), b"other");
    let missing = Restore {
        names: vec!["third".to_owned()],
        ..request(&archive)
    };
    let missing = bed.restore(&missing).unwrap_err().to_string();
    assert!(missing.contains("it has other, shop_data"), "{missing}");
    // One of them exists: none is made.
    volume::remove(&bed.root, "other").unwrap();
    assert!(bed.restore(&request(&archive)).is_err());
    assert_eq!(volume::find(&bed.root, "other").unwrap(), None);
}

/// Archives that are cut off, changed, of others or hostile change nothing.
#[test]
fn what_is_not_whole_or_not_ours_is_refused() {
    let bed = Bed::new();
    fs::write(bed.data("shop_data").join("file"), vec![b'x'; 10_000]).unwrap();
    let archive = fs::read(bed.archive(&["shop_data"])).unwrap();
    let plain = zstd::stream::decode_all(&archive[..]).unwrap();
    let path = bed.directory.path().join("bad.tar");
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let error = bed.restore(&renamed(&path, "copy")).unwrap_err();
        assert_eq!(volume::find(&bed.root, "copy").unwrap(), None);
        crate::model::chain(&error).join(": ")
    };
    for length in [0, 1, 100, archive.len() / 2, archive.len() - 1] {
        refused(&archive[..length]);
    }
    for length in [512, 5000, plain.len() / 2 / 512 * 512, plain.len() - 2048] {
        refused(&plain[..length]);
    }
    let mut changed = plain.clone();
    let at = changed.iter().rposition(|byte| *byte == b'x').unwrap();
    changed[at] = b'y';
    assert!(refused(&changed).contains("is damaged"));
    let mut longer = plain[..plain.len() - 1024].to_vec();
    longer.extend(crate::store::TarMember::default().header());
    assert!(refused(&longer).contains("after its end"));
    assert!(refused(&[b'x'; 4096]).contains("tar archive"));
    let mut foreign = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    foreign.append_data(&mut header, "file", &b"x"[..]).unwrap();
    assert!(refused(&foreign.into_inner().unwrap()).contains("does not begin"));
}

/// Makes an archive that is sealed as ours is, of members that an enemy chose.
fn forged(members: &[crate::store::TarMember<'_>]) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    let member = |name: &str, text: &[u8]| {
        let header = crate::store::TarMember {
            path: name.as_bytes(),
            kind: b'0',
            size: text.len() as u64,
            ..crate::store::TarMember::default()
        };
        let mut bytes = header.header();
        bytes.extend(text);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    };
    let head = BackupHead {
        format: 1,
        stack: String::new(),
        created: Timestamp(0),
        frozen: Vec::new(),
        running: Vec::new(),
        volumes: vec![BackedUpVolume::from(&bare("data"))],
    };
    let mut bytes = member(BackupHead::MEMBER, &serde_json::to_vec(&head).unwrap());
    for member in members {
        bytes.extend(member.header());
    }
    let summary = BackupSummary {
        volumes: Vec::new(),
        digest: crate::model::Digest::from_sha256(&Sha256::digest(&bytes).into()),
    };
    bytes.extend(member(
        BackupSummary::MEMBER,
        &serde_json::to_vec(&summary).unwrap(),
    ));
    bytes.extend([0; 1024]);
    bytes
}

#[test]
fn links_in_the_place_of_a_volume_lead_nowhere() {
    let bed = Bed::new();
    let secret = bed.directory.path().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("file"), "secret").unwrap();
    let target = secret.to_str().unwrap().as_bytes();
    let member = |path, kind, link| crate::store::TarMember {
        path,
        kind,
        link,
        mode: 0o755,
        ..crate::store::TarMember::default()
    };
    let path = bed.directory.path().join("forged.tar");
    for members in [
        vec![
            member(b"volumes/", b'5', b""),
            member(b"volumes/data", b'2', target),
        ],
        vec![member(b"volumes", b'2', target)],
        vec![
            member(b"volumes/data/", b'5', b""),
            member(b"volumes/data/out", b'2', target),
            member(b"volumes/data/out/made", b'0', b""),
            member(b"../../../../../../../../tmp/stack-made", b'0', b""),
            member(b"volumes/data/../data", b'2', target),
        ],
        vec![member(b"volumes/data/x", b'1', b"/etc/passwd")],
        vec![],
    ] {
        fs::write(&path, forged(&members)).unwrap();
        let error = bed.restore(&request(&path)).unwrap_err();
        assert_eq!(volume::find(&bed.root, "data").unwrap(), None, "{error}");
        assert_eq!(fs::read_dir(&secret).unwrap().count(), 1);
    }
    assert!(!Path::new("/tmp/stack-made").exists());
    // Whole and honest, it is taken: the refusals above are not for another reason.
    fs::write(&path, forged(&[member(b"volumes/data/", b'5', b"")])).unwrap();
    assert_eq!(bed.restore(&request(&path)).unwrap(), ["data"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever bytes are turned over, nothing is made of a damaged archive, and nothing is left of it.
    #[test]
    fn any_damage_is_noticed(at in 0.0..1.0_f64, bit in 0..8_u32, is_plain: bool) {
        let bed = Bed::new();
        fs::write(bed.data("shop_data").join("file"), "some content").unwrap();
        let mut bytes = fs::read(bed.archive(&["shop_data"])).unwrap();
        if is_plain {
            bytes = zstd::stream::decode_all(&bytes[..]).unwrap();
            // What follows the end of an archive says nothing.
            bytes.truncate(bytes.len() - 1024);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "any place will do")]
        let at = (at * bytes.len() as f64) as usize;
        bytes[at] ^= 1 << bit;
        let path = bed.directory.path().join("damaged");
        fs::write(&path, &bytes).unwrap();
        if let Ok(names) = bed.restore(&renamed(&path, "copy")) {
            // The summary itself is not in the digest: of its counts one digit more or less changes nothing.
            prop_assert_eq!(names, ["copy"]);
            let old = seen(&bed.data("shop_data"));
            prop_assert_eq!(old, seen(&bed.data("copy")));
        } else {
            prop_assert_eq!(volume::find(&bed.root, "copy").unwrap(), None);
        }
    }
}
