//! `RUN --mount`: what each mount reads is decided and digested first; files and locks are made only when the step really runs.

use std::path::{Path, PathBuf};

use runtime::spec::{Mount, MountKind};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::run::bind;
use crate::{
    build::{
        dockerfile::{FileOwner, Located, Run, RunMount, RunMountKind, Sharing},
        error::StepFailure,
        files::{Destination, Item, Placer, Tree},
        input::Secret,
        path,
        plan::Origin,
        stage::{Context, StageRun},
        workspace::StepRoom,
    },
    model::Digest,
    store::{Lock, StoreError, lock, try_lock},
};

/// Directories that `sharing=private` writers may use at the same time.
const PRIVATE_MAX: usize = 64;

/// The mounts of one RUN before anything is made.
pub(super) struct Prepared(Vec<PreparedMount>);

struct PreparedMount {
    target: Option<String>,
    read_only: bool,
    what: What,
}

enum What {
    Bind {
        tree: Tree,
        items: Vec<Item>,
        digest: String,
        /// A directory that can be mounted as it is.
        direct: Option<PathBuf>,
    },
    Cache {
        id: String,
        from: Option<(Tree, Vec<Item>, String)>,
        sharing: Sharing,
        owner: FileOwner,
    },
    Tmpfs {
        size_bytes: Option<u64>,
    },
    Secret {
        id: String,
        value: Vec<u8>,
        env: Option<String>,
        owner: FileOwner,
    },
}

/// Mounts that a container can use, and the locks that it must hold meanwhile.
#[derive(Default)]
pub(super) struct Ready {
    pub(super) mounts: Vec<Mount>,
    /// Secrets as variables.
    pub(super) env: Vec<String>,
    locks: Vec<Lock>,
}

impl StageRun<'_> {
    /// Expands and judges the mounts of a RUN.
    pub(super) fn prepare_mounts(
        &self,
        context: Context<'_>,
        run: &Run,
        origins: &[Origin],
    ) -> Result<Prepared, StepFailure> {
        let mut prepared = Vec::new();
        for (flag, origin) in run.mounts.iter().zip(origins) {
            let mount = flag
                .resolve(&mut |value| self.scope.expand(value))
                .map_err(|error: Located| {
                    let source = &self.builder.dockerfile.source;
                    StepFailure::Syntax(Box::new(error.resolve(source)))
                })?;
            prepared.extend(self.prepare_mount(context, mount, origin)?);
        }
        Ok(Prepared(prepared))
    }

    fn prepare_mount(
        &self,
        context: Context<'_>,
        mount: RunMount,
        origin: &Origin,
    ) -> Result<Option<PreparedMount>, StepFailure> {
        let directory = self.state.document.working_dir();
        let target = mount
            .target
            .map(|target| path::absolute(directory, &target));
        let what = match mount.kind {
            RunMountKind::Bind { source, .. } => {
                let (tree, items, digest) = self.select_for_mount(origin, &source)?;
                let direct = self.direct(origin, &source, mount.read_only, &tree)?;
                What::Bind {
                    tree,
                    items,
                    digest,
                    direct,
                }
            }
            RunMountKind::Cache {
                id,
                from,
                source,
                sharing,
                owner,
            } => What::Cache {
                id: id.unwrap_or_else(|| target.clone().unwrap_or_default()),
                from: match from {
                    None => None,
                    Some(_) => Some(self.select_for_mount(origin, &source)?),
                },
                sharing,
                owner,
            },
            RunMountKind::Tmpfs { size_bytes } => What::Tmpfs { size_bytes },
            RunMountKind::Ssh { .. } => {
                return Err(StepFailure::Unsupported("RUN --mount=type=ssh".to_owned()));
            }
            RunMountKind::Secret {
                id,
                env,
                required,
                owner,
            } => {
                let Some(secret) = self.builder.input.secrets.get(&id) else {
                    if required {
                        return Err(StepFailure::NoSecret(id));
                    }
                    let text = format!("secret `{id}` was not given, so the step runs without it");
                    self.warn(context.instruction.span, &text);
                    return Ok(None);
                };
                let value = match secret {
                    Secret::Value(value) => value.clone(),
                    Secret::File(path) => fs_err::read(path).map_err(StepFailure::Prepare)?,
                };
                let target = match (&target, &env) {
                    (None, None) => Some(format!("/run/secrets/{}", path::base(&id))),
                    _ => target,
                };
                return Ok(Some(PreparedMount {
                    target,
                    read_only: true,
                    what: What::Secret {
                        id,
                        value,
                        env,
                        owner,
                    },
                }));
            }
        };
        Ok(Some(PreparedMount {
            target,
            read_only: mount.read_only,
            what,
        }))
    }

    /// Returns the directory or file to mount where no copy is needed: nothing hidden, nothing merged, no writes.
    fn direct(
        &self,
        origin: &Origin,
        source: &str,
        read_only: bool,
        tree: &Tree,
    ) -> Result<Option<PathBuf>, StepFailure> {
        if !read_only {
            return Ok(None);
        }
        let root = match origin {
            Origin::Context if self.builder.ignore.is_empty() => self.builder.input.context.clone(),
            Origin::Directory(path) => path.clone(),
            _ => match self.origin_layers(origin).as_deref() {
                Some([only]) => only.path.clone(),
                _ => return Ok(None),
            },
        };
        let path = tree.resolve(Path::new(&path::below_root(source)))?;
        Ok(Some(root.join(path.as_path())))
    }
}

impl Prepared {
    /// Returns what counts for the key: declarations, and the content of bind mounts; never secrets or contents of caches.
    pub(super) fn key(&self) -> Value {
        self.0
            .iter()
            .map(|mount| {
                let what = match &mount.what {
                    What::Bind { digest, .. } => json!(["bind", digest]),
                    What::Cache { id, from, .. } => {
                        let from = from.as_ref().map(|(_, _, digest)| digest);
                        json!(["cache", id, from])
                    }
                    What::Tmpfs { size_bytes } => json!(["tmpfs", size_bytes]),
                    What::Secret { id, env, owner, .. } => {
                        json!(["secret", id, env, owner.mode, owner.uid, owner.gid])
                    }
                };
                json!([mount.target, mount.read_only, what])
            })
            .collect()
    }

    /// Makes what the mounts need.
    pub(super) fn make(self, run: &StageRun<'_>, room: &StepRoom) -> Result<Ready, StepFailure> {
        let mut ready = Ready::default();
        for (number, mount) in self.0.into_iter().enumerate() {
            let name = format!("mount{number}");
            let target = mount.target.unwrap_or_default();
            match mount.what {
                What::Bind {
                    tree,
                    items,
                    direct,
                    ..
                } => {
                    let source = match direct {
                        Some(path) => path,
                        None => copied(room, &name, &tree, &items)?,
                    };
                    ready.mounts.push(bind(source, &target, mount.read_only));
                }
                What::Tmpfs { size_bytes } => ready.mounts.push(Mount {
                    target,
                    kind: MountKind::Tmpfs {
                        size_bytes,
                        mode: 0o1777,
                        options: Vec::new(),
                    },
                    read_only: mount.read_only,
                }),
                What::Cache {
                    id,
                    from,
                    sharing,
                    owner,
                } => {
                    let caches = run.builder.cache.mounts();
                    let (source, lock) = cache(caches, &id, sharing, owner, from.as_ref())?;
                    ready.locks.extend(lock);
                    ready.mounts.push(bind(source, &target, mount.read_only));
                }
                What::Secret {
                    value, env, owner, ..
                } => {
                    if let Some(name) = env {
                        let value = String::from_utf8_lossy(&value);
                        ready.env.push(format!("{name}={value}"));
                    }
                    if !target.is_empty() {
                        let path = room.file(&name);
                        secret_file(&path, &value, owner).map_err(StepFailure::Prepare)?;
                        ready.mounts.push(bind(path, &target, true));
                    }
                }
            }
        }
        Ok(ready)
    }
}

/// Copies a selection to a place of its own and returns what is to be mounted: a directory, or one file.
fn copied(
    room: &StepRoom,
    name: &str,
    tree: &Tree,
    items: &[Item],
) -> Result<PathBuf, StepFailure> {
    let directory = room.directory(name).map_err(StepFailure::Prepare)?;
    fill(&directory, tree, items)?;
    match items {
        [only] if !only.is_directory() => Ok(directory.join(&only.name)),
        _ => Ok(directory),
    }
}

fn fill(directory: &Path, tree: &Tree, items: &[Item]) -> Result<(), StepFailure> {
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
fn cache(
    caches: &Path,
    id: &str,
    sharing: Sharing,
    owner: FileOwner,
    from: Option<&(Tree, Vec<Item>, String)>,
) -> Result<(PathBuf, Option<Lock>), StepFailure> {
    // The id is the user's text: it names a directory only as a digest.
    let digest = Digest::from_sha256(&Sha256::digest(id).into());
    let home = caches.join(digest.hex());
    fs_err::create_dir_all(&home).map_err(StepFailure::Prepare)?;
    let (name, held) = match sharing {
        Sharing::Shared => ("data".to_owned(), None),
        Sharing::Locked => {
            let held = lock(&home.join("data.lock"))?;
            ("data".to_owned(), Some(held))
        }
        Sharing::Private => private(&home)?,
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
    }
    drop(making);
    Ok((directory, held))
}

/// Finds a directory that nobody uses now.
fn private(home: &Path) -> Result<(String, Option<Lock>), StoreError> {
    for number in 0..PRIVATE_MAX {
        let name = format!("private{number}");
        if let Some(held) = try_lock(&home.join(format!("{name}.lock")))? {
            return Ok((name, Some(held)));
        }
    }
    let name = format!("private{PRIVATE_MAX}");
    let held = lock(&home.join(format!("{name}.lock")))?;
    Ok((name, Some(held)))
}

fn own(path: &Path, owner: FileOwner, mode: u32) -> std::io::Result<()> {
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(owner.mode.unwrap_or(mode));
    let (uid, gid) = (owner.uid.unwrap_or(0), owner.gid.unwrap_or(0));
    std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
    fs_err::set_permissions(path, permissions)
}

fn secret_file(path: &Path, value: &[u8], owner: FileOwner) -> std::io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(value)?;
    own(path, owner, 0o400)
}

/// Targets for mount points, with whether a file is mounted there.
pub(super) fn targets(mounts: &[Mount]) -> Vec<(String, bool)> {
    mounts
        .iter()
        .map(|mount| {
            let is_file = match &mount.kind {
                MountKind::Bind { source, .. } => !source.is_dir(),
                MountKind::Exact(_) | MountKind::Image { .. } | MountKind::Tmpfs { .. } => false,
            };
            (mount.target.clone(), is_file)
        })
        .collect()
}
