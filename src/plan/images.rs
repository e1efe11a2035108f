//! Images: which are fetched or built, and where each container's comes from.

use std::collections::BTreeSet;

use compose_spec::model::{
    Build, ImageSource, MountSource, ProjectName, PullPolicy, Service, ServiceName,
};

use super::{Action, Inputs, Mode, PlanError, StepId, graph::Draft, lower::LowerError};
use crate::model::{ImageRecord, SubjectKind};

/// Returns the reference of a service's image: as written, or `<project>-<service>` for one that is only built. A service that a
/// provider runs has none and gets the empty text; it is refused before a container is planned for it.
pub fn image_reference(project: &ProjectName, service: &Service) -> String {
    match &service.image {
        ImageSource::Pull { image }
        | ImageSource::Build {
            image: Some(image), ..
        } => image.clone(),
        ImageSource::Build { image: None, .. } => format!("{project}-{}", service.name),
        ImageSource::Provider(_) => String::new(),
    }
}

/// Returns the references of the images that a service mounts, as written, each once.
pub fn mounted_references(service: &Service) -> BTreeSet<&str> {
    let sources = service.mounts.iter().map(|mount| &mount.source);
    sources
        .filter_map(|source| match source {
            MountSource::Image { image, .. } => Some(image.as_str()),
            _ => None,
        })
        .collect()
}

/// Returns the steps that fetch or build the images that a service mounts.
pub(super) fn supply_mounted(
    inputs: &Inputs<'_>,
    service: &Service,
    draft: &mut Draft,
) -> Result<Vec<StepId>, PlanError> {
    let mut steps = Vec::new();
    for reference in mounted_references(service) {
        if let Some(step) = draft.images.get(reference) {
            steps.push(*step);
            continue;
        }
        if let Some(builder) = builder(inputs, reference)? {
            if let Supplied::From(step) = supply(inputs, builder, true, draft)? {
                steps.push(step);
            }
            continue;
        }
        if inputs.observed.images.contains_key(reference) {
            continue;
        }
        let action = Action::PullImage {
            reference: reference.to_owned(),
            platform: service.platform.clone(),
            always: false,
        };
        let step = draft.step((SubjectKind::Image, reference), action, "not in the store");
        draft.images.insert(reference.to_owned(), step);
        steps.push(step);
    }
    Ok(steps)
}

/// Where the image of a service stands.
#[derive(Debug, Clone)]
pub(super) enum Supplied {
    /// In the store.
    Known(Box<ImageRecord>),
    /// This step will fetch or build it.
    From(StepId),
    /// Not in the store, and nothing needs it so far.
    Absent,
}

/// What happens to the image of a service.
enum Decision<'a> {
    Leave,
    Pull { always: bool },
    Build(&'a Service),
    Missing(&'static str),
}

/// Says where a service's image stands, adding the step that fetches or builds it. `must_have`: a container will be made of it.
pub(super) fn supply(
    inputs: &Inputs<'_>,
    service: &Service,
    must_have: bool,
    draft: &mut Draft,
) -> Result<Supplied, PlanError> {
    if let ImageSource::Provider(_) = &service.image {
        return Err(PlanError::Service(LowerError::unsupported(
            &service.name,
            "provider",
            "a service that a provider runs",
        )));
    }
    let reference = image_reference(&inputs.project.name, service);
    if let Some(step) = draft.images.get(&reference) {
        return Ok(Supplied::From(*step));
    }
    let known = inputs.observed.images.get(&reference);
    let (action, cause) = match decide(inputs, service, &reference, must_have)? {
        Decision::Leave => {
            return Ok(known.map_or(Supplied::Absent, |image| {
                Supplied::Known(Box::new(image.clone()))
            }));
        }
        Decision::Missing(why) => {
            return Err(PlanError::ImageMissing {
                service: service.name.clone(),
                reference,
                why,
            });
        }
        Decision::Pull { always } => {
            let action = Action::PullImage {
                reference: reference.clone(),
                platform: service.platform.clone(),
                always,
            };
            (action, "its pull policy asks for it")
        }
        Decision::Build(builder) => {
            let action = Action::BuildImage {
                service: Box::new(builder.clone()),
                tag: reference.clone(),
            };
            (action, "a build is asked for")
        }
    };
    let cause = if known.is_some() {
        cause
    } else {
        "not in the store"
    };
    let bases = match &action {
        Action::BuildImage { service, .. } => base_services(service),
        _ => Vec::new(),
    };
    let step = draft.step((SubjectKind::Image, &reference), action, cause);
    draft.images.insert(reference, step);
    for base in bases {
        // A name that is none is the builder's error, with its key.
        let Some(base) = inputs.project.services.get(base.as_str()) else {
            continue;
        };
        if let Supplied::From(earlier) = supply(inputs, base, true, draft)? {
            if draft.leads(step, earlier) {
                return Err(PlanError::Service(LowerError::unsupported(
                    &service.name,
                    "build.additional_contexts",
                    "services whose builds need each other",
                )));
            }
            draft.needs(step, earlier);
        }
    }
    Ok(Supplied::From(step))
}

/// Returns the services whose images are contexts of a service's build (`additional_contexts: base=service:base`).
pub fn base_services(service: &Service) -> Vec<String> {
    let ImageSource::Build { build, .. } = &service.image else {
        return Vec::new();
    };
    let contexts = build.additional_contexts.values();
    contexts
        .filter_map(|context| context.strip_prefix("service:").map(ToOwned::to_owned))
        .collect()
}

fn decide<'a>(
    inputs: &Inputs<'a>,
    service: &Service,
    reference: &str,
    must_have: bool,
) -> Result<Decision<'a>, PlanError> {
    let known = inputs.observed.images.contains_key(reference);
    let up = inputs.options.mode == Mode::Up;
    let policy = inputs.options.pull.unwrap_or(service.pull_policy);
    if known && inputs.fetched.contains(reference) {
        return Ok(Decision::Leave);
    }
    let builder = builder(inputs, reference)?;
    if let Some(builder) = builder
        && !inputs.options.no_build
    {
        let asked = up && (inputs.options.build || policy == PullPolicy::Build);
        return Ok(if asked || (!known && must_have) {
            Decision::Build(builder)
        } else {
            Decision::Leave
        });
    }
    if known {
        let stale = match policy {
            PullPolicy::Always => true,
            PullPolicy::Every { seconds } => is_older(inputs, reference, seconds),
            PullPolicy::Never | PullPolicy::Missing | PullPolicy::Build => false,
        };
        return Ok(if up && stale && builder.is_none() {
            Decision::Pull { always: true }
        } else {
            Decision::Leave
        });
    }
    let asked = up && policy == PullPolicy::Always;
    if !must_have && !asked {
        return Ok(Decision::Leave);
    }
    Ok(match policy {
        _ if !names_image(service) => Decision::Missing("building is switched off"),
        PullPolicy::Never => Decision::Missing("its pull policy is `never`"),
        PullPolicy::Build => Decision::Missing("it may only be built"),
        PullPolicy::Always | PullPolicy::Missing | PullPolicy::Every { .. } => {
            Decision::Pull { always: false }
        }
    })
}

fn names_image(service: &Service) -> bool {
    !matches!(service.image, ImageSource::Build { image: None, .. })
}

/// Returns the service that builds an image: the service itself, or another one of the project whose tag it uses.
fn builder<'a>(inputs: &Inputs<'a>, reference: &str) -> Result<Option<&'a Service>, PlanError> {
    let project = inputs.project;
    let mut found: Option<(&'a ServiceName, &'a Service, &'a Build)> = None;
    for (name, service) in &project.services {
        let ImageSource::Build { build, .. } = &service.image else {
            continue;
        };
        if image_reference(&project.name, service) != reference {
            continue;
        }
        match found {
            Some((first, _, known)) if known != build.as_ref() => {
                return Err(PlanError::TagTwice {
                    tag: reference.to_owned(),
                    first: first.clone(),
                    second: name.clone(),
                });
            }
            Some(_) => {}
            None => found = Some((name, service, build)),
        }
    }
    Ok(found.map(|(_, service, _)| service))
}

fn is_older(inputs: &Inputs<'_>, reference: &str, seconds: u64) -> bool {
    inputs
        .observed
        .images_fetched
        .get(reference)
        .is_none_or(|fetched| inputs.now.since_ms(*fetched) >= seconds.saturating_mul(1000))
}
