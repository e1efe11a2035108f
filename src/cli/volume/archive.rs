//! `stack volume backup|restore|cp`: volumes into archives, out of them, and to other volumes.
//!
//! The supervisor reads and writes the volumes. An archive goes through a named pipe, so that it comes from and goes to wherever this
//! process's standard input and output do.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use fs_err as fs;
use rustix::fs::{Mode, OFlags};

use super::volumes;
use crate::{
    cli::{
        failure::Failure,
        image::{output, pipe},
        session::Session,
    },
    protocol::{Request, VolumeRequest},
    ui::{lines, progress::ProgressOptions},
};

/// Bytes copied at a time.
const CHUNK: usize = 256 << 10;

/// Write volumes into an archive (tar.zst)
///
/// Containers that have a volume stand still while it is read: what is in the archive is what they would find after a power cut.
/// Databases recover from that; a dump of their own is still better.
#[derive(Debug, Args)]
pub(in crate::cli) struct BackupArguments {
    /// Names [default: the volumes of the project that have a name]
    #[arg(value_name = "VOLUME")]
    names: Vec<String>,
    /// The archive; standard output when it is left out or `-`
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Let containers go on meanwhile: their files may be of different moments
    #[arg(long)]
    live: bool,
}

/// Make volumes of an archive that `backup` wrote
///
/// The archive is read to its end and its digest compared before anything is put in its place.
#[derive(Debug, Args)]
pub(in crate::cli) struct RestoreArguments {
    /// The archive; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only these of the archive
    #[arg(value_name = "VOLUME")]
    names: Vec<String>,
    /// Name of the volume, when it is one
    #[arg(long = "as", value_name = "NAME")]
    rename: Option<String>,
    /// Put the data in the place of that of volumes that exist; no container may run with them
    #[arg(long)]
    replace: bool,
}

pub(super) fn backup(session: &Session<'_>, arguments: &BackupArguments) -> Result<(), Failure> {
    session.refuse_dry_run("volume backup")?;
    let names = if arguments.names.is_empty() {
        of_project(session)?
    } else {
        arguments.names.clone()
    };
    // Before anybody is frozen.
    let known = volumes(session)?;
    for name in &names {
        if !known.iter().any(|volume| volume.record.name == *name) {
            return Err(Failure::message(format!("no such volume: {name}"))
                .hint("`stack volume ls` lists those there are"));
        }
    }
    output(session, arguments.output.as_deref(), |out| {
        let ends = Ends::open(session)?;
        let request = Request::Volume(VolumeRequest::Backup {
            names,
            live: arguments.live,
            pipe: ends.path.clone(),
        });
        let Ends {
            path,
            reader,
            writer,
        } = ends;
        let (called, pumped) = std::thread::scope(|scope| {
            let pump = scope.spawn(move || pump(reader, out));
            let called = session.call(&request, ProgressOptions::default(), None);
            // The supervisor's end is closed by now; without ours the thread reads to the end.
            drop(writer);
            let pumped = pump.join().expect("copying does not panic");
            (called, pumped)
        });
        // Usually gone by now.
        let _gone = fs::remove_file(&path);
        // A full disk breaks the pipe: what the supervisor says of that is not the cause.
        pumped.map_err(|error| Failure::intent("write the archive", &error))?;
        called.map(drop)
    })
}

/// Names of the project's volumes that somebody named.
fn of_project(session: &Session<'_>) -> Result<Vec<String>, Failure> {
    let target = session.target(&[])?;
    let mut names: Vec<String> = Vec::new();
    for volume in volumes(session)? {
        if volume.record.project.as_ref() == Some(&target.project) && !volume.record.is_anonymous()
        {
            names.push(volume.record.name);
        }
    }
    if names.is_empty() {
        let text = format!("project `{}` has no volume with a name", target.project);
        return Err(Failure::message(text).hint("`stack volume ls` lists all volumes"));
    }
    Ok(names)
}

pub(super) fn restore(session: &Session<'_>, arguments: &RestoreArguments) -> Result<(), Failure> {
    session.refuse_dry_run("volume restore")?;
    let input = (arguments.file != Path::new("-"))
        .then(|| session.settings.working_dir.join(&arguments.file));
    let (path, pipe) = if let Some(path) = input {
        (path, None)
    } else {
        let pipe = pipe(session)?;
        (pipe.path().to_owned(), Some(pipe))
    };
    let request = Request::Volume(VolumeRequest::Restore {
        path,
        is_pipe: pipe.is_some(),
        names: arguments.names.clone(),
        rename: arguments.rename.clone(),
        replace: arguments.replace,
    });
    let outcome = session.call(&request, ProgressOptions::default(), None)?;
    Ok(session.ui.data(lines(outcome.names))?)
}

/// Both ends of a named pipe.
struct Ends {
    path: PathBuf,
    reader: File,
    /// Held open until the call is over: a supervisor that never opens its end does not look like an end, nor keep us waiting.
    writer: File,
}

impl Ends {
    fn open(session: &Session<'_>) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::intent("make a pipe for the archive", &error);
        let run = session.settings.root.run();
        fs::create_dir_all(run).map_err(failed)?;
        let path = run.join(format!("output-{}.pipe", std::process::id()));
        // One of a process that had our id and was killed.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, Mode::from_raw_mode(0o600), 0)
            .map_err(|errno| failed(errno.into()))?;
        // Opened without waiting for the other end; then reading waits.
        let open = |access: OFlags| {
            let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC;
            rustix::fs::open(&path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))
        };
        let reader = open(OFlags::RDONLY)?;
        let writer = open(OFlags::WRONLY)?;
        rustix::fs::fcntl_setfl(&reader, OFlags::empty()).map_err(|errno| failed(errno.into()))?;
        Ok(Self {
            path,
            reader: reader.into(),
            writer: writer.into(),
        })
    }
}

/// Copies to the end. When that fails, the reader is closed, and whoever writes notices.
fn pump(mut reader: File, out: &mut (dyn Write + Send)) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return out.flush(),
            Ok(count) => out.write_all(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
