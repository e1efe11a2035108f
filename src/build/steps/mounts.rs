//! `RUN --mount`: what each mount reads is decided and digested first; files and locks are made only when the step really runs.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use runtime::spec::{Mount, MountKind};
use serde_json::{Value, json};

use super::{
    mount_files::{cache, fill, relay, secret_file},
    run::bind,
};
use crate::{
    build::{
        cache::Key,
        dockerfile::{FileOwner, Located, Run, RunMount, RunMountKind, Sharing},
        error::StepFailure,
        files::{Item, Tree},
        input::Secret,
        path,
        plan::Origin,
        ssh::Relay,
        stage::{Context, StageRun},
        workspace::StepRoom,
    },
    store::Lock,
};

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
    Agent {
        id: String,
        /// The socket of the host, or key files.
        agent: Vec<PathBuf>,
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
    agents: Vec<Relay>,
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
            RunMountKind::Ssh {
                id,
                required,
                owner,
            } => {
                let Some(agent) = self.builder.input.ssh.get(&id) else {
                    if required {
                        return Err(StepFailure::NoAgent(id));
                    }
                    let text =
                        format!("ssh agent `{id}` was not given, so the step runs without it");
                    self.warn(context.instruction.span, &text);
                    return Ok(None);
                };
                let agent = agent.clone();
                What::Agent { id, agent, owner }
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
            Origin::Directory(directory) if directory.ignore.is_empty() => directory.path.clone(),
            _ => match self.origin_layers(origin).as_deref() {
                Some([only]) => self.builder.path(only)?,
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
                    What::Agent { id, owner, .. } => {
                        json!(["ssh", id, owner.mode, owner.uid, owner.gid])
                    }
                };
                json!([mount.target, mount.read_only, what])
            })
            .collect()
    }

    /// Returns what stands for the caches that only one step may use at a time, each once and always in the same order: so a step that
    /// mounts one twice does not wait for itself, and two steps do not wait for each other.
    pub(super) fn claims(&self) -> Vec<Key> {
        let locked = self.0.iter().filter_map(|mount| match &mount.what {
            What::Cache {
                id,
                sharing: Sharing::Locked,
                ..
            } => Some(id),
            _ => None,
        });
        let ids: BTreeSet<&String> = locked.collect();
        let key = |id| Key::of(json!({ "locked cache": id }));
        ids.into_iter().map(key).collect()
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
                    let (source, locks) = cache(caches, &id, sharing, owner, from.as_ref())?;
                    ready.locks.extend(locks);
                    ready.mounts.push(bind(source, &target, mount.read_only));
                }
                What::Agent { agent, owner, .. } => {
                    let relay = relay(room, &name, &agent, owner)?;
                    let target = if target.is_empty() {
                        format!("/run/buildkit/ssh_agent.{}", ready.agents.len())
                    } else {
                        target
                    };
                    if ready.agents.is_empty() {
                        ready.env.push(format!("SSH_AUTH_SOCK={target}"));
                    }
                    ready.mounts.push(bind(room.file(&name), &target, true));
                    ready.agents.push(relay);
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
