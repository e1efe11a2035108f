//! An inventory as documents of others' formats. Pure: the same inventory, image and time give the same bytes.

mod cyclonedx;
mod spdx;

use sha2::{Digest as _, Sha256};

use super::{Inventory, Package};
use crate::model::{Digest, ImageId, Timestamp};

pub use cyclonedx::document as cyclonedx;
pub use spdx::document as spdx;

/// The image that a document is about, and when it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its name as people type it, or its id where it has none.
    pub name: String,
    /// Digest of its config.
    pub id: ImageId,
    /// Digest of its manifest, where it has one.
    pub manifest: Option<Digest>,
    /// Its package URL, where it has a manifest and a name.
    pub purl: Option<String>,
    /// `os/arch[/variant]`.
    pub platform: String,
    /// Diff ids of its layers, the lowest first.
    pub layers: Vec<Digest>,
    /// The time of the document.
    pub time: Timestamp,
}

impl About {
    /// Returns the time as both formats want it: RFC 3339 in whole seconds.
    fn time(&self) -> String {
        let seconds = i64::try_from(self.time.0 / 1000).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_second(seconds);
        time.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
    }

    /// Returns the digest that names the image best.
    fn version(&self) -> &Digest {
        self.manifest.as_ref().unwrap_or(&self.id)
    }

    /// Returns a UUID of this image, inventory and time (version 8 of RFC 9562: made of a digest).
    fn uuid(&self, inventory: &Inventory) -> String {
        let mut hash = Sha256::new();
        hash.update(self.name.as_bytes());
        hash.update(self.id.as_str());
        hash.update(self.time());
        hash.update(serde_json::to_vec(inventory).unwrap_or_default());
        let mut bytes: [u8; 16] = hash.finalize()[..16].try_into().expect("16 of 32 bytes");
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex = hex(&bytes);
        let parts = [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ];
        parts.join("-")
    }
}

/// Returns what tells a package apart in every document of the same image: a digest of what it is and where.
fn fingerprint(package: &Package) -> String {
    let mut hash = Sha256::new();
    for part in [
        package.kind.as_str(),
        &package.name,
        &package.version,
        package.architecture.as_deref().unwrap_or_default(),
        &package.location,
    ] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex(&hash.finalize()[..8])
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits
        .map(|digit| char::from_digit(u32::from(digit), 16).expect("four bits"))
        .collect()
}

/// What an inventory does not know, in sentences.
fn caveats(inventory: &Inventory) -> Vec<String> {
    let coverage = &inventory.coverage;
    let mut found = Vec::new();
    if coverage.binaries_without_package > 0 {
        found.push(format!(
            "{} of {} programs and shared libraries belong to no package that was found",
            coverage.binaries_without_package, coverage.binaries
        ));
    }
    for unread in &coverage.unread {
        found.push(format!("{} was not read: {}", unread.path, unread.reason));
    }
    for unsupported in &coverage.unsupported {
        found.push(format!(
            "{} are not listed ({} found, such as {})",
            unsupported.what, unsupported.count, unsupported.example
        ));
    }
    found
}

#[cfg(test)]
mod tests;
