//! Volumes out of an archive.
//!
//! The archive is unpacked beside the volumes and put in their place when it was read to its end and its digest is right: cut off
//! anywhere, what was there before is there.

use std::{
    fs::File,
    io::{BufReader, Read},
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};

use super::{
    Context, Job, VolumeChangeError,
    backup::{BackupError, PIPE_BYTES, opening, restored, subject},
    freeze,
    volumes::users,
};
use crate::{
    image::{Seal, Sealed, unpack_sealed},
    model::{BackedUpVolume, BackupHead, BackupSummary, VolumeRecord},
    protocol::StepState,
    store::Root,
    volume::{self, VolumeError},
};

/// Largest description of an archive.
const DOCUMENT_BYTES_MAX: u64 = 16 << 20;

/// What is restored, and to where.
#[derive(Debug)]
pub struct Restore {
    /// The archive.
    pub path: PathBuf,
    /// It is a pipe that was made for this call.
    pub is_pipe: bool,
    /// Only these; empty = all.
    pub names: Vec<String>,
    /// Name of the one volume.
    pub rename: Option<String>,
    /// Volumes that exist get the data.
    pub replace: bool,
}

/// Makes volumes of an archive; returns their names.
pub async fn restore(
    context: &Context,
    job: &Job,
    request: Restore,
) -> Result<Vec<String>, BackupError> {
    let shown = if request.is_pipe {
        "standard input".to_owned()
    } else {
        request.path.display().to_string()
    };
    let subject = subject(&shown);
    job.working(&subject, "unpacking").await;
    let root = context.root.clone();
    let work = tokio::task::spawn_blocking(move || restore_now(&root, &request));
    let (names, notes) = work.await.expect("unpacking does not panic")?;
    for note in notes {
        job.warn(note).await;
    }
    let state = StepState::Done {
        text: format!("restored {}", names.join(", ")),
    };
    job.tell(&subject, state, None).await;
    Ok(names)
}

fn restore_now(root: &Root, request: &Restore) -> Result<(Vec<String>, Vec<String>), BackupError> {
    let opened = fs_err::File::open(&request.path);
    if request.is_pipe {
        fs_err::remove_file(&request.path).map_err(opening(&request.path))?;
    }
    let source = opened.map_err(opening(&request.path))?;
    if let Some(name) = &request.rename {
        refuse_existing(root, name, request.replace)?;
    }
    let unfinished = volume::unfinished(root)?;
    let directory = fs_err::File::open(unfinished.path()).map_err(opening(unfinished.path()))?;
    let seal = Seal {
        first: BackupHead::MEMBER,
        last: BackupSummary::MEMBER,
    };
    let source = BufReader::with_capacity(PIPE_BYTES, source);
    let Sealed { digest, mut notes } = unpack_sealed(source, directory.as_fd(), seal)?;
    let head: BackupHead = document(unfinished.path(), BackupHead::MEMBER)?;
    let summary: BackupSummary = document(unfinished.path(), BackupSummary::MEMBER)?;
    if summary.digest != digest {
        return Err(BackupError::Digest {
            found: digest.to_string(),
            expected: summary.digest.to_string(),
        });
    }
    if head.format > BackupHead::FORMAT {
        return Err(BackupError::Description(format!(
            "its form is {}, and this stack knows those up to {}",
            head.format,
            BackupHead::FORMAT
        )));
    }
    let wanted = selected(&head, request)?;
    let directory = directory.into_file();
    rustix::fs::syncfs(&directory).map_err(|errno| VolumeError::Unfinished(errno.into()))?;
    let names = place(root, request, (&wanted, unfinished.path()))?;
    for volume in wanted
        .iter()
        .filter(|volume| !volume.driver_opts.is_empty())
    {
        notes.push(format!(
            "volume `{}` had driver options when it was backed up; the restored data lies in a directory of stack's own",
            volume.name
        ));
    }
    Ok((names, notes))
}

/// Returns the volumes of an archive that are asked for.
fn selected(head: &BackupHead, request: &Restore) -> Result<Vec<BackedUpVolume>, BackupError> {
    let all = &head.volumes;
    if let Some(bad) = all
        .iter()
        .find(|volume| !VolumeRecord::is_name(&volume.name))
    {
        let name = bad.name.clone();
        return Err(VolumeError::InvalidName { name }.into());
    }
    for name in &request.names {
        if !all.iter().any(|volume| volume.name == *name) {
            return Err(BackupError::NotInArchive {
                name: name.clone(),
                known: all.iter().map(|volume| volume.name.clone()).collect(),
            });
        }
    }
    let is_wanted =
        |volume: &&BackedUpVolume| request.names.is_empty() || request.names.contains(&volume.name);
    let wanted: Vec<BackedUpVolume> = all.iter().filter(is_wanted).cloned().collect();
    if request.rename.is_some() && wanted.len() != 1 {
        return Err(BackupError::Several(wanted.len()));
    }
    Ok(wanted)
}

/// Puts the trees in their places. All are looked at before the first is moved.
fn place(
    root: &Root,
    request: &Restore,
    (wanted, unpacked): (&[BackedUpVolume], &Path),
) -> Result<Vec<String>, BackupError> {
    let _frozen = volume::freeze_uses(root)?;
    let name_of = |volume: &BackedUpVolume| match &request.rename {
        Some(name) => name.clone(),
        None => volume.name.clone(),
    };
    for volume in wanted {
        refuse_existing(root, &name_of(volume), request.replace)?;
    }
    let mut names = Vec::new();
    for volume in wanted {
        let name = name_of(volume);
        let tree = tree_of(unpacked, &volume.name)?;
        if volume::find(root, &name)?.is_some() {
            volume::exchange(root, &name, &tree)?;
        } else {
            volume::adopt(root, &restored(volume, request.rename.as_deref()), &tree)?;
        }
        names.push(name);
    }
    Ok(names)
}

/// A volume that exists is not touched unless told, and never while a container runs with it or somebody protects it.
fn refuse_existing(root: &Root, name: &str, replace: bool) -> Result<(), BackupError> {
    let Some(record) = volume::find(root, name)? else {
        return Ok(());
    };
    if !replace {
        return Err(BackupError::Exists(name.to_owned()));
    }
    if record.protected {
        let name = name.to_owned();
        return Err(VolumeChangeError::Protected { name }.into());
    }
    let mut live = Vec::new();
    for container in users(root, &[name.to_owned()])? {
        if freeze::is_live(root, &container)? {
            live.push(container.name);
        }
    }
    if live.is_empty() {
        return Ok(());
    }
    Err(VolumeChangeError::InUse {
        name: name.to_owned(),
        users: live,
    }
    .into())
}

/// Returns the tree of a volume; what leads elsewhere on the way to it is refused, and the tree itself is looked at by who takes it.
fn tree_of(unpacked: &Path, name: &str) -> Result<PathBuf, BackupError> {
    let volumes = unpacked.join("volumes");
    let is_directory = fs_err::symlink_metadata(&volumes).is_ok_and(|there| there.is_dir());
    let tree = volumes.join(name);
    if is_directory && fs_err::symlink_metadata(&tree).is_ok_and(|there| there.is_dir()) {
        return Ok(tree);
    }
    Err(BackupError::Description(format!(
        "it has no directory for volume `{name}`"
    )))
}

/// Reads a description out of what was unpacked; a link in its place is not followed.
fn document<T: serde::de::DeserializeOwned>(unpacked: &Path, name: &str) -> Result<T, BackupError> {
    let path = unpacked.join(name);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let wrong = |reason: String| BackupError::Description(format!("`{name}`: {reason}"));
    let file =
        rustix::fs::open(&path, flags, Mode::empty()).map_err(|errno| wrong(errno.to_string()))?;
    let mut text = Vec::new();
    File::from(file)
        .take(DOCUMENT_BYTES_MAX)
        .read_to_end(&mut text)
        .map_err(|error| wrong(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests;
