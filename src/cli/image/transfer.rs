//! Images and files: `save`, `load`, `import`.
//!
//! `save` reads the store itself and writes where the user is. What is loaded from standard input goes to the
//! supervisor through a named pipe: it opens that by its path, whatever standard input is.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use fs_err as fs;

use crate::{
    cli::{failure::Failure, session::Session},
    observe,
    protocol::{ImageImportRequest, ImageLoadRequest, Request},
    ui::{lines, progress::ProgressOptions},
};

/// Bytes copied at a time.
const CHUNK: usize = 256 << 10;

/// Write images into an archive
#[derive(Debug, Args)]
pub(in crate::cli) struct SaveArguments {
    /// Names, ids or beginnings of ids; a repository without a tag means all of its tags
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// The archive; standard output when it is left out
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// `docker` is read by everything; `oci` keeps compressed layers and digests
    #[arg(long, value_enum, default_value = "docker")]
    format: ArchiveFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ArchiveFormat {
    #[value(alias = "docker-archive")]
    Docker,
    #[value(alias = "oci-archive")]
    Oci,
}

/// Load images from an archive or an OCI layout directory
#[derive(Debug, Args)]
pub(in crate::cli) struct LoadArguments {
    /// The archive (tar, also gzip, zstd, xz or bzip2) or directory; standard input when it is left out
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

/// Make an image of a tar archive of files
#[derive(Debug, Args)]
pub(in crate::cli) struct ImportArguments {
    /// The archive; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Name of the image
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Instructions for its config, such as `CMD ["sh"]`
    #[arg(short, long = "change", value_name = "INSTRUCTION")]
    changes: Vec<String>,
    /// Comment in its history
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// os/architecture, with a variant or without [default: this machine's]
    #[arg(long)]
    platform: Option<String>,
}

pub(in crate::cli) fn save(
    session: &Session<'_>,
    arguments: &SaveArguments,
) -> Result<(), Failure> {
    session.refuse_dry_run("save")?;
    let oci = arguments.format == ArchiveFormat::Oci;
    let root = &session.settings.root;
    output(session, arguments.output.as_deref(), |out| {
        observe::save_images(root, &arguments.images, oci, out)
            .map_err(|error| Failure::error(&error))
    })
}

/// Lets something be written to a file, which appears only when it is complete, or to standard output.
pub(in crate::cli) fn output(
    session: &Session<'_>,
    file: Option<&Path>,
    write: impl FnOnce(&mut (dyn Write + Send)) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let Some(file) = file.filter(|file| *file != Path::new("-")) else {
        if session.settings.terminals.stdout {
            return Err(Failure::Usage(
                "an archive is not written to a terminal: use `-o FILE` or redirect it".to_owned(),
            ));
        }
        return write(&mut io::stdout());
    };
    let path = session.settings.working_dir.join(file);
    let failed = |error: &dyn std::error::Error| {
        Failure::intent(format!("write `{}`", path.display()), error)
    };
    // A device or a pipe is written to as it is.
    if fs::metadata(&path).is_ok_and(|there| !there.is_file()) {
        let mut out = fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(|error| failed(&error))?;
        return write(&mut out);
    }
    let directory = path.parent().unwrap_or(&path);
    let mut temporary = tempfile::Builder::new()
        .prefix(".stack-")
        .tempfile_in(directory)
        .map_err(|error| failed(&error))?;
    write(&mut temporary)?;
    temporary
        .persist(&path)
        .map_err(|error| failed(&error.error))?;
    Ok(())
}

pub(in crate::cli) fn load(
    session: &Session<'_>,
    arguments: &LoadArguments,
) -> Result<(), Failure> {
    session.refuse_dry_run("load")?;
    let input = arguments.input.as_deref();
    let input = input.filter(|input| *input != Path::new("-"));
    let pipe = match input {
        None => Some(pipe(session)?),
        Some(_) => None,
    };
    let path = match (&pipe, input) {
        (Some(pipe), _) => pipe.path.clone(),
        (None, input) => session
            .settings
            .working_dir
            .join(input.unwrap_or_else(|| Path::new(""))),
    };
    let is_pipe = pipe.is_some();
    let request = Request::ImageLoad(ImageLoadRequest { path, is_pipe });
    let options = ProgressOptions {
        quiet_pull: arguments.quiet,
        ..ProgressOptions::default()
    };
    let outcome = session.call(&request, options, None)?;
    let names = outcome.names.iter().map(|name| {
        if name.starts_with("sha256:") {
            format!("Loaded image ID: {name}")
        } else {
            format!("Loaded image: {name}")
        }
    });
    Ok(session.ui.data(lines(names))?)
}

pub(super) fn import(session: &Session<'_>, arguments: &ImportArguments) -> Result<(), Failure> {
    session.refuse_dry_run("image import")?;
    let pipe = match arguments.file.as_path() {
        file if file == Path::new("-") => Some(pipe(session)?),
        _ => None,
    };
    let path = match &pipe {
        Some(pipe) => pipe.path.clone(),
        None => session.settings.working_dir.join(&arguments.file),
    };
    let request = Request::ImageImport(ImageImportRequest {
        path,
        is_pipe: pipe.is_some(),
        reference: arguments.name.clone(),
        changes: arguments.changes.clone(),
        message: arguments.message.clone(),
        platform: arguments.platform.clone(),
    });
    let outcome = session.call(&request, ProgressOptions::default(), None)?;
    Ok(session.ui.data(lines(&outcome.names))?)
}

/// A named pipe that standard input is copied into. The supervisor removes its name; we do where it never came to that.
pub(in crate::cli) struct Pipe {
    path: PathBuf,
}

impl Pipe {
    /// Returns where the supervisor finds it.
    pub(in crate::cli) fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes a pipe and begins to copy standard input into it, on a thread: the call's progress is followed meanwhile.
///
/// The thread ends with the input, with a reader that has had enough, or with this process.
pub(in crate::cli) fn pipe(session: &Session<'_>) -> Result<Pipe, Failure> {
    if io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "an archive is not read from a terminal: use `-i FILE` or redirect it".to_owned(),
        ));
    }
    let failed = |error: &dyn std::error::Error| Failure::intent("pass on standard input", error);
    let run = session.settings.root.run();
    fs::create_dir_all(run).map_err(|error| failed(&error))?;
    let path = run.join(format!("input-{}.pipe", std::process::id()));
    // One of a process that had our id and was killed.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&error)),
        _ => {}
    }
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, mode, 0)
        .map_err(|errno| failed(&io::Error::from(errno)))?;
    let pipe = Pipe { path: path.clone() };
    std::thread::Builder::new()
        .name("standard input".to_owned())
        .spawn(move || {
            // Opening waits for the reader. Its end of the pipe tells whatever goes wrong here.
            let Ok(mut out) = fs::OpenOptions::new().write(true).open(&path) else {
                return;
            };
            let mut input = io::stdin().lock();
            let mut buffer = vec![0; CHUNK];
            loop {
                match io::Read::read(&mut input, &mut buffer) {
                    Ok(0) => return,
                    Ok(count) if out.write_all(&buffer[..count]).is_err() => return,
                    Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
                    _ => {}
                }
            }
        })
        .map_err(|error| failed(&error))?;
    Ok(pipe)
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // Usually gone by now.
        let _gone = fs::remove_file(&self.path);
    }
}
