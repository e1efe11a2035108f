//! Caches of builds that come from elsewhere and go elsewhere.

use super::build::Work;
use crate::{
    build::{
        BuildError, BuildInput, Built, CacheFrom, CacheTo, CachedStep, ImportedCache, LayersError,
        cache_config, steps_of,
    },
    image::{Parts, PushEvent, RemoteImage, SendError, SendTo, send_parts},
    model::{Digest, chain},
};

/// Opens the caches that a build may use. One that is not there, or is none, is a warning: the first build of all has none.
pub(super) fn import<'a>(work: &'a Work, input: &BuildInput) -> Vec<ImportedCache<'a>> {
    let mut caches = Vec::new();
    for from in &input.cache_from {
        let name = match from {
            CacheFrom::Registry(reference) => reference.clone(),
            CacheFrom::Directory(path, _) => path.display().to_string(),
        };
        match open(work, input, from) {
            Ok(Some((image, steps))) => caches.push(ImportedCache {
                name,
                steps,
                fetch: Box::new(move |diff_id| fetch(work, &image, diff_id)),
            }),
            Ok(None) => work.warn(format!(
                "cache `{name}` is not used: the image carries no cache of stack"
            )),
            Err(error) => {
                let text = chain(&error).join(": ");
                work.warn(format!("cache `{name}` is not used: {text}"));
            }
        }
    }
    caches
}

fn open(
    work: &Work,
    input: &BuildInput,
    from: &CacheFrom,
) -> Result<Option<(RemoteImage, Vec<CachedStep>)>, LayersError> {
    let store = &work.context.images;
    let image = match from {
        CacheFrom::Registry(reference) => {
            let platform = input.platform().map_err(LayersError::new)?;
            let tell = |event| work.tell_pull(event);
            let registries = &work.registries;
            let opened = RemoteImage::at_registry(store, reference, &platform, registries, &tell);
            work.wait(opened)?
        }
        CacheFrom::Directory(path, wanted) => {
            RemoteImage::in_layout(store, path, wanted.as_deref())
        }
    };
    let image = image.map_err(LayersError::new)?;
    match steps_of(image.config()) {
        None => Ok(None),
        Some(steps) => Ok(Some((image, steps.map_err(LayersError::new)?))),
    }
}

fn fetch(work: &Work, image: &RemoteImage, diff_id: &Digest) -> Result<bool, LayersError> {
    let tell = |event| work.tell_pull(event);
    let fetched = image.fetch_layer(&work.context.images, diff_id, &work.registries, &tell);
    work.wait(fetched)?.map_err(LayersError::new)
}

/// Sends the cache of a build to where it shall go.
pub(super) fn export(work: &Work, input: &BuildInput, built: &Built) -> Result<(), BuildError> {
    for to in &input.cache_to {
        let name = match &to.to {
            SendTo::Registry(reference) => reference.clone(),
            SendTo::Layout(path, _) => path.display().to_string(),
        };
        match send(work, to, built) {
            Ok(()) => {}
            Err(error) if to.ignore_error => {
                let text = chain(&error).join(": ");
                work.warn(format!("the cache was not written to `{name}`: {text}"));
            }
            Err(source) => {
                let source = LayersError::new(source);
                return Err(BuildError::CacheTo { name, source });
            }
        }
    }
    Ok(())
}

fn send(work: &Work, to: &CacheTo, built: &Built) -> Result<(), SendError> {
    let steps = built.steps.iter();
    let steps = steps.filter(|made| to.all_stages || made.in_image);
    let steps: Vec<CachedStep> = steps.map(|made| made.step.clone()).collect();
    let (config, diff_ids) = cache_config(&steps, &built.image.platform);
    let parts = Parts {
        config: &config,
        diff_ids: &diff_ids,
        image: &built.image.id,
    };
    let tell = |event| {
        if let PushEvent::Warning(text) = event {
            work.warn(text);
        }
    };
    let sent = send_parts(&work.context.images, parts, &to.to, &work.registries, &tell);
    work.handle.block_on(sent)
}
