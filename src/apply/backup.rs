//! Volumes into an archive, and from one volume to another.
//!
//! What is read is frozen unless the caller says otherwise: the containers that have a volume stand still while it is read, so that the
//! files are those of one moment, as after a power cut.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use rustix::fs::{Mode, OFlags};
use tokio::sync::mpsc;

use super::{
    ApplyError, Context, Job, VolumeChangeError,
    freeze::{self, FreezeError},
    mounts, now,
    storage::{self, blocking},
    volumes::{known, users},
};
use crate::{
    image::UnpackError,
    model::{BackedUpVolume, BackupHead, Subject, SubjectKind, VolumeRecord},
    protocol::StepState,
    store::Root,
    volume::{self, Archived, VolumeError},
};

/// Bytes written to the pipe at a time.
pub(super) const PIPE_BYTES: usize = 256 << 10;

/// Volumes could not be backed up, restored or copied.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The volume itself, or who uses it.
    #[error(transparent)]
    Change(#[from] VolumeChangeError),
    /// Its file system cannot be mounted.
    #[error(transparent)]
    Mount(#[from] ApplyError),
    /// Containers that use it.
    #[error(transparent)]
    Freeze(#[from] FreezeError),
    /// The client does not take the archive, or does not give one.
    #[error("open `{}`", path.display())]
    Open {
        /// The path.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The archive cannot be read, or is cut off.
    #[error("read the archive")]
    Read(#[source] io::Error),
    /// The archive cannot be unpacked.
    #[error("unpack the archive")]
    Unpack(#[source] UnpackError),
    /// What the archive says about itself is wrong.
    #[error("read the archive: {0}")]
    Description(String),
    /// Its content is not what was written.
    #[error("the archive is damaged: its digest is {found}, but it says {expected}")]
    Digest {
        /// As it was read.
        found: String,
        /// As it says.
        expected: String,
    },
    /// There is another one of that name.
    #[error("volume `{0}` exists already")]
    Exists(String),
    /// The archive does not have it.
    #[error("the archive has no volume `{name}`: it has {}", known.join(", "))]
    NotInArchive {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// One new name for several volumes.
    #[error("the archive has {0} volumes, and one name was given: say which volume")]
    Several(usize),
}

impl From<VolumeError> for BackupError {
    fn from(error: VolumeError) -> Self {
        Self::Change(error.into())
    }
}

impl BackupError {
    /// The next thing to do.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Exists(_) => vec![
                "--as NAME restores it under another name".to_owned(),
                "--replace puts the archive's data in the place of the volume's".to_owned(),
            ],
            Self::Change(VolumeChangeError::InUse { .. }) => {
                vec!["`stack stop` stops the containers".to_owned()]
            }
            Self::Change(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

/// What is read, and whether its users go on meanwhile.
#[derive(Debug)]
pub struct Source {
    /// Names of volumes.
    pub names: Vec<String>,
    /// Nobody is frozen.
    pub live: bool,
}

/// Writes volumes into one archive, through a pipe that the caller's client reads.
pub async fn backup(
    context: &Context,
    job: &Job,
    source: Source,
    pipe: PathBuf,
) -> Result<(), BackupError> {
    // First, so that the client's end sees whatever happens here.
    let out = open_pipe(&pipe)?;
    let (sender, mut progress) = mpsc::channel(1);
    let subject = subject(&source.names.join(", "));
    let write = move |root: Root, head: BackupHead| {
        let mut report = |bytes: u64| {
            // A report that finds the one before it still unread is dropped: the next one says more.
            let _unread = sender.try_send(bytes);
        };
        let out = BufWriter::with_capacity(PIPE_BYTES, out);
        volume::archive(&root, &head, out, &mut report)
    };
    let told = async {
        while let Some(bytes) = progress.recv().await {
            let state = StepState::Working {
                text: "reading".to_owned(),
                current: Some(bytes),
                total: None,
            };
            job.tell(&subject, state, None).await;
        }
    };
    let (done, ()) = tokio::join!(reading(context, job, source, write), told);
    warn_of(job, &done?).await;
    Ok(())
}

/// Copies a volume to a new one.
pub async fn copy(
    context: &Context,
    job: &Job,
    source: Source,
    to: String,
) -> Result<(), BackupError> {
    if !VolumeRecord::is_name(&to) {
        return Err(VolumeError::InvalidName { name: to }.into());
    }
    if volume::find(&context.root, &to)?.is_some() {
        return Err(VolumeError::Exists { name: to }.into());
    }
    let copied = reading(context, job, source, |root, head| {
        let unfinished = volume::unfinished(&root)?;
        let tree = unfinished.path().join("data");
        let [from] = &head.volumes[..] else {
            unreachable!("one volume is copied to one");
        };
        volume::copy_data(&root, &from.name, &tree)?;
        Ok((unfinished, tree, from.clone()))
    });
    let (unfinished, tree, from) = copied.await?;
    let root = context.root.clone();
    blocking(move || {
        let _frozen = volume::freeze_uses(&root)?;
        volume::adopt(&root, &restored(&from, Some(&to)), &tree)?;
        drop(unfinished);
        Ok(())
    })
    .await?;
    Ok(())
}

/// Reads volumes while the containers that have them stand still, and tells how long they did.
async fn reading<T: Send + 'static>(
    context: &Context,
    job: &Job,
    source: Source,
    read: impl FnOnce(Root, BackupHead) -> Result<T, VolumeError> + Send + 'static,
) -> Result<T, BackupError> {
    let Source { mut names, live } = source;
    names.sort();
    names.dedup();
    let subject = subject(&names.join(", "));
    let (root, wanted) = (context.root.clone(), names.clone());
    // What is mounted here is not unmounted before it is held.
    let in_place = storage::hold_volumes(context, &subject.name).await?;
    for name in &names {
        mounts::ensure(context, name).await?;
    }
    // In the order of names: two who hold the same volumes do not wait for each other.
    let held = blocking(move || {
        let held = wanted.iter().map(|name| volume::hold(&root, name));
        held.collect::<Result<Vec<_>, _>>()
    });
    let held = held.await?;
    drop(in_place);
    let mut records = Vec::new();
    for name in &names {
        records.push(known(&context.root, name)?);
    }
    let all = users(&context.root, &names)?;
    let mut running = Vec::new();
    for container in &all {
        if freeze::is_running(&context.root, container)? {
            running.push(container.name.clone());
        }
    }
    let frozen = if live {
        freeze::Frozen::default()
    } else {
        freeze::freeze(context, &all).await?
    };
    let began = Instant::now();
    let head = BackupHead {
        format: BackupHead::FORMAT,
        stack: env!("CARGO_PKG_VERSION").to_owned(),
        created: now(),
        frozen: frozen.names(),
        running: if live { running.clone() } else { Vec::new() },
        volumes: records.iter().map(BackedUpVolume::from).collect(),
    };
    job.working(&subject, "reading").await;
    let root = context.root.clone();
    let done = blocking(move || {
        let _held = held;
        read(root, head)
    })
    .await;
    let (stood_still, took) = (frozen.names(), began.elapsed());
    let moved = frozen.moved(&context.root, &users(&context.root, &names)?)?;
    drop(frozen);
    mounts::settle_mounts(context).await;
    let done = done?;
    let text = match (stood_still.is_empty(), live && !running.is_empty()) {
        (false, _) => format!(
            "read; {} stood still for {:.1} s",
            stood_still.join(", "),
            took.as_secs_f64()
        ),
        (true, true) => format!("read while {} ran", running.join(", ")),
        (true, false) => "read".to_owned(),
    };
    job.tell(&subject, StepState::Done { text }, None).await;
    if !live && !moved.is_empty() {
        let who = moved.join(", ");
        job.warn(format!(
            "{who} started or stopped while the volume was read: its files may be of different moments"
        ))
        .await;
    }
    Ok(done)
}

async fn warn_of(job: &Job, archived: &Archived) {
    for path in &archived.skipped {
        let path = path.display();
        job.warn(format!("`{path}` is a socket and is left out"))
            .await;
    }
    for path in &archived.changed {
        let path = path.display();
        job.warn(format!(
            "`{path}` became shorter while it was read; zeros stand for the rest"
        ))
        .await;
    }
}

/// The record of a volume that is made of another one. One with its own name belongs to its project again.
pub(super) fn restored(from: &BackedUpVolume, rename: Option<&str>) -> VolumeRecord {
    let name = rename.unwrap_or(&from.name).to_owned();
    let is_same = name == from.name;
    VolumeRecord {
        version: VolumeRecord::VERSION,
        project: from.project.clone().filter(|_| is_same),
        key: from.key.clone().filter(|_| is_same),
        wanted: Some(compose_spec::model::Volume {
            name: name.clone(),
            external: false,
            driver: None,
            driver_opts: indexmap::IndexMap::new(),
            labels: from.labels.clone(),
            extensions: indexmap::IndexMap::new(),
        }),
        name,
        created: now(),
        protected: false,
    }
}

/// Opens the pipe that a client reads, and removes its name. A client that went away is an error and not a reason to wait.
fn open_pipe(path: &Path) -> Result<impl Write + Send + 'static, BackupError> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    let removed = fs_err::remove_file(path);
    let pipe = opened.map_err(|errno| opening(path)(errno.into()))?;
    removed.map_err(opening(path))?;
    rustix::fs::fcntl_setfl(&pipe, OFlags::empty()).map_err(|errno| opening(path)(errno.into()))?;
    Ok(File::from(pipe))
}

pub(super) fn opening(path: &Path) -> impl Fn(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Open {
        path: path.clone(),
        source,
    }
}

pub(super) fn subject(name: &str) -> Subject {
    Subject {
        kind: SubjectKind::Volume,
        name: name.to_owned(),
    }
}
