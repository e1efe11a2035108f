//! Platforms, and which entry of an index runs here.

use std::{fmt, str::FromStr};

use super::manifest::Descriptor;

/// Operating system, architecture and its variant, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, `arm`, …
    pub architecture: String,
    /// `v7` of `arm`, `v3` of `amd64`; `None` = the base variant.
    pub variant: Option<String>,
}

/// Text that is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid platform `{0}`: it is os/architecture or os/architecture/variant, as linux/arm64")]
pub struct InvalidPlatform(pub String);

impl Platform {
    /// The platform of this program.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            "loongarch64" => "loong64",
            other => other,
        };
        Self::new("linux", architecture, None)
    }

    /// Makes a platform with its aliases resolved: `x86_64` is `amd64`, `arm64/v8` is `arm64`.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let variant = variant.filter(|variant| !variant.is_empty());
        let (architecture, variant) = match (architecture, variant) {
            ("x86_64" | "x86-64" | "amd64", Some("v1") | None) => ("amd64", None),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("aarch64" | "arm64", Some("v8" | "8") | None) => ("arm64", None),
            ("aarch64", variant) => ("arm64", variant),
            ("armhf", _) => ("arm", Some("v7")),
            ("armel", _) => ("arm", Some("v6")),
            ("arm", None) => ("arm", Some("v7")),
            ("i386", _) => ("386", None),
            other => other,
        };
        Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    /// Rates an offered platform; a higher rate is a better match, `None` does not run.
    fn rate(&self, offered: &Self) -> Option<u32> {
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        if self.variant == offered.variant {
            return Some(u32::MAX);
        }
        // A newer core runs what was made for an older one, never the other way round.
        let level = |platform: &Self| match &platform.variant {
            None => Some(1),
            Some(variant) => variant.trim_start_matches('v').parse::<u32>().ok(),
        };
        let (wanted, offered_level) = (level(self)?, level(offered)?);
        let ordered = matches!(self.architecture.as_str(), "amd64" | "arm" | "arm64");
        let oldest = if self.architecture == "arm" { 5 } else { 1 };
        (ordered && (oldest..=wanted).contains(&offered_level)).then_some(offered_level)
    }

    /// Tells whether an image of `offered` runs where this platform is wanted.
    pub fn accepts(&self, offered: &Self) -> bool {
        self.rate(offered).is_some()
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        let parts: Vec<&str> = text.split('/').collect();
        let valid = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        if !parts.iter().all(valid) {
            return Err(InvalidPlatform(text.to_owned()));
        }
        match parts[..] {
            // `linux` alone means this machine's architecture, `arm64` alone means Linux.
            ["linux"] => Ok(Self::host()),
            [architecture] => Ok(Self::new("linux", architecture, None)),
            [os, architecture] => Ok(Self::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::new(os, architecture, Some(variant))),
            _ => Err(InvalidPlatform(text.to_owned())),
        }
    }
}

/// Picks the entry of an index that fits best; attestations and entries of other systems never do.
pub(super) fn select<'a>(entries: &'a [Descriptor], wanted: &Platform) -> Option<&'a Descriptor> {
    let mut best: Option<(u32, &Descriptor)> = None;
    for entry in entries {
        let rate = match &entry.platform {
            Some(platform) => wanted.rate(&platform.normal()),
            // An entry that names no platform is the last resort.
            None if !entry.is_attestation() => Some(0),
            None => None,
        };
        // The first of equals wins, as in the reference implementations.
        if let Some(rate) = rate
            && best.is_none_or(|(known, _)| rate > known)
        {
            best = Some((rate, entry));
        }
    }
    best.map(|(_, entry)| entry)
}

/// Lists the platforms that an index offers, for the error.
pub(super) fn offered(entries: &[Descriptor]) -> Vec<String> {
    entries
        .iter()
        .filter_map(|entry| entry.platform.as_ref())
        .filter(|platform| platform.os != "unknown")
        .map(|platform| platform.normal().to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::manifest::parse;

    #[test]
    fn aliases_mean_one_platform() {
        for (text, normal) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("amd64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("aarch64", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("armel", "linux/arm/v6"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("windows/amd64", "windows/amd64"),
        ] {
            assert_eq!(
                text.parse::<Platform>().unwrap().to_string(),
                normal,
                "{text}"
            );
        }
        for bad in ["", "/", "linux/", "a/b/c/d", "linux/am d64"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_nearest_older_variant_is_selected() {
        let index = |platforms: &[&str]| {
            let entries: Vec<_> = platforms
                .iter()
                .enumerate()
                .map(|(number, text)| {
                    let mut parts = text.split('/');
                    serde_json::json!({
                        "mediaType": "application/vnd.oci.image.manifest.v1+json",
                        "digest": format!("sha256:{number:064x}"), "size": 2,
                        "platform": {"os": parts.next(), "architecture": parts.next(), "variant": parts.next()},
                    })
                })
                .collect();
            serde_json::json!({"schemaVersion": 2, "manifests": entries}).to_string()
        };
        for (offer, wanted, expected) in [
            (&["linux/amd64", "linux/arm64"][..], "linux/arm64", Some(1)),
            (&["unknown/unknown", "linux/amd64"], "linux/amd64", Some(1)),
            (
                &["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"],
                "linux/arm/v6",
                Some(1),
            ),
            (&["linux/arm/v5", "linux/arm/v7"], "linux/arm/v6", Some(0)),
            (&["linux/arm/v7"], "linux/arm/v6", None),
            (&["linux/amd64/v2", "linux/amd64/v3"], "linux/amd64", None),
            (
                &["linux/amd64", "linux/amd64/v2"],
                "linux/amd64/v3",
                Some(1),
            ),
            (&["linux/arm64/v8"], "linux/arm64", Some(0)),
            (&["linux/s390x"], "linux/amd64", None),
            (&["windows/amd64"], "linux/amd64", None),
            (&[], "linux/amd64", None),
        ] {
            let document = parse(index(offer).as_bytes(), None).unwrap();
            let crate::image::manifest::Document::Index(entries) = document else {
                panic!("an index");
            };
            let chosen = select(&entries, &wanted.parse().unwrap());
            let number = chosen.map(|entry| entries.iter().position(|e| e == entry).unwrap());
            assert_eq!(number, expected, "{wanted} of {offer:?}");
        }
    }
}
