//! A path in a fixed buffer, for code that must not allocate.

use std::ffi::CStr;

use rustix::io::Errno;

/// Bytes of a path, the final null byte included, that the kernel takes.
const BYTES_MAX: usize = libc::PATH_MAX as usize;

/// A path in a fixed buffer, without null bytes.
pub(crate) struct PathBuffer {
    /// The path, then null bytes only.
    bytes: [u8; BYTES_MAX],
    length: usize,
}

impl PathBuffer {
    /// Copies a path. Refused with ENAMETOOLONG when it does not fit, EINVAL when it contains a null byte.
    pub(crate) fn of(path: &[u8]) -> Result<Self, Errno> {
        let mut buffer = Self {
            bytes: [0; BYTES_MAX],
            length: 0,
        };
        buffer.push(path)?;
        Ok(buffer)
    }

    /// Returns the path.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Returns the path with its null byte.
    pub(crate) fn as_c_str(&self) -> &CStr {
        // `push` keeps a null byte free at the end.
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }

    /// Returns the path with `[start, end)` replaced by the target of the symbolic link that stands there: an absolute target drops
    /// what is before it.
    pub(crate) fn replace(&self, start: usize, end: usize, target: &[u8]) -> Result<Self, Errno> {
        let is_absolute = target.first() == Some(&b'/');
        let mut path = Self::of(if is_absolute {
            b""
        } else {
            &self.bytes[..start]
        })?;
        path.push(target)?;
        path.push(&self.bytes[end..self.length])?;
        Ok(path)
    }

    /// Appends a part, with the same refusals as [`PathBuffer::of`].
    pub(crate) fn push(&mut self, part: &[u8]) -> Result<(), Errno> {
        if part.contains(&0) {
            return Err(Errno::INVAL);
        }
        let length = self.length + part.len();
        if length >= BYTES_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        self.bytes[self.length..length].copy_from_slice(part);
        self.length = length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_targets_replace_their_component() {
        let path = PathBuffer::of(b"/etc/resolv.conf/x").unwrap();
        let (start, end) = (5, 16);
        for (target, wanted) in [
            ("../run/r", c"/etc/../run/r/x"),
            ("/run/r", c"/run/r/x"),
            ("r", c"/etc/r/x"),
        ] {
            assert_eq!(
                path.replace(start, end, target.as_bytes())
                    .unwrap()
                    .as_c_str(),
                wanted
            );
        }
    }

    #[test]
    fn too_long_and_null_bytes_are_refused() {
        assert_eq!(
            PathBuffer::of(&[b'a'; BYTES_MAX]).err(),
            Some(Errno::NAMETOOLONG)
        );
        assert_eq!(PathBuffer::of(b"a\0b").err(), Some(Errno::INVAL));
        assert_eq!(
            PathBuffer::of(&[b'a'; BYTES_MAX - 1])
                .unwrap()
                .as_c_str()
                .count_bytes(),
            BYTES_MAX - 1
        );
    }
}
