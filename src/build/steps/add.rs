//! ADD: COPY that fetches addresses and repositories, and unpacks archives.
//!
//! Whatever is fetched lands in the step's own room first, so that its content decides whether the cache has the result. An address with
//! `--checksum` is looked up before it is fetched.

use std::{
    io::Write,
    os::{fd::AsFd, unix::fs::PermissionsExt},
    path::Path,
};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{
    copy::{Part, Source, exclude},
    transfer::Request,
};
use crate::{
    build::{
        dockerfile::Add,
        error::StepFailure,
        fetch::{authorization, git_options},
        files::{Entry, Tree},
        git::GitSource,
        ignore::Ignore,
        path,
        plan::Origin,
        stage::{Context, StageRun},
        workspace::StepRoom,
    },
    image::{is_archive, unpack_archive},
};

/// What one source of ADD is.
enum Addition {
    /// Files of the context.
    Local(String),
    Address(String),
    Repository(GitSource),
}

impl StageRun<'_> {
    pub(crate) fn add(&mut self, context: Context<'_>, add: &Add) -> Result<(), StepFailure> {
        let request = self.request(&add.transfer, false)?;
        let additions = additions(&request)?;
        let checksum = match &add.checksum {
            None => None,
            Some(word) => Some(self.scope.expand(&word.text)?).filter(|text| !text.is_empty()),
        };
        check(add, &additions, checksum.as_deref())?;
        let work = self.work("ADD", &request)?;
        let mut keys = Vec::new();
        if let (Some(checksum), [Addition::Address(address)]) = (&checksum, &additions[..]) {
            let promised = json!(["by checksum", file_name(address), checksum, add.unpack]);
            let promised = work.key(&promised);
            if self
                .take_cached(context, (&promised, &[]), &work.created_by)?
                .is_some()
            {
                return Ok(());
            }
            keys.push(promised);
        }
        let room = self
            .builder
            .workspace
            .step()
            .map_err(StepFailure::Prepare)?;
        let exclude = exclude(&request)?;
        let mut parts = Vec::new();
        for (number, addition) in additions.iter().enumerate() {
            let name = format!("source{number}");
            match addition {
                Addition::Local(written) => {
                    let source = self.source(&Origin::Context)?;
                    let items = self.select(context, &source, &exclude, &request, written)?;
                    let unpack = add.unpack != Some(false);
                    local_parts(&source, items, unpack, &mut parts)?;
                }
                Addition::Address(address) => {
                    let directory = room.directory(&name).map_err(StepFailure::Prepare)?;
                    let unpack = add.unpack == Some(true);
                    parts.push(self.address(address, &directory, checksum.as_deref(), unpack)?);
                }
                Addition::Repository(repository) => {
                    let directory = room.directory(&name).map_err(StepFailure::Prepare)?;
                    let repository = GitSource {
                        commit: checksum.clone().or_else(|| repository.commit.clone()),
                        ..repository.clone()
                    };
                    let keep = add.keep_git_dir.or(repository.keep_git_dir);
                    let keep = keep.unwrap_or(false);
                    let options = git_options(self.builder.input, self.builder.cancel);
                    let checkout = repository.checkout(&directory, keep, &options)?;
                    parts.push(whole(&checkout.path, &exclude)?);
                }
            }
        }
        let result = self.write_parts(context, &work, keys, parts);
        drop(room);
        result
    }

    /// Fetches a file.
    fn address(
        &self,
        address: &str,
        directory: &Path,
        checksum: Option<&str>,
        unpack: bool,
    ) -> Result<Part, StepFailure> {
        let unfinished = directory.join(".unfinished");
        let mut file = fs_err::File::create(&unfinished).map_err(StepFailure::Prepare)?;
        let mut sum = Sha256::new();
        let authorization = authorization(self.builder.input, address);
        let downloaded =
            self.builder
                .runner
                .download(address, authorization.as_deref(), &mut |bytes| {
                    sum.update(bytes);
                    file.write_all(bytes)
                });
        let downloaded = downloaded.map_err(|source| StepFailure::Download {
            address: address.to_owned(),
            source,
        })?;
        let found = crate::model::Digest::from_sha256(&sum.finalize().into());
        if let Some(wanted) = checksum
            && !wanted.eq_ignore_ascii_case(found.as_str())
        {
            return Err(StepFailure::Checksum {
                address: address.to_owned(),
                wanted: wanted.to_owned(),
                found: found.as_str().to_owned(),
            });
        }
        let sent = downloaded.file_name.as_deref().map(path::base);
        let name = sent
            .filter(|name| !matches!(*name, "" | "." | ".."))
            .map_or_else(|| file_name(address), str::to_owned);
        if name.is_empty() {
            return Err(StepFailure::Value {
                what: "source",
                value: address.to_owned(),
                rule: "names no file: write the whole path of the destination",
            });
        }
        let whole_path = directory.join(&name);
        let finish = || {
            fs_err::set_permissions(&unfinished, PermissionsExt::from_mode(0o600))?;
            let seconds = downloaded.modified.unwrap_or(0).max(0).unsigned_abs();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            file.set_modified(time)?;
            fs_err::rename(&unfinished, &whole_path)
        };
        finish().map_err(StepFailure::Prepare)?;
        let source = Source {
            tree: Tree::open(directory)?,
            ignore: Ignore::default(),
            ownerless: true,
        };
        let nothing = Ignore::default();
        let items = source.selector(&nothing, false).select_exact(&name)?;
        Ok(Part {
            tree: source.tree,
            items,
            origin: None,
            is_archive: unpack,
        })
    }
}

/// Tells what each source is.
fn additions(request: &Request) -> Result<Vec<Addition>, StepFailure> {
    let sources = request.sources.iter();
    sources
        .map(|source| match GitSource::parse(source) {
            Some(repository) => Ok(Addition::Repository(repository?)),
            None if is_remote(source) => Ok(Addition::Address(source.clone())),
            None => Ok(Addition::Local(source.clone())),
        })
        .collect()
}

/// Refuses flags that do not fit the sources.
fn check(add: &Add, additions: &[Addition], checksum: Option<&str>) -> Result<(), StepFailure> {
    let refuse = |what, value: &str, rule| {
        Err(StepFailure::Value {
            what,
            value: value.to_owned(),
            rule,
        })
    };
    if let Some(checksum) = checksum {
        match additions {
            [Addition::Repository(_)] => {}
            [Addition::Address(_)] => {
                let digest = checksum.strip_prefix("sha256:").unwrap_or_default();
                if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return refuse("--checksum", checksum, "must be sha256: and 64 hex digits");
                }
            }
            [_] => {
                let rule = "requires a URL or a git repository as source";
                return refuse("--checksum", checksum, rule);
            }
            _ => return refuse("--checksum", checksum, "requires a single source"),
        }
    }
    let is_repository = |addition: &Addition| matches!(addition, Addition::Repository(_));
    if add.keep_git_dir.is_some() && !additions.iter().any(is_repository) {
        return refuse("--keep-git-dir", "", "requires a git repository as source");
    }
    Ok(())
}

/// Makes parts of selected files of the context: archives are unpacked, each by itself.
fn local_parts(
    source: &Source,
    items: Vec<crate::build::files::Item>,
    unpack: bool,
    parts: &mut Vec<Part>,
) -> Result<(), StepFailure> {
    for item in items {
        let regular = item.entries.first().is_some_and(Entry::is_regular_file);
        let is_archive = unpack && regular && is_archive(source.tree.file(&item.source)?);
        parts.push(Part {
            tree: source.tree.try_clone()?,
            items: vec![item],
            origin: Some(Origin::Context),
            is_archive,
        });
    }
    Ok(())
}

/// Makes a part of everything in a directory.
fn whole(directory: &Path, exclude: &Ignore) -> Result<Part, StepFailure> {
    let source = Source {
        tree: Tree::open(directory)?,
        ignore: Ignore::default(),
        ownerless: true,
    };
    let items = source.selector(exclude, false).select(".")?;
    Ok(Part {
        tree: source.tree,
        items,
        origin: None,
        is_archive: false,
    })
}

/// Unpacks a part that is an archive: what is written are its files, with their own owners.
pub(super) fn unpacked(part: Part, room: &StepRoom, number: usize) -> Result<Part, StepFailure> {
    let [item] = &part.items[..] else {
        return Ok(part);
    };
    if !part.is_archive {
        return Ok(part);
    }
    let name = item.name.display().to_string();
    let directory = room.directory(&format!("archive{number}"));
    let directory = directory.map_err(StepFailure::Prepare)?;
    let opened = fs_err::File::open(&directory).map_err(StepFailure::Prepare)?;
    let size = item.entries.first().map_or(0, |entry| entry.size);
    let archive = part.tree.file(&item.source)?;
    unpack_archive(archive, opened.as_fd(), size)
        .map_err(|source| StepFailure::Unpack { name, source })?;
    let source = Source {
        tree: Tree::open(&directory)?,
        ignore: Ignore::default(),
        ownerless: false,
    };
    let nothing = Ignore::default();
    let items = source.selector(&nothing, false).select(".")?;
    Ok(Part {
        tree: source.tree,
        items,
        origin: None,
        is_archive: true,
    })
}

/// Whether a source of ADD is fetched rather than copied.
pub(super) fn is_remote(source: &str) -> bool {
    let schemes = ["http://", "https://", "git://", "ssh://"];
    schemes.iter().any(|scheme| source.starts_with(scheme)) || GitSource::parse(source).is_some()
}

/// Returns the last component of an address; empty when it has none.
fn file_name(address: &str) -> String {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let name = path.split_once('/').map_or("", |(_, path)| path);
    let name = name.rsplit('/').next().unwrap_or_default();
    match name {
        "." | ".." => String::new(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_perhaps_a_file() {
        for (address, expected) in [
            ("https://h:1/a/b.tar?x=/y#z", "b.tar"),
            ("http://u:p@h/", ""),
            ("http://h", ""),
            ("http://h/..", ""),
        ] {
            assert_eq!(file_name(address), expected, "{address}");
        }
    }
}
