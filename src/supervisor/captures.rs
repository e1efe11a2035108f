//! Images out of files: `commit` of a container, `import` of an archive.

use std::{collections::BTreeSet, io::Read, path::Path};

use fs_err as fs;
use runtime::spec::ContainerState;
use serde_json::{Value, json};

use super::images::{blocking, failed, image_failure};
use crate::{
    apply::{self, Context},
    build::{ChangeError, change_config},
    container::{self, ContainerError, LinkError},
    image::{CommittedLayer, ImageError, ImageStore, InvalidPlatform, Platform, Reference},
    model::{ContainerRecord, ImageId, ImageRecord},
    protocol::{CommitRequest, ImageImportRequest, Outcome},
};

/// An image could not be made of files.
#[derive(Debug, thiserror::Error)]
enum CaptureError {
    #[error("no container `{0}`")]
    NoContainer(String),
    #[error("read the container")]
    Container(#[from] ContainerError),
    #[error("freeze the container")]
    Freeze(#[source] LinkError),
    #[error("read the image of container `{0}`")]
    Base(String, #[source] ImageError),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error(transparent)]
    Platform(#[from] InvalidPlatform),
    #[error("open `{path}`")]
    Open {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// Makes an image of a container's files; the container stays as it is.
pub(super) async fn commit(context: &Context, request: CommitRequest) -> Outcome {
    let record = match container::read_record(&context.root, &request.container) {
        Ok(Some(record)) => record,
        Ok(None) => {
            let name = request.container.short().to_owned();
            return image_failure(&CaptureError::NoContainer(name));
        }
        Err(error) => return image_failure(&CaptureError::Container(error)),
    };
    if let Some(refusal) = refused_name(request.reference.as_deref()) {
        return refusal;
    }
    let state = container::read_state(&context.root, &record.id);
    let is_running = matches!(&state, Ok((ContainerState::Running { .. }, _)));
    let frozen = if request.pause && is_running {
        match context.live.freeze(&record.id).await {
            Ok(frozen) => Some(frozen),
            Err(error) => return image_failure(&CaptureError::Freeze(error)),
        }
    } else {
        None
    };
    let (store, root) = (context.images.clone(), context.root.clone());
    let made = blocking(move || {
        let upper = root.container(&record.id).join("upper");
        commit_now(&store, &record, &upper, &request)
    })
    .await;
    drop(frozen);
    answer(made)
}

/// Makes an image with one layer of an archive of files.
pub(super) async fn import(context: &Context, request: ImageImportRequest) -> Outcome {
    if let Some(refusal) = refused_name(request.reference.as_deref()) {
        return refusal;
    }
    let store = context.images.clone();
    answer(blocking(move || import_now(&store, &request)).await)
}

fn answer(made: Result<ImageId, CaptureError>) -> Outcome {
    match made {
        Ok(id) => Outcome {
            names: vec![id.to_string()],
            ..Outcome::default()
        },
        Err(error) => image_failure(&error),
    }
}

/// A wrong name is told before any work is done.
fn refused_name(name: Option<&str>) -> Option<Outcome> {
    match name?.parse::<Reference>() {
        Ok(reference) if reference.digest().is_some() => Some(failed(format!(
            "`{reference}` has a digest: an image that is made here gets its own"
        ))),
        Ok(_) => None,
        Err(error) => Some(image_failure(&error)),
    }
}

fn commit_now(
    store: &ImageStore,
    record: &ContainerRecord,
    upper: &Path,
    request: &CommitRequest,
) -> Result<ImageId, CaptureError> {
    let base = |error| CaptureError::Base(record.name.clone(), error);
    let _lease = store.lease()?;
    let details = store.details(record.image.as_str()).map_err(base)?;
    let mut document = details.document;
    with_container(&mut document, record);
    change_config(&mut document, &request.changes)?;
    let layer = store.copy_layer(upper)?;
    let mut diff_ids: Vec<_> = details.layers.into_iter().map(|(id, _)| id).collect();
    diff_ids.push(layer.diff_id);
    if let Some(author) = &request.author {
        document["author"] = author.as_str().into();
    }
    let created_by = record.spec.process.argv.join(" ");
    let entry = history(
        &created_by,
        request.author.as_deref(),
        request.message.as_deref(),
    );
    finish(
        store,
        document,
        entry,
        &diff_ids,
        request.reference.as_deref(),
    )
}

/// Takes over what the container was told over its image: command, environment, user, directory, labels.
fn with_container(document: &mut Value, record: &ContainerRecord) {
    let wanted = &record.wanted;
    if !document["config"].is_object() {
        document["config"] = json!({});
    }
    let config = &mut document["config"];
    if let Some(entrypoint) = &wanted.entrypoint {
        config["Entrypoint"] = json!(entrypoint);
        config["Cmd"] = Value::Null;
    }
    if let Some(command) = &wanted.command {
        config["Cmd"] = json!(command);
    }
    if let Some(user) = &wanted.user {
        config["User"] = user.as_str().into();
    }
    if let Some(directory) = &wanted.working_dir {
        config["WorkingDir"] = directory.as_str().into();
    }
    let mut environment: Vec<String> = strings(&config["Env"]);
    for (name, value) in &wanted.environment {
        environment.retain(|line| line.split('=').next() != Some(name));
        if let Some(value) = value {
            environment.push(format!("{name}={value}"));
        }
    }
    config["Env"] = environment.into();
    if !wanted.labels.is_empty() && !config["Labels"].is_object() {
        config["Labels"] = json!({});
    }
    for (name, value) in &wanted.labels {
        config["Labels"][name] = value.as_str().into();
    }
}

fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}

fn import_now(store: &ImageStore, request: &ImageImportRequest) -> Result<ImageId, CaptureError> {
    let platform = match &request.platform {
        Some(text) => text.parse::<Platform>()?,
        None => Platform::host(),
    };
    let mut document =
        json!({"architecture": platform.architecture, "os": platform.os, "config": {}});
    if let Some(variant) = &platform.variant {
        document["variant"] = variant.as_str().into();
    }
    change_config(&mut document, &request.changes)?;
    let mut source = open(&request.path, request.is_pipe)?;
    let _lease = store.lease()?;
    let CommittedLayer { diff_id, .. } = store.stream_layer(&mut source)?;
    let from = if request.is_pipe {
        "-".to_owned()
    } else {
        request.path.display().to_string()
    };
    let message = request.message.clone();
    let message = message.unwrap_or_else(|| format!("Imported from {from}"));
    let entry = history("", None, Some(&message));
    finish(
        store,
        document,
        entry,
        &[diff_id],
        request.reference.as_deref(),
    )
}

/// Opens what a client named; a pipe was made for this call and its name is not needed any more.
pub(super) fn open_source(path: &Path, is_pipe: bool) -> std::io::Result<fs::File> {
    let file = fs::File::open(path);
    if is_pipe {
        fs::remove_file(path)?;
    }
    file
}

fn open(path: &Path, is_pipe: bool) -> Result<Box<dyn Read>, CaptureError> {
    let file = open_source(path, is_pipe).map_err(|source| CaptureError::Open {
        path: path.display().to_string(),
        source,
    })?;
    Ok(Box::new(file))
}

fn history(created_by: &str, author: Option<&str>, message: Option<&str>) -> Value {
    let mut entry = json!({});
    for (key, value) in [
        ("created_by", Some(created_by)),
        ("author", author),
        ("comment", message),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            entry[key] = value.into();
        }
    }
    entry
}

fn finish(
    store: &ImageStore,
    mut document: Value,
    mut entry: Value,
    diff_ids: &[crate::model::Digest],
    reference: Option<&str>,
) -> Result<ImageId, CaptureError> {
    let millis = i64::try_from(apply::now().0).unwrap_or(i64::MAX);
    let created = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let created = created.to_string();
    entry["created"] = created.as_str().into();
    document["created"] = created.into();
    if !document["history"].is_array() {
        document["history"] = json!([]);
    }
    if let Some(entries) = document["history"].as_array_mut() {
        entries.push(entry);
    }
    document["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
    let tags: BTreeSet<String> = reference.map(ToOwned::to_owned).into_iter().collect();
    let tags: Vec<String> = tags.into_iter().collect();
    let ImageRecord { id, .. } = store.commit_image(&document, diff_ids, &tags)?;
    Ok(id)
}
