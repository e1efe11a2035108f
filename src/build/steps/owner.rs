//! Owners of what COPY and WORKDIR make: names are looked up in the image's own passwd and group.

use runtime::process::user::{Id, Missing, UserSpec, resolve};

use crate::build::{
    error::StepFailure,
    files::{Owner, Tree},
};

/// Resolves `user[:group]`. A number without a group is the group too, as the language documents.
pub(super) fn find(text: &str, image: &Tree) -> Result<Owner, StepFailure> {
    let spec = UserSpec::parse(text).map_err(|_error| StepFailure::Value {
        what: "owner",
        value: text.to_owned(),
        rule: "must be user, user:group or :group, by name or number",
    })?;
    if let (Id::Number(uid), None) = (spec.user, spec.group) {
        return Ok(Owner { uid, gid: uid });
    }
    if let (Id::Number(uid), Some(Id::Number(gid))) = (spec.user, spec.group) {
        return Ok(Owner { uid, gid });
    }
    let passwd = image.text_or_empty("etc/passwd")?;
    let group = image.text_or_empty("etc/group")?;
    let found = resolve(&spec, &[], &passwd, &group).map_err(|missing| {
        let (kind, file, name) = match (missing, spec.group) {
            (Missing::Group, Some(group)) => ("group", "group", group.to_string()),
            _ => ("user", "passwd", spec.user.to_string()),
        };
        StepFailure::NoSuchOwner { kind, name, file }
    })?;
    Ok(Owner {
        uid: found.credentials.uid,
        gid: found.credentials.gid,
    })
}
