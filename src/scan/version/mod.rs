//! Which of two versions is later, by the rules of each package manager. Pure.

mod apk;
mod dpkg;
mod maven;
mod pep440;
mod rpm;
mod semver;

use std::cmp::Ordering;

/// The rules of a package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Order {
    /// deb-version(7).
    Dpkg,
    /// apk-package(5).
    Apk,
    /// rpm-version(7).
    Rpm,
    /// PEP 440.
    Pep440,
    /// Semantic Versioning 2.0, missing parts are 0: npm, Go, Cargo.
    Semver,
    /// Maven's ComparableVersion.
    Maven,
}

impl Order {
    /// Compares two versions; `None` when one is not of the manager's form.
    pub(crate) fn compare(self, a: &str, b: &str) -> Option<Ordering> {
        match self {
            Self::Dpkg => Some(dpkg::compare(a, b)),
            Self::Apk => apk::compare(a, b),
            Self::Rpm => Some(rpm::compare(a, b)),
            Self::Pep440 => pep440::compare(a, b),
            Self::Semver => semver::compare(a, b),
            Self::Maven => Some(maven::compare(a, b)),
        }
    }
}

/// Compares numbers written in digits, of any length.
fn digits(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Splits the characters that have a property off the front.
fn split_while(text: &str, is_wanted: impl Fn(char) -> bool) -> (&str, &str) {
    let at = text.find(|c: char| !is_wanted(c)).unwrap_or(text.len());
    text.split_at(at)
}

fn split_digits(text: &str) -> (&str, &str) {
    split_while(text, |c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests;
