//! The builder's view of the image store and of containers.

use std::path::{Path, PathBuf};

use runtime::spec::{ContainerSpec, ExitStatus};
use tokio::runtime::Handle;

use super::Context;
use crate::{
    build::{Layer, Layers, LayersError, RunnerError, StepRunner},
    container::{SpawnError, Steps, StepsError},
    image,
    model::{Digest, ImageRecord},
};

/// The image store for the builder, which runs on a thread that may block.
pub(super) struct StoreLayers<'a> {
    context: &'a Context,
    handle: Handle,
}

impl<'a> StoreLayers<'a> {
    pub(super) fn new(context: &'a Context, handle: Handle) -> Self {
        Self { context, handle }
    }
}

impl Layers for StoreLayers<'_> {
    fn find(&self, reference: &str, platform: &str) -> Result<Option<ImageRecord>, LayersError> {
        let found = self
            .context
            .images
            .find(reference)
            .map_err(LayersError::new)?;
        Ok(found.filter(|record| fits(&record.platform, platform)))
    }

    fn pull(&self, reference: &str, platform: &str) -> Result<ImageRecord, LayersError> {
        let pull = image::pull(
            &self.context.images,
            reference,
            Some(platform),
            &self.context.registries,
            &|_| {},
        );
        self.handle.block_on(pull).map_err(LayersError::new)
    }

    fn config(&self, image: &ImageRecord) -> Result<serde_json::Value, LayersError> {
        self.context
            .images
            .config_json(&image.id)
            .map_err(LayersError::new)
    }

    fn layer(&self, diff_id: &Digest) -> Result<Option<PathBuf>, LayersError> {
        Ok(self.context.images.layer(diff_id).map(|layer| layer.path))
    }

    fn commit_layer(&self, upper: &Path) -> Result<Layer, LayersError> {
        let layer = self
            .context
            .images
            .commit_layer(upper)
            .map_err(LayersError::new)?;
        Ok(Layer {
            diff_id: layer.diff_id,
            path: layer.path,
        })
    }

    fn commit_image(
        &self,
        config: &serde_json::Value,
        diff_ids: &[Digest],
        tags: &[String],
    ) -> Result<ImageRecord, LayersError> {
        self.context
            .images
            .commit_image(config, diff_ids, tags)
            .map_err(LayersError::new)
    }
}

/// Whether an image for `offered` serves who asked for `wanted`: a variant need not be named.
fn fits(offered: &str, wanted: &str) -> bool {
    offered == wanted
        || offered
            .strip_prefix(wanted)
            .is_some_and(|rest| rest.starts_with('/'))
        || wanted
            .strip_prefix(offered)
            .is_some_and(|rest| rest.starts_with('/'))
}

/// Runs RUN steps as containers.
pub(super) struct StepContainers(Steps);

impl StepContainers {
    pub(super) fn new(context: &Context) -> Self {
        Self(context.steps.clone())
    }
}

impl StepRunner for StepContainers {
    fn run(
        &self,
        spec: ContainerSpec,
        output: &mut dyn FnMut(&[u8]),
    ) -> Result<ExitStatus, RunnerError> {
        self.0.run(spec, output).map_err(|error| {
            let code = match &error {
                StepsError::Spawn(SpawnError::Refused { code, .. })
                | StepsError::Refused { code, .. } => *code,
                _ => 125,
            };
            let mut message = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(inner) = source {
                message = format!("{message}: {inner}");
                source = inner.source();
            }
            RunnerError { message, code }
        })
    }
}
