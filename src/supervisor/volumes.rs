//! Calls about volumes by themselves.

use super::desired::wanted_projects;
use crate::{
    apply::{self, Context, Job, VolumeRestore, VolumeSource},
    protocol::{ErrorReport, FailureKind, Outcome, VolumeRequest},
};

/// Carries out a call.
pub(super) async fn call(context: &Context, job: &Job, request: VolumeRequest) -> Outcome {
    let done = match request {
        VolumeRequest::Backup { names, live, pipe } => {
            let source = VolumeSource { names, live };
            let done = apply::backup_volumes(context, job, source, pipe).await;
            done.map(|()| Vec::new())
        }
        VolumeRequest::Copy { from, to, live } => {
            let names = vec![from];
            let source = VolumeSource { names, live };
            let done = apply::copy_volume(context, job, source, to.clone()).await;
            done.map(|()| vec![to])
        }
        VolumeRequest::Restore {
            path,
            is_pipe,
            names,
            rename,
            replace,
        } => {
            let restore = VolumeRestore {
                path,
                is_pipe,
                names,
                rename,
                replace,
            };
            apply::restore_volumes(context, job, restore).await
        }
        request => return change(context, request).await,
    };
    match done {
        Ok(names) => Outcome {
            names,
            ..Outcome::default()
        },
        Err(error) => Outcome {
            errors: vec![ErrorReport {
                hints: error.hints(),
                ..ErrorReport::of(FailureKind::Operation, &error)
            }],
            ..Outcome::default()
        },
    }
}

async fn change(context: &Context, request: VolumeRequest) -> Outcome {
    let wanted = match wanted_projects(&context.root) {
        Ok(wanted) => wanted,
        Err(error) => return Outcome::failed(FailureKind::Operation, &error),
    };
    let root = context.root.clone();
    let work = move || apply::change_volumes(&root, request, &wanted);
    let changes = tokio::task::spawn_blocking(work)
        .await
        .expect("file work does not panic");
    let report = |error: &apply::VolumeChangeError| ErrorReport {
        hints: error.hints(),
        ..ErrorReport::of(FailureKind::Operation, error)
    };
    Outcome {
        errors: changes.errors.iter().map(report).collect(),
        names: changes.names,
        reclaimed_bytes: changes.reclaimed_bytes,
        ..Outcome::default()
    }
}
