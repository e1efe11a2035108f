//! What a name means on its registry now.

use super::PullError;
use crate::image::{Reference, Registries, registry::Repository};

/// Returns a reference with the digest that its registry has for it now: `registry/repository:tag@digest`. Nothing is
/// fetched but, from a registry that does not answer HEAD, the manifest.
pub async fn pinned(reference: &str, registries: &Registries) -> Result<String, PullError> {
    let reference: Reference = reference.parse()?;
    if reference.digest().is_some() {
        return Ok(reference.to_string());
    }
    let repository = Repository::new(registries, &reference, &|text| tracing::warn!("{text}"));
    let digest = if let Some(digest) = repository.head(reference.selector()).await {
        digest
    } else {
        let fetched = repository.manifest(reference.selector()).await;
        let failed = |failures| PullError::Registry {
            reference: reference.familiar(),
            failures,
        };
        fetched.map_err(failed)?.digest
    };
    Ok(format!("{reference}@{digest}"))
}
