//! Names of images: `[registry/]repository[:tag][@digest]`, in the grammar that Docker users type.

use std::{fmt, str::FromStr};

use crate::model::Digest;

/// The registry that a name without one means.
pub(super) const DEFAULT_REGISTRY: &str = "docker.io";
/// Longest `registry/repository`.
const NAME_LENGTH_MAX: usize = 255;
/// Longest tag.
const TAG_LENGTH_MAX: usize = 128;

/// A parsed and completed name of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Host and port, `docker.io` when the text named none.
    registry: String,
    /// Path without the registry, with `library/` where Docker Hub needs it.
    repository: String,
    /// `None` only beside a digest.
    tag: Option<String>,
    /// Pins the content; wins over the tag.
    digest: Option<Digest>,
}

/// Text that names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid image name `{text}`: {rule}")]
pub struct InvalidReference {
    /// The offending text.
    pub text: String,
    /// What is wrong with it.
    pub rule: &'static str,
}

impl Reference {
    /// Returns host and port of the registry.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the repository's path on its registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the tag; `None` only beside a digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest that pins the content.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns `registry/repository`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Returns what a registry is asked for: the digest, else the tag.
    pub fn selector(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.as_str(),
            (None, Some(tag)) => tag,
            (None, None) => "latest",
        }
    }

    /// Returns the short form that people type: `redis:7`.
    pub fn familiar(&self) -> String {
        let name = if self.registry == DEFAULT_REGISTRY {
            self.repository
                .strip_prefix("library/")
                .unwrap_or(&self.repository)
                .to_owned()
        } else {
            self.name()
        };
        match &self.digest {
            Some(digest) => format!("{name}@{digest}"),
            None => format!("{name}:{}", self.selector()),
        }
    }
}

/// The full form, which is the key in the store: `docker.io/library/redis:7`, or `…@sha256:…` when pinned.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.digest.is_some() { '@' } else { ':' };
        write!(
            f,
            "{}/{}{separator}{}",
            self.registry,
            self.repository,
            self.selector()
        )
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        parse(text).map_err(|rule| InvalidReference {
            text: text.to_owned(),
            rule,
        })
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("64 hexadecimal digits are an image id, not a name");
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(parse_digest(digest)?)),
        None => (text, None),
    };
    // A colon after the last slash starts a tag; before it, it belongs to a port.
    let path_start = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[path_start..].split_once(':') {
        Some((last, tag)) => (&rest[..path_start + last.len()], Some(parse_tag(tag)?)),
        None => (rest, None),
    };
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if is_registry(first) => (parse_registry(first)?, path),
        _ => (DEFAULT_REGISTRY.to_owned(), name),
    };
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("the repository must be lower case");
    }
    if !path.split('/').all(is_path_component) {
        return Err(
            "the repository must be components of a-z and 0-9, joined by one of `.`, `_`, `__` or dashes",
        );
    }
    let repository = if registry == DEFAULT_REGISTRY && !path.contains('/') {
        format!("library/{path}")
    } else {
        path.to_owned()
    };
    if registry.len() + 1 + repository.len() > NAME_LENGTH_MAX {
        return Err("the name is longer than 255 characters");
    }
    let tag = tag.or_else(|| digest.is_none().then(|| "latest".to_owned()));
    Ok(Reference {
        registry,
        repository,
        tag,
        digest,
    })
}

fn parse_digest(text: &str) -> Result<Digest, &'static str> {
    if text.starts_with("sha512:") || text.starts_with("sha384:") {
        return Err("only sha256 digests are supported");
    }
    text.parse()
        .map_err(|_invalid| "a digest is `sha256:` and 64 hexadecimal digits")
}

fn parse_tag(tag: &str) -> Result<String, &'static str> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut bytes = tag.bytes();
    let valid = bytes.next().is_some_and(word) && bytes.all(|b| word(b) || b == b'.' || b == b'-');
    if !valid {
        return Err("a tag starts with a letter, digit or `_` and goes on with those, `.` and `-`");
    }
    if tag.len() > TAG_LENGTH_MAX {
        return Err("a tag has at most 128 characters");
    }
    Ok(tag.to_owned())
}

fn is_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

fn parse_registry(text: &str) -> Result<String, &'static str> {
    const RULE: &str =
        "the registry before the first `/` must be a host name or address, with an optional port";
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(RULE);
            }
            (None, (!port.is_empty()).then_some(port))
        }
        None => match text.find(':') {
            Some(colon) => (Some(&text[..colon]), Some(&text[colon..])),
            None => (Some(text), None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if host.is_some_and(|host| !host.split('.').all(label)) {
        return Err(RULE);
    }
    let valid_port = |port: &str| {
        port.strip_prefix(':')
            .is_some_and(|digits| digits.parse::<u16>().is_ok_and(|port| port != 0))
    };
    if port.is_some_and(|port| !valid_port(port)) {
        return Err(RULE);
    }
    Ok(match text {
        "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY.to_owned(),
        other => other.to_owned(),
    })
}

fn is_path_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    if !bytes.first().is_some_and(|b| alphanumeric(*b))
        || !bytes.last().is_some_and(|b| alphanumeric(*b))
    {
        return false;
    }
    bytes
        .split(|b| alphanumeric(*b))
        .all(|separator| match separator {
            b"" | b"." | b"_" | b"__" => true,
            dashes => dashes.iter().all(|b| *b == b'-'),
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SUM: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_are_completed_as_docker_does() {
        for (text, full, familiar) in [
            ("redis", "docker.io/library/redis:latest", "redis:latest"),
            (
                "redis:7-alpine",
                "docker.io/library/redis:7-alpine",
                "redis:7-alpine",
            ),
            (
                "bitnami/redis",
                "docker.io/bitnami/redis:latest",
                "bitnami/redis:latest",
            ),
            (
                "docker.io/redis",
                "docker.io/library/redis:latest",
                "redis:latest",
            ),
            ("index.docker.io/a/b:c", "docker.io/a/b:c", "a/b:c"),
            ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
            (
                "localhost:5000/x:1",
                "localhost:5000/x:1",
                "localhost:5000/x:1",
            ),
            (
                "127.0.0.1:5000/a/b/c",
                "127.0.0.1:5000/a/b/c:latest",
                "127.0.0.1:5000/a/b/c:latest",
            ),
            ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
            (
                "ghcr.io/o/r:v1.2_3-x",
                "ghcr.io/o/r:v1.2_3-x",
                "ghcr.io/o/r:v1.2_3-x",
            ),
            (
                "a__b/c--d.e_f",
                "docker.io/a__b/c--d.e_f:latest",
                "a__b/c--d.e_f:latest",
            ),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), full, "{text}");
            assert_eq!(reference.familiar(), familiar, "{text}");
        }
    }

    #[test]
    fn the_digest_wins_over_the_tag() {
        let reference: Reference = format!("redis:7@{SUM}").parse().unwrap();
        assert_eq!(reference.tag(), Some("7"));
        assert_eq!(reference.selector(), SUM);
        assert_eq!(
            reference.to_string(),
            format!("docker.io/library/redis@{SUM}")
        );
        assert_eq!(reference.familiar(), format!("redis@{SUM}"));
        let untagged: Reference = format!("redis@{SUM}").parse().unwrap();
        assert_eq!(untagged.tag(), None);
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let long_tag = format!("redis:{}", "a".repeat(129));
        let long_name = "a/".repeat(130) + "b";
        let id = "a".repeat(64);
        for (text, part) in [
            ("", "empty"),
            ("Redis", "lower case"),
            ("Foo/bar", "lower case"),
            ("redis:", "a tag starts"),
            ("redis:-x", "a tag starts"),
            (&*long_tag, "128"),
            (&*long_name, "255"),
            (&*id, "image id"),
            ("a//b", "components"),
            ("/a", "components"),
            ("a/", "components"),
            ("a..b", "components"),
            ("a___b", "components"),
            ("-a", "components"),
            ("redis@sha256:12", "64 hexadecimal"),
            ("redis@sha512:12", "only sha256"),
            ("re dis", "components"),
            ("host.x:port/a", "registry"),
            ("host.x:0/a", "registry"),
            ("-host.x/a", "registry"),
            ("[::g]:1/a", "registry"),
            ("ho_st.x/a", "registry"),
        ] {
            let error = text.parse::<Reference>().unwrap_err();
            assert!(error.rule.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_and_the_full_form_is_stable(text in "[ -~]{0,60}") {
            if let Ok(reference) = text.parse::<Reference>() {
                let again: Reference = reference.to_string().parse().unwrap();
                prop_assert_eq!(again.to_string(), reference.to_string());
                let familiar: Reference = reference.familiar().parse().unwrap();
                prop_assert_eq!(familiar.to_string(), reference.to_string());
            }
        }
    }
}
