//! The writing half: uploads whole and in pieces, mounts, manifests. It checks what a registry checks.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::{Right, State};
use crate::image::digest;

#[derive(Default)]
pub(super) struct Uploads {
    is_on: bool,
    piece_min: Option<u64>,
    sessions: HashMap<String, Vec<u8>>,
    begun: usize,
    /// Repository and digest.
    owned: HashSet<(String, String)>,
}

impl Uploads {
    pub(super) fn start(&mut self, piece_min: Option<u64>) {
        (self.is_on, self.piece_min) = (true, piece_min);
    }
}

pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) kind: &'a str,
    pub(super) range: Option<&'a str>,
    pub(super) body: Bytes,
}

/// Answers what is about writing; `None` for everything else.
pub(super) fn answer(state: &mut State, request: &Request<'_>) -> Option<Right> {
    if !state.uploads.is_on {
        return None;
    }
    let rest = request.path.strip_prefix("/v2/")?;
    if let Some((repository, id)) = rest.split_once("/blobs/uploads/") {
        return Some(match (request.method, id) {
            ("POST", "") => begin(state, repository, request.query),
            ("PATCH", id) => patch(state, repository, id, request),
            ("PUT", id) => close(state, repository, id, request),
            ("GET", id) => match state.uploads.sessions.get(id) {
                Some(bytes) => status(204, repository, id, bytes.len()),
                None => error(404, "BLOB_UPLOAD_UNKNOWN"),
            },
            _ => error(405, "UNSUPPORTED"),
        });
    }
    if let Some((repository, wanted)) = rest.split_once("/blobs/") {
        let key = (repository.to_owned(), wanted.to_owned());
        return (!state.uploads.owned.contains(&key)).then(|| error(404, "BLOB_UNKNOWN"));
    }
    let (repository, tag) = rest.split_once("/manifests/")?;
    (request.method == "PUT").then(|| put_manifest(state, repository, tag, request))
}

fn begin(state: &mut State, repository: &str, query: &str) -> Right {
    let get = |name: &str| {
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name));
        value.map(str::to_owned)
    };
    if let (Some(mount), Some(from)) = (get("mount="), get("from="))
        && state.uploads.owned.contains(&(from, mount.clone()))
    {
        state.uploads.owned.insert((repository.to_owned(), mount));
        return (201, HashMap::new(), Vec::new());
    }
    state.uploads.begun += 1;
    let id = format!("upload-{}", state.uploads.begun);
    state.uploads.sessions.insert(id.clone(), Vec::new());
    let mut right = status(202, repository, &id, 0);
    if let Some(piece) = state.uploads.piece_min {
        right
            .1
            .insert("oci-chunk-min-length".to_owned(), piece.to_string());
    }
    right
}

fn patch(state: &mut State, repository: &str, id: &str, request: &Request<'_>) -> Right {
    let Some(bytes) = state.uploads.sessions.get_mut(id) else {
        return error(404, "BLOB_UPLOAD_UNKNOWN");
    };
    let start = request
        .range
        .and_then(|range| range.split('-').next()?.parse().ok());
    if start.is_some_and(|start: usize| start != bytes.len()) {
        return error(416, "RANGE_INVALID");
    }
    assert_eq!(request.kind, "application/octet-stream");
    bytes.extend_from_slice(&request.body);
    status(202, repository, id, bytes.len())
}

fn close(state: &mut State, repository: &str, id: &str, request: &Request<'_>) -> Right {
    let Some(mut bytes) = state.uploads.sessions.remove(id) else {
        return error(404, "BLOB_UPLOAD_UNKNOWN");
    };
    bytes.extend_from_slice(&request.body);
    let digest = digest::of(&bytes).to_string();
    if !request.query.contains(&format!("digest={digest}")) {
        return error(400, "DIGEST_INVALID");
    }
    state
        .uploads
        .owned
        .insert((repository.to_owned(), digest.clone()));
    state.blobs.insert(digest, bytes);
    (201, HashMap::new(), Vec::new())
}

/// A manifest is taken only when the repository has everything that it points to.
fn put_manifest(state: &mut State, repository: &str, tag: &str, request: &Request<'_>) -> Right {
    let manifest: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(manifest["mediaType"], request.kind);
    let layers = manifest["layers"].as_array().unwrap();
    let sent = layers.iter().filter(|layer| layer.get("urls").is_none());
    for descriptor in sent.chain([&manifest["config"]]) {
        let wanted = descriptor["digest"].as_str().unwrap().to_owned();
        assert_eq!(
            state.blobs[&wanted].len() as u64,
            descriptor["size"].as_u64().unwrap()
        );
        if !state
            .uploads
            .owned
            .contains(&(repository.to_owned(), wanted))
        {
            return error(404, "MANIFEST_BLOB_UNKNOWN");
        }
    }
    let digest = digest::of(&request.body).to_string();
    for name in [tag, &digest] {
        let entry = (request.kind.to_owned(), request.body.to_vec());
        state.manifests.insert(name.to_owned(), entry);
    }
    let headers = HashMap::from([("docker-content-digest".to_owned(), digest)]);
    (201, headers, Vec::new())
}

/// Says where an upload is, with a relative address.
fn status(code: u16, repository: &str, id: &str, bytes: usize) -> Right {
    let headers = HashMap::from([
        (
            "location".to_owned(),
            format!("/v2/{repository}/blobs/uploads/{id}?state=x"),
        ),
        ("range".to_owned(), format!("0-{}", bytes.saturating_sub(1))),
    ]);
    (code, headers, Vec::new())
}

fn error(code: u16, name: &str) -> Right {
    let body = format!(r#"{{"errors":[{{"code":"{name}","message":"{name}"}}]}}"#);
    (code, HashMap::new(), body.into_bytes())
}
