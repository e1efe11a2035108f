//! The command line that other processes see in /proc/pid/cmdline.

use std::ops::Range;
use std::ptr;

/// Where the kernel put this process's arguments, from /proc/self/stat (fields 48 and 49 of proc_pid_stat(5)).
#[derive(Debug, Clone)]
pub struct Arguments(Range<usize>);

impl Arguments {
    /// Finds them in the text of this process's own /proc/self/stat.
    pub fn of_stat(stat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace().skip(45);
        let start = fields.next()?.parse().ok()?;
        let end = fields.next()?.parse().ok()?;
        (0 < start && start < end).then_some(Self(start..end))
    }

    /// Replaces them by `name` in a child of [`super::clone::clone_child`], which never looks at them again.
    pub fn replace(&self, name: &[u8]) {
        let length = self.0.len();
        let name = &name[..name.len().min(length - 1)];
        let place = ptr::with_exposed_provenance_mut::<u8>(self.0.start);
        // SAFETY: the kernel says that these bytes are this process's arguments: a part of its stack's own mapping, readable and writable
        // for its whole life. The child has its own copy of it and one thread, and its code has no reference to it: the standard library
        // copies an argument whenever it is asked for one.
        unsafe { ptr::write_bytes(place, 0, length) };
        // SAFETY: as above; `name` is not longer than the place and, being ours, does not overlap it.
        unsafe { ptr::copy_nonoverlapping(name.as_ptr(), place, name.len()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_arguments_are_found() {
        let stat = fs_err::read_to_string("/proc/self/stat").unwrap();
        let found = Arguments::of_stat(&stat).unwrap();
        let cmdline = fs_err::read("/proc/self/cmdline").unwrap();
        assert_eq!(found.0.len(), cmdline.len());
        assert!(Arguments::of_stat("1 (x) S 1").is_none());
    }
}
