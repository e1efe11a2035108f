//! The range of user ids that a project's containers have on the host.

use std::collections::BTreeSet;

use compose_spec::model::ProjectName;
use runtime::spec::UserMap;

use super::{Context, error::ApplyError};
use crate::{
    container,
    model::{HostFacts, UserRange},
    store,
};

/// Gives the project the range that its map asks for, or another one if somebody else has that, and notes it in the facts from which its
/// containers are lowered. Returns whether it is another one.
pub(super) fn settle(
    context: &Context,
    project: &ProjectName,
    wanted: &UserMap,
    host: &mut HostFacts,
) -> Result<bool, ApplyError> {
    let Some(preferred) = wanted.uids.first().map(|range| UserRange {
        first: range.outside,
        count: range.count,
    }) else {
        return Ok(false);
    };
    let records = container::read_all(&context.root).map_err(|source| ApplyError::Container {
        name: "of any project".to_owned(),
        source,
    })?;
    let in_use: BTreeSet<u32> = records
        .iter()
        .filter(|record| record.project != *project)
        .filter_map(|record| record.spec.users.as_ref()?.uids.first())
        .map(|range| range.outside)
        .collect();
    let taken = store::take_users(&context.root, project, host.users, preferred, &in_use)
        .map_err(ApplyError::Users)?;
    let range = taken.ok_or(ApplyError::NoUsers {
        ranges: host.users.count / preferred.count.max(1),
    })?;
    host.users = range;
    Ok(range != preferred)
}
