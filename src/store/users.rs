//! Which range of user ids each project has, for containers whose users are not the host's: `users/<project>.json`.

use std::{collections::BTreeSet, io, path::PathBuf};

use compose_spec::model::ProjectName;
use serde::{Deserialize, Serialize};

use super::{Root, StoreError, lock, read_json, remove_tree, write_json};
use crate::model::UserRange;

/// The range of one project.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Record {
    version: u32,
    #[serde(flatten)]
    range: UserRange,
}

/// Returns the project's own range, and gives it one when it has none: the one that starts at `preferred` if that is free, else the first
/// that is. `None` = all are given away.
///
/// Free is what no record gives to another project and what is not in `in_use`: the first ids of ranges that containers of others have,
/// which a record may have outlived or never had.
pub fn take_users(
    root: &Root,
    project: &ProjectName,
    all: UserRange,
    preferred: UserRange,
    in_use: &BTreeSet<u32>,
) -> Result<Option<UserRange>, StoreError> {
    let io = |source| StoreError::Io {
        intent: "list the ranges of users",
        source,
    };
    fs_err::create_dir_all(root.users()).map_err(io)?;
    let _lock = lock(&root.users().join("lock"))?;
    let own = path(root, project);
    let mut taken = in_use.clone();
    for entry in fs_err::read_dir(root.users()).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let Some(Record { range, .. }) = read_json(&path)? else {
            continue;
        };
        // A record from before somebody changed /etc/subuid may lie outside of what may be given.
        let is_within = range.first >= all.first && end(range) <= end(all);
        if path != own {
            taken.insert(range.first);
        } else if is_within && range.count == preferred.count && !in_use.contains(&range.first) {
            return Ok(Some(range));
        }
    }
    let ranges = (all.first..)
        .step_by(preferred.count.max(1) as usize)
        .map(|first| UserRange { first, ..preferred })
        .take_while(|range| end(*range) <= end(all));
    let found = std::iter::once(preferred)
        .chain(ranges)
        .find(|range| !taken.contains(&range.first));
    if let Some(range) = found {
        write_json(&own, &Record { version: 1, range })?;
    }
    Ok(found)
}

/// Forgets the range of a project that is gone.
pub fn free_users(root: &Root, project: &ProjectName) -> Result<(), StoreError> {
    match fs_err::symlink_metadata(root.users()) {
        // Nobody ever had one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => {
            let _lock = lock(&root.users().join("lock"))?;
            remove_tree(&path(root, project))
        }
    }
}

fn path(root: &Root, project: &ProjectName) -> PathBuf {
    root.users().join(format!("{project}.json"))
}

fn end(range: UserRange) -> u64 {
    u64::from(range.first) + u64::from(range.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: UserRange = UserRange {
        first: 1000,
        count: 35,
    };

    fn at(first: u32) -> UserRange {
        UserRange { first, count: 10 }
    }

    fn take(root: &Root, name: &str, preferred: u32, in_use: &[u32]) -> Option<u32> {
        let in_use = in_use.iter().copied().collect();
        let name = name.parse().unwrap();
        let range = take_users(root, &name, ALL, at(preferred), &in_use).unwrap();
        range.map(|range| range.first)
    }

    #[test]
    fn no_two_projects_have_the_same_users() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::below(directory.path());
        assert_eq!(take(&root, "a", 1010, &[]), Some(1010));
        // The same names a second time, and the place that is taken.
        assert_eq!(take(&root, "a", 1010, &[]), Some(1010));
        assert_eq!(take(&root, "b", 1010, &[]), Some(1000));
        // 1030 would end past the last id.
        assert_eq!(take(&root, "c", 1010, &[]), Some(1020));
        assert_eq!(take(&root, "d", 1010, &[]), None);
        // Freed, it is given again; twice is once.
        let name = "a".parse().unwrap();
        free_users(&root, &name).unwrap();
        free_users(&root, &name).unwrap();
        assert_eq!(take(&root, "d", 1010, &[]), Some(1010));
    }

    #[test]
    fn what_containers_of_others_have_is_not_given() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::below(directory.path());
        assert_eq!(take(&root, "a", 1000, &[1000, 1010]), Some(1020));
        assert_eq!(take(&root, "a", 1000, &[]), Some(1020), "it keeps its own");
        assert_eq!(take(&root, "a", 1000, &[1020]), Some(1000));
    }

    #[test]
    fn a_range_outside_of_what_may_be_given_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::below(directory.path());
        take(&root, "a", 1010, &[]).unwrap();
        let name = "a".parse().unwrap();
        let all = UserRange {
            first: 5000,
            count: 10,
        };
        let range = take_users(&root, &name, all, at(5000), &BTreeSet::new()).unwrap();
        assert_eq!(range, Some(at(5000)));
    }
}
