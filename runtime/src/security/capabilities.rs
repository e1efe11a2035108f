//! Names and sets of capabilities(7).
//!
//! A container gets one set: bounding, permitted and effective are equal, inheritable and ambient are empty (CVE-2022-24769).

pub use crate::spec::{CAPABILITIES as NAMES, CAPABILITIES_DEFAULT as DEFAULT};

/// A set of capabilities as the kernel writes it in /proc/self/status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask(pub u64);

impl Mask {
    /// Every capability that this build knows.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);
    /// No capability.
    pub const NONE: Self = Self(0);

    /// Makes the set of these names, or returns the first name that is none.
    pub fn of<T: AsRef<str>>(names: &[T]) -> Result<Self, &str> {
        let mut mask = 0;
        for name in names {
            let name = name.as_ref();
            let number = number(name).ok_or(name)?;
            mask |= 1 << number;
        }
        Ok(Self(mask))
    }

    /// Tells whether the capability with this number is in it.
    pub const fn has(self, number: u32) -> bool {
        number < u64::BITS && self.0 >> number & 1 == 1
    }

    /// Returns what is in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns the names of what is in it.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        (0_u32..)
            .zip(NAMES)
            .filter(move |(number, _)| self.has(*number))
            .map(|(_, name)| name)
    }
}

/// Returns the number of a capability given by its upper-case name without `CAP_`.
pub fn number(name: &str) -> Option<u32> {
    (0..)
        .zip(NAMES)
        .find(|(_, known)| *known == name)
        .map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_set_is_dockers() {
        assert_eq!(Mask::of(&DEFAULT), Ok(Mask(0xa804_25fb)));
        assert_eq!(Mask::ALL, Mask(0x1ff_ffff_ffff));
    }

    #[test]
    fn numbers_are_the_kernels() {
        for (name, value) in [
            ("CHOWN", 0),
            ("SYS_ADMIN", 21),
            ("SYS_RESOURCE", 24),
            ("SETFCAP", 31),
            ("CHECKPOINT_RESTORE", 40),
        ] {
            assert_eq!(number(name), Some(value), "{name}");
        }
    }

    #[test]
    fn unknown_names_are_named() {
        for name in ["CAP_CHOWN", "chown", "", "ALL"] {
            assert_eq!(Mask::of(&["KILL", name]), Err(name));
        }
    }

    #[test]
    fn names_round_trip() {
        let names: Vec<_> = Mask(0xa804_25fb).names().collect();
        assert_eq!(Mask::of(&names), Ok(Mask(0xa804_25fb)));
    }
}
