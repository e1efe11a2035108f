//! Contexts that are no directories: tar archives, git repositories, and files of web servers. They are fetched into the state root before
//! the build, and are gone after it.
//!
//! What they hold is somebody else's: paths in them never lead out, the Dockerfile and the ignore file included (see [`read_context_file`]).

use std::{
    io::{self, Read},
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use tokio_util::sync::CancellationToken;

use super::{
    error::BuildError,
    files::Tree,
    git::{GitOptions, GitSource},
    input::{BuildInput, DockerfileSource, NamedContext, Secret},
    runner::StepRunner,
    scope::is_proxy,
    solve::FILE_BYTES_MAX,
    workspace::{StepRoom, Workspace},
};
use crate::{
    image::{is_archive, unpack_archive},
    store::Root,
};

/// Keeps `.git` in a context that is a repository.
const KEEP_GIT_DIR: &str = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";

/// Fetched contexts; they are removed when this is dropped.
#[derive(Debug)]
pub struct FetchedContexts {
    // In this order: the rooms lie in the workspace.
    _rooms: Vec<StepRoom>,
    _workspace: Workspace,
}

/// An address of a context.
enum Address {
    Repository(GitSource),
    Web(String),
}

/// What an address turned out to be.
enum Fetched {
    Directory(PathBuf),
    /// A Dockerfile alone.
    Dockerfile(String),
}

/// Whether a context is fetched rather than found on this machine.
pub(super) fn is_address(text: &str) -> bool {
    text.contains("://") || text.starts_with("github.com/") || GitSource::parse(text).is_some()
}

fn address(text: &str) -> Result<Address, BuildError> {
    let full = match text.strip_prefix("github.com/") {
        Some(_) => format!("https://{}.git", text.trim_end_matches(".git")),
        None => text.to_owned(),
    };
    if let Some(repository) = GitSource::parse(&full) {
        return repository
            .map(Address::Repository)
            .map_err(|source| BuildError::Repository {
                address: text.to_owned(),
                source,
            });
    }
    if full.starts_with("http://") || full.starts_with("https://") {
        return Ok(Address::Web(full));
    }
    Err(BuildError::Key {
        key: "context".to_owned(),
        value: text.to_owned(),
        hint: "a context is a directory, an archive, a git repository, or an address of http or https",
    })
}

impl BuildInput {
    /// Fetches and unpacks every context that is no directory, and makes the build read what was in it; `None` when all are directories.
    ///
    /// # Errors
    ///
    /// Addresses that cannot be had, files that are no archives, and archives that hold what is refused: names that lead out stay inside,
    /// removals are refused.
    pub fn fetch_contexts(
        &mut self,
        root: &Root,
        runner: &dyn StepRunner,
        cancel: &CancellationToken,
    ) -> Result<Option<FetchedContexts>, BuildError> {
        let context = match &self.remote {
            Some(_) => None,
            None => Some(
                fs_err::metadata(&self.context).map_err(|source| BuildError::Read {
                    path: self.context.display().to_string(),
                    source,
                })?,
            ),
        };
        let is_remote = |context: &NamedContext| matches!(context, NamedContext::Address(_));
        let is_directory = context.as_ref().is_some_and(std::fs::Metadata::is_dir);
        if is_directory && !self.additional_contexts.values().any(is_remote) {
            return Ok(None);
        }
        let workspace = Workspace::create(&root.tmp()).map_err(BuildError::Workspace)?;
        let mut rooms = Vec::new();
        let mut fetch = Fetch {
            workspace: &workspace,
            rooms: &mut rooms,
            runner,
            cancel,
        };
        if let Some(address) = self.remote.clone() {
            match fetch.address(self, &address)? {
                Fetched::Directory(path) => self.context = path,
                Fetched::Dockerfile(text) => {
                    self.context = fetch.room()?;
                    self.dockerfile = DockerfileSource::Inline {
                        name: address,
                        text,
                    };
                }
            }
            self.fetched.insert(self.context.clone());
        } else if !is_directory {
            self.context = fetch.unpack(&self.context)?;
            self.fetched.insert(self.context.clone());
        }
        let mut contexts = std::mem::take(&mut self.additional_contexts);
        for context in contexts.values_mut() {
            let NamedContext::Address(text) = context else {
                continue;
            };
            let Fetched::Directory(path) = fetch.address(self, text)? else {
                return Err(BuildError::Key {
                    key: "additional_contexts".to_owned(),
                    value: text.clone(),
                    hint: "the address leads to a file that is no tar archive",
                });
            };
            self.fetched.insert(path.clone());
            *context = NamedContext::Directory(path);
        }
        self.additional_contexts = contexts;
        Ok(Some(FetchedContexts {
            _rooms: rooms,
            _workspace: workspace,
        }))
    }

    /// Whether a directory was fetched for this build: what is learnt about its files is of no use to another.
    pub(super) fn is_fetched(&self, directory: &Path) -> bool {
        self.fetched.contains(directory)
    }
}

/// Fetches contexts into rooms.
struct Fetch<'a> {
    workspace: &'a Workspace,
    rooms: &'a mut Vec<StepRoom>,
    runner: &'a dyn StepRunner,
    cancel: &'a CancellationToken,
}

impl Fetch<'_> {
    /// Makes an empty directory.
    fn room(&mut self) -> Result<PathBuf, BuildError> {
        let room = self.workspace.step().map_err(BuildError::Workspace)?;
        let directory = room.directory("context").map_err(BuildError::Workspace)?;
        self.rooms.push(room);
        Ok(directory)
    }

    fn address(&mut self, input: &BuildInput, text: &str) -> Result<Fetched, BuildError> {
        match address(text)? {
            Address::Repository(source) => {
                let directory = self.room()?;
                let keep = input
                    .args
                    .get(KEEP_GIT_DIR)
                    .is_some_and(|value| value == "1");
                let keep = source.keep_git_dir.unwrap_or(keep);
                let checkout = source.checkout(&directory, keep, &git_options(input, self.cancel));
                let checkout = checkout.map_err(|source| BuildError::Repository {
                    address: text.to_owned(),
                    source,
                })?;
                Ok(Fetched::Directory(checkout.path))
            }
            Address::Web(url) => self.web(input, &url),
        }
    }

    /// Fetches a file: an archive is unpacked, anything else is a Dockerfile.
    fn web(&mut self, input: &BuildInput, url: &str) -> Result<Fetched, BuildError> {
        let directory = self.room()?;
        let path = directory.with_file_name("file");
        let mut file = fs_err::File::create(&path).map_err(BuildError::Workspace)?;
        let authorization = authorization(input, url);
        let mut write = |bytes: &[u8]| io::Write::write_all(&mut file, bytes);
        self.runner
            .download(url, authorization.as_deref(), &mut write)
            .map_err(|source| BuildError::Download {
                address: url.to_owned(),
                source,
            })?;
        drop(file);
        let open = || fs_err::File::open(&path).map_err(BuildError::Workspace);
        if is_archive(open()?) {
            return self.unpack(&path).map(Fetched::Directory);
        }
        let mut text = String::new();
        let read = open()?.take(FILE_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|source| BuildError::Read {
            path: url.to_owned(),
            source,
        })?;
        Ok(Fetched::Dockerfile(text))
    }

    fn unpack(&mut self, path: &Path) -> Result<PathBuf, BuildError> {
        let read = |source| BuildError::Read {
            path: path.display().to_string(),
            source,
        };
        let archive = fs_err::File::open(path).map_err(read)?;
        let size = archive.metadata().map_err(read)?.len();
        let directory = self.room()?;
        let opened = fs_err::File::open(&directory).map_err(BuildError::Workspace)?;
        unpack_archive(archive, opened.as_fd(), size).map_err(|source| BuildError::Archive {
            path: path.display().to_string(),
            source,
        })?;
        Ok(directory)
    }
}

/// Reads a small file of a fetched context, links resolved inside of it; `None` = there is none.
pub(super) fn read_context_file(
    context: &Path,
    path: &Path,
) -> Result<Option<Vec<u8>>, BuildError> {
    let shown = || path.display().to_string();
    let fail = |error: runtime::Error| BuildError::Read {
        path: shown(),
        source: io::Error::other(error),
    };
    let tree = Tree::open(context).map_err(fail)?;
    let resolved = tree.resolve(path).map_err(fail)?;
    if tree.stat(&resolved).map_err(fail)?.is_none() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let file = tree.file(&resolved).map_err(fail)?;
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    let read = read.map_err(|source| BuildError::Read {
        path: shown(),
        source,
    })?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(BuildError::Read {
            path: shown(),
            source: io::ErrorKind::FileTooLarge.into(),
        });
    }
    Ok(Some(bytes))
}

/// Returns how repositories are fetched: with the secrets `GIT_AUTH_TOKEN` or `GIT_AUTH_HEADER`, and the ssh agent or keys `default`.
pub(super) fn git_options(input: &BuildInput, cancel: &CancellationToken) -> GitOptions {
    let proxy =
        |(name, value): (&String, &String)| is_proxy(name).then(|| (name.clone(), value.clone()));
    let token = || Some(format!("Bearer {}", secret_text(input, "GIT_AUTH_TOKEN")?));
    GitOptions {
        authorization: secret_text(input, "GIT_AUTH_HEADER").or_else(token),
        ssh: input.ssh.get("default").cloned().unwrap_or_default(),
        proxies: input.args.iter().filter_map(proxy).collect(),
        cancel: cancel.clone(),
    }
}

/// Returns the header that a secret has for an address: `HTTP_AUTH_HEADER_<host>` as it is, `HTTP_AUTH_TOKEN_<host>` as a bearer.
pub(super) fn authorization(input: &BuildInput, address: &str) -> Option<String> {
    let host = host(address)?;
    let header = secret_text(input, &format!("HTTP_AUTH_HEADER_{host}"));
    header.or_else(|| {
        let token = secret_text(input, &format!("HTTP_AUTH_TOKEN_{host}"))?;
        Some(format!("Bearer {token}"))
    })
}

fn secret_text(input: &BuildInput, id: &str) -> Option<String> {
    let bytes = match input.secrets.get(id)? {
        Secret::Value(value) => value.clone(),
        Secret::File(path) => fs_err::read(path).ok()?,
    };
    let text = String::from_utf8(bytes).ok()?;
    Some(text.trim().to_owned())
}

/// Returns host and port of an address, as names of secrets hold it.
fn host(address: &str) -> Option<&str> {
    let rest = address.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    Some(authority.rsplit('@').next().unwrap_or(authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_directories() {
        for text in [
            "https://h/x.tar.gz",
            "http://h/Dockerfile",
            "git@h:o/x.git#main",
            "ssh://h/x",
            "github.com/o/x",
            "ftp://h/x",
        ] {
            assert!(is_address(text), "{text}");
        }
        for text in ["/dir", "dir/x.git", ".", "a:b"] {
            assert!(!is_address(text), "{text}");
        }
        assert!(address("ftp://h/x").is_err());
        let Ok(Address::Repository(source)) = address("github.com/o/x") else {
            panic!("it is a repository");
        };
        assert_eq!(source.remote, "https://github.com/o/x.git");
        assert!(matches!(
            address("https://h/x.git?x=1"),
            Err(BuildError::Repository { .. })
        ));
    }

    #[test]
    fn addresses_have_a_host_with_its_port() {
        for (address, expected) in [
            ("https://h:1/a/b.tar?x=/y#z", "h:1"),
            ("http://u:p@h/", "h"),
            ("http://h", "h"),
        ] {
            assert_eq!(host(address), Some(expected), "{address}");
        }
    }

    #[test]
    fn files_of_a_context_are_inside_of_it() {
        let outer = tempfile::tempdir().unwrap();
        let context = outer.path().join("context");
        fs_err::create_dir(&context).unwrap();
        fs_err::write(outer.path().join("secret"), "s").unwrap();
        fs_err::write(context.join("inner"), "i").unwrap();
        for (name, target) in [("up", "../secret"), ("absolute", "/inner")] {
            fs_err::os::unix::fs::symlink(target, context.join(name)).unwrap();
        }
        let read = |name: &str| read_context_file(&context, Path::new(name)).unwrap();
        assert_eq!(read("up"), None);
        assert_eq!(read("../secret"), None);
        assert_eq!(read("absolute"), Some(b"i".to_vec()));
    }
}
