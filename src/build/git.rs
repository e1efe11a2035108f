//! Git repositories as sources: `https://host/x.git#ref:subdir`, `git@host:x`, and the query form of both.
//!
//! The repository is fetched by the host's own `git`, the one program beside our own that a build starts, and only where a Dockerfile or
//! a context names a repository. It sees none of the host's configuration, asks nobody for passwords, and may speak http, https, ssh and
//! git only: `ext::` and `file://` would run programs or read files of the host. It runs no hook and no filter: those would come from
//! configuration or templates, and there are none; commands in `.gitmodules` git itself refuses.
//!
//! Why not a client of our own: fetching by HTTP alone would be some 800 lines of protocol, packs and deltas, but repositories of companies
//! come by ssh, with submodules, and by a commit's short name, so the program would be needed all the same; and git's own reading of hostile
//! packs has had twenty years of attention. Where it is missing the error says so, and nothing else of a build needs it.

mod program;

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio_util::sync::CancellationToken;

use self::program::Git;
use super::ssh::{Agent, Relay, SshError};
use crate::model::chain;

/// Schemes that git may use.
const PROTOCOLS: &str = "http:https:ssh:git";

/// A repository and what is wanted of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GitSource {
    /// Its address, without fragment and query.
    pub(crate) remote: String,
    /// Branch, tag or commit; `None` = the default branch.
    pub(crate) reference: Option<String>,
    /// Directory in it.
    pub(crate) subdir: Option<String>,
    /// The commit, or its beginning, that it must be.
    pub(crate) commit: Option<String>,
    /// Keep `.git`.
    pub(crate) keep_git_dir: Option<bool>,
    /// Fetch submodules; the default is yes.
    pub(crate) without_submodules: bool,
}

/// A repository could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum GitError {
    #[error("unexpected query \"{0}\"")]
    Query(String),
    #[error("query \"{0}\" has multiple values")]
    QueryTwice(String),
    #[error("query \"{0}\" has no value")]
    QueryEmpty(String),
    #[error("`{0}` is no git reference")]
    Reference(String),
    #[error("`{0}` leads out of the repository")]
    Subdir(String),
    #[error(
        "the program `git` is not installed, and repositories are fetched by it: install it, or clone the repository and use its directory"
    )]
    NoGit,
    #[error("run git: {0}")]
    Run(String),
    #[error("cancelled")]
    Cancelled,
    #[error("{0}")]
    Ssh(String),
    #[error("git {step} of `{remote}`: {complaint}")]
    Failed {
        step: String,
        remote: String,
        complaint: String,
    },
    #[error("`{remote}` is at commit {found}, not at {wanted}")]
    Commit {
        remote: String,
        found: String,
        wanted: String,
    },
    #[error("there is no directory `{subdir}` in `{remote}`")]
    NoSubdir { subdir: String, remote: String },
}

/// A checked-out repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkout {
    /// The directory that was asked for.
    pub(crate) path: PathBuf,
    /// Its commit.
    pub(crate) commit: String,
}

/// How to fetch.
#[derive(Debug, Clone, Default)]
pub(crate) struct GitOptions {
    /// Value of the `Authorization` header for http and https.
    pub(crate) authorization: Option<String>,
    /// Socket of an ssh agent, or key files.
    pub(crate) ssh: Vec<PathBuf>,
    /// Proxy variables.
    pub(crate) proxies: Vec<(String, String)>,
    /// Cancelled when the build does not matter any more: git is killed then.
    pub(crate) cancel: CancellationToken,
}

impl GitSource {
    /// Parses an address; `None` = it is no repository.
    pub(crate) fn parse(text: &str) -> Option<Result<Self, GitError>> {
        let (address, fragment) = match text.split_once('#') {
            Some((address, fragment)) => (address, Some(fragment)),
            None => (text, None),
        };
        let (remote, query) = match address.split_once('?') {
            Some((remote, query)) => (remote, Some(query)),
            None => (address, None),
        };
        let web = remote.starts_with("http://") || remote.starts_with("https://");
        let is_git = remote.starts_with("git://")
            || remote.starts_with("ssh://")
            || is_scp(remote)
            || (web && remote.trim_end_matches('/').strip_suffix(".git").is_some());
        is_git.then(|| Self::of_parts(remote, fragment, query))
    }

    fn of_parts(
        remote: &str,
        fragment: Option<&str>,
        query: Option<&str>,
    ) -> Result<Self, GitError> {
        let mut source = Self {
            remote: remote.to_owned(),
            ..Self::default()
        };
        if let Some(fragment) = fragment {
            let (reference, subdir) = match fragment.split_once(':') {
                Some((reference, subdir)) => (reference, Some(subdir)),
                None => (fragment, None),
            };
            source.reference = some(reference);
            source.subdir = subdir.and_then(some);
        }
        let mut seen = Vec::new();
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if seen.contains(&key) {
                return Err(GitError::QueryTwice(key.to_owned()));
            }
            seen.push(key);
            source.query(key, value)?;
        }
        source.check()
    }

    fn query(&mut self, key: &str, value: &str) -> Result<(), GitError> {
        let needed = || some(value).ok_or_else(|| GitError::QueryEmpty(key.to_owned()));
        let boolean = || match value {
            "" | "1" | "true" => Ok(true),
            "0" | "false" => Ok(false),
            _ => Err(GitError::Query(format!("{key}={value}"))),
        };
        match key {
            "ref" => self.reference = Some(needed()?),
            "tag" => self.reference = Some(format!("refs/tags/{}", needed()?)),
            "branch" => self.reference = Some(format!("refs/heads/{}", needed()?)),
            "subdir" => self.subdir = Some(needed()?),
            "checksum" | "commit" => self.commit = Some(needed()?),
            "keep-git-dir" => self.keep_git_dir = Some(boolean()?),
            "submodules" => self.without_submodules = !boolean()?,
            // Times do not count here, and a commit is always fetched when its name is given.
            "mtime" | "fetch-by-commit" => {}
            _ => return Err(GitError::Query(key.to_owned())),
        }
        Ok(())
    }

    /// What begins with a dash would be an option of git.
    fn check(self) -> Result<Self, GitError> {
        let reference = self.reference.clone().unwrap_or_default();
        let odd = |c: char| c.is_whitespace() || c.is_control() || "~^:?*[\\".contains(c);
        if reference.starts_with('-') || reference.contains("..") || reference.contains(odd) {
            return Err(GitError::Reference(reference));
        }
        let subdir = self.subdir.clone().unwrap_or_default();
        if subdir.split('/').any(|part| part == "..") {
            return Err(GitError::Subdir(subdir));
        }
        if self.remote.starts_with('-') {
            return Err(GitError::Reference(self.remote));
        }
        Ok(self)
    }

    /// Fetches the repository into an empty directory.
    pub(crate) fn checkout(
        &self,
        directory: &Path,
        keep_git_dir: bool,
        options: &GitOptions,
    ) -> Result<Checkout, GitError> {
        self.checkout_by(directory, keep_git_dir, options, PROTOCOLS)
    }

    fn checkout_by(
        &self,
        directory: &Path,
        keep_git_dir: bool,
        options: &GitOptions,
        protocols: &str,
    ) -> Result<Checkout, GitError> {
        let (agent, _relay) = Self::agent(directory, &options.ssh)?;
        let git = Git {
            source: self,
            directory,
            options,
            protocols,
            agent,
        };
        git.run("init", &["init", "--quiet", "."])?;
        let wanted = self.reference.as_deref().or(self.commit.as_deref());
        let wanted = wanted.unwrap_or("HEAD");
        let shallow = ["fetch", "--quiet", "--depth=1", "--", &self.remote, wanted];
        if let Err(error) = git.run("fetch", &shallow) {
            if !is_commit(wanted) {
                return Err(error);
            }
            // A server may refuse commits by name, and short names are known to nobody but us.
            let all = "+refs/*:refs/remotes/origin/*";
            git.run("fetch", &["fetch", "--quiet", "--", &self.remote, all])?;
            git.run("checkout", &["checkout", "--quiet", "--detach", wanted])?;
        } else {
            let head = ["checkout", "--quiet", "--detach", "FETCH_HEAD"];
            git.run("checkout", &head)?;
        }
        let commit = git.run("rev-parse", &["rev-parse", "HEAD"])?;
        if let Some(wanted) = self.commit.as_ref()
            && !commit.starts_with(wanted.as_str())
        {
            return Err(GitError::Commit {
                remote: self.remote.clone(),
                found: commit,
                wanted: wanted.clone(),
            });
        }
        if !self.without_submodules && directory.join(".gitmodules").exists() {
            let update = [
                "submodule",
                "--quiet",
                "update",
                "--init",
                "--recursive",
                "--depth=1",
            ];
            git.run("submodule update", &update)?;
        }
        if !keep_git_dir {
            remove_git(directory).map_err(|error| GitError::Run(error.to_string()))?;
        }
        Ok(Checkout {
            path: self.directory(directory)?,
            commit,
        })
    }

    /// Returns the socket that ssh shall use. Keys are answered for beside the directory, until the relay is dropped.
    fn agent(
        directory: &Path,
        paths: &[PathBuf],
    ) -> Result<(Option<PathBuf>, Option<Relay>), GitError> {
        let fail = |error: SshError| GitError::Ssh(chain(&error).join(": "));
        if paths.is_empty() {
            return Ok((None, None));
        }
        match Agent::open(paths).map_err(fail)? {
            Agent::Socket(socket) => Ok((Some(socket), None)),
            keys @ Agent::Keys(_) => {
                let mut socket = directory.as_os_str().to_owned();
                socket.push(".agent");
                let relay = Relay::start(Path::new(&socket), keys).map_err(fail)?;
                Ok((Some(relay.address()), Some(relay)))
            }
        }
    }

    /// Returns the subdirectory; a link on the way would lead out.
    fn directory(&self, root: &Path) -> Result<PathBuf, GitError> {
        let mut path = root.to_owned();
        let subdir = self.subdir.clone().unwrap_or_default();
        for part in subdir.split('/').filter(|part| !matches!(*part, "" | ".")) {
            path.push(part);
            let is_directory =
                fs_err::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
            if !is_directory {
                return Err(GitError::NoSubdir {
                    subdir,
                    remote: self.remote.clone(),
                });
            }
        }
        Ok(path)
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// `user@host:path`, as scp writes it.
fn is_scp(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else {
        return false;
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let host = rest.split_once(':').map(|(host, _)| host);
    !user.is_empty()
        && user.chars().all(plain)
        && host.is_some_and(|host| !host.is_empty() && host.chars().all(plain))
        && !rest.contains("://")
}

/// Whether a text is a commit's name or its beginning.
fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Removes `.git`, and the files of that name in submodules.
fn remove_git(directory: &Path) -> io::Result<()> {
    for entry in fs_err::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let path = entry.path();
        match (entry.file_name() == ".git", kind.is_dir()) {
            (true, true) => fs_err::remove_dir_all(&path)?,
            (true, false) => fs_err::remove_file(&path)?,
            (false, true) => remove_git(&path)?,
            (false, false) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
