//! Limits to the letter, of descriptions that name control files themselves.

use std::io;

use super::{Cgroup, CgroupError, control};
use crate::spec::ExactLimit;

/// Writes all, in their order; tells those that no controller of this host enforces.
pub(super) fn apply(
    cgroup: &Cgroup,
    limits: &[ExactLimit],
    warnings: &mut Vec<String>,
) -> Result<(), CgroupError> {
    for limit in limits {
        let controller = limit.controller.as_str();
        // `cgroup.*` files belong to no controller.
        let v2 = match (controller, &cgroup.v2) {
            ("cgroup", Some(group)) => Some(group.path.as_path()),
            _ => cgroup.v2_directory(controller),
        };
        let v1 = cgroup.v1_directory(controller);
        let on_v1 = v1.zip(limit.v1.as_ref());
        let Some((directory, (file, text))) = on_v1.or_else(|| v2.zip(limit.v2.as_ref())) else {
            let version = match (v1, v2) {
                (Some(_), _) => "version 1 of control groups has nothing of the kind",
                (_, Some(_)) => "version 2 of control groups has nothing of the kind",
                (None, None) => "this host's control groups have no such controller",
            };
            warnings.push(format!(
                "`{}` has no effect: {version} (`{controller}`)",
                limit.limit
            ));
            continue;
        };
        match control::write(&directory.join(file), text) {
            Ok(()) => {}
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    || error.raw_os_error() == Some(libc::EOPNOTSUPP) =>
            {
                warnings.push(format!(
                    "`{}` has no effect: this kernel has no `{file}`",
                    limit.limit
                ));
            }
            Err(source) => {
                return Err(CgroupError::ExactLimit {
                    limit: limit.limit.clone(),
                    path: directory.join(file),
                    value: text.clone(),
                    source,
                });
            }
        }
    }
    Ok(())
}
