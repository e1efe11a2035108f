//! `cache_from` and `cache_to` of a `build:` section. Pure.

use std::path::Path;

use compose_spec::model::{Build, CacheEntry};

use super::{
    compose::refused,
    error::BuildError,
    input::{BuildInput, CacheFrom, CacheTo},
};
use crate::image::SendTo;

/// Caches of services that are not this machine's: they need accounts and protocols of their own.
const HOSTED: [&str; 3] = ["gha", "s3", "azblob"];
/// The tag in a directory unless one is named.
const TAG_DEFAULT: &str = "latest";
/// Older name of `cache_to: [type=inline]`.
const INLINE_ARGUMENT: &str = "BUILDKIT_INLINE_CACHE";

/// Lowers both lists; paths are relative to `directory`.
pub(super) fn caches(
    build: &Build,
    directory: &Path,
    input: &mut BuildInput,
) -> Result<(), BuildError> {
    for entry in &build.cache_from {
        if is_hosted("cache_from", entry, input) {
            continue;
        }
        input.cache_from.push(from(entry, directory)?);
    }
    for entry in &build.cache_to {
        if is_hosted("cache_to", entry, input) {
            continue;
        }
        match entry.kind.as_str() {
            "inline" => input.inline_cache = true,
            _ => input.cache_to.push(to(entry, directory)?),
        }
    }
    if input
        .args
        .get(INLINE_ARGUMENT)
        .is_some_and(|value| value == "1")
    {
        input.inline_cache = true;
    }
    Ok(())
}

fn is_hosted(key: &str, entry: &CacheEntry, input: &mut BuildInput) -> bool {
    let hosted = HOSTED.contains(&entry.kind.as_str());
    if hosted {
        input.notes.push(format!(
            "`build.{key}`: caches of type `{}` are not used: registry, local and inline are",
            entry.kind
        ));
    }
    hosted
}

fn from(entry: &CacheEntry, directory: &Path) -> Result<CacheFrom, BuildError> {
    let key = "cache_from";
    match entry.kind.as_str() {
        "registry" => Ok(CacheFrom::Registry(needed(key, entry, "ref")?)),
        "local" => {
            let option = |name| entry.options.get(name);
            let tag = option("digest").or_else(|| option("tag"));
            let path = directory.join(needed(key, entry, "src")?);
            Ok(CacheFrom::Directory(path, tag.cloned()))
        }
        other => Err(refused(
            key,
            other,
            "caches come from type=registry,ref=… or type=local,src=…",
        )),
    }
}

fn to(entry: &CacheEntry, directory: &Path) -> Result<CacheTo, BuildError> {
    let key = "cache_to";
    let to = match entry.kind.as_str() {
        "registry" => SendTo::Registry(needed(key, entry, "ref")?),
        "local" => {
            let path = directory.join(needed(key, entry, "dest")?);
            let tag = entry.options.get("tag").map_or(TAG_DEFAULT, String::as_str);
            SendTo::Layout(path, tag.to_owned())
        }
        other => {
            let hint = "caches go to type=registry,ref=…, type=local,dest=… or type=inline";
            return Err(refused(key, other, hint));
        }
    };
    let all_stages = match entry.options.get("mode").map(String::as_str) {
        None | Some("min") => false,
        Some("max") => true,
        Some(other) => return Err(refused(key, other, "mode is min or max")),
    };
    let ignore_error = entry.options.get("ignore-error");
    Ok(CacheTo {
        to,
        all_stages,
        ignore_error: ignore_error.is_some_and(|value| value == "true"),
    })
}

fn needed(key: &str, entry: &CacheEntry, option: &'static str) -> Result<String, BuildError> {
    let value = entry.options.get(option).filter(|value| !value.is_empty());
    value.cloned().ok_or_else(|| {
        let hint = match option {
            "ref" => "it needs a name: ref=registry/name:tag",
            "src" => "it needs a directory: src=path",
            _ => "it needs a directory: dest=path",
        };
        refused(key, &format!("type={}", entry.kind), hint)
    })
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;

    fn entry(text: &str) -> CacheEntry {
        let mut pairs = text.split(',').map(|pair| pair.split_once('=').unwrap());
        let (_, kind) = pairs.next().unwrap();
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        CacheEntry {
            kind: kind.to_owned(),
            options: pairs.map(own).collect::<IndexMap<_, _>>(),
        }
    }

    fn lowered(from: &[&str], to: &[&str]) -> Result<BuildInput, String> {
        let mut build = Build::new("/context");
        build.cache_from = from.iter().map(|text| entry(text)).collect();
        build.cache_to = to.iter().map(|text| entry(text)).collect();
        let mut input = BuildInput::new("/context");
        caches(&build, Path::new("/project"), &mut input).map_err(|error| error.to_string())?;
        Ok(input)
    }

    #[test]
    fn places_and_modes_are_read() {
        let input = lowered(
            &[
                "type=registry,ref=r/a",
                "type=local,src=c,tag=t",
                "type=gha,scope=x",
            ],
            &[
                "type=local,dest=/abs,mode=max",
                "type=registry,ref=r/b,ignore-error=true",
                "type=inline",
            ],
        )
        .unwrap();
        let directory = CacheFrom::Directory("/project/c".into(), Some("t".to_owned()));
        assert_eq!(
            input.cache_from,
            [CacheFrom::Registry("r/a".to_owned()), directory]
        );
        let local = SendTo::Layout("/abs".into(), "latest".to_owned());
        assert_eq!(
            (&input.cache_to[0].to, input.cache_to[0].all_stages),
            (&local, true)
        );
        assert!(input.cache_to[1].ignore_error && !input.cache_to[1].all_stages);
        assert!(
            input.inline_cache && input.notes.len() == 1,
            "{:?}",
            input.notes
        );
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        for (from, to, wanted) in [
            ("type=registry,x=1", "", "ref="),
            ("type=inline,x=1", "", "type=registry"),
            ("", "type=local,x=1", "dest="),
            ("", "type=registry,ref=a,mode=most", "min or max"),
            ("", "type=tape,x=1", "type=inline"),
        ] {
            let list = |text: &'static str| if text.is_empty() { vec![] } else { vec![text] };
            let error = lowered(&list(from), &list(to)).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
