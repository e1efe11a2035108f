//! Calls about networks by themselves.

use super::desired::wanted_projects;
use crate::{
    apply::{self, Context, NetworkChangeError},
    protocol::{ErrorReport, FailureKind, NetworkRequest, Outcome},
};

/// Carries out a call.
pub(super) async fn call(context: &Context, request: NetworkRequest) -> Outcome {
    let wanted = match wanted_projects(&context.root) {
        Ok(wanted) => wanted,
        Err(error) => return Outcome::failed(FailureKind::Operation, &error),
    };
    let changes = apply::change_networks(context, request, &wanted).await;
    let report = |error: &NetworkChangeError| ErrorReport {
        hints: error.hints(),
        ..ErrorReport::of(FailureKind::Operation, error)
    };
    Outcome {
        errors: changes.errors.iter().map(report).collect(),
        names: changes.names,
        ..Outcome::default()
    }
}
