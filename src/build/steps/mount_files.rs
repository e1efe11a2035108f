//! Files and directories that mounts of RUN need on the host: cache directories with their locks, secrets, sockets.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::{
    build::{
        cache::mount_lock,
        context::touch,
        dockerfile::{FileOwner, Sharing},
        error::StepFailure,
        files::{Destination, Item, Placer, Tree},
        ssh::{Agent, Relay},
        workspace::StepRoom,
    },
    model::Digest,
    store::{Lock, StoreError, lock, lock_shared, try_lock},
};

/// Directories that `sharing=private` writers may use at the same time.
const PRIVATE_MAX: usize = 64;

/// Copies a selection into a directory.
pub(super) fn fill(directory: &Path, tree: &Tree, items: &[Item]) -> Result<(), StepFailure> {
    let destination = Destination {
        path: PathBuf::new(),
        directory: true,
    };
    let root = Tree::open(directory)?;
    let mut placer = Placer::new(&root, None, None);
    for item in items {
        placer.place(tree, item, &destination)?;
    }
    Ok(())
}

/// Returns the directory of a cache mount, made and filled when it is new.
pub(super) fn cache(
    caches: &Path,
    id: &str,
    sharing: Sharing,
    owner: FileOwner,
    from: Option<&(Tree, Vec<Item>, String)>,
) -> Result<(PathBuf, Vec<Lock>), StepFailure> {
    // The id is the user's text: it names a directory only as a digest.
    let digest = Digest::from_sha256(&Sha256::digest(id).into());
    // Pruning takes this lock for itself alone.
    let mut locks = vec![lock_shared(&mount_lock(caches, digest.hex()))?];
    let home = caches.join(digest.hex());
    fs_err::create_dir_all(&home).map_err(StepFailure::Prepare)?;
    let name = match sharing {
        // Who has a locked one alone is decided before: see `Prepared::claims`.
        Sharing::Shared | Sharing::Locked => "data".to_owned(),
        Sharing::Private => {
            let (name, held) = private(&home)?;
            locks.push(held);
            name
        }
    };
    let directory = home.join(name);
    // Two builds may make it at the same time: one fills it, the other waits.
    let making = lock(&home.join("making.lock"))?;
    if !directory.exists() {
        let unfinished = home.join("unfinished");
        crate::store::remove_tree(&unfinished)?;
        fs_err::create_dir(&unfinished).map_err(StepFailure::Prepare)?;
        if let Some((tree, items, _)) = from {
            fill(&unfinished, tree, items)?;
        }
        own(&unfinished, owner, 0o755).map_err(StepFailure::Prepare)?;
        fs_err::rename(&unfinished, &directory).map_err(StepFailure::Prepare)?;
        // For people who look at what the cache holds.
        fs_err::write(home.join("id"), id).map_err(StepFailure::Prepare)?;
    }
    drop(making);
    touch(&home);
    Ok((directory, locks))
}

/// Finds a directory that nobody uses now.
fn private(home: &Path) -> Result<(String, Lock), StoreError> {
    for number in 0..PRIVATE_MAX {
        let name = format!("private{number}");
        if let Some(held) = try_lock(&home.join(format!("{name}.lock")))? {
            return Ok((name, held));
        }
    }
    let name = format!("private{PRIVATE_MAX}");
    let held = lock(&home.join(format!("{name}.lock")))?;
    Ok((name, held))
}

fn own(path: &Path, owner: FileOwner, mode: u32) -> std::io::Result<()> {
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(owner.mode.unwrap_or(mode));
    let (uid, gid) = (owner.uid.unwrap_or(0), owner.gid.unwrap_or(0));
    std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
    fs_err::set_permissions(path, permissions)
}

/// Begins to answer for an agent, at a socket in the step's room.
pub(super) fn relay(
    room: &StepRoom,
    name: &str,
    agent: &[PathBuf],
    owner: FileOwner,
) -> Result<Relay, StepFailure> {
    let path = room.file(name);
    let relay = Relay::start(&path, Agent::open(agent)?)?;
    own(&path, owner, 0o600).map_err(StepFailure::Prepare)?;
    Ok(relay)
}

pub(super) fn secret_file(path: &Path, value: &[u8], owner: FileOwner) -> std::io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(value)?;
    own(path, owner, 0o400)
}
