//! `config [-f FILE]… [-p NAME] [--env-file FILE]… [--profile NAME]… config [--format json|yaml] [--no-…]… [SERVICE]…`
//!
//! Reads a project from the disk and prints it, for comparison with other implementations. It is the smallest user of
//! the crate, and takes the command line of `stack config`.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program that is not part of the product"
)]

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use compose_spec::{FileKind, Files, Passes, Request, configuration, emit, plain};

/// The disk.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, _: usize) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(match metadata.file_type() {
            kind if kind.is_file() => FileKind::File,
            kind if kind.is_dir() => FileKind::Directory,
            _ => FileKind::Other,
        })
    }
}

fn main() -> io::Result<()> {
    let mut request = Request {
        working_dir: std::env::current_dir()?,
        environment: std::env::vars().collect(),
        ..Request::default()
    };
    let mut passes = Passes::default();
    let mut format = "yaml".to_owned();
    let mut arguments = std::env::args().skip(1);
    let mut in_services = false;
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_default();
        match argument.as_str() {
            "-f" => request.files.push(PathBuf::from(value())),
            "-p" => request.project_name = Some(value()),
            "--env-file" => request.env_files.push(PathBuf::from(value())),
            "--profile" => request.profiles.push(value()),
            "--project-directory" => request.project_directory = Some(PathBuf::from(value())),
            "--format" => format = value(),
            "--no-interpolate" => passes.interpolation = false,
            "--no-normalize" => passes.normalization = false,
            "--no-path-resolution" => passes.path_resolution = false,
            "--no-consistency" => passes.consistency = false,
            "--no-env-resolution" => passes.env_resolution = false,
            "config" if !in_services => in_services = true,
            service => request.services.push(service.to_owned()),
        }
    }
    if request.files.iter().any(|file| file == Path::new("-")) {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes)?;
        request.stdin = Some(bytes);
    }
    match configuration(&request, passes, &Disk) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                eprint!("{}", plain(warning, &loaded.sources));
            }
            let text = match (format == "json", passes.interpolation) {
                (true, true) => emit::json,
                (false, true) => emit::yaml,
                (true, false) => emit::model_json,
                (false, false) => emit::model_yaml,
            };
            println!("{}", text(&loaded.canonical).trim_end());
            Ok(())
        }
        Err(error) => {
            for diagnostic in &error.diagnostics {
                eprint!("{}", plain(diagnostic, &error.sources));
            }
            std::process::exit(1);
        }
    }
}
