//! Users of a container on the host.

use serde::{Deserialize, Serialize};

/// Which users of the host a container's users are (`user_namespaces(7)`).
///
/// The container's process enters a user namespace of its own after everything was mounted. Its other namespaces stay the host's
/// property: the container's root can do nothing to them, whatever capabilities it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserMap {
    /// Ranges of user ids; id 0 of the container must be among them.
    pub uids: Vec<IdRange>,
    /// Ranges of group ids; id 0 of the container must be among them.
    pub gids: Vec<IdRange>,
}

/// One line of /proc/pid/uid_map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// First id in the container.
    pub inside: u32,
    /// First id on the host.
    pub outside: u32,
    /// Number of ids.
    pub count: u32,
}

impl UserMap {
    /// The kernel takes 340 lines (Linux 4.15).
    pub const RANGES_MAX: usize = 340;

    /// Maps the ids from 0 up to `count` onto the host's from `first` up.
    pub fn of_range(first: u32, count: u32) -> Self {
        let range = IdRange {
            inside: 0,
            outside: first,
            count,
        };
        Self {
            uids: vec![range],
            gids: vec![range],
        }
    }

    /// Returns the user of the host that a user of the container is.
    pub fn uid(&self, inside: u32) -> Option<u32> {
        outside(&self.uids, inside)
    }

    /// Returns the group of the host that a group of the container is.
    pub fn gid(&self, inside: u32) -> Option<u32> {
        outside(&self.gids, inside)
    }
}

impl UserMap {
    /// Returns the user of the container that a user of the host is.
    pub fn uid_inside(&self, outside: u32) -> Option<u32> {
        inside(&self.uids, outside)
    }

    /// Returns the group of the container that a group of the host is.
    pub fn gid_inside(&self, outside: u32) -> Option<u32> {
        inside(&self.gids, outside)
    }
}

fn inside(ranges: &[IdRange], outside: u32) -> Option<u32> {
    ranges.iter().find_map(|range| {
        let offset = outside.checked_sub(range.outside)?;
        (offset < range.count).then(|| range.inside.checked_add(offset))?
    })
}

fn outside(ranges: &[IdRange], inside: u32) -> Option<u32> {
    ranges.iter().find_map(|range| {
        let offset = inside.checked_sub(range.inside)?;
        (offset < range.count).then(|| range.outside.checked_add(offset))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_mapped_within_their_ranges() {
        let map = UserMap {
            uids: vec![
                IdRange {
                    inside: 0,
                    outside: 1000,
                    count: 2,
                },
                IdRange {
                    inside: 100,
                    outside: 5,
                    count: 1,
                },
            ],
            gids: vec![],
        };
        assert_eq!(map.uid(0), Some(1000));
        assert_eq!(map.uid(1), Some(1001));
        assert_eq!(map.uid(2), None);
        assert_eq!(map.uid(100), Some(5));
        assert_eq!(map.uid_inside(1001), Some(1));
        assert_eq!(map.uid_inside(5), Some(100));
        assert_eq!(map.uid_inside(0), None);
        assert_eq!(map.gid(0), None);
        assert_eq!(UserMap::of_range(u32::MAX, 5).uid(1), None);
    }
}
