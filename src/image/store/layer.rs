//! Unpacked layers: staged in a workspace, committed in groups by one rename each.
//!
//! ```text
//! layers/<diff id hex>/        independent of what lies below
//! layers/chain-<hex>/          completed from the layers below (see `settle`)
//!   fs/                        what overlayfs mounts
//!   meta.json                  LayerMeta, written before the rename
//!   stream                     what `stream.rs` needs to make the layer's stream again, where no blob is kept
//!   replaced/                  with it: files whose place later entries of the stream have taken
//! ```

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::{
    ImageError, ImageStore, Ingest, Workspace,
    merged::Merged,
    settle::{clone_tree, fits, settle},
    stream::RECORD,
    unsynced::Named,
    workspace::random,
};
use crate::{
    image::{
        digest::chain_ids,
        unpack::{ExternalLink, REPLACED, Replaced, Unpacked},
    },
    model::Digest,
    store::read_json,
};

/// `meta.json` of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerMeta {
    version: u32,
    /// Digest of its uncompressed tar stream.
    pub(super) diff_id: Digest,
    /// Entries of the stream.
    pub(super) entries: u64,
    /// Bytes of file content.
    pub(super) bytes: u64,
    /// Bytes of the whole stream; `None` where an older program did not count them.
    #[serde(default)]
    pub(super) stream_bytes: Option<u64>,
    /// Directories that the stream does not describe; bytes beyond printable ASCII and `%` are escaped as in URLs.
    implied: Vec<String>,
    /// It hides every layer below it.
    pub(super) opaque_root: bool,
    /// The compressed form it came from, which alone can give its stream again; `None` where the stream is recorded or
    /// is the canonical one. The blob is there before the layer is, and stays for as long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) blob: Option<Digest>,
    /// What lies in `replaced/`, by its number there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replaced: Vec<ReplacedPath>,
}

/// Something that a later entry of the stream replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ReplacedPath {
    /// Where it was; escaped like the implied ones.
    path: String,
    /// Contents of files that the stream had before.
    contents: u64,
}

impl LayerMeta {
    /// Makes the record of a layer that was unpacked.
    pub(crate) fn new(diff_id: Digest, unpacked: &Unpacked) -> Self {
        Self {
            version: 1,
            diff_id,
            entries: unpacked.entries,
            bytes: unpacked.bytes,
            stream_bytes: Some(unpacked.stream_bytes).filter(|bytes| *bytes > 0),
            implied: unpacked.implied.iter().map(|path| escape(path)).collect(),
            opaque_root: unpacked.opaque_root,
            blob: None,
            replaced: (unpacked.replaced.iter())
                .map(|replaced| ReplacedPath {
                    path: escape(&replaced.path),
                    contents: replaced.contents,
                })
                .collect(),
        }
    }

    /// Names the blob that its stream is decoded from when it is asked for again.
    pub(crate) fn of_blob(mut self, blob: &Digest) -> Self {
        self.blob = Some(blob.clone());
        self
    }

    /// Returns what lies in `replaced/`.
    pub(super) fn replaced(&self) -> Vec<Replaced> {
        (self.replaced.iter())
            .map(|replaced| Replaced {
                path: unescape(&replaced.path),
                contents: replaced.contents,
            })
            .collect()
    }

    /// Returns the directories that take their attributes from below.
    pub(super) fn implied_paths(&self) -> impl Iterator<Item = Vec<u8>> {
        self.implied.iter().map(|text| unescape(text))
    }
}

/// A layer in a workspace, complete but for what it needs from below.
#[derive(Debug)]
pub(crate) struct Staged {
    /// The directory with `fs/` in it.
    pub(crate) directory: PathBuf,
    /// Its record.
    pub(crate) meta: LayerMeta,
    /// Hard links to files of lower layers.
    pub(crate) links: Vec<ExternalLink>,
}

impl Staged {
    /// Returns the digest of its uncompressed stream.
    pub(crate) fn diff_id(&self) -> &Digest {
        &self.meta.diff_id
    }
}

/// A stack of layers in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stack {
    /// Directory names, the lowest first.
    pub(super) names: Vec<String>,
    /// How many of the lowest are hidden by an opaque root.
    pub(super) hidden: usize,
    /// Bytes of file content in all of them.
    pub(super) bytes: u64,
}

impl ImageStore {
    /// Tells whether an independent layer is there.
    pub(crate) fn has_layer(&self, diff_id: &Digest) -> bool {
        self.layers().join(diff_id.hex()).join("meta.json").exists()
    }

    /// Tells whether an independent layer is there with the blob that it came from, so that it can be saved and pushed.
    pub(crate) fn has_layer_and_blob(&self, diff_id: &Digest) -> Result<bool, ImageError> {
        let meta = self.meta(diff_id.hex())?;
        Ok(meta.is_some_and(|meta| meta.blob.is_none_or(|blob| self.has_blob(&blob))))
    }

    /// Commits independent layers.
    pub(crate) fn commit_layers(&self, staged: &[Staged]) -> Result<(), ImageError> {
        self.commit_fetched(staged, &[])
    }

    /// Commits independent layers with the downloads that they were unpacked from.
    ///
    /// The blobs come first: whoever finds a layer after a crash can rely on its blob.
    pub(crate) fn commit_fetched(
        &self,
        staged: &[Staged],
        blobs: &[Ingest],
    ) -> Result<(), ImageError> {
        let named = staged
            .iter()
            .map(|layer| (layer, layer.meta.diff_id.hex().to_owned()));
        self.commit_named(&named.collect::<Vec<_>>(), blobs)
    }

    fn commit_named(
        &self,
        staged: &[(&Staged, String)],
        blobs: &[Ingest],
    ) -> Result<(), ImageError> {
        let layers = self.layers();
        for (layer, _) in staged {
            let meta = serde_json::to_vec(&layer.meta).unwrap_or_default();
            fs::write(layer.directory.join("meta.json"), meta)
                .map_err(ImageError::io("write a layer's record"))?;
        }
        let marks = staged.iter().map(|(_, name)| Named::Layer(name));
        self.mark(&marks.collect::<Vec<_>>())?;
        for blob in blobs {
            self.commit_blob(blob)?;
        }
        for (layer, name) in staged {
            match fs::rename(&layer.directory, layers.join(name)) {
                // The same layer came by another way meanwhile; ours goes with its workspace.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                    ) => {}
                result => result.map_err(ImageError::io("commit a layer"))?,
            }
        }
        Ok(())
    }

    /// Puts layers on top of each other, completing those that need something from below.
    ///
    /// `pending` holds layers that could not be committed on their own.
    pub(crate) fn stack(
        &self,
        workspace: &Workspace,
        diff_ids: &[Digest],
        mut pending: HashMap<Digest, Staged>,
    ) -> Result<Stack, ImageError> {
        let mut stack = Stack {
            names: Vec::new(),
            hidden: 0,
            bytes: 0,
        };
        for (diff_id, chain_id) in diff_ids.iter().zip(chain_ids(diff_ids)) {
            let chain_name = format!("chain-{}", chain_id.hex());
            let name = if self.meta(&chain_name)?.is_some() {
                chain_name
            } else if let Some(layer) = pending.remove(diff_id) {
                self.complete(&layer, &stack, chain_name)?
            } else {
                self.place(workspace, diff_id, &stack, chain_name)?
            };
            let meta = self
                .meta(&name)?
                .ok_or_else(|| ImageError::LayerMissing(diff_id.clone()))?;
            if meta.opaque_root {
                stack.hidden = stack.names.len();
            }
            stack.bytes += meta.bytes;
            stack.names.push(name);
        }
        Ok(stack)
    }

    /// Uses an independent layer as it is, or a completed copy of it where what it implies differs below.
    fn place(
        &self,
        workspace: &Workspace,
        diff_id: &Digest,
        below: &Stack,
        chain_name: String,
    ) -> Result<String, ImageError> {
        let name = diff_id.hex().to_owned();
        let meta = self
            .meta(&name)?
            .ok_or_else(|| ImageError::LayerMissing(diff_id.clone()))?;
        let fs = self.layers().join(&name).join("fs");
        let io_error = |errno: rustix::io::Errno| {
            ImageError::io("compare a layer with those below")(errno.into())
        };
        let merged = Merged::open(&self.lowers(below)).map_err(io_error)?;
        if fits(&fs, &meta, &merged).map_err(io_error)? {
            return Ok(name);
        }
        let directory = workspace.path().join(random()?);
        fs::create_dir(&directory).map_err(ImageError::io("make a layer's directory"))?;
        clone_tree(&fs, &directory.join("fs"))
            .map_err(|errno| ImageError::io("copy a layer")(errno.into()))?;
        // The copy may be the only one that stays.
        match fs::hard_link(fs.with_file_name(RECORD), directory.join(RECORD)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.map_err(ImageError::io("copy a layer"))?,
        }
        let replaced = fs.with_file_name(REPLACED);
        if replaced.exists() {
            clone_tree(&replaced, &directory.join(REPLACED))
                .map_err(|errno| ImageError::io("copy a layer")(errno.into()))?;
        }
        self.complete(
            &Staged {
                directory,
                meta,
                links: Vec::new(),
            },
            below,
            chain_name,
        )
    }

    fn complete(
        &self,
        layer: &Staged,
        below: &Stack,
        chain_name: String,
    ) -> Result<String, ImageError> {
        let merged = Merged::open(&self.lowers(below))
            .map_err(|errno| ImageError::io("open the layers below")(errno.into()))?;
        settle(
            &layer.directory.join("fs"),
            &layer.meta,
            &layer.links,
            &merged,
        )
        .map_err(|source| ImageError::Layer {
            diff_id: layer.meta.diff_id.clone(),
            source,
        })?;
        self.commit_named(&[(layer, chain_name.clone())], &[])?;
        Ok(chain_name)
    }

    /// Returns the directories to mount, the topmost first.
    fn lowers(&self, stack: &Stack) -> Vec<PathBuf> {
        self.mountable(&stack.names, stack.hidden)
    }

    /// Returns the directories of layers that show, the topmost first.
    pub(super) fn mountable(&self, names: &[String], hidden: usize) -> Vec<PathBuf> {
        let layers = self.layers();
        names
            .iter()
            .skip(hidden)
            .rev()
            .map(|name| layers.join(name).join("fs"))
            .collect()
    }

    pub(super) fn meta(&self, name: &str) -> Result<Option<LayerMeta>, ImageError> {
        read_json(&meta_path(&self.layers(), name)).map_err(ImageError::Record)
    }
}

/// Makes an empty directory for a layer to be unpacked into, and returns it with its `fs`.
pub(crate) fn stage(workspace: &Workspace) -> Result<(PathBuf, PathBuf), ImageError> {
    let directory = workspace.path().join(random()?);
    let fs = directory.join("fs");
    fs::create_dir_all(&fs).map_err(ImageError::io("make a layer's directory"))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&fs, mode).map_err(ImageError::io("make a layer's directory"))?;
    Ok((directory, fs))
}

fn meta_path(layers: &Path, name: &str) -> PathBuf {
    layers.join(name).join("meta.json")
}

fn escape(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path {
        if byte.is_ascii_graphic() && *byte != b'%' {
            text.push(char::from(*byte));
        } else {
            text.extend(format!("%{byte:02x}").chars());
        }
    }
    text
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let code = (*byte == b'%').then(|| tail.get(..2)).flatten();
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        if let Some(code) = code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            bytes.push(code);
            rest = &tail[2..];
        } else {
            bytes.push(*byte);
            rest = tail;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_any_bytes_survive_the_record() {
        for path in [
            &b"usr/share/a b"[..],
            b"",
            b"100%/\xff\x00\n",
            b"caf\xc3\xa9",
        ] {
            assert_eq!(unescape(&escape(path)), path);
        }
    }
}
