//! Calls about volumes by themselves.

use super::desired::wanted_projects;
use crate::{
    apply::{self, Context},
    protocol::{ErrorReport, FailureKind, Outcome, VolumeRequest},
};

/// Carries out a call.
pub(super) async fn call(context: &Context, request: VolumeRequest) -> Outcome {
    let wanted = match wanted_projects(&context.root) {
        Ok(wanted) => wanted,
        Err(error) => {
            return Outcome {
                errors: vec![ErrorReport::of(FailureKind::Operation, &error)],
                ..Outcome::default()
            };
        }
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
