//! `RUN --mount=…`: its keys, and what they mean once variables are expanded.

use super::{
    error::{ExpandError, Located, MountProblem, Problem, nearest},
    fields::{bytes, csv},
    source::{Span, Word},
};

/// A `--mount` flag as written; keys and form are checked, values may hold variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountFlag {
    /// `key` or `key=value`, in order; keys are lower case.
    pub fields: Vec<MountField>,
    /// Where it stands.
    pub span: Span,
}

/// One field of a `--mount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountField {
    /// Its key.
    pub key: String,
    /// Its value as written.
    pub value: Option<String>,
}

/// A mount of one RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunMount {
    /// What it is.
    pub kind: RunMountKind,
    /// `target` as given.
    pub target: Option<String>,
    /// No writes.
    pub read_only: bool,
}

/// What a mount of RUN is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunMountKind {
    /// A part of the context, a stage or an image.
    Bind {
        /// Stage, image or context; `None` = the build context.
        from: Option<String>,
        /// Path in it.
        source: String,
    },
    /// A directory that outlives the build.
    Cache {
        /// Its identity; `None` = the target.
        id: Option<String>,
        /// What fills it at first.
        from: Option<String>,
        /// Path in `from`.
        source: String,
        /// Who may use it at the same time.
        sharing: Sharing,
        /// Owner and mode of a new one.
        owner: FileOwner,
    },
    /// Memory.
    Tmpfs {
        /// Size in bytes.
        size_bytes: Option<u64>,
    },
    /// A secret.
    Secret {
        /// Its id.
        id: String,
        /// Give it as this environment variable.
        env: Option<String>,
        /// Fail when there is none.
        required: bool,
        /// Owner and mode of the file.
        owner: FileOwner,
    },
    /// An agent socket.
    Ssh {
        /// Its id.
        id: String,
        /// Fail when there is none.
        required: bool,
        /// Owner and mode of the socket.
        owner: FileOwner,
    },
}

/// Owner and mode as given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileOwner {
    /// `mode`.
    pub mode: Option<u32>,
    /// `uid`.
    pub uid: Option<u32>,
    /// `gid`.
    pub gid: Option<u32>,
}

/// Who may use a cache mount at the same time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sharing {
    /// All.
    #[default]
    Shared,
    /// Each its own.
    Private,
    /// One after the other.
    Locked,
}

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "env",
];
const KINDS: [&str; 5] = ["bind", "cache", "tmpfs", "secret", "ssh"];
const SHARINGS: [&str; 3] = ["shared", "private", "locked"];

impl MountFlag {
    /// Parses the value of a flag; what holds no variable is checked at once.
    pub(crate) fn parse(word: &Word) -> Result<Self, Located> {
        let fail = |problem| Located::new(word.span, Problem::Mount(problem));
        let mut flag = Self {
            fields: Vec::new(),
            span: word.span,
        };
        let fields = csv(&word.text).ok_or_else(|| fail(MountProblem::Csv(word.text.clone())))?;
        for field in fields {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (field.as_str(), None),
            };
            let key = key.to_lowercase();
            if !KEYS.contains(&key.as_str()) {
                let suggestion = nearest(&key, KEYS);
                let mut error = fail(MountProblem::UnknownKey { key, field });
                error.suggestion = suggestion;
                return Err(error);
            }
            let bare = ["readonly", "ro", "readwrite", "rw", "required"];
            if value.is_none() && !bare.contains(&key.as_str()) {
                return Err(fail(MountProblem::Bare(field)));
            }
            if key == "from" && value.as_deref().is_some_and(|value| value.contains('$')) {
                return Err(fail(MountProblem::FromVariable));
            }
            flag.fields.push(MountField { key, value });
        }
        let constant = flag
            .fields
            .iter()
            .all(|field| !field.value.as_deref().unwrap_or("").contains('$'));
        if constant {
            flag.resolve(&mut |value| Ok(value.to_owned()))?;
        }
        Ok(flag)
    }

    /// Returns the value of `from`, which holds no variables.
    pub fn from(&self) -> Option<&str> {
        let from = self.fields.iter().rfind(|field| field.key == "from");
        from.and_then(|field| field.value.as_deref())
            .filter(|from| !from.is_empty())
    }

    /// Expands the values and gives the mount its type.
    pub(crate) fn resolve(
        &self,
        expand: &mut dyn FnMut(&str) -> Result<String, ExpandError>,
    ) -> Result<RunMount, Located> {
        let mut values = Values::default();
        for field in &self.fields {
            let value = match (&field.value, field.key.as_str()) {
                (Some(value), "from") => Some(value.clone()),
                (Some(value), _) => Some(
                    expand(value)
                        .map_err(|error| Located::new(self.span, Problem::Expand(error)))?,
                ),
                (None, _) => None,
            };
            values
                .set(&field.key, value.as_deref())
                .map_err(|problem| self.located(problem))?;
        }
        values.finish().map_err(|problem| self.located(problem))
    }

    fn located(&self, problem: MountProblem) -> Located {
        let suggestion = match &problem {
            MountProblem::Kind(kind) => nearest(kind, KINDS),
            MountProblem::Sharing(sharing) => nearest(sharing, SHARINGS),
            _ => None,
        };
        let mut error = Located::new(self.span, Problem::Mount(problem));
        error.suggestion = suggestion;
        error
    }
}

/// The values of one mount while they are collected.
#[derive(Default)]
struct Values {
    kind: Option<String>,
    from: Option<String>,
    source: Option<String>,
    target: Option<String>,
    read_only: Option<bool>,
    id: Option<String>,
    sharing: Option<Sharing>,
    required: Option<bool>,
    size_bytes: Option<u64>,
    env: Option<String>,
    owner: FileOwner,
}

impl Values {
    fn set(&mut self, key: &str, value: Option<&str>) -> Result<(), MountProblem> {
        let text = value.unwrap_or_default().to_owned();
        let bad = || MountProblem::Value {
            key: key.to_owned(),
            value: text.clone(),
        };
        let boolean = || match text.as_str() {
            _ if value.is_none() => Ok(true),
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err(bad()),
        };
        match key {
            "type" => {
                self.kind = Some(text.to_lowercase());
                if !KINDS.contains(&text.to_lowercase().as_str()) {
                    return Err(MountProblem::Kind(text));
                }
            }
            "from" => self.from = Some(text).filter(|from| !from.is_empty()),
            "source" | "src" => self.source = Some(text),
            "target" | "dst" | "destination" => self.target = Some(text),
            "readonly" | "ro" => self.read_only = Some(boolean()?),
            "readwrite" | "rw" => self.read_only = Some(!boolean()?),
            "required" => self.required = Some(boolean()?),
            "id" => self.id = Some(text).filter(|id| !id.is_empty()),
            "env" => self.env = Some(text),
            "size" => self.size_bytes = Some(bytes(&text).ok_or_else(bad)?),
            "sharing" => {
                self.sharing = Some(match text.to_lowercase().as_str() {
                    "shared" => Sharing::Shared,
                    "private" => Sharing::Private,
                    "locked" => Sharing::Locked,
                    _ => return Err(MountProblem::Sharing(text)),
                });
            }
            "mode" => {
                self.owner.mode = Some(u32::from_str_radix(&text, 8).map_err(|_malformed| bad())?);
            }
            "uid" => self.owner.uid = Some(text.parse().map_err(|_malformed| bad())?),
            "gid" => self.owner.gid = Some(text.parse().map_err(|_malformed| bad())?),
            _ => return Err(bad()),
        }
        Ok(())
    }

    fn finish(self) -> Result<RunMount, MountProblem> {
        let kind = self.kind.clone().unwrap_or_else(|| "bind".to_owned());
        self.check(&kind)?;
        let read_only = self
            .read_only
            .unwrap_or(!matches!(kind.as_str(), "cache" | "tmpfs"));
        let required = self.required.unwrap_or(false);
        let target = self.target.filter(|target| !target.is_empty());
        let kind = match kind.as_str() {
            "cache" => RunMountKind::Cache {
                id: self.id,
                from: self.from,
                source: self.source.unwrap_or_default(),
                sharing: self.sharing.unwrap_or_default(),
                owner: self.owner,
            },
            "tmpfs" => RunMountKind::Tmpfs {
                size_bytes: self.size_bytes,
            },
            "secret" => {
                let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
                let named = self.source.filter(|source| !source.is_empty());
                let named = named.or(self.id).or_else(|| target.as_deref().map(base));
                RunMountKind::Secret {
                    id: named.ok_or(MountProblem::SecretSource)?,
                    env: self.env,
                    required,
                    owner: self.owner,
                }
            }
            "ssh" => RunMountKind::Ssh {
                id: self.id.unwrap_or_else(|| "default".to_owned()),
                required,
                owner: self.owner,
            },
            _ => RunMountKind::Bind {
                from: self.from,
                source: self.source.unwrap_or_default(),
            },
        };
        let needs_target = !matches!(kind, RunMountKind::Secret { .. } | RunMountKind::Ssh { .. });
        if needs_target && target.as_deref().is_none_or(|target| clean(target) == "/") {
            return Err(MountProblem::Target(target.unwrap_or_default()));
        }
        Ok(RunMount {
            kind,
            target,
            read_only,
        })
    }

    /// Refuses keys that the type does not have.
    fn check(&self, kind: &str) -> Result<(), MountProblem> {
        let key = |key: &str| MountProblem::Key {
            key: key.to_owned(),
            kind: kind.to_owned(),
        };
        let file = matches!(kind, "secret" | "ssh");
        if self.required.is_some() && !file {
            return Err(key("required"));
        }
        if self.env.is_some() && kind != "secret" {
            return Err(key("env"));
        }
        if self.size_bytes.is_some() && kind != "tmpfs" {
            return Err(key("size"));
        }
        let not_allowed = |key| MountProblem::NotAllowed {
            key,
            kind: kind.to_owned(),
        };
        if !file && kind != "cache" {
            for (key, value) in [
                ("mode", self.owner.mode),
                ("uid", self.owner.uid),
                ("gid", self.owner.gid),
            ] {
                if value.is_some() {
                    return Err(not_allowed(key));
                }
            }
        }
        if kind == "secret" && self.from.is_some() {
            return Err(MountProblem::SecretFrom);
        }
        if kind == "secret" && self.source.is_some() && self.id.is_some() {
            return Err(MountProblem::SecretTwice);
        }
        if kind == "ssh" && self.source.is_some() {
            return Err(MountProblem::SshSource);
        }
        if self.sharing.is_some() && kind != "cache" {
            return Err(MountProblem::SharingKind(kind.to_owned()));
        }
        Ok(())
    }
}

/// Cleans a path lexically: `/a//b/../c/` is `/a/c`.
fn clean(path: &str) -> String {
    super::super::path::clean(path)
}
