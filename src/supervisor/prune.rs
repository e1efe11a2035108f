//! Removing what nothing uses: images and volumes. What a running project has or may want again is never touched.

use std::collections::BTreeSet;

use super::{
    desired::wanted_projects,
    images::{blocking, carry_out, failed, image_failure},
};
use crate::{
    apply::{Context, Job},
    container,
    model::{ImageId, PruneFilter, Subject, SubjectKind, VolumeRecord},
    observe,
    plan::{Action, Plan, Step},
    protocol::{ErrorReport, FailureKind, Outcome, VolumePruneRequest},
    store::Meter,
};

pub(super) async fn images(context: &Context, filter: PruneFilter) -> Outcome {
    let in_use: Vec<ImageId> = match container::read_all(&context.root) {
        Ok(records) => records.into_iter().map(|record| record.image).collect(),
        Err(error) => return image_failure(&error),
    };
    let store = context.images.clone();
    match blocking(move || store.prune(&filter, &in_use)).await {
        Ok((names, reclaimed_bytes)) => Outcome {
            names,
            reclaimed_bytes,
            ..Outcome::default()
        },
        Err(error) => image_failure(&error),
    }
}

pub(super) async fn volumes(context: &Context, job: &Job, request: VolumePruneRequest) -> Outcome {
    let unused = match unused_volumes(context) {
        Ok(unused) => unused,
        Err(report) => {
            return Outcome {
                errors: vec![report],
                ..Outcome::default()
            };
        }
    };
    let mut plan = Plan::default();
    let mut names = Vec::new();
    for volume in unused {
        let is_anonymous = volume.key.is_none() && volume.wanted.is_none();
        if !request.names.contains(&volume.name) || !(request.all || is_anonymous) {
            continue;
        }
        names.push(volume.name.clone());
        plan.graph.add_node(Step {
            subject: Subject {
                kind: SubjectKind::Volume,
                name: volume.name.clone(),
            },
            action: Action::RemoveVolume { name: volume.name },
            cause: "unused".to_owned(),
        });
    }
    let root = context.root.clone();
    let paths: Vec<_> = names.iter().map(|name| root.volumes().join(name)).collect();
    let measured = blocking(move || {
        let mut meter = Meter::default();
        paths
            .iter()
            .map(|path| meter.add(path))
            .sum::<Result<u64, _>>()
    })
    .await;
    let reclaimed_bytes = match measured {
        Ok(bytes) => bytes,
        Err(error) => return failed(error.to_string()),
    };
    let mut outcome = carry_out(context, job, plan).await;
    names.retain(|name| !root.volumes().join(name).exists());
    outcome.names = names;
    outcome.reclaimed_bytes = reclaimed_bytes;
    outcome
}

/// Volumes that no container mounts and no project that is wanted may want.
fn unused_volumes(context: &Context) -> Result<Vec<VolumeRecord>, ErrorReport> {
    let operation = |error: &dyn std::error::Error| ErrorReport::of(FailureKind::Operation, error);
    let wanted: BTreeSet<_> = wanted_projects(&context.root)
        .map_err(|error| operation(&error))?
        .into_iter()
        .collect();
    let mut unused = observe::unused_volumes(&context.root).map_err(|error| operation(&error))?;
    unused.retain(|volume| {
        volume
            .project
            .as_ref()
            .is_none_or(|project| !wanted.contains(project))
    });
    Ok(unused)
}
